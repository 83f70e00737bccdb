"""What a shop may send: the event schema, its limits, and decoding of whole batches.

Names follow the GA4 e-commerce events. A value that breaks the schema is never an exception here: `decode_many`
returns it as a `Rejection` with a machine-readable `Reason` and a sentence for people.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Final, Literal

import msgspec

#: Event types in the order of their codes (0 to 7).
EVENT_TYPES: Final = (
    "view_item",
    "view_item_list",
    "search",
    "add_to_cart",
    "remove_from_cart",
    "begin_checkout",
    "purchase",
    "refund",
)
TYPE_CODES: Final = {name: code for code, name in enumerate(EVENT_TYPES)}
PURCHASE: Final = TYPE_CODES["purchase"]
REFUND: Final = TYPE_CODES["refund"]

#: Channels in the order of their codes; a missing channel has the code `NO_CHANNEL`.
CHANNELS: Final = ("web", "app", "store")
CHANNEL_CODES: Final = {name: code for code, name in enumerate(CHANNELS)}
NO_CHANNEL: Final = len(CHANNELS)

# Limits. They bound the memory of one event; the state of a customer is fixed in size whatever comes.
MAX_BYTES: Final = 64 * 1024
MAX_ID: Final = 128
MAX_TEXT: Final = 256
MAX_ITEMS: Final = 100
MAX_MONEY: Final = 1e9
MAX_QUANTITY: Final = 1_000_000
MAX_TIME_MS: Final = 253_402_300_799_999  # the last millisecond of the year 9999

EventType = Literal[
    "view_item",
    "view_item_list",
    "search",
    "add_to_cart",
    "remove_from_cart",
    "begin_checkout",
    "purchase",
    "refund",
]
Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID)]
Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
Money = Annotated[float, msgspec.Meta(ge=0, le=MAX_MONEY)]
Quantity = Annotated[int, msgspec.Meta(ge=0, le=MAX_QUANTITY)]
EventTime = Annotated[int, msgspec.Meta(ge=1, le=MAX_TIME_MS)] | Annotated[dt.datetime, msgspec.Meta(tz=True)]


class Item(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One line of `Event.items`, in GA4's form."""

    item_id: Identifier
    category: Text | None = None
    price: Money | None = None
    quantity: Quantity | None = None


class Event(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """One event of a customer, as it stands in the value of a record (JSON).

    Parameters
    ----------
    event_id
        Unique per event; a repetition (a producer's retry) is recognised by it.
    type
        One of `EVENT_TYPES`.
    customer_id
        Must equal the record's key.
    event_time
        When it happened: epoch milliseconds, or RFC 3339 text with a zone.
    price, value
        Money in `currency`; `value` is the total of the event, `price` that of one piece of `item_id`.
    items
        The lines of an order or a list, at most 100.
    """

    event_id: Identifier
    type: EventType
    customer_id: Identifier
    event_time: EventTime
    item_id: Identifier | None = None
    category: Text | None = None
    price: Money | None = None
    quantity: Quantity | None = None
    items: Annotated[list[Item], msgspec.Meta(max_length=MAX_ITEMS)] | None = None
    value: Money | None = None
    currency: Annotated[str, msgspec.Meta(min_length=3, max_length=3)] | None = None
    order_id: Identifier | None = None
    session_id: Identifier | None = None
    channel: Literal["web", "app", "store"] | None = None
    device: Text | None = None
    country: Text | None = None


class Reason(StrEnum):
    """Why a record became a dead letter."""

    NOT_JSON = "not_json"
    MISSING_FIELD = "missing_field"
    UNKNOWN_TYPE = "unknown_type"
    NEGATIVE = "negative"
    INVALID_FIELD = "invalid_field"
    TOO_LARGE = "too_large"
    MISSING_KEY = "missing_key"
    KEY_MISMATCH = "key_mismatch"
    WRONG_PARTITION = "wrong_partition"
    FUTURE = "future"
    LATE = "late"
    POISON = "poison"


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record that cannot be folded: its position in the batch, why, and a sentence for people."""

    index: int
    reason: Reason
    detail: str


@dataclass(slots=True)
class Decoded:
    """What `decode_many` made of a batch: `events[i]` came from the value at `indices[i]`."""

    events: list[Event] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)


_decoder = msgspec.json.Decoder(Event)
_encoder = msgspec.json.Encoder()
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND = dt.timedelta(milliseconds=1)


def epoch_ms(time: int | dt.datetime) -> int:
    """Return an event time as epoch milliseconds, cutting off what is finer.

    Examples
    --------
    >>> epoch_ms(dt.datetime(1970, 1, 1, 0, 0, 1, 500, tzinfo=dt.UTC))
    1000
    """
    return time if isinstance(time, int) else (time - _EPOCH) // _MILLISECOND


def encode(event: Event) -> bytes:
    """Return the event as JSON, fields without a value left out."""
    return _encoder.encode(event)


def decode(value: bytes) -> Event:
    """Return the event that `value` holds.

    Raises
    ------
    RejectedEvent
        With the reason and a sentence that names the field.
    """
    if len(value) > MAX_BYTES:
        raise RejectedEvent(Reason.TOO_LARGE, f"the value has {len(value)} bytes, the limit is {MAX_BYTES}")
    try:
        event = _decoder.decode(value)
    except msgspec.ValidationError as error:
        raise RejectedEvent(_reason(str(error)), str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RejectedEvent(Reason.NOT_JSON, f"not JSON: {error}") from None
    if not 0 < epoch_ms(event.event_time) <= MAX_TIME_MS:
        raise RejectedEvent(
            Reason.INVALID_FIELD, "the event time must lie in 1970 to 9999 (UTC) - at `$.event_time`"
        )
    return event


class RejectedEvent(ValueError):
    """A value that breaks the event schema."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def decode_many(values: Sequence[bytes | None]) -> Decoded:
    """Decode a batch of record values; nulls (requests to erase) are passed over.

    Parameters
    ----------
    values
        JSON texts, in the order of the records.

    Returns
    -------
    Decoded
        Events with the index of their value, and a rejection for every value that is not an event.

    Examples
    --------
    >>> decode_many([b'{"type":"search"}']).rejections[0].reason
    <Reason.MISSING_FIELD: 'missing_field'>
    """
    decoded = Decoded()
    read, take, at = _decoder.decode, decoded.events.append, decoded.indices.append
    for index, value in enumerate(values):
        if value is None:
            continue
        try:
            if len(value) > MAX_BYTES:
                raise msgspec.ValidationError
            event = read(value)
            if type(event.event_time) is not int:
                event = decode(value)
        except (msgspec.DecodeError, ValueError, RecursionError):
            decoded.rejections.append(_explain(index, value))
            continue
        take(event)
        at(index)
    return decoded


def _explain(index: int, value: bytes) -> Rejection:
    try:
        decode(value)
    except RejectedEvent as rejected:
        return Rejection(index, rejected.reason, rejected.detail)
    raise AssertionError("a value was rejected in a batch and accepted alone")


def _reason(message: str) -> Reason:
    if "missing required field" in message:
        return Reason.MISSING_FIELD
    if "`$.type`" in message and "Invalid enum value" in message:
        return Reason.UNKNOWN_TYPE
    if ">= 0" in message:
        return Reason.NEGATIVE
    return Reason.INVALID_FIELD
