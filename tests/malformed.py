"""Malformed records as data: what a producer can get wrong, and the reason that the dead letter must carry."""

from __future__ import annotations

from typing import NamedTuple

from features.events import MAX_BYTES

#: Event time of the good events around the malformed ones, epoch ms (2024-03-04 00:00 UTC).
NOW = 1_709_510_400_000
KEY = b"anna"


class Malformed(NamedTuple):
    """A record, and why it must be refused. ``arrived_at`` is the arrival that it claims, epoch ms."""

    name: str
    value: bytes
    reason: str
    key: bytes | None = KEY
    arrived_at: int = NOW


def good(number: int, time: int = NOW, customer: str = "anna") -> bytes:
    """Return the value of an event that can be folded."""
    return f'{{"event_id":"good-{number}","type":"view_item","customer_id":"{customer}","event_time":{time}}}'.encode()


def _event(**fields: str) -> bytes:
    """Return an event of raw JSON texts by field; ``None`` leaves a field out."""
    base = {"event_id": '"e"', "type": '"view_item"', "customer_id": '"anna"', "event_time": str(NOW)}
    merged = {name: text for name, text in {**base, **fields}.items() if text != "-"}
    return ("{" + ",".join(f'"{name}":{text}' for name, text in merged.items()) + "}").encode()


_LINE = '{"item_id":"i"}'

MALFORMED = [
    Malformed("empty value", b"", "not_json"),
    Malformed("cut off", b'{"event_id":"e"', "not_json"),
    Malformed("trailing text", _event() + b" x", "not_json"),
    Malformed("two objects", _event() + _event(), "not_json"),
    Malformed("not utf-8", b"\xff\xfe\x00", "not_json"),
    Malformed("not utf-8 within a string", _event(item_id='"?"').replace(b"?", b"\xff"), "not_json"),
    Malformed("single quotes", b"{'event_id':'e'}", "not_json"),
    Malformed("not a number", _event(price="NaN"), "not_json"),
    Malformed("infinity", _event(price="Infinity"), "not_json"),
    Malformed("lone surrogate", _event(item_id='"\\ud800"'), "not_json"),
    Malformed("raw control character", _event(item_id='"a\nb"'), "not_json"),
    Malformed("nested beyond reason", b'{"x":' + b"[" * 20_000 + b"]" * 20_000 + b"}", "not_json"),
    Malformed("Avro with a schema registry's magic byte", b"\x00\x00\x00\x00\x07\x02", "not_json"),
    Malformed("an array", b"[]", "invalid_field"),
    Malformed("a string", b'"view_item"', "invalid_field"),
    Malformed("JSON null", b"null", "invalid_field"),
    Malformed("no event_id", _event(event_id="-"), "missing_field"),
    Malformed("no type", _event(type="-"), "missing_field"),
    Malformed("no customer_id", _event(customer_id="-"), "missing_field"),
    Malformed("no event_time", _event(event_time="-"), "missing_field"),
    Malformed("unknown type", _event(type='"klick"'), "unknown_type"),
    Malformed("type in capitals", _event(type='"PURCHASE"'), "unknown_type"),
    Malformed("empty type", _event(type='""'), "unknown_type"),
    Malformed("type is a number", _event(type="3"), "invalid_field"),
    Malformed("empty event_id", _event(event_id='""'), "invalid_field"),
    Malformed("event_id is a number", _event(event_id="17"), "invalid_field"),
    Malformed("event_id is null", _event(event_id="null"), "invalid_field"),
    Malformed("event_id too long", _event(event_id=f'"{"x" * 129}"'), "invalid_field"),
    Malformed("customer_id too long", _event(customer_id=f'"{"x" * 129}"'), "invalid_field"),
    Malformed("time without a zone", _event(event_time='"2024-03-04T00:00:00"'), "invalid_field"),
    Malformed("time as words", _event(event_time='"yesterday"'), "invalid_field"),
    Malformed("time with a fraction", _event(event_time="1709510400000.5"), "invalid_field"),
    Malformed("time in seconds", _event(event_time="1709510400"), "invalid_field"),
    Malformed("time in seconds with a fraction", _event(event_time="1709510400.5"), "invalid_field"),
    Malformed("time in microseconds", _event(event_time="1709510400000000"), "invalid_field"),
    Malformed("control character in event_id", _event(event_id='"e\\u0007"'), "invalid_field"),
    Malformed("line feed in customer_id", _event(customer_id='"anna\\n"'), "invalid_field", key=b"anna\n"),
    Malformed("delete in event_id", _event(event_id='"e\x7f"'), "invalid_field"),
    Malformed("control character of Latin-1 in event_id", _event(event_id='"e\x85"'), "invalid_field"),
    Malformed("bad price and no event_time", _event(event_time="-", price="-1"), "missing_field"),
    Malformed("time is null", _event(event_time="null"), "invalid_field"),
    Malformed("time on the 30th of February", _event(event_time='"2024-02-30T00:00:00Z"'), "invalid_field"),
    Malformed("time before 1970", _event(event_time='"1969-12-31T23:59:59Z"'), "invalid_field"),
    Malformed("time beyond the year 9999", _event(event_time="253402300800000"), "invalid_field"),
    Malformed(
        "time in the year 10000, by its zone",
        _event(event_time='"9999-12-31T23:59:59-12:00"'),
        "invalid_field",
    ),
    Malformed("one byte over 64 KiB", _event() + b" " * (MAX_BYTES + 1 - len(_event())), "too_large"),
    Malformed("no key", _event(), "missing_key", key=None),
    Malformed("empty key", _event(), "missing_key", key=b""),
    Malformed("another customer's key", _event(customer_id='"bert"'), "key_mismatch"),
    Malformed("key differs by a space", _event(), "key_mismatch", key=b"anna "),
    Malformed(
        "more than five minutes ahead of its arrival", _event(), "future", arrived_at=NOW - 5 * 60_000 - 1
    ),
    Malformed("older than the watermark", _event(event_time=str(NOW - 15 * 60_000 - 1)), "late"),
]


class Lenient(NamedTuple):
    """An event with bad optional fields, and how often each is dropped."""

    name: str
    value: bytes
    dropped: dict[str, int]


LENIENT = [
    Lenient("negative price", _event(price="-0.01"), {"price": 1}),
    Lenient("negative value", _event(value="-5"), {"value": 1}),
    Lenient("negative quantity", _event(quantity="-1"), {"quantity": 1}),
    Lenient("discount as a line", _event(items=f'[{_LINE},{{"item_id":"d","price":-1}}]'), {"items": 1}),
    Lenient("nothing but a bad line", _event(items='[{"item_id":"i","quantity":0.5}]'), {"items": 1}),
    Lenient("price as text", _event(price='"9.99"'), {"price": 1}),
    Lenient("price beyond a float", _event(price="1e999"), {"price": 1}),
    Lenient("price beyond the limit", _event(price="1000000001"), {"price": 1}),
    Lenient("quantity with a fraction", _event(quantity="1.5"), {"quantity": 1}),
    Lenient("quantity beyond 64 bits", _event(quantity="99999999999999999999"), {"quantity": 1}),
    Lenient("101 lines", _event(items=f"[{','.join([_LINE] * 101)}]"), {"items": 1}),
    Lenient("a line without an item", _event(items='[{"price":1}]'), {"items": 1}),
    Lenient("lines are an object", _event(items='{"item_id":"i"}'), {"items": 1}),
    Lenient("unknown channel", _event(channel='"mobile_web"'), {"channel": 1}),
    Lenient("currency of two letters", _event(currency='"EU"', price="5"), {"currency": 1}),
    Lenient("session with a line feed", _event(session_id='"s\\n"'), {"session_id": 1}),
    Lenient("item of a line with a control character", _event(items='[{"item_id":"\\u0001"}]'), {"items": 1}),
    Lenient(
        "several at once",
        _event(channel="7", price="-1", device=f'"{"x" * 257}"', items=f'[{_LINE},1,{{"item_id":""}}]'),
        {"channel": 1, "price": 1, "device": 1, "items": 2},
    ),
]
