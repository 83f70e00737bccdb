"""Price records: whatever bytes come, they are a price or a refusal with a reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.events import MAX_BYTES, Decoding, Reason, RejectedEvent, epoch_ms
from features.prices import (
    Price,
    PriceCopy,
    decode_price,
    encode_price,
    in_currency,
    is_price_copy,
    is_price_type,
)
from stream.formats.decoding import decode_records
from tests.malformed import NOW
from tests.mutations import mutations
from tests.stream.records import record

GOOD = {"type": "price", "event_id": "p-1", "item_id": "tent", "price": 80, "event_time": NOW}
COPY = GOOD | {"type": "price_copy", "source": [2, 17]}


def raw(**fields: Any) -> bytes:
    """Return a price with other fields; ``None`` leaves one out."""
    return json.dumps({name: value for name, value in (GOOD | fields).items() if value is not None}).encode()


def test_a_price_and_a_copy_come_back_as_they_were_written() -> None:
    price, copy = decode_price(raw(currency="eur", name="a tent")), decode_price(json.dumps(COPY).encode())
    assert price == Price(event_id="p-1", item_id="tent", price=80.0, event_time=NOW, currency="eur")
    assert isinstance(copy, PriceCopy)
    assert copy.source == (2, 17)
    for one in (price, copy):
        assert decode_price(encode_price(one)) == one
        assert is_price_type(encode_price(one))
    assert [is_price_copy(encode_price(one)) for one in (price, copy)] == [False, True]
    assert epoch_ms(decode_price(raw(event_time="2024-03-04T00:00:00Z")).event_time) == NOW


@pytest.mark.parametrize(
    ("fields", "reason", "told"),
    [
        ({"item_id": None}, Reason.MISSING_FIELD, "no item_id"),
        ({"event_id": ""}, Reason.INVALID_FIELD, "event_id"),
        ({"event_id": "x" * 129}, Reason.INVALID_FIELD, "event_id"),
        ({"item_id": "a\u0085b"}, Reason.INVALID_FIELD, "control characters"),
        ({"price": 0}, Reason.INVALID_FIELD, "price is 0"),
        ({"price": -1}, Reason.INVALID_FIELD, "price is -1"),
        ({"price": "80"}, Reason.INVALID_FIELD, 'price is "80"'),
        ({"price": 1e10}, Reason.INVALID_FIELD, "price is"),
        ({"price": None}, Reason.MISSING_FIELD, "no price"),
        ({"event_time": NOW // 1000}, Reason.INVALID_FIELD, "looks like seconds"),
        ({"event_time": "2024-03-04T00:00:00"}, Reason.INVALID_FIELD, "event_time"),
        ({"event_time": "0001-01-01T00:00:00Z"}, Reason.INVALID_FIELD, "1973 to 9999"),
        ({"currency": "euro"}, Reason.INVALID_FIELD, "currency"),
        ({"type": "prices"}, Reason.UNKNOWN_TYPE, "'prices'"),
        ({"type": "price_copy"}, Reason.MISSING_FIELD, "no source"),
        ({"type": "price_copy", "source": [-1, 0]}, Reason.NEGATIVE, "source"),
        ({"type": "price_copy", "source": [0, 2**63]}, Reason.INVALID_FIELD, "source"),
        ({"name": "x" * MAX_BYTES}, Reason.TOO_LARGE, "limit"),
    ],
)
@pytest.mark.parametrize("strict", [False, True])
def test_a_bad_price_is_refused_with_its_reason(
    fields: dict[str, Any], reason: Reason, told: str, strict: bool
) -> None:
    value = raw(**fields)
    with pytest.raises(RejectedEvent, match=told) as refused:
        decode_price(value)
    assert refused.value.reason is reason
    decoded = decode_records([record(0, value)], [value], Decoding(strict=strict), None)
    assert not decoded.prices
    assert [one.reason for one in decoded.rejections] == [reason]


@settings(max_examples=300)
@given(st.sampled_from([GOOD, COPY]).flatmap(lambda good: mutations(json.dumps(good).encode())))
def test_whatever_bytes_come_they_are_a_price_or_a_refusal(value: bytes) -> None:
    decoded = decode_records([record(0, value)], [value], Decoding(), None)
    found = len(decoded.events) + len(decoded.identities) + len(decoded.prices)
    assert found + len(decoded.rejections) + len(decoded.ignored) == 1
    for price in decoded.prices.values():
        assert price.price > 0
        assert decode_price(encode_price(price)) == price


def test_a_price_is_the_shop_s_money_unless_it_says_otherwise() -> None:
    said = [decode_price(raw(currency=currency)) for currency in (None, "EUR", "eur", "USD")]
    assert [in_currency(one, "EUR") for one in said] == [True, True, True, False]
    assert in_currency(decode_price(json.dumps(COPY).encode()), "EUR"), "only what is the shop's is copied"
