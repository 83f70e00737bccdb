from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.events import MAX_BYTES, Event, Reason, decode, decode_many, encode, epoch_ms

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
    assert len(decoded.events) + len(decoded.rejections) == 1


@given(
    price=st.floats(0, 1e9) | st.none(),
    customer=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=128),
    time=st.datetimes(
        dt.datetime(1970, 1, 2),  # noqa: DTZ001  (the zone is set below)
        dt.datetime(9999, 1, 1),  # noqa: DTZ001
    ),
)
def test_an_event_survives_json(price: float | None, customer: str, time: dt.datetime) -> None:
    ms = epoch_ms(time.replace(tzinfo=dt.UTC))
    event = Event(event_id="e", type="purchase", customer_id=customer, event_time=ms, price=price)
    assert decode(encode(event)) == event
