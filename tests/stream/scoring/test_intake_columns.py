"""Records that are read at once are read as those that are read one by one: whatever stands in them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import distinct, event_scan
from features.events import EVENT_TYPES, LENIENT, MAX_ITEMS, Decoding
from features.watermark import BEGINNING
from stream.kafka import record_scan
from stream.kafka.batches import Backlog
from stream.scoring.engine import Engine
from stream.scoring.intake import read_batches, warm_up_intake
from tests.bundles import random_bundle
from tests.malformed import MALFORMED, good
from tests.stream.packing import assert_same, packed
from tests.stream.records import NOW, PARTITIONS, batch, home, record

MINUTE = 60_000

# Values of members, good and bad, as JSON.
NUMBERS = (
    "0", "1", "7", "19.9", "0.1", "100.00", "1e3", "1E-2", "-1", "-0", "01", "1.", ".5", "0.123456789012345",
    "123456789.123456", "1234567890123456", "123456789012345", "1000000000", "1000000000.1", "1000001", "2.0",
)  # fmt: skip
TIMES = (
    str(NOW),
    str(NOW - MINUTE),
    str(NOW + 600 * MINUTE),
    "1",
    "253402300799999",
    "253402300800000",
    f"{NOW}.0",
)
TEXTS = (
    '"a"', '""', '"ab"', '"EUR"', '"eur"', '"USD"', '"Eur"', '"E R"', '"web"', '"app"', '"store"', '"fax"',
    '"Küche"', '"日本"', '"😀"', '"\\u0041"', '"a\\"b"', '"a\\\\"', '"\x7f"', '"a b"', '"ÄÖÜ"',
    json.dumps("x" * 128), json.dumps("x" * 129), json.dumps("x" * 256), json.dumps("x" * 257),
    '"' + "ü" * 256 + '"', '"' + "ü" * 257 + '"', '"\ud7ff"', '"\x1f"', '"\n"',
)  # fmt: skip
OTHERS = (
    "null",
    "true",
    "false",
    "nul",
    "truely",
    "[]",
    "{}",
    "[1]",
    "[[]]",
    '{"a":{}}',
    "NaN",
    "Infinity",
    "",
)
LINES = (
    "[]", "[ ]", "null", '[{"item_id":"i1"}]', '[{"item_id":"i1","price":2.5,"quantity":2},{"item_id":"i2"}]',
    '[{"item_id": "i1", "brand": "b", "price": null}]', '[{"price":1}]', '[{"item_id":""}]', '[{}]',
    '[{"item_id":"i"},]',
    '[{"item_id":"i","item_id":"j"}]', '[{"item_id":"i","quantity":1.5}]', '[{"item_id":"i","category":"Küche"}]',
    '[{"item_id":"é"}]', "[1]", '{"item_id":"i"}', '[{"item_id":"i"} {"item_id":"j"}]',
    "[" + ",".join(['{"item_id":"i"}'] * MAX_ITEMS) + "]", "[" + ",".join(['{"item_id":"i"}'] * (MAX_ITEMS + 1)) + "]",
)  # fmt: skip
TYPES = (*map(json.dumps, EVENT_TYPES), '"login"', '"page_view"', '"View_item"', '"identify"')
NAMES = (
    "event_id", "type", "customer_id", "event_time", "item_id", "category", "price", "quantity", "items", "value",
    "currency", "order_id", "session_id", "channel", "device", "country", "bot", "page", "", "préis", "a b",
)  # fmt: skip

ANYTHING = st.sampled_from([*NUMBERS, *TEXTS, *OTHERS, *LINES, *TIMES])
LIKELY_VALUES: dict[str, Sequence[str]] = {
    "type": TYPES,
    "event_time": TIMES,
    "items": LINES,
    "price": NUMBERS,
    "value": NUMBERS,
    "quantity": NUMBERS,
    "currency": TEXTS[:12],
    "channel": TEXTS[8:12],
    "bot": ("true", "false", "null"),
}
LIKELY = {name: st.sampled_from(own) for name, own in LIKELY_VALUES.items()}
SPACE = st.sampled_from(["", "", "", " ", "\n\t"])


@st.composite
def members(draw: st.DrawFn) -> tuple[str, str]:
    name = draw(st.sampled_from(NAMES))
    value = draw(st.one_of(LIKELY.get(name, st.sampled_from(TEXTS)), ANYTHING))
    return name, value


@st.composite
def values(draw: st.DrawFn) -> bytes:
    """Return the JSON of an event, good in nearly all of its members."""
    required = [("event_id", f'"e{draw(st.integers(0, 9))}"'), ("type", draw(st.sampled_from(TYPES[:10])))]
    required += [("customer_id", '"anna"'), ("event_time", str(NOW - draw(st.integers(0, 99))))]
    kept = [one for one in required if draw(st.integers(0, 19))]
    further = draw(st.lists(members(), max_size=5))
    all_of_them = draw(st.permutations([*kept, *further]))
    gap = draw(SPACE)
    text = f",{gap}".join(f'"{name}":{gap}{value}' for name, value in all_of_them)
    whole = f"{gap}{{{gap}{text}{gap}}}{gap}{draw(st.sampled_from(['', '', '', 'x', ',', '{}']))}"
    return whole.encode(errors="surrogatepass")


HEADERS = st.lists(
    st.sampled_from(
        [
            ("arrived_at", b"%d" % (NOW - MINUTE)), ("arrived_at", b"x"), ("arrived_at", b""), ("arrived_at", None),
            ("arrived_at", b"9" * 15), ("arrived_at", b"9" * 16), ("traceparent", b"00-1"), ("", None),
            ("intent.unreadable", b"unreadable: no"), ("control", b"close"),
        ]
    ),
    max_size=2,
)  # fmt: skip
HEADS: list[list[tuple[str, bytes | None]]] = [[], [("arrived_at", b"1")], [("traceparent", b"00-1")]]
KEYS = st.sampled_from([b"anna"] * 12 + [None, b"", b"bert", b"anna ", b"\xff"])
VALUES = st.one_of(
    values(), values(), values(), st.sampled_from([None, b"", b"{", b"[]", *map(good, range(3))])
)
RECORDS = st.lists(st.tuples(VALUES, KEYS, HEADERS), min_size=1, max_size=8)


#: The members that every event has.
REQUIRED = f'"event_id":"e1","type":"view_item","customer_id":"anna","event_time":{NOW}'.encode()


def plain_members() -> list[bytes]:
    """Return members with each of the values above that they may have, and some that are not known."""
    further = [(name, value) for name, own in LIKELY_VALUES.items() for value in own]
    further += [
        (name, value) for name in ("item_id", "category", "page") for value in (*TEXTS, *OTHERS, *NUMBERS)
    ]
    return [f'"{name}":{value}'.encode(errors="surrogatepass") for name, value in further]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(
        random_bundle(tmp_path_factory.mktemp("bundle")),
        lateness_ms=15 * MINUTE,
        ttl_ms=400 * 86_400_000,
        holdout=0.0,
    )


def both_ways(engine: Engine, parts: Sequence[Sequence[Any]], decoding: Decoding = LENIENT) -> None:
    slow = [batch(*part) for part in parts]
    fast = [packed(part) for part in slow]
    assert all(fast)
    marks = [BEGINNING] * len(slow)
    assert_same(
        read_batches(slow, marks, engine, partitions=PARTITIONS, decoding=decoding),
        read_batches(
            [part for part in fast if part], marks, engine, partitions=PARTITIONS, decoding=decoding
        ),
    )


@given(RECORDS, st.booleans(), st.booleans())
def test_what_is_read_at_once_is_read_as_one_by_one(
    engine: Engine, found: list[tuple[Any, Any, Any]], strict: bool, wishes_pass: bool
) -> None:
    records = [record(5 + at, value, key, headers=headers) for at, (value, key, headers) in enumerate(found)]
    ignored = LENIENT.ignored | ({"add_to_wishlist"} if wishes_pass else set())
    both_ways(engine, [records], Decoding(strict=strict, ignored=ignored))


@given(st.lists(RECORDS, min_size=2, max_size=3))
def test_partitions_are_read_together(engine: Engine, found: list[list[tuple[Any, Any, Any]]]) -> None:
    parts = [
        [
            record(at, value, key, headers=headers, partition=(home(b"anna") + number) % PARTITIONS)
            for at, (value, key, headers) in enumerate(part)
        ]
        for number, part in enumerate(found)
    ]
    both_ways(engine, parts)


@pytest.mark.parametrize("case", MALFORMED, ids=lambda case: case.name)
def test_a_malformed_record_among_good_ones(engine: Engine, case: Any) -> None:
    headers = [("arrived_at", b"%d" % case.arrived_at)]
    both_ways(
        engine,
        [[record(7, good(1)), record(8, case.value, case.key, headers=headers), record(9, good(2))]],
    )


def test_most_records_need_no_object(engine: Engine) -> None:
    """If nothing were read at once, all of the above would hold as well."""
    part = packed(batch(*(record(at, good(at)) for at in range(20))))
    assert part is not None
    asked: list[int] = []
    kind = type(part.records)

    class Watched(kind):  # type: ignore[misc, valid-type]
        def __getitem__(self, index: Any) -> Any:
            asked.append(index)
            return super().__getitem__(index)

    watched = part._replace(records=Watched(part.records.data, part.records.places))  # type: ignore[attr-defined]
    found = read_batches([watched], [BEGINNING], engine, partitions=PARTITIONS)
    assert len(found.columns) == 20
    assert not asked


def test_a_record_alone_keeps_the_time_at_which_it_was_appended(engine: Engine) -> None:
    headers = [("arrived_at", b"%d" % (NOW - MINUTE))]
    both_ways(engine, [[record(5, good(1), headers=headers)]])


def test_nothing_is_compiled_for_records_once_a_worker_is_warm(engine: Engine) -> None:
    warm_up_intake(engine)
    part = packed(batch(*(record(at, good(at), headers=HEADS[at % len(HEADS)]) for at in range(20))))
    assert part is not None
    other = packed(batch(*(record(at, good(at)) for at in range(20, 30))))
    assert other is not None
    backlog = Backlog(8)
    for one in (part, other):
        backlog.put(one)
    expected = 0
    while (taken := backlog.take(expected)) is not None:  # cut, and joined with others
        expected = taken.stop
        read_batches([taken], [BEGINNING], engine, partitions=PARTITIONS)
    read_batches([batch(record(40, good(40)))], [BEGINNING], engine, partitions=PARTITIONS)
    for compiled in (event_scan._scan, record_scan._walk, record_scan._arrivals, distinct._distinct):
        assert len(compiled.signatures) == 1, compiled
