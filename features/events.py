"""What a shop may send: the event schema, its limits, and decoding of whole batches.

Names follow the GA4 e-commerce events. A value that breaks the schema is never an exception here: `decode_many`
returns it as a `Rejection` with a machine-readable `Reason` and a sentence for people.

A required field that is missing or bad makes a rejection. An optional one that is bad is dropped, and counted: the
event lives. `Decoding` says so, and which types of events are passed over. `decode`, for who sends events, is strict.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, cast

import msgspec

from features.refusals import Reason, RejectedEvent, Rejection, not_json, refusal

__all__ = [
    "CHANNELS", "CHANNEL_CODES", "COUNTED_TYPES", "EVENT_TYPES", "IGNORED_TYPES", "LENIENT", "MAX_BYTES", "MAX_ID",
    "MAX_ITEMS", "MAX_MONEY", "MAX_QUANTITY", "MAX_TEXT", "MAX_TIME_MS", "MIN_TIME_MS", "NO_CHANNEL", "PURCHASE",
    "REFUND", "TYPE_CODES", "UNKNOWN_CURRENCY", "WISH_TYPES", "Decoded", "Decoding", "Event", "EventTime",
    "EventType", "Identifier", "Item", "Money", "Quantity", "Reason", "RejectedEvent", "Rejection", "Text", "decode",
    "decode_many", "encode", "epoch_ms", "type_of",
]  # fmt: skip

#: Event types in the order of their codes.
EVENT_TYPES: Final = (
    "view_item",
    "view_item_list",
    "search",
    "add_to_cart",
    "remove_from_cart",
    "begin_checkout",
    "purchase",
    "refund",
    "add_to_wishlist",
    "remove_from_wishlist",
)
#: What moves the wish list (`features.wishes`). Such an event is an activity like any other, and no more than that:
#: columns tell neither its type nor its item, so bundles of before know all that they look at.
WISH_TYPES: Final = ("add_to_wishlist", "remove_from_wishlist")
#: The types that states count, and of which columns tell: those with the first codes.
COUNTED_TYPES: Final = EVENT_TYPES[: -len(WISH_TYPES)]
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
# 3 March 1973. What lies before it is an epoch of seconds: ten digits where thirteen are wanted.
MIN_TIME_MS: Final = 100_000_000_000
#: Currency of money in an unknown one (ISO 4217): it is left out, as any foreign money is.
UNKNOWN_CURRENCY: Final = "XXX"

#: GA4's events that say nothing about buying here; see `Decoding.ignored`.
IGNORED_TYPES: Final = (
    "ad_click", "ad_impression", "add_payment_info", "add_shipping_info", "app_exception", "app_remove",
    "app_update", "click", "exception", "file_download", "first_open", "first_visit", "form_start", "form_submit",
    "generate_lead", "login", "notification_open", "os_update", "page_view", "screen_view", "scroll",
    "select_content", "select_item", "select_promotion", "session_start", "share", "sign_up", "timing_complete",
    "user_engagement", "video_complete", "video_progress", "video_start", "view_cart", "view_promotion",
    "view_search_results",
)  # fmt: skip

EventType = Literal[
    "view_item",
    "view_item_list",
    "search",
    "add_to_cart",
    "remove_from_cart",
    "begin_checkout",
    "purchase",
    "refund",
    "add_to_wishlist",
    "remove_from_wishlist",
]
Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID)]
Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
Money = Annotated[float, msgspec.Meta(ge=0, le=MAX_MONEY)]
Quantity = Annotated[int, msgspec.Meta(ge=0, le=MAX_QUANTITY)]
EventTime = (
    Annotated[int, msgspec.Meta(ge=MIN_TIME_MS, le=MAX_TIME_MS)]
    | Annotated[dt.datetime, msgspec.Meta(tz=True)]
)


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
    bot
        True says that a machine caused the event, as far as the shop knows (`features.traffic`).
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
    bot: bool | None = None


@dataclass(slots=True)
class Decoded:
    """What `decode_many` made of a batch.

    Attributes
    ----------
    events, indices
        ``events[i]`` came from the value at ``indices[i]``.
    rejections
        What is no event.
    ignored
        Indices of events of a type that is passed over.
    dropped
        How often a bad optional field was dropped, by its name; ``items`` counts lines.
    without_counterpart
        How often something was passed over that is no event here, by its name; only of foreign forms
        (`stream.formats`).
    identities
        By index, what says who is who, and what partitions hand to each other (`features.identity`); only of records
        (`stream.formats.decoding`). An event that was handed on, or that tells a login, stands among ``events``, too.
    prices
        By index, what items cost (`features.prices`); only of records.
    """

    events: list[Event] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    ignored: list[int] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    without_counterpart: Counter[str] = field(default_factory=Counter)
    identities: dict[int, Any] = field(default_factory=dict)
    prices: dict[int, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decoding:
    """How `decode_many` takes what is not quite an event of this schema.

    Attributes
    ----------
    strict
        Whether a bad optional field rejects its event.
    ignored
        Types of events that are passed over. Of the own ones, those of `WISH_TYPES` may be.
    """

    strict: bool = False
    ignored: frozenset[str] = frozenset(IGNORED_TYPES)


#: Bad optional fields are dropped, GA4's further types are passed over.
LENIENT: Final = Decoding()


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
    """Return the event that `value` holds; a bad optional field is as bad as a required one.

    Raises
    ------
    RejectedEvent
        With the reason and a sentence that names the field.
    """
    _check_size(value)
    event = _strictly(value)
    check_identifiers(_ids(event))
    return event


def check_event(event: Event, size: int) -> None:
    """Look at an event that was decoded as a part of a value of ``size`` bytes, as `decode` looks at one.

    Raises
    ------
    RejectedEvent
        It is too large, its time lies where none may, or an identifier has a control character.
    """
    if size > MAX_BYTES:
        _check_size(encode(event))
    _check_reach(event)
    check_identifiers(_ids(event))


def check_identifiers(ids: Sequence[str]) -> None:
    """Look for control characters.

    Raises
    ------
    RejectedEvent
        Shows the first identifier that has one.
    """
    if _CONTROL.search("".join(ids)):
        text = next(text for text in ids if _CONTROL.search(text))
        raise RejectedEvent(
            Reason.INVALID_FIELD, f"an identifier must not contain control characters: {text!r}"
        )


def decode_many(values: Sequence[bytes | None], decoding: Decoding = LENIENT) -> Decoded:
    """Decode a batch of record values; nulls (requests to erase) are passed over.

    Parameters
    ----------
    values
        JSON texts, in the order of the records.
    decoding
        How to take bad optional fields and further types.

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
    plain = not _may_hold_controls(values)
    own_ignored = decoding.ignored.intersection(WISH_TYPES)
    for index, value in enumerate(values):
        if value is None:
            continue
        try:
            if len(value) > MAX_BYTES:
                raise msgspec.ValidationError
            event = read(value)
            if type(event.event_time) is not int and not _in_reach(event):
                raise msgspec.ValidationError
            if not plain and _has_control(event):
                raise msgspec.ValidationError
        except (msgspec.DecodeError, ValueError, RecursionError):
            _take_badly(decoded, index, value, decoding)
            continue
        if own_ignored and event.type in own_ignored:
            decoded.ignored.append(index)
            continue
        take(event)
        at(index)
    return decoded


def _take_badly(decoded: Decoded, index: int, value: bytes, decoding: Decoding) -> None:
    """Take a value that is no event as it is: as one of an ignored type, without its bad fields, or not at all."""
    try:
        _check_size(value)
        if type_of(value) in decoding.ignored:
            decoded.ignored.append(index)
            return
        event = decode(value) if decoding.strict else _leniently(value, decoded.dropped)
    except RejectedEvent as rejected:
        decoded.rejections.append(Rejection(index, rejected.reason, rejected.detail))
        return
    decoded.events.append(event)
    decoded.indices.append(index)


class _Typed(msgspec.Struct, gc=False):
    type: Any = None


_type_decoder = msgspec.json.Decoder(_Typed)
_fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_lines_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_line_decoder = msgspec.json.Decoder(Item)

_REQUIRED: Final = frozenset({"event_id", "type", "customer_id", "event_time"})
_IDS: Final = ("event_id", "customer_id", "item_id", "order_id", "session_id")

# Where msgspec says what is wrong.
_FIELD: Final = re.compile(r" - at `\$\.(\w+)")

# Control characters of ASCII and Latin-1. An identifier with one breaks keys, lines and terminals.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")


def _may_hold_controls(values: Sequence[bytes | None]) -> bool:
    """Whether a text in any value can have a control character: JSON holds most of them escaped only."""
    joined = b"".join(
        [value or b"" for value in values] if None in values else cast("Sequence[bytes]", values)
    )
    return b"\\" in joined or b"\x7f" in joined or not joined.isascii()


def _ids(event: Event) -> list[str]:
    """Return the event's identifiers, those of its lines too."""
    ids = [
        event.event_id,
        event.customer_id,
        event.item_id or "",
        event.order_id or "",
        event.session_id or "",
    ]
    return [*ids, *(item.item_id for item in event.items)] if event.items else ids


def _in_reach(event: Event) -> bool:
    """Whether the event's time, which may be an RFC 3339 text of any year, lies where epochs may."""
    return MIN_TIME_MS <= epoch_ms(event.event_time) <= MAX_TIME_MS


def _has_control(event: Event) -> bool:
    return _CONTROL.search("".join(_ids(event))) is not None


def _check_size(value: bytes) -> None:
    if len(value) > MAX_BYTES:
        raise RejectedEvent(Reason.TOO_LARGE, f"the value has {len(value)} bytes, the limit is {MAX_BYTES}")


def _strictly(value: bytes) -> Event:
    try:
        event = _decoder.decode(value)
    except msgspec.ValidationError as error:
        raise refusal(value, str(error), EVENT_TYPES) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(error) from None
    _check_reach(event)
    return event


def _check_reach(event: Event) -> None:
    if not _in_reach(event):
        raise RejectedEvent(
            Reason.INVALID_FIELD,
            f"event_time is {msgspec.json.encode(event.event_time).decode()}: it must lie in 1973 to 9999 (UTC)",
        )


def _leniently(value: bytes, dropped: Counter[str]) -> Event:
    """Return the event without its bad optional fields, which are counted once it is known to live."""
    text, bad = value, list[str]()
    fields: dict[str, msgspec.Raw] = {}
    while isinstance(found := _event_or_bad_field(text), str):  # each turn drops a field
        fields = fields or _fields_of(value)
        raw = fields.pop(found)
        if found == "items":
            lines, faults = _good_lines(raw)
            bad += [found] * faults
            fields[found] = msgspec.Raw(msgspec.json.encode(lines))
        else:
            bad.append(found)
            if found == "currency" and bytes(raw) != b'""':  # without it, the money would count as the shop's
                fields[found] = msgspec.Raw(msgspec.json.encode(UNKNOWN_CURRENCY))
        text = msgspec.json.encode(fields)
    dropped.update(bad)
    return found


def _event_or_bad_field(value: bytes) -> Event | str:
    """Return the event, or the name of a bad optional field.

    Raises
    ------
    RejectedEvent
        Something else is wrong.
    """
    try:
        event = _decoder.decode(value)
    except msgspec.ValidationError as error:
        at = _FIELD.search(str(error))
        if at is not None and at[1] not in _REQUIRED:
            return at[1]
    except (msgspec.DecodeError, ValueError, RecursionError):
        pass
    else:
        if not _in_reach(event):
            return decode(value)
        if not _has_control(event):
            return event
        for name in _IDS:
            if name not in _REQUIRED and _CONTROL.search(getattr(event, name) or ""):
                return name
        if any(_CONTROL.search(item.item_id) for item in event.items or ()):
            return "items"
    return decode(value)


def _fields_of(value: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _fields_decoder.decode(value)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise not_json(error) from None


def _good_lines(raw: msgspec.Raw) -> tuple[list[msgspec.Raw] | None, int]:
    """Return the lines that are good, the first `MAX_ITEMS` of them, and how many others there are."""
    try:
        lines = _lines_decoder.decode(raw)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None, 1
    good = [line for line in lines if _is_line(line)]
    return good[:MAX_ITEMS] or None, len(lines) - len(good[:MAX_ITEMS])


def _is_line(raw: msgspec.Raw) -> bool:
    try:
        return not _CONTROL.search(_line_decoder.decode(raw).item_id)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False


def type_of(value: bytes) -> str:
    """Return the type that a value says it is of, empty where it is no JSON object."""
    try:
        return str(_type_decoder.decode(value).type)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return ""
