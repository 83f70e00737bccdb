"""Events as columns: what the fold reads, the same whether events come from records or from a log."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain
from typing import Any, Final, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from features.compiled import njit
from features.encoded_texts import by_text
from features.event_items import NO_ITEMS, EventItems
from features.event_scan import Scan
from features.events import CHANNEL_CODES, CHANNELS, EVENT_TYPES, NO_CHANNEL, TYPE_CODES, Event, epoch_ms
from features.hashes import hashes_of
from features.text_column import TextColumn, taken

# Type codes of rows that are no events. From `PASS` on they are none.
#: The request to erase its customer.
ERASE: Final = 255
#: What is known of the customer is handed to another one (`features.identity`).
HAND_OVER: Final = 254
#: What was known of another customer is merged into this one's state.
MERGE: Final = 253
#: Nothing happens to the customer's state.
PASS: Final = 252


class OtherRow(NamedTuple):
    """A row that is no event: whose it is, its type code, and the id and time of what it comes from."""

    customer: str
    type: int = ERASE
    event_id: str = ""
    time: int = 0


#: What `from_table` reads of a log, ids aside.
READ_COLUMNS: Final = (
    "event_id",
    "type",
    "event_time",
    "item_id",
    "price",
    "quantity",
    "items",
    "value",
    "currency",
    "channel",
    "bot",
)


@dataclass(frozen=True, slots=True)
class EventColumns:
    """A batch of events, one array element each, in order of arrival.

    Attributes
    ----------
    customers, event_ids
        The identifiers.
    time
        Event time, epoch ms.
    type, channel
        Codes of `EVENT_TYPES` (or those of rows that are no events) and `CHANNELS` (or `NO_CHANNEL`).
    money
        Value of the event in the shop's currency; 0 where it has none or is in another currency.
    quantity
        Pieces.
    event_hash, item_hash
        64-bit hashes of the identifiers, never 0 for an event; 0 = no item. Of several items it is the first.
    cart_hash
        The item that the cart moves by: `item_hash`, but 0 where the event has several items.
    foreign
        Whether money in another currency was left out.
    bot
        Whether the event says that it is a machine's.
    items
        The ids of the items that each event is about.
    """

    customers: Sequence[str]
    event_ids: Sequence[str]
    time: NDArray[np.int64]
    type: NDArray[np.uint8]
    channel: NDArray[np.uint8]
    money: NDArray[np.float64]
    quantity: NDArray[np.float64]
    event_hash: NDArray[np.uint64]
    item_hash: NDArray[np.uint64]
    cart_hash: NDArray[np.uint64]
    foreign: NDArray[np.bool_]
    bot: NDArray[np.bool_]
    items: EventItems = NO_ITEMS

    def __len__(self) -> int:
        return len(self.time)

    def take(self, rows: NDArray[np.intp]) -> EventColumns:
        """Return the rows at these positions."""
        return EventColumns(
            taken(self.customers, rows),
            taken(self.event_ids, rows),
            *(getattr(self, f.name)[rows] for f in fields(self)[2:]),
        )

    @classmethod
    def joined(cls, one: EventColumns, other: EventColumns) -> Self:
        """Return the rows of both, one after the other."""
        arrays = {
            f.name: np.concatenate([getattr(one, f.name), getattr(other, f.name)]) for f in fields(cls)[2:-1]
        }
        return cls(
            customers=TextColumn.joined([one.customers, other.customers]),
            event_ids=TextColumn.joined([one.event_ids, other.event_ids]),
            items=one.items.and_then(other.items),
            **arrays,
        )

    def with_rows(self, at: Sequence[int], rows: Sequence[OtherRow]) -> EventColumns:
        """Return the columns with a row that is no event inserted before each position ``at`` (ascending)."""
        names, ids = list(self.customers), list(self.event_ids)
        for position, row in zip(reversed(at), reversed(rows), strict=True):
            names.insert(position, row.customer)
            ids.insert(position, row.event_id)
        arrays = {f.name: np.insert(getattr(self, f.name), at, 0) for f in fields(self)[2:-1]}
        inserted = np.asarray(at) + np.arange(len(at))
        arrays["type"][inserted] = [row.type for row in rows]
        arrays["time"][inserted] = [row.time for row in rows]
        arrays["channel"][inserted] = NO_CHANNEL
        items = self.items.with_others(at)
        return replace(self, customers=names, event_ids=ids, items=items, **arrays)

    def with_types(self, rows: Sequence[int], types: Sequence[int]) -> EventColumns:
        """Return the columns with other type codes in some rows."""
        changed = self.type.copy()
        changed[rows] = types
        return replace(self, type=changed)


def from_events(events: Sequence[Event], currency: str) -> EventColumns:
    """Return the columns of decoded events; ``currency`` is the shop's."""
    lines = [e.items for e in events]
    with_lines = [items for items in lines if items]
    return _columns(
        customers=[e.customer_id for e in events],
        event_ids=[e.event_id for e in events],
        time=_times([e.event_time for e in events]),
        type_=np.frombuffer(bytes([TYPE_CODES[e.type] for e in events]), np.uint8),
        channel=np.frombuffer(bytes([_CHANNELS[e.channel] for e in events]), np.uint8),
        price=np.array([e.price for e in events], np.float64),  # None becomes NaN
        quantity=np.array([e.quantity for e in events], np.float64),
        value=np.array([e.value for e in events], np.float64),
        foreign=_foreign([e.currency for e in events], currency),
        bot=np.fromiter((e.bot is True for e in events), np.bool_, len(events)),
        line_counts=np.array([len(items) if items else 0 for items in lines], np.int64),
        line_price=np.array([i.price for i in chain.from_iterable(with_lines)], np.float64),
        line_quantity=np.array([i.quantity for i in chain.from_iterable(with_lines)], np.float64),
        event_hash=_hashes([e.event_id for e in events]),
        item_hash=_hashes(
            [e.item_id or (items[0].item_id if items else "") for e, items in zip(events, lines, strict=True)]
        ),
        items=EventItems.of_events(events),
    )


def from_scan(found: Scan, data: NDArray[np.uint8]) -> EventColumns:
    """Return the columns of plain events.

    Parameters
    ----------
    found
        What was read; all its rows are plain.
    data
        The buffer that it was read from.
    """

    def of(name: str) -> NDArray[Any]:
        return found.rows[name].copy()

    return _columns(
        customers=TextColumn(data, of("customer_at"), of("customer_length")),
        event_ids=TextColumn(data, of("event_at"), of("event_length")),
        time=of("time"),
        type_=of("type"),
        channel=of("channel"),
        price=of("price"),
        quantity=of("quantity"),
        value=of("value"),
        foreign=of("foreign"),
        bot=of("bot"),
        line_counts=of("lines").astype(np.int64),
        line_price=found.line_price,
        line_quantity=found.line_quantity,
        event_hash=of("event_hash"),
        item_hash=of("item_hash"),
        items=EventItems.of_values(data, of("json_at"), of("json_length")),
    )


_CHANNELS: Final[dict[str | None, int]] = {None: NO_CHANNEL} | dict(CHANNEL_CODES.items())


def _times(times: list[int | dt.datetime]) -> NDArray[np.int64]:
    if dt.datetime in set(map(type, times)):
        times = [epoch_ms(time) for time in times]
    return np.array(times, np.int64)


def _foreign(currencies: list[str | None], own: str) -> NDArray[np.bool_]:
    if set(currencies) <= {None, own}:
        return np.zeros(len(currencies), np.bool_)
    return np.array([currency is not None and currency.upper() != own for currency in currencies], np.bool_)


def from_table(table: pa.Table, currency: str, *, with_ids: bool = True) -> EventColumns:
    """Return the columns of rows of an event log (`features.log`).

    Parameters
    ----------
    with_ids
        Whether `EventColumns.customers` and `EventColumns.event_ids` are wanted; the fold needs neither.
    """
    rows = len(table)
    lines = table["items"].combine_chunks()
    line_counts = pc.fill_null(pc.list_value_length(lines), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    flat = lines.flatten()
    item_hash = hashes_of(table["item_id"])
    if len(flat):
        of_lines = pc.is_null(table["item_id"]).to_numpy() & (line_counts > 0)
        first = np.cumsum(line_counts) - line_counts
        item_hash[of_lines] = hashes_of(flat.field("item_id"))[first[of_lines]]
    other = pc.fill_null(
        by_text(table["currency"], lambda texts: pc.not_equal(pc.utf8_upper(texts), currency)), False
    )
    return _columns(
        customers=table["customer_id"].to_pylist() if with_ids else (),
        event_ids=table["event_id"].to_pylist() if with_ids else (),
        time=table["event_time"].cast(pa.int64()).to_numpy(),
        type_=_codes(table["type"], EVENT_TYPES, ERASE),
        channel=_codes(table["channel"], CHANNELS, NO_CHANNEL),
        price=_floats(table["price"]),
        quantity=_floats(table["quantity"]),
        value=_floats(table["value"]),
        foreign=other.to_numpy().astype(np.bool_),
        bot=_flags(table["bot"]) if "bot" in table.column_names else np.zeros(rows, np.bool_),
        line_counts=line_counts,
        line_price=_floats(flat.field("price")),
        line_quantity=_floats(flat.field("quantity")),
        event_hash=hashes_of(table["event_id"]),
        item_hash=item_hash,
        items=EventItems.of_table(table),
    )


def _columns(
    *,
    customers: Sequence[str],
    event_ids: Sequence[str],
    time: NDArray[np.int64],
    type_: NDArray[np.uint8],
    channel: NDArray[np.uint8],
    price: NDArray[np.float64],
    quantity: NDArray[np.float64],
    value: NDArray[np.float64],
    foreign: NDArray[np.bool_],
    bot: NDArray[np.bool_],
    line_counts: NDArray[np.int64],
    line_price: NDArray[np.float64],
    line_quantity: NDArray[np.float64],
    event_hash: NDArray[np.uint64],
    item_hash: NDArray[np.uint64],
    items: EventItems,
) -> EventColumns:
    money, pieces = _total(price, quantity, value, line_counts, line_price, line_quantity)
    money[foreign] = 0.0
    cart_hash = np.where(line_counts > 1, np.uint64(0), item_hash)
    return EventColumns(
        customers,
        event_ids,
        time,
        type_,
        channel,
        money,
        pieces,
        np.maximum(event_hash, np.uint64(1)),
        item_hash,
        cart_hash,
        foreign,
        bot,
        items,
    )


@njit(cache=True, nogil=True)
def _total(
    price: NDArray[np.float64],
    quantity: NDArray[np.float64],
    value: NDArray[np.float64],
    line_counts: NDArray[np.int64],
    line_price: NDArray[np.float64],
    line_quantity: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # pragma: no cover
    """Money: the value, else the sum of the lines, else price times quantity. A missing quantity is 1."""
    money, pieces = np.zeros(len(price)), np.ones(len(price))
    line = 0
    for i in range(len(price)):
        amount = number = 0.0
        for _ in range(line_counts[i]):
            count = 1.0 if np.isnan(line_quantity[line]) else line_quantity[line]
            number += count
            amount += 0.0 if np.isnan(line_price[line]) else line_price[line] * count
            line += 1
        if line_counts[i] == 0:
            number = 1.0
        if not np.isnan(quantity[i]):
            number = quantity[i]
        if line_counts[i] == 0 and not np.isnan(price[i]):
            amount = price[i] * number
        money[i] = amount if np.isnan(value[i]) else value[i]
        pieces[i] = number
    return money, pieces


def _hashes(texts: Iterable[str]) -> NDArray[np.uint64]:
    """Return xxh3 of every text, 0 for an empty one."""
    texts = texts if isinstance(texts, list) else list(texts)
    hashes = np.fromiter(map(xxh3_64_intdigest, map(str.encode, texts)), np.uint64, len(texts))
    hashes[hashes == _EMPTY_HASH] = 0
    return hashes


_EMPTY_HASH: Final = np.uint64(xxh3_64_intdigest(b""))


def _codes(values: pa.ChunkedArray, names: Sequence[str], other: int) -> NDArray[np.uint8]:
    index = by_text(values, lambda texts: pc.index_in(texts, pa.array(names)))
    return np.asarray(pc.fill_null(index, other).to_numpy(), np.uint8)


def _flags(values: pa.ChunkedArray) -> NDArray[np.bool_]:
    return np.asarray(pc.fill_null(values, False).to_numpy(), np.bool_)


def _floats(values: pa.Array | pa.ChunkedArray) -> NDArray[np.float64]:
    filled = pc.fill_null(values.cast(pa.float64()), float("nan"))
    return np.asarray(filled.to_numpy(zero_copy_only=False), np.float64)
