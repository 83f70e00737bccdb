"""Drawing of random events from the shop's process.

Random numbers come from one splitmix64 stream per customer and purpose, so a customer's events depend on the
seed and its number alone, however many others are drawn and in whatever pieces.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compiled import njit
from offline.simulator.process import Calendar, Generators
from offline.simulator.shop import MINUTE_MS


@njit(cache=True)
def mixed(seed: int, stream: int) -> np.uint64:
    """Return the starting point of an independent stream of random numbers."""
    return _scrambled(_scrambled(np.uint64(seed)) ^ (np.uint64(stream) * np.uint64(0xD1342543DE82EF95)))


@njit(cache=True, inline="always")
def _scrambled(point: np.uint64) -> np.uint64:
    z = np.uint64(point) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True, inline="always")
def uniform(random: NDArray[np.uint64]) -> float:
    """Draw from (0, 1) and advance ``random``, shape (1,), one splitmix64 step (Steele et al., 2014)."""
    value = _scrambled(random[0])
    random[0] += np.uint64(0x9E3779B97F4A7C15)
    return (np.float64(value >> np.uint64(12)) + 0.5) * (1.0 / 4503599627370496.0)


@njit(cache=True, inline="always")
def chosen(cumulative: NDArray[np.float64], point: float) -> int:
    """Return the first index whose cumulative weight exceeds ``point``."""
    index = 0
    last = len(cumulative) - 1
    while index < last and cumulative[index] <= point:
        index += 1
    return index


class Draws(NamedTuple):
    """Cumulative tables from which `draw_events` draws; built once by `draws`."""

    personas: NDArray[np.float64]
    first_states: NDArray[np.float64]
    marks: NDArray[np.float64]
    after_event: NDArray[np.float64]
    arrivals: NDArray[np.float64]
    starts: NDArray[np.int64]
    regimes: NDArray[np.int64]


def draws(matrices: Generators, when: Calendar) -> Draws:
    """Accumulate the weights of what can happen; a state's marks are its events, then its hidden moves."""
    marks = np.concatenate([matrices.event_rates, matrices.hidden_rates], axis=-1)
    return Draws(
        np.cumsum(matrices.weights),
        np.cumsum(matrices.first_states, axis=-1),
        np.cumsum(marks, axis=-1),
        np.cumsum(matrices.after_event, axis=-1),
        np.cumsum(when.activity * np.diff(when.starts)),
        when.starts,
        when.regimes,
    )


@njit(cache=True)
def draw_events(  # noqa: PLR0917  (a compiled loop has no keywords)
    seed: int,
    first_customer: int,
    customers: int,
    tables: Draws,
    out_customer: NDArray[np.int32],
    out_time: NDArray[np.int64],
    out_type: NDArray[np.int8],
) -> tuple[int, int]:
    """Draw whole customers by Gillespie's method until the buffers are full or ``customers`` is reached.

    Every customer has its own stream of random numbers, so its events depend on the seed and its number
    alone.

    Returns
    -------
    tuple
        The next customer to draw, and the number of events written.
    """
    random = np.empty(1, dtype=np.uint64)
    types = tables.after_event.shape[1]
    written = 0
    for customer in range(first_customer, customers):
        begun = written
        random[0] = mixed(seed, 2 * customer)
        persona = chosen(tables.personas, uniform(random))
        state = chosen(tables.first_states[persona], uniform(random))
        point = uniform(random) * tables.arrivals[-1]
        span = chosen(tables.arrivals, point)
        before = tables.arrivals[span - 1] if span > 0 else 0.0
        share = (point - before) / (tables.arrivals[span] - before)
        time = tables.starts[span] + share * (tables.starts[span + 1] - tables.starts[span])
        arriving = True
        while True:
            marks = tables.marks[tables.regimes[span], persona, state]
            if arriving:
                mark = chosen(marks[:types], uniform(random) * marks[types - 1])
                arriving = False
            else:
                wait = -np.log(uniform(random))
                while wait * MINUTE_MS > marks[-1] * (tables.starts[span + 1] - time):
                    wait -= marks[-1] * (tables.starts[span + 1] - time) / MINUTE_MS
                    time = float(tables.starts[span + 1])
                    span += 1
                    if span == len(tables.regimes):
                        break
                    marks = tables.marks[tables.regimes[span], persona, state]
                if span == len(tables.regimes):
                    break
                time += wait * MINUTE_MS / marks[-1]
                mark = chosen(marks, uniform(random) * marks[-1])
            if mark >= types:
                state = mark - types
                continue
            if written == len(out_time):
                return customer, begun
            out_customer[written] = customer
            out_time[written] = min(int(time), tables.starts[span + 1] - 1)
            out_type[written] = mark
            written += 1
            state = chosen(tables.after_event[tables.regimes[span], mark, state], uniform(random))
    return customers, written
