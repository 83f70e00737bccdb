"""Prices on their way through the scorer: noted, told to other partitions, and no event."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import ConsumerRecord

from features.bundle import Bundle
from features.price_table import NO_PRICES, PriceTable, SaidPrice
from features.prices import PriceCopy, decode_price
from features.state import empty
from features.store.customer_store import Loaded
from features.watermark import BEGINNING
from stream.kafka.batches import RecordBatch
from stream.kafka.signatures import HandOverKeys
from stream.ownership.job import StateChanges
from stream.ownership.promised import Promised, unpack_outbox
from stream.scoring.scorer import ScorerResult
from tests.bundles import random_bundle
from tests.malformed import good
from tests.stream.records import NOW, PARTITIONS, batch, home, record
from tests.stream.scoring.test_scorer import LATENESS, Bench

HOME = home("anna")
ITEMS = [item for item in (f"i-{number}" for number in range(40)) if home(item) == HOME][:4]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return random_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def bench(bundle: Bundle) -> Bench:
    return Bench(bundle)


def price(offset: int, item: str = ITEMS[0], *, key: str | None = None, **fields: Any) -> ConsumerRecord:
    said = {
        "type": "price",
        "event_id": f"p-{offset}",
        "item_id": item,
        "price": 80.0,
        "event_time": NOW,
    } | fields
    return record(offset, json.dumps(said).encode(), (item if key is None else key).encode() or None)


def run(
    bench: Bench, records: RecordBatch, watermark: int = BEGINNING, prices: PriceTable = NO_PRICES
) -> tuple[StateChanges, ScorerResult]:
    read = bench.scorer.read([records], [watermark])
    [customers] = read.customers
    result = bench.scorer.score(read, [Loaded(empty(len(customers)), (), prices=prices)])
    [changes] = result.changes
    return changes, result


def told(changes: StateChanges) -> list[tuple[int, str, PriceCopy]]:
    promised = unpack_outbox(changes.outbox) if changes.outbox else Promised(())
    copies = [(home, key, decode_price(value)) for home, key, value in promised.handed]
    return [(home, key, copy) for home, key, copy in copies if isinstance(copy, PriceCopy)]


def test_a_price_is_noted_and_told_to_all_other_partitions(bench: Bench) -> None:
    changes, _ = run(bench, batch(price(7)))
    others = [number for number in range(PARTITIONS) if number != HOME]
    assert [(number, key) for number, key, _ in told(changes)] == [(number, ITEMS[0]) for number in others]
    assert {copy for *_, copy in told(changes)} == {
        PriceCopy(
            event_id="p-7", item_id=ITEMS[0], price=80.0, event_time=NOW, source=(HOME, 7), type="price_copy"
        )
    }
    assert changes.prices is not None
    assert changes.prices.table.names == {next(iter(changes.prices.table.names)): ITEMS[0]}
    assert changes.prices.stored.keys() == {ITEMS[0]}


def test_a_price_makes_no_state_and_no_score_and_moves_no_watermark(bench: Bench) -> None:
    changes, result = run(bench, batch(price(0, event_time=NOW + 1), price(1)), watermark=NOW - 5 * LATENESS)
    assert changes.watermark == NOW - 5 * LATENESS
    assert not len(changes.states)
    assert not len(result.scored.rows)
    assert not result.outputs[0].scores
    assert not result.outputs[0].letters
    assert result.prices == {"new": 1, "known": 1}


def test_a_price_is_noted_at_the_watermark_of_its_place(bench: Bench) -> None:
    early = NOW - 10 * LATENESS
    records = [price(0, ITEMS[0], event_time=early)]
    for number in range(1, 4):
        records += [
            record(2 * number - 1, good(number, NOW + number)),
            price(2 * number, ITEMS[number], event_time=early),
        ]
    changes, result = run(bench, batch(*records))
    assert changes.prices is not None
    versions = changes.prices.table.versions
    noted = {changes.prices.table.names[item]: at for item, at, *_ in versions.tolist()}
    expected = [early, *(NOW + number - LATENESS for number in range(1, 4))]
    assert noted == dict(zip(ITEMS, expected, strict=True))
    assert len(result.scored.rows) == 3, "events between prices are scored"
    for cut in range(1, len(records)):
        before, first = run(bench, batch(*records[:cut]))
        assert before.prices is not None
        after, _ = run(bench, batch(*records[cut:]), before.watermark, before.prices.table)
        table = before.prices.table if after.prices is None else after.prices.table
        assert table == changes.prices.table, f"cut at {cut}"
        assert [*told(before), *told(after)] == told(changes)
        assert len(first.changes) == 1


def test_a_copy_is_noted_and_not_told_again(bench: Bench) -> None:
    elsewhere = next(item for item in (f"i-{number}" for number in range(40)) if home(item) != HOME)
    changes, result = run(bench, batch(price(0, elsewhere, type="price_copy", source=[0, 3])))
    assert result.prices == {"new": 1}
    assert not changes.outbox
    again, repeated = run(
        bench, batch(price(1, elsewhere, type="price_copy", source=[0, 3])), prices=_table(changes)
    )
    assert repeated.prices == {"known": 1}
    assert again.prices is not None
    assert not again.prices.stored
    assert again.prices.table is _table(changes)


def test_a_forged_copy_is_a_letter_and_a_signed_one_counts(bench: Bench) -> None:
    keys = HandOverKeys([b"k" * 32])
    bench.scorer.hand_over_keys = keys
    forged = price(0, type="price_copy", source=[0, 3], price=1.0)
    copied = price(1, type="price_copy", source=[0, 3])
    signed = replace(copied, headers=[keys.header(copied.key, copied.value)])
    _, result = run(bench, batch(forged, signed, price(2, ITEMS[1])))
    assert [dict(letter.headers)["reason"] for letter in result.outputs[0].letters] == [b"bad_signature"]
    assert result.prices == {"new": 2}, "a shop's own price needs no signature"


def _table(changes: StateChanges) -> PriceTable:
    assert changes.prices is not None
    return changes.prices.table


def test_other_money_is_counted_and_left_out(bench: Bench) -> None:
    changes, result = run(bench, batch(price(0, currency="USD"), price(1, currency="eur")))
    assert result.prices == {"foreign": 1, "new": 1}
    assert {copy.event_id for *_, copy in told(changes)} == {"p-1"}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (price(0, key=""), "missing_key"),
        (price(0, key="anna"), "key_mismatch"),
        (
            price(0, next(item for item in (f"i-{n}" for n in range(40)) if home(item) != HOME)),
            "wrong_partition",
        ),
        (price(0, event_time=NOW + 3_600_000), "future"),
        (price(0, price=-3), "invalid_field"),
        (price(0, type="price_copy", source=[PARTITIONS, 0]), "invalid_field"),
    ],
)
def test_a_bad_price_becomes_a_letter_and_the_rest_goes_on(
    bench: Bench, bad: ConsumerRecord, reason: str
) -> None:
    changes, result = run(bench, batch(bad, price(1), record(2, good(2))))
    [letter] = result.outputs[0].letters
    assert dict(letter.headers)["reason"] == reason.encode()
    assert result.prices == {"new": 1}
    assert len(result.scored.rows) == 1
    assert len(told(changes)) == PARTITIONS - 1


def test_a_silent_batch_notes_and_tells_prices_too(bench: Bench) -> None:
    changes, _ = run(bench, batch(price(0))._replace(silent=True))
    assert len(told(changes)) == PARTITIONS - 1
    assert changes.prices is not None


def test_without_a_price_nothing_changes(bench: Bench) -> None:
    known = NO_PRICES.after([SaidPrice("tent", 1.0, NOW, BEGINNING)]).table
    changes, result = run(bench, batch(record(0, good(0))), prices=known)
    assert changes.prices is None
    assert not result.prices
    assert not len(result.scored.priced.units), "no rule asks for what carts cost"
