from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.columns import from_events
from features.events import (
    EVENT_TYPES,
    MAX_BYTES,
    Decoding,
    Event,
    Reason,
    RejectedEvent,
    decode,
    decode_many,
    encode,
    epoch_ms,
)
from tests.malformed import LENIENT, Lenient

GOOD = b'{"event_id":"e","type":"search","customer_id":"anna","event_time":1709510400000}'


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        (b"1709510400123", 1709510400123),
        (b'"2024-03-04T00:00:00.123Z"', 1709510400123),
        (b'"2024-03-04T01:00:00.1239+01:00"', 1709510400123),
        (b'"2024-03-03T19:00:00-05:00"', 1709510400000),
    ],
)
def test_event_times_are_milliseconds_or_rfc_3339_with_a_zone(text: bytes, milliseconds: int) -> None:
    assert epoch_ms(decode(GOOD.replace(b"1709510400000", text)).event_time) == milliseconds


def test_one_bad_value_does_not_touch_its_neighbours() -> None:
    decoded = decode_many([GOOD, b"{", None, GOOD])
    assert decoded.indices == [0, 3]
    assert [(r.index, r.reason) for r in decoded.rejections] == [(1, Reason.NOT_JSON)]


def test_unknown_fields_are_ignored() -> None:
    assert decode(GOOD[:-1] + b',"utm_source":{"deep":[1,2]}}').event_id == "e"


def test_a_value_at_the_size_limit_passes_and_one_byte_more_does_not() -> None:
    padding = MAX_BYTES - len(GOOD) - len(b',"x":""')
    exact = GOOD[:-1] + b',"x":"' + b"x" * padding + b'"}'
    assert len(exact) == MAX_BYTES
    assert decode_many([exact]).rejections == []
    assert decode_many([exact + b" "]).rejections[0].reason == Reason.TOO_LARGE


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_rejected_and_never_raise(value: bytes) -> None:
    decoded = decode_many([value])
    assert len(decoded.events) + len(decoded.rejections) + len(decoded.ignored) == 1


@given(
    price=st.floats(0, 1e9) | st.none(),
    customer=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=128),
    time=st.datetimes(
        dt.datetime(1974, 1, 1),  # noqa: DTZ001  (the zone is set below)
        dt.datetime(9999, 1, 1),  # noqa: DTZ001
    ),
)
def test_an_event_survives_json(price: float | None, customer: str, time: dt.datetime) -> None:
    ms = epoch_ms(time.replace(tzinfo=dt.UTC))
    event = Event(event_id="e", type="purchase", customer_id=customer, event_time=ms, price=price)
    assert decode(encode(event)) == event


@pytest.mark.parametrize("case", LENIENT, ids=lambda case: case.name)
def test_a_bad_optional_field_is_dropped_and_the_event_lives(case: Lenient) -> None:
    decoded = decode_many([GOOD, case.value, GOOD])
    assert (decoded.indices, decoded.rejections) == ([0, 1, 2], [])
    assert decoded.dropped == case.dropped
    assert decode(encode(decoded.events[1])) == decoded.events[1], "what is left is an event"


@pytest.mark.parametrize("case", LENIENT, ids=lambda case: case.name)
def test_a_bad_optional_field_rejects_its_event_where_that_is_wanted(case: Lenient) -> None:
    decoded = decode_many([case.value], Decoding(strict=True))
    assert (len(decoded.rejections), decoded.dropped) == (1, {})
    with pytest.raises(RejectedEvent):
        decode(case.value)


def test_of_lines_the_good_ones_are_kept_and_at_most_a_hundred() -> None:
    lines = ",".join(f'{{"item_id":"i{n}","price":{-1 if n == 7 else 1}}}' for n in range(105))
    decoded = decode_many([GOOD[:-1] + f',"items":[{lines}]}}'.encode()])
    assert [item.item_id for item in decoded.events[0].items] == [f"i{n}" for n in range(101) if n != 7]
    assert decoded.dropped == {"items": 5}


def test_money_whose_currency_cannot_be_read_does_not_count_as_the_shops() -> None:
    bad = GOOD[:-1] + b',"price":5,"currency":"E"}'
    empty = GOOD[:-1] + b',"price":5,"currency":""}'
    columns = from_events(decode_many([bad, empty]).events, "EUR")
    assert columns.money.tolist() == [0, 5]
    assert columns.foreign.tolist() == [True, False]


def test_events_of_ignored_types_are_passed_over_and_others_are_not() -> None:
    page_view, clack = (GOOD.replace(b"search", name) for name in (b"page_view", b"clack"))
    decoded = decode_many([GOOD, page_view, clack, b'{"type":"scroll"}'])
    assert (decoded.indices, decoded.ignored) == ([0], [1, 3])
    assert [(r.index, r.reason) for r in decoded.rejections] == [(2, Reason.UNKNOWN_TYPE)]
    decoded = decode_many([page_view, clack], Decoding(ignored=frozenset({"clack"})))
    assert (decoded.ignored, decoded.rejections[0].index) == ([1], 0)


@pytest.mark.parametrize(
    ("text", "unit"),
    [("1795880975", "seconds"), ("1795880975.25", "seconds"), ("1795880975000000", "microseconds")],
)
def test_an_epoch_in_another_unit_is_refused_by_its_name(text: str, unit: str) -> None:
    (rejection,) = decode_many([GOOD.replace(b"1709510400000", text.encode())]).rejections
    assert rejection.reason == Reason.INVALID_FIELD
    assert f"event_time {text} looks like {unit}" in rejection.detail
    assert "milliseconds are wanted" in rejection.detail


def test_refusals_are_sentences_about_the_field_and_its_value() -> None:
    texts = [b"{", b"[]", b"{}", GOOD.replace(b"search", b"buy"), GOOD.replace(b'"e"', b'"\\u0007"')]
    assert [rejection.detail for rejection in decode_many(texts).rejections] == [
        "the value is not JSON: it ends too early",
        "the value is no JSON object: expected object, got array",
        "the event has no event_id",
        'the type "buy" is unknown: use ' + ", ".join(EVENT_TYPES),
        "an identifier must not contain control characters: '\\x07'",
    ]
