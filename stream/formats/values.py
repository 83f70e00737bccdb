"""Values of foreign messages as our fields have them.

None of these functions refuses anything: what cannot be converted stays as it is, and the check of events drops and
counts it. A value that only says that there is none (``""``, ``"(not set)"``) is none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from math import isfinite
from typing import Any, Final

import msgspec

from features.events import MAX_ID, Reason, RejectedEvent
from features.identity import IDENTIFY
from features.refusals import not_json
from stream.formats.contract import Fields

#: Bytes of a message. The broker takes as much unless it is configured otherwise. The event made of it is bounded by
#: `features.events.MAX_BYTES`.
MAX_MESSAGE: Final = 1 << 20

#: Types of events about several items at once.
ORDERS: Final = frozenset({"begin_checkout", "purchase", "refund"})

_read = msgspec.json.Decoder().decode
_write = msgspec.json.Encoder(order="deterministic").encode
_NONE: Final = frozenset({"", "(not set)", "null", "None"})

# Below it, floats hold every integer.
_EXACT: Final = 2.0**53

# Characters of the name of something without counterpart.
_NAME: Final = 60


def check_size(value: bytes) -> None:
    """Raise `RejectedEvent` for a message that is too large."""
    if len(value) > MAX_MESSAGE:
        raise RejectedEvent(
            Reason.TOO_LARGE, f"the message has {len(value)} bytes, the limit is {MAX_MESSAGE}"
        )


def read_json(value: bytes) -> Any:
    """Return what a JSON text holds.

    Raises
    ------
    RejectedEvent
        It is not JSON, or too large.
    """
    check_size(value)
    try:
        return _read(value)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise not_json(error) from None


def read_object(value: bytes, form: str) -> dict[str, Any]:
    """Return the JSON object that a text is; ``form`` names what was expected."""
    found = read_json(value)
    if not isinstance(found, dict):
        raise RejectedEvent(Reason.INVALID_FIELD, f"the value is no {form}: it is not a JSON object")
    return found


def write_json(value: Any) -> bytes:
    """Return a value as JSON, equal values as equal texts.

    Raises
    ------
    RejectedEvent
        A text in it cannot be UTF-8.
    """
    try:
        return _write(value)
    except (UnicodeEncodeError, RecursionError, OverflowError) as error:
        raise not_json(error) from None


def inner(value: Any, *path: str) -> Any:
    """Return what lies at a path of keys, ``None`` where there is nothing.

    Examples
    --------
    >>> inner({"geo": {"country": "Chile"}}, "geo", "country")
    'Chile'
    >>> inner({"geo": None}, "geo", "country") is None
    True
    """
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def some(value: Any) -> Any:
    """Return a value, ``None`` for one that only says that there is none."""
    return None if type(value) is str and value.strip() in _NONE else value


def text(value: Any) -> Any:
    """Return an identifier or a name as text: numbers too, for many shops write ids as numbers.

    Examples
    --------
    >>> text(450789469), text(" G-32 "), text(7.0), text("")
    ('450789469', 'G-32', '7', None)
    """
    kind = type(value)  # exact, for a bool is no number; this is done for every field of every message
    if kind is str:
        stripped = value.strip()
        return None if stripped in _NONE else stripped
    if kind is float:
        value = whole(value)
    return str(value) if type(value) is int else value


def number(value: Any) -> Any:
    """Return an amount of money as a number, whether it is written as one or as text.

    Examples
    --------
    >>> number("199.00"), number(12), number("free")
    (199.0, 12, 'free')
    """
    value = some(value)
    if not isinstance(value, str):
        return value
    try:
        found = float(value)
    except ValueError:
        return value
    return found if isfinite(found) else value


def whole(value: Any) -> Any:
    """Return a quantity as an integer.

    Examples
    --------
    >>> whole("2"), whole(3.0), whole(1.5)
    (2, 3, 1.5)
    """
    value = number(value)
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT else value


def code(value: Any) -> Any:
    """Return a currency code in capitals."""
    value = text(value)
    return value.upper() if isinstance(value, str) else value


def first(*values: Any) -> Any:
    """Return the first value that is one."""
    return next((value for value in map(some, values) if value is not None), None)


def customer(key: bytes | None, *ids: Any) -> Any:
    """Return the customer: the id that is the record's key, else the first that there is.

    Examples
    --------
    >>> customer(None, None, "anonymous-1"), customer(b"anonymous-1", "u-7", "anonymous-1"), customer(b"x", "u-7")
    ('anonymous-1', 'anonymous-1', 'u-7')
    """
    named = [name for name in map(text, ids) if name is not None]
    if key is not None:
        for name in named:
            if isinstance(name, str) and name.encode(errors="replace") == key:
                return name
    return named[0] if named else None


def logins(key: bytes | None, event_id: Any, time: Any, known: Any, *anonymous: Any) -> list[Fields]:
    """Return the login that a message tells, if it names a known id, and an anonymous one that can be its record's key.

    A login counts on the partition of the anonymous id. Without a key, that is the first one that there is.

    Parameters
    ----------
    key
        Of the record, ``None`` where there is none.
    event_id, time
        Of the message.
    known, anonymous
        The ids.

    Examples
    --------
    >>> [login["anonymous_id"] for login in logins(None, "m-1", 5, "u-7", None, "a-1")]
    ['a-1']
    >>> logins(b"u-7", "m-1", 5, "u-7", "a-1"), logins(None, "m-1", 5, None, "a-1")
    ([], [])
    """
    who, hidden = text(known), customer(key, *anonymous)
    if not isinstance(who, str) or not isinstance(hidden, str) or who == hidden:
        return []
    if key is not None and hidden.encode(errors="replace") != key:
        return []
    own = {"event_id": _login_id(event_id), "event_time": time}
    return [given({"type": IDENTIFY, "anonymous_id": hidden, "customer_id": who} | own)]


def _login_id(event_id: Any) -> str | None:
    """Return the id of a login that an event tells, which has its own."""
    named = text(event_id)
    if not isinstance(named, str):
        return None
    own = f"{IDENTIFY}.{named}"
    return own if len(own) <= MAX_ID else f"{IDENTIFY}.{fingerprint(named)}"


def rows(value: Any) -> list[dict[str, Any]]:
    """Return the objects in a list, none where it is no list."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def about(items: list[Fields], *, order: bool) -> Fields:
    """Return the fields of what an event is about: one item as the event's own, several (and orders) as lines."""
    items = [item for item in map(given, items) if item]
    if not items:
        return {}
    if order or len(items) > 1:
        return {"items": items}
    (item,) = items
    if "name" in item:
        item["item_name"] = item.pop("name")
    return item


def given(fields: Fields) -> Fields:
    """Return the fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}


def fingerprint(*parts: Any) -> str:
    """Return an id that is the same for the same parts: for messages that carry none.

    Examples
    --------
    >>> fingerprint("c-1", 5) == fingerprint("c-1", 5) != fingerprint("c-1", 6)
    True
    """
    return hashlib.blake2b(write_json(parts), digest_size=16).hexdigest()


# Longer ones would make an event id longer than it may be.
_ORDER_ID: Final = 100


def purchase_id(order: Any) -> str | None:
    """Return the event id of the purchase that an order is: the same whichever message tells it.

    Examples
    --------
    >>> purchase_id("A-7"), purchase_id(None)
    ('purchase.A-7', None)
    """
    named = text(order)
    if not isinstance(named, str):
        return None
    return f"purchase.{named if len(named) <= _ORDER_ID else fingerprint(named)}"


def refund_id(order: Any, value: Any) -> str | None:
    """Return the event id of money that is given back for an order: the same whichever message tells it.

    Examples
    --------
    >>> refund_id("A-7", 30), refund_id("A-7", 30.0), refund_id("A-7", None)
    ('refund.A-7.30', 'refund.A-7.30', None)
    """
    amount = number(value)
    if (
        (bought := purchase_id(order)) is None
        or isinstance(amount, bool)
        or not isinstance(amount, int | float)
    ):
        return None
    return f"refund.{bought.removeprefix('purchase.')}.{amount:.12g}"


def short(name: Any) -> str:
    """Return the name of something without counterpart, as it is counted."""
    if not isinstance(name, str) or not name.strip():
        return "without a name"
    printable = "".join(letter if letter.isprintable() else "?" for letter in name.strip())
    return printable[:_NAME]


def joined(parts: Iterable[Any]) -> Any:
    """Return texts joined by a dot, the last alone where others are missing, ``None`` without the last.

    Examples
    --------
    >>> joined(["123.456", 1700000000]), joined([None, 5]), joined(["a", None])
    ('123.456.1700000000', '5', None)
    """
    named = [text(part) for part in parts]
    if named[-1] is None:
        return None
    return ".".join(str(part) for part in named if part is not None)
