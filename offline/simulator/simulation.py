"""Simulated event logs, for which the best possible prediction is known exactly.

`simulate` draws customers from the process of `offline.simulator.process`, decorates their events with sessions, items,
carts and prices, and returns an event log. The log's metadata keeps how it was made, so that whoever reads it
can compute the exact probability of a purchase (`offline.simulator.oracle`).
"""

import datetime as dt
from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.events import MAX_TIME_MS
from features.log import LOG_SCHEMA
from offline.simulator.decoration import CHANNELS, DEVICES, Decoration, decorate, shelves
from offline.simulator.drawing import draw_events, draws
from offline.simulator.process import calendar, generators
from offline.simulator.shop import DAY_MS, PURCHASE, TYPES, Catalogue, ParameterError, ShopParameters

#: Where a simulation begins unless told otherwise: a Monday, at midnight UTC.
DEFAULT_START: Final = dt.datetime(2025, 1, 6, tzinfo=dt.UTC)
METADATA_KEY: Final = "intent.simulator"

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND: Final = dt.timedelta(milliseconds=1)
# Customers are counted in 31 bits, seeds are carried in ids of at most 128 characters and mixed as 63 bits.
_MAX_CUSTOMERS: Final = 2**31 - 1
_MAX_SEED: Final = 2**62
_MAX_DAYS: Final = 10_000
_CHUNK_EVENTS: Final = 1_000_000
_ITEM_LINE: Final = LOG_SCHEMA.field("items").type.value_type


class Simulation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a log was simulated: all that is needed to draw it again, or to compute its exact probabilities.

    Attributes
    ----------
    parameters
        The shop.
    customers, days, seed
        As given to `simulate`.
    start
        Where day 0 begins, epoch milliseconds.
    """

    parameters: ShopParameters
    customers: int
    days: int
    seed: int
    start: int

    def __post_init__(self) -> None:
        """Check the size."""
        for name, low, high in (
            ("customers", 1, _MAX_CUSTOMERS),
            ("days", 1, _MAX_DAYS),
            ("seed", 0, _MAX_SEED),
            ("start", 1, MAX_TIME_MS - _MAX_DAYS * DAY_MS),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ParameterError(f"{name} must be between {low} and {high}, not {value}")

    @property
    def end(self) -> int:
        """Where the last day ends, epoch milliseconds."""
        return self.start + self.days * DAY_MS

    def metadata(self) -> dict[str, str]:
        """Return the log's metadata, without the prefix ``intent.`` that writing a log adds."""
        return {"source": "simulator", "simulator": msgspec.json.encode(self).decode()}

    @classmethod
    def of(cls, log: pa.Table) -> "Simulation":
        """Return how a log was simulated.

        Raises
        ------
        ParameterError
            The log carries no simulation: it is real data, or its metadata was lost.
        """
        raw = (log.schema.metadata or {}).get(METADATA_KEY.encode())
        if raw is None:
            raise ParameterError(
                f"the log has no {METADATA_KEY} metadata, so it has no exact probability: "
                "make one with `intent simulate`"
            )
        try:
            return msgspec.json.decode(raw, type=cls)
        except msgspec.DecodeError as error:
            raise ParameterError(f"the log's {METADATA_KEY} metadata cannot be read: {error}") from error


def simulate(
    parameters: ShopParameters,
    customers: int,
    days: int,
    seed: int,
    *,
    start: dt.datetime = DEFAULT_START,
    on_progress: Callable[[int, int], None] | None = None,
) -> pa.Table:
    """Simulate customers of a shop.

    Equal arguments give equal logs; a customer's events depend on the seed and its number alone, so more
    customers add events and change none but the numbers in event and order ids.

    Parameters
    ----------
    parameters
        The shop.
    customers
        How many arrive. Each has at least one event.
    days
        Length of the log.
    seed
        Of all random numbers; ids carry it, so logs of different seeds share no customer, event, session or
        order.
    start
        Where day 0 begins, with a zone.
    on_progress
        Called with customers done and in all.

    Returns
    -------
    pyarrow.Table
        An event log (`features.log.LOG_SCHEMA`) in order of event time, with the metadata of `Simulation`.

    Examples
    --------
    >>> log = simulate(ShopParameters.default(), customers=100, days=2, seed=7)
    >>> log["event_id"][0].as_py()
    's7-0'
    """
    if start.tzinfo is None:
        raise ParameterError(f"start must have a zone, {start.isoformat()} has none")
    simulation = Simulation(parameters, customers, days, seed, (start - _EPOCH) // _MILLISECOND)
    customer, time, kind = _draw(simulation, on_progress)
    drawn = decorate(seed, parameters.catalogue, customer, time, kind)
    return _table(simulation, customer, time, kind, drawn)


def event_sequence(event_ids: pa.ChunkedArray, seed: int) -> NDArray[np.int64]:
    """Return each event's place in the simulated log, from its id; the row's number where ids are others."""
    prefix = f"s{seed}-"
    if len(event_ids) == 0 or not pc.all(pc.starts_with(event_ids, prefix)).as_py():
        return np.arange(len(event_ids), dtype=np.int64)
    places: NDArray[np.int64] = pc.utf8_slice_codeunits(event_ids, len(prefix)).cast(pa.int64()).to_numpy()
    return places


def _draw(
    simulation: Simulation, on_progress: Callable[[int, int], None] | None
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int8]]:
    """Draw all events, customers one after another."""
    parameters = simulation.parameters
    tables = draws(
        generators(parameters), calendar(parameters, simulation.start, simulation.start, simulation.end)
    )
    if tables.arrivals[-1] <= 0:
        raise ParameterError("nobody arrives in these days: day_parts have an activity of 0")
    parts: list[tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int8]]] = []
    capacity = _CHUNK_EVENTS
    done = 0
    while done < simulation.customers:
        buffers = (np.empty(capacity, np.int32), np.empty(capacity, np.int64), np.empty(capacity, np.int8))
        after, written = draw_events(simulation.seed, done, simulation.customers, tables, *buffers)
        if after == done:
            capacity *= 2  # one customer alone has more events than the buffer holds
            continue
        done = after
        parts.append((buffers[0][:written].copy(), buffers[1][:written].copy(), buffers[2][:written].copy()))
        if on_progress is not None:
            on_progress(done, simulation.customers)
    return (
        np.concatenate([part[0] for part in parts]),
        np.concatenate([part[1] for part in parts]),
        np.concatenate([part[2] for part in parts]),
    )


def _table(
    simulation: Simulation,
    customer: NDArray[np.int32],
    time: NDArray[np.int64],
    kind: NDArray[np.int8],
    drawn: Decoration,
) -> pa.Table:
    """Turn codes into the log's columns, in order of event time (a customer's ties stay in order)."""
    catalogue, seed = simulation.parameters.catalogue, simulation.seed
    order = np.argsort(time, kind="stable")
    kind, item, cents = kind[order], drawn.item[order], drawn.cents[order]
    quantity = drawn.quantity[order]
    times = pa.array(time[order]).cast(LOG_SCHEMA.field("event_time").type)
    items, categories, prices = _catalogue_columns(catalogue)
    purchases = np.flatnonzero(kind == PURCHASE)
    order_number = np.full(len(kind), -1, dtype=np.int32)
    order_number[purchases] = np.arange(len(purchases), dtype=np.int32)
    countries = list(catalogue.countries)
    # A view says what an item costs, not that it is worth that much to the shop: no value.
    worth = (cents >= 0) & (quantity >= 0)
    columns = {
        "event_id": _numbered(f"s{seed}-", len(kind)),
        "type": _named(TYPES, kind),
        "customer_id": _numbered(f"c{seed}-", simulation.customers).take(pa.array(customer[order])),
        "event_time": times,
        "item_id": items.take(_codes(item)),
        "category": categories.take(_codes(drawn.category[order])),
        "price": prices.take(_codes(item)),
        "quantity": pa.array(quantity.astype(np.int64), mask=quantity < 0),
        "items": _lines(drawn, order, items, categories, prices),
        "value": pa.array(cents / 100, mask=~worth),
        "currency": _named((catalogue.currency,), np.where(cents >= 0, 0, -1)),
        "order_id": _numbered(f"o{seed}-", len(purchases)).take(_codes(order_number)),
        "session_id": _numbered(f"v{seed}-", int(drawn.session[-1]) + 1).take(pa.array(drawn.session[order])),
        "channel": _named(CHANNELS, drawn.channel[order]),
        "device": _named(DEVICES, drawn.device[order]),
        "country": _named(countries, drawn.country[order]),
        "bot": pa.nulls(len(kind), pa.bool_()),
        "identity": pa.nulls(len(kind), pa.string()),
        "partition": pa.nulls(len(kind), pa.int32()),
        "offset": pa.nulls(len(kind), pa.int64()),
        "arrived_at": times,
    }
    metadata = {f"intent.{key}": value for key, value in simulation.metadata().items()}
    return pa.table(columns, schema=LOG_SCHEMA.with_metadata(metadata))


def _codes(values: NDArray[np.int32]) -> pa.Array:
    return pa.array(values, mask=values < 0)


def _named(names: tuple[str, ...] | list[str], values: NDArray[np.signedinteger]) -> pa.Array:
    return pa.array(names, pa.string()).take(pa.array(values, mask=values < 0))


def _numbered(prefix: str, count: int) -> pa.Array:
    return pc.binary_join_element_wise(prefix, pa.array(np.arange(count)).cast(pa.string()), "")


def _catalogue_columns(catalogue: Catalogue) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Return ids and prices by item number, and names by category number."""
    return (
        _numbered("item-", catalogue.items),
        _numbered("category-", catalogue.categories),
        pa.array(shelves(catalogue).prices / 100),
    )


def _lines(
    drawn: Decoration, order: NDArray[np.int64], items: pa.Array, categories: pa.Array, prices: pa.Array
) -> pa.Array:
    """Return the carts' lines as a list column, null where an event has none."""
    category = drawn.line_item % len(categories)
    line = pa.array(drawn.line_item)
    values = pa.StructArray.from_arrays(
        [
            items.take(line),
            categories.take(pa.array(category)),
            prices.take(line),
            pa.array(drawn.line_quantity.astype(np.int64)),
        ],
        fields=list(_ITEM_LINE),
    )
    counts = np.diff(drawn.first_line)
    listing = np.flatnonzero(counts)
    lists = pa.ListArray.from_arrays(
        pa.array(np.append(drawn.first_line[listing], drawn.first_line[-1]).astype(np.int32)), values
    ).cast(LOG_SCHEMA.field("items").type)
    place = np.full(len(counts), -1, dtype=np.int32)
    place[listing] = np.arange(len(listing), dtype=np.int32)
    return lists.take(_codes(place[order]))
