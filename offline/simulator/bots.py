"""Machines in a simulated log, and which of its customers they are.

A log without machines stays what it is, to the bit. One with machines has no exact probability any more: they are not
drawn from the shop's process.

============= ===============================================================================================
kind          what it does
============= ===============================================================================================
fast_scraper  Reads 200 to 2,000 items, half a second to four seconds apart, in one to three runs.
slow_scraper  Reads items ten seconds to three minutes apart, day and night, for six hours to two days.
cart_stuffer  Looks at an item and puts it into the cart, 50 to 300 times, one to ten seconds apart; never buys.
============= ===============================================================================================

Paces are drawn once for each machine, evenly on a logarithmic scale; single gaps scatter around them by a third.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.log import LOG_SCHEMA
from offline.simulator.shop import DAY_MS, ParameterError
from offline.simulator.simulation import METADATA_KEY, Simulation

_SECOND_MS: Final = 1_000
_HOUR_MS: Final = 3_600_000
_SCATTER: Final = 1 / 3

Kinds = tuple[str, ...]
#: Gaps (ms) between the events of a machine, and the types that it repeats.
Behaviour = tuple[NDArray[np.int64], Kinds]


class Machine(NamedTuple):
    """One machine: its id, its kind, and when (epoch ms) it does what."""

    customer: str
    kind: str
    times: NDArray[np.int64]
    types: Kinds


def with_bots(log: pa.Table, share: float, seed: int = 0) -> pa.Table:
    """Return a simulated log with machines among its customers, in order of event time.

    Parameters
    ----------
    log
        As `offline.simulator.simulation.simulate` returns it.
    share
        Machines for each customer; of all kinds, about as many of each. With 0 the log itself is returned.
    seed
        Of the machines.

    Examples
    --------
    >>> from offline.simulator.shop import ShopParameters
    >>> from offline.simulator.simulation import simulate
    >>> log = with_bots(simulate(ShopParameters.default(), customers=100, days=2, seed=7), 0.03)
    >>> sorted({kind_of(customer) for customer in log["customer_id"].to_pylist()} - {None})
    ['cart_stuffer', 'fast_scraper', 'slow_scraper']
    """
    if not 0 <= share <= 1:
        raise ParameterError(f"the share of bots must be between 0 and 1, not {share}")
    simulation = Simulation.of(log)
    count = round(share * simulation.customers)
    if not count:
        return log
    metadata = {key: value for key, value in log.schema.metadata.items() if key != METADATA_KEY.encode()}
    metadata[b"intent.bots"] = f"{count} machines, seed {seed}".encode()
    rows = [
        _rows(machine, simulation, number) for number, machine in enumerate(machines(simulation, count, seed))
    ]
    whole = pa.concat_tables([log.replace_schema_metadata(None), *rows])
    order = np.argsort(whole["event_time"].cast(pa.int64()).to_numpy(), kind="stable")
    return whole.take(order).replace_schema_metadata(metadata)


def kind_of(customer: str) -> str | None:
    """Return which kind of machine a customer of `with_bots` is, ``None`` for people."""
    kind = customer.partition("-")[0]
    return kind if kind in KINDS else None


def machines(simulation: Simulation, count: int, seed: int) -> Iterator[Machine]:
    """Yield so many machines, all kinds in turn; a machine depends on the seed and its number alone."""
    for number in range(count):
        kind = tuple(KINDS)[number % len(KINDS)]
        chance = np.random.default_rng([seed, number])
        gaps, types = KINDS[kind](chance)
        times = np.cumsum(gaps) + simulation.start + int(chance.uniform(0, simulation.days * DAY_MS))
        yield Machine(f"{kind}-{seed}-{number}", kind, times[times < simulation.end], types)


def _fast_scraper(chance: np.random.Generator) -> Behaviour:
    gaps = _gaps(chance, _pace(chance, 0.5, 4), int(chance.integers(200, 2_001)))
    for pause in chance.integers(1, len(gaps), int(chance.integers(0, 3))):
        gaps[pause] += int(chance.uniform(1, 6) * _HOUR_MS)
    return gaps, ("view_item",)


def _slow_scraper(chance: np.random.Generator) -> Behaviour:
    pace, hours = _pace(chance, 10, 180), chance.uniform(6, 48)
    return _gaps(chance, pace, max(1, int(hours * _HOUR_MS / pace))), ("view_item",)


def _cart_stuffer(chance: np.random.Generator) -> Behaviour:
    return _gaps(chance, _pace(chance, 1, 10), 2 * int(chance.integers(50, 301))), (
        "view_item",
        "add_to_cart",
    )


def _pace(chance: np.random.Generator, least: float, most: float) -> float:
    """Return milliseconds between two numbers of seconds."""
    return float(np.exp(chance.uniform(np.log(least), np.log(most)))) * _SECOND_MS


def _gaps(chance: np.random.Generator, pace: float, count: int) -> NDArray[np.int64]:
    return np.maximum(1, chance.normal(pace, _SCATTER * pace, count)).astype(np.int64)


#: What each kind does.
KINDS: Final[dict[str, Callable[[np.random.Generator], Behaviour]]] = {
    "fast_scraper": _fast_scraper,
    "slow_scraper": _slow_scraper,
    "cart_stuffer": _cart_stuffer,
}


def _rows(machine: Machine, simulation: Simulation, number: int) -> pa.Table:
    """Return what a machine does as rows of a log; it goes through the catalogue item by item."""
    count, each = len(machine.times), len(machine.types)
    at = np.arange(count)
    item = (number + at // each) % simulation.parameters.catalogue.items
    times = pa.array(machine.times).cast(LOG_SCHEMA.field("event_time").type)
    columns = {
        "event_id": pc.binary_join_element_wise(f"{machine.customer}-", pa.array(at).cast(pa.string()), ""),
        "type": pa.array(machine.types).take(pa.array(at % each)),
        "customer_id": pa.repeat(machine.customer, count),
        "event_time": times,
        "item_id": pc.binary_join_element_wise("item-", pa.array(item).cast(pa.string()), ""),
        "channel": pa.repeat("web", count),
        "arrived_at": times,
    }
    return pa.table(
        [columns.get(field.name, pa.nulls(count, field.type)) for field in LOG_SCHEMA], schema=LOG_SCHEMA
    )
