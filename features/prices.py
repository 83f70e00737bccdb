"""Prices: what a shop says that an item costs, and how partitions tell each other.

A shop sends a `Price`, keyed by the item. Customers in whose carts the item lies are at home in all partitions, so the
partition that received it writes a `PriceCopy` to every other one: as a record of the events topic, since the log of a
partition is all that its states and actions follow from. No feature counts either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, Literal

import msgspec

from features.events import (
    MAX_BYTES,
    MAX_MONEY,
    MAX_TIME_MS,
    MIN_TIME_MS,
    EventTime,
    Identifier,
    check_identifiers,
    epoch_ms,
    type_of,
)
from features.refusals import Reason, RejectedEvent, refusal

__all__ = ["PRICE", "PRICE_COPY", "PRICE_TYPES", "Price", "PriceCopy", "decode_price", "encode_price"]

#: Types of records that say what an item costs.
PRICE: Final = "price"
PRICE_COPY: Final = "price_copy"
PRICE_TYPES: Final = (PRICE, PRICE_COPY)

_Amount = Annotated[float, msgspec.Meta(gt=0, le=MAX_MONEY)]

# As the record of a partition has room for them (`features.store.partition_record`).
_Partition = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
_Offset = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Price(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What an item costs from a moment on: the value of a record, keyed by the item.

    Parameters
    ----------
    event_id
        Unique per event.
    item_id
        The item; must equal the record's key.
    price
        Of one piece, more than 0.
    event_time
        Since when: epoch milliseconds, or RFC 3339 text with a zone.
    currency
        ISO code of the money; by default the shop's.
    """

    event_id: Identifier
    item_id: Identifier
    price: _Amount
    event_time: EventTime
    type: Literal["price"] = "price"
    currency: Annotated[str, msgspec.Meta(min_length=3, max_length=3)] | None = None


class PriceCopy(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A price as one partition tells it to another: a record that only workers write, keyed by the item, too.

    It may come again after a crash: of two prices of an item the later one counts, so that changes nothing.

    Parameters
    ----------
    event_id, item_id, price, event_time
        Of the `Price`, in the shop's currency.
    source
        Partition and offset of its record.
    """

    event_id: Identifier
    item_id: Identifier
    price: _Amount
    event_time: Annotated[int, msgspec.Meta(ge=MIN_TIME_MS, le=MAX_TIME_MS)]
    source: tuple[_Partition, _Offset]
    type: Literal["price_copy"]


encode_price: Final[Callable[[Price | PriceCopy], bytes]] = msgspec.json.Encoder().encode
_decoders: Final[dict[str, Callable[[bytes], Price | PriceCopy]]] = {
    PRICE: msgspec.json.Decoder(Price).decode,
    PRICE_COPY: msgspec.json.Decoder(PriceCopy).decode,
}


def is_price_type(value: bytes) -> bool:
    """Whether a value says of itself that it is of one of `PRICE_TYPES`.

    Examples
    --------
    >>> is_price_type(b'{"type":"price"}'), is_price_type(b'{"price":1}'), is_price_type(b"[")
    (True, False, False)
    """
    return len(value) <= MAX_BYTES and type_of(value) in PRICE_TYPES


def is_price_copy(value: bytes) -> bool:
    """Whether a value says of itself that it is a copy that a worker wrote."""
    return len(value) <= MAX_BYTES and type_of(value) == PRICE_COPY


def decode_price(value: bytes) -> Price | PriceCopy:
    """Return what a value of one of `PRICE_TYPES` holds.

    Raises
    ------
    RejectedEvent
        With the reason and a sentence that names the field.
    """
    if len(value) > MAX_BYTES:
        raise RejectedEvent(Reason.TOO_LARGE, f"the value has {len(value)} bytes, the limit is {MAX_BYTES}")
    name = type_of(value)
    if name not in PRICE_TYPES:
        raise RejectedEvent(Reason.UNKNOWN_TYPE, f"the type is {name!r}, not one of {', '.join(PRICE_TYPES)}")
    try:
        price = _decoders[name](value)
    except msgspec.ValidationError as error:
        raise refusal(value, str(error), PRICE_TYPES) from None
    except (ValueError, RecursionError) as error:
        raise RejectedEvent(Reason.INVALID_FIELD, f"the value is no {name}: {error}") from None
    check_identifiers([price.event_id, price.item_id])
    if not MIN_TIME_MS <= epoch_ms(price.event_time) <= MAX_TIME_MS:
        raise RejectedEvent(Reason.INVALID_FIELD, "event_time must lie in 1973 to 9999 (UTC)")
    return price


def in_currency(price: Price | PriceCopy, currency: str) -> bool:
    """Whether a price is money of the shop."""
    return isinstance(price, PriceCopy) or (price.currency or currency).upper() == currency
