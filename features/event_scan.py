"""Compiled reading of plain events: from their JSON straight into columns, without a Python object for any of them.

It takes only what it surely reads as `features.events.decode_many` does, and that is how nearly all events are: known
fields and further flat ones, texts without escapes, identifiers in ASCII, numbers of at most 15 digits without an
exponent, times in milliseconds, lines of items. Everything else it leaves alone, and says so.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compiled import inlined, kernel
from features.events import (
    CHANNELS,
    EVENT_TYPES,
    MAX_BYTES,
    MAX_ID,
    MAX_ITEMS,
    MAX_MONEY,
    MAX_QUANTITY,
    MAX_TEXT,
    MAX_TIME_MS,
    MIN_TIME_MS,
    NO_CHANNEL,
    Event,
)
from features.hashes import hash_bytes, same_bytes
from features.json_values import (
    CLOSE,
    CLOSE_LIST,
    COLON,
    COMMA,
    END,
    FALSE,
    NULL,
    OPEN,
    OPEN_LIST,
    TRUE,
    after,
    anything,
    digits,
    gap,
    integer,
    null,
    number,
    parsed,
    string,
    text,
    word,
)
from features.partition import partition_of_bytes

#: One event as it was read. Texts are where they lie in the buffer; missing numbers are NaN.
SCANNED: Final = np.dtype(
    [
        ("plain", np.bool_),  # whether it was read at all; else nothing here means anything
        ("bot", np.bool_),
        ("foreign", np.bool_),  # money in another currency
        ("type", np.uint8),
        ("channel", np.uint8),
        ("lines", np.int32),
        ("time", np.int64),
        ("price", np.float64),
        ("quantity", np.float64),
        ("value", np.float64),
        ("json_at", np.int64),
        ("json_length", np.int64),
        ("event_at", np.int64),
        ("event_length", np.int64),
        ("customer_at", np.int64),
        ("customer_length", np.int64),
        ("item_at", np.int64),
        ("item_length", np.int64),
        ("first_line_at", np.int64),  # the item of the first line
        ("first_line_length", np.int64),
        ("event_hash", np.uint64),
        ("item_hash", np.uint64),
    ]
)


class Scan(NamedTuple):
    """What was read: a `SCANNED` for each value, and price and pieces of all lines of plain events."""

    rows: NDArray[np.void]
    line_price: NDArray[np.float64]
    line_quantity: NDArray[np.float64]


class Values(NamedTuple):
    """Values of records, and their keys: where in a buffer they lie. A length of -1 is a null."""

    data: NDArray[np.uint8]
    key_at: NDArray[np.int64]
    key_length: NDArray[np.int64]
    at: NDArray[np.int64]
    length: NDArray[np.int64]


def scan(
    values: Values,
    home: NDArray[np.int64],
    partitions: int,
    currency: str,
    ignored: frozenset[str] = frozenset(),
) -> Scan:
    """Read all values that are plain events, with the id of their customer as key, on the partition of that key.

    Parameters
    ----------
    home, partitions
        The partition that each record came on, and how many there are.
    currency
        The shop's.
    ignored
        Types of events that are passed over.
    """
    count = len(values.at)
    rows = np.empty(count, SCANNED)
    room = int(np.maximum(values.length, 0).sum()) // _SMALLEST_LINE + 1
    price, quantity = np.empty(room), np.empty(room)
    passed = np.array([name in ignored for name in EVENT_TYPES])
    own = np.frombuffer(currency.encode().ljust(_CURRENCY, b"\0")[:_CURRENCY], np.uint8)
    lines = _scan(*values, home, partitions, own, passed, rows, price, quantity)
    return Scan(rows, price[:lines], quantity[:lines])


_SMALLEST_LINE: Final = len('{"item_id":"a"}')
_CURRENCY: Final = 3


def _table(names: tuple[str, ...]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return names one after the other, and where each of them begins; the end of the last comes at last."""
    starts = np.cumsum([0, *(len(name) for name in names)])
    return np.frombuffer("".join(names).encode(), np.uint8), starts


# Fields by their names; the codes below are their places.
_FIELDS: Final = Event.__struct_fields__
_FIELD_NAMES, _FIELD_STARTS = _table(_FIELDS)
(
    _EVENT_ID, _TYPE, _CUSTOMER_ID, _TIME, _ITEM_ID, _CATEGORY, _PRICE, _QUANTITY, _ITEMS, _VALUE, _CURRENCY_CODE,
    _ORDER_ID, _SESSION_ID, _CHANNEL, _DEVICE, _COUNTRY, _BOT,
) = range(len(_FIELDS))  # fmt: skip
_OTHER: Final = len(_FIELDS)
_IDENTIFIERS: Final = 1 << _EVENT_ID | 1 << _CUSTOMER_ID | 1 << _ITEM_ID | 1 << _ORDER_ID | 1 << _SESSION_ID
_TEXTS: Final = 1 << _CATEGORY | 1 << _DEVICE | 1 << _COUNTRY
_OF_LINES: Final = 1 << _ITEM_ID | 1 << _CATEGORY | 1 << _PRICE | 1 << _QUANTITY
_REQUIRED: Final = 1 << _EVENT_ID | 1 << _TYPE | 1 << _CUSTOMER_ID | 1 << _TIME

_TYPE_NAMES, _TYPE_STARTS = _table(EVENT_TYPES)
_CHANNEL_NAMES, _CHANNEL_STARTS = _table(CHANNELS)

_SMALL_A, _SMALL_Z, _LOWER = ord("a"), ord("z"), ord("a") - ord("A")


@kernel
def _scan(  # noqa: PLR0917  (columns)
    data: NDArray[np.uint8],
    key_at: NDArray[np.int64],
    key_length: NDArray[np.int64],
    at: NDArray[np.int64],
    length: NDArray[np.int64],
    home: NDArray[np.int64],
    partitions: int,
    currency: NDArray[np.uint8],
    passed: NDArray[np.bool_],
    rows: NDArray[np.void],
    price: NDArray[np.float64],
    quantity: NDArray[np.float64],
) -> int:  # pragma: no cover
    """Fill in the rows and the lines; return how many lines there are."""
    lines = 0
    for i in range(len(rows)):
        row = rows[i]
        row.plain, row.json_at, row.json_length = False, at[i], length[i]
        if key_length[i] <= 0 or not 0 < length[i] <= MAX_BYTES:
            continue
        total = _event(data, at[i], at[i] + length[i], currency, row, price, quantity, lines)
        if total < 0 or passed[row.type]:
            continue
        if key_length[i] != row.customer_length or not same_bytes(
            data, key_at[i], key_length[i], data, row.customer_at
        ):
            continue
        if partition_of_bytes(data, key_at[i], key_length[i], partitions) != home[i]:
            continue
        lines = total
        row.plain = True
        row.event_hash = hash_bytes(data, np.uint64(row.event_at), np.uint64(row.event_length))
        row.item_hash = np.uint64(0)
        if row.item_length > 0:
            row.item_hash = hash_bytes(data, np.uint64(row.item_at), np.uint64(row.item_length))
        elif row.lines > 0:
            row.item_hash = hash_bytes(data, np.uint64(row.first_line_at), np.uint64(row.first_line_length))
    return lines


@kernel
def _event(  # noqa: PLR0917
    data: NDArray[np.uint8],
    at: int,
    stop: int,
    currency: NDArray[np.uint8],
    row: Any,
    price: NDArray[np.float64],
    quantity: NDArray[np.float64],
    lines: int,
) -> int:  # pragma: no cover
    """Read one event; return how many lines there are then, or a negative number if it is not plain."""
    row.bot, row.foreign, row.channel, row.lines = False, False, NO_CHANNEL, 0
    row.price, row.quantity, row.value = np.nan, np.nan, np.nan
    row.item_length, row.first_line_length = 0, 0
    seen, field = 0, END
    at = after(data, at, stop, OPEN)
    while at >= 0:
        name = at + 1
        at = string(data, at, stop)
        if at < 0:
            return END
        field = _place(data, name, at - 1, _FIELD_NAMES, _FIELD_STARTS, field + 1)
        if field < _OTHER and seen >> field & 1:
            return END  # msgspec takes the last one
        seen |= 1 << field
        at = after(data, at, stop, COLON)
        if at < 0:
            return END
        if field == _ITEMS and data[at] == OPEN_LIST:
            at = gap(data, _lines(data, at + 1, stop, row, price, quantity, lines), stop)
        else:
            at = gap(data, _member(data, field, at, stop, currency, row), stop)
        if 0 <= at < stop and data[at] == CLOSE:
            whole = gap(data, at + 1, stop) == stop
            return lines + row.lines if whole and seen & _REQUIRED == _REQUIRED else END
        at = after(data, at, stop, COMMA)
    return END


@inlined
def _member(  # noqa: C901, PLR0911, PLR0912, PLR0917  (field by field)
    data: NDArray[np.uint8], field: int, at: int, stop: int, currency: NDArray[np.uint8], row: Any
) -> int:  # pragma: no cover
    """Read the value of a field, which has to be surely good; return where it ends."""
    start = at + 1
    if _IDENTIFIERS >> field & 1:
        end = _identifier(data, at, stop)
        if field == _EVENT_ID:
            row.event_at, row.event_length = start, end - 1 - start
        elif field == _CUSTOMER_ID:
            row.customer_at, row.customer_length = start, end - 1 - start
        elif end < 0:
            return null(data, at, stop)
        elif field == _ITEM_ID:
            row.item_at, row.item_length = start, end - 1 - start
        return end
    if field == _TYPE:
        end = string(data, at, stop)
        row.type = _place(data, start, end - 1, _TYPE_NAMES, _TYPE_STARTS, 0)
        return end if row.type < len(EVENT_TYPES) else END
    if field == _TIME:
        end = integer(data, at, stop)
        row.time = digits(data, at, end)
        return end if MIN_TIME_MS <= row.time <= MAX_TIME_MS else END
    if data[at] == NULL[0]:
        return null(data, at, stop)
    if field == _PRICE or field == _VALUE:  # noqa: PLR1714, SIM109
        end = number(data, at, stop)
        money = parsed(data, at, end)
        if field == _PRICE:
            row.price = money
        else:
            row.value = money
        return end if money <= MAX_MONEY else END
    if field == _QUANTITY:
        end = integer(data, at, stop)
        row.quantity = digits(data, at, end)
        return end if row.quantity <= MAX_QUANTITY else END
    if field == _CURRENCY_CODE:
        end = string(data, at, stop)
        if end - 1 - start != _CURRENCY:
            return END
        for k in range(_CURRENCY):
            letter = data[start + k]
            if (letter - _LOWER if _SMALL_A <= letter <= _SMALL_Z else letter) != currency[k]:
                row.foreign = True
        return end
    if field == _CHANNEL:
        end = string(data, at, stop)
        row.channel = _place(data, start, end - 1, _CHANNEL_NAMES, _CHANNEL_STARTS, 0)
        return end if row.channel < NO_CHANNEL else END
    if _TEXTS >> field & 1:
        return text(data, at, stop, MAX_TEXT)
    if field == _BOT:
        row.bot = data[at] == TRUE[0]
        return word(data, at, stop, TRUE) if row.bot else word(data, at, stop, FALSE)
    return anything(data, at, stop) if field == _OTHER else END


@kernel
def _lines(  # noqa: PLR0917
    data: NDArray[np.uint8],
    at: int,
    stop: int,
    row: Any,
    price: NDArray[np.float64],
    quantity: NDArray[np.float64],
    first: int,
) -> int:  # pragma: no cover
    """Read the rest of a list of lines, and count them in the row; return where it ends."""
    at = gap(data, at, stop)
    if at < stop and data[at] == CLOSE_LIST:
        return at + 1
    while at >= 0 and row.lines < MAX_ITEMS:
        at = gap(data, _line(data, at, stop, row, price, quantity, first + row.lines), stop)
        row.lines += 1
        if 0 <= at < stop and data[at] == CLOSE_LIST:
            return at + 1
        at = after(data, at, stop, COMMA)
    return END


@kernel
def _line(  # noqa: C901, PLR0912, PLR0917  (field by field)
    data: NDArray[np.uint8],
    at: int,
    stop: int,
    row: Any,
    price: NDArray[np.float64],
    quantity: NDArray[np.float64],
    line: int,
) -> int:  # pragma: no cover
    """Read one line; return where it ends."""
    price[line], quantity[line] = np.nan, np.nan
    seen, field = 0, _ITEM_ID - 1
    at = after(data, at, stop, OPEN)
    while at >= 0:
        name = at + 1
        at = string(data, at, stop)
        if at < 0:
            return END
        field = _place(data, name, at - 1, _FIELD_NAMES, _FIELD_STARTS, field + 1)
        known = _OF_LINES >> field & 1
        if known and seen >> field & 1:
            return END
        seen |= 1 << field
        at = after(data, at, stop, COLON)
        if at < 0:
            return END
        if field == _ITEM_ID:
            end = _identifier(data, at, stop)
            if row.lines == 0:
                row.first_line_at, row.first_line_length = at + 1, end - 2 - at
        elif known and data[at] == NULL[0]:
            end = null(data, at, stop)
        elif field == _PRICE:
            end = number(data, at, stop)
            price[line] = parsed(data, at, end)
            end = end if price[line] <= MAX_MONEY else END
        elif field == _QUANTITY:
            end = integer(data, at, stop)
            quantity[line] = digits(data, at, end)
            end = end if quantity[line] <= MAX_QUANTITY else END
        elif field == _CATEGORY:
            end = text(data, at, stop, MAX_TEXT)
        else:
            end = anything(data, at, stop)
        at = gap(data, end, stop)
        if 0 <= at < stop and data[at] == CLOSE:
            return at + 1 if seen >> _ITEM_ID & 1 else END
        at = after(data, at, stop, COMMA)
    return END


@inlined
def _identifier(data: NDArray[np.uint8], at: int, stop: int) -> int:  # pragma: no cover
    end = string(data, at, stop)
    return end if 0 < end - 2 - at <= MAX_ID else END


@inlined
def _place(  # noqa: PLR0917
    data: NDArray[np.uint8],
    at: int,
    end: int,
    names: NDArray[np.uint8],
    starts: NDArray[np.int64],
    guess: int,
) -> int:  # pragma: no cover
    """Return the place of a text among names, or how many there are; ``guess`` is looked at first."""
    count, length = len(starts) - 1, end - at
    if (
        guess < count
        and starts[guess + 1] - starts[guess] == length
        and same_bytes(data, at, length, names, starts[guess])
    ):
        return guess
    for place in range(count):
        if starts[place + 1] - starts[place] == length and same_bytes(data, at, length, names, starts[place]):
            return place
    return count
