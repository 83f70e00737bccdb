"""The exact filter: what can be known about a customer's hidden persona and state, given the events observed.

Between events the distribution over (persona, state) moves by ``expm(D0 dt)``, at an event of type k it is
multiplied by ``Dk`` and normalised; the probability that no purchase happens within the horizon is what is
left of it under ``D0`` plus all other ``Dk``. Times are integer milliseconds, so ``expm`` of any gap within a
day is a product of at most four matrices out of tables, one for each base-256 digit of the gap.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm

from features.compiled import njit
from offline.simulator.process import Calendar, Generators, calendar, generators
from offline.simulator.shop import MINUTE_MS, STATES, ParameterError
from offline.simulator.simulation import Simulation

_DIGITS: Final = 4  # a span of the calendar is at most a day long, 86,400,000 ms < 256 ** 4
_BASE: Final = 256
# Rows of eight doubles fill the processor's vector registers; the last column stays zero.
_PADDED: Final = 8
_MAX_HORIZON_MS: Final = 400 * 86_400_000


class Propagators(NamedTuple):
    """Matrix exponentials of one generator per regime and persona.

    Attributes
    ----------
    digits
        ``expm(D j 256**d ms)``, shape (regimes, digits, 256, personas, states, padded states).
    spans
        ``expm(D length)`` over each whole span of the calendar, shape (spans, personas, states, padded
        states).
    """

    digits: NDArray[np.float64]
    spans: NDArray[np.float64]


class Tables(NamedTuple):
    """All that the filter's inner loop reads.

    Attributes
    ----------
    starts, regimes
        The `Calendar`.
    prior
        Weight times first state over total event rate, shape (regimes, personas, padded states).
    marked
        The Dk, shape (regimes, types, personas, states, padded states).
    silent, purchase_free
        Propagators while there is no event, and while there is no purchase.
    survival
        Probability of no purchase within the horizon when no regime ends in it, shape (regimes, personas,
        padded).
    """

    starts: NDArray[np.int64]
    regimes: NDArray[np.int64]
    prior: NDArray[np.float64]
    marked: NDArray[np.float64]
    silent: Propagators
    purchase_free: Propagators
    survival: NDArray[np.float64]


class ExactFilter:
    """Exact probability of a purchase within the horizon after each event.

    Parameters
    ----------
    simulation
        How the events were drawn.
    horizon_ms
        Length of the horizon, milliseconds.
    """

    def __init__(self, simulation: Simulation, horizon_ms: int) -> None:
        if not 0 < horizon_ms <= _MAX_HORIZON_MS:
            raise ParameterError(f"the horizon must be between 1 and {_MAX_HORIZON_MS} ms, not {horizon_ms}")
        self.horizon_ms = horizon_ms
        self.simulation = simulation
        when = calendar(
            simulation.parameters, simulation.start, simulation.start, simulation.end + horizon_ms + 1
        )
        self._tables = _tables(generators(simulation.parameters), when, horizon_ms)

    def probability(
        self,
        customer: NDArray[np.int64],
        time: NDArray[np.int64],
        kind: NDArray[np.int8],
        sequence: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """Return the probability after each event, given the customer's events up to it.

        Parameters
        ----------
        customer, time, kind, sequence
            Customer number, epoch milliseconds, type code and the place among all events, shape (events,); in
            the order (customer, time, sequence), every customer from its first event on. Rows that repeat
            their predecessor's customer and sequence are the same event.

        Raises
        ------
        ParameterError
            An event is impossible under the simulation's parameters, or lies outside its days.
        """
        if len(time) == 0:
            return np.empty(0)
        if time.min() < self.simulation.start or time.max() >= self.simulation.end:
            raise ParameterError(
                "events lie outside the simulation's days: the log and its metadata do not belong together"
            )
        probability = np.empty(len(time))
        impossible = _filter(customer, time, kind, sequence, self.horizon_ms, self._tables, probability)
        if impossible >= 0:
            raise ParameterError(
                f"event {impossible} by customer and time cannot happen under these parameters: the log "
                "and its metadata do not belong together, or a customer's earlier events are missing"
            )
        return probability


def _tables(matrices: Generators, when: Calendar, horizon_ms: int) -> Tables:
    total = matrices.event_rates.sum(axis=-1)
    start = matrices.weights[:, None] * matrices.first_states
    prior = np.divide(start, total, out=np.zeros_like(total), where=total > 0)
    free = matrices.purchase_free()
    survival = expm(free * (horizon_ms / MINUTE_MS)).sum(axis=-1)
    return Tables(
        when.starts,
        when.regimes,
        _padded(prior),
        _padded(np.ascontiguousarray(np.swapaxes(matrices.marked(), 1, 2))),
        _propagators(matrices.silent(), when),
        _propagators(free, when),
        _padded(survival),
    )


def _padded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    wide = np.zeros((*values.shape[:-1], _PADDED))
    wide[..., : len(STATES)] = values
    return wide


def _propagators(generator: NDArray[np.float64], when: Calendar) -> Propagators:
    powers = np.empty((_DIGITS, _BASE, *generator.shape))
    for digit in range(_DIGITS):
        powers[digit, 0] = np.eye(len(STATES))
        powers[digit, 1] = expm(generator * (_BASE**digit / MINUTE_MS))
        known = 2
        while known < _BASE:  # doubling keeps rounding errors at the depth of a tree, not of a chain
            powers[digit, known : 2 * known] = (powers[digit, known - 1] @ powers[digit, 1]) @ powers[
                digit, :known
            ]
            known *= 2
    lengths = np.diff(when.starts)
    kinds, kind_of = np.unique(np.stack([when.regimes, lengths], axis=1), axis=0, return_inverse=True)
    whole = np.stack([expm(generator[regime] * (length / MINUTE_MS)) for regime, length in kinds])
    digits = np.ascontiguousarray(np.moveaxis(powers, 2, 0))
    return Propagators(_padded(digits), _padded(whole[kind_of.ravel()]))


@njit(cache=True, inline="always")
def _times(a: NDArray[np.float64], matrix: NDArray[np.float64]) -> None:
    """Multiply each persona's row vector with its matrix, in place."""
    row = np.empty(_PADDED)
    for persona in range(a.shape[0]):
        row[:] = 0.0
        for i in range(matrix.shape[1]):
            weight = a[persona, i]
            for j in range(_PADDED):
                row[j] += weight * matrix[persona, i, j]
        for j in range(_PADDED):
            a[persona, j] = row[j]


@njit(cache=True)
def _move(  # noqa: PLR0917  (a compiled loop has no keywords)
    a: NDArray[np.float64],
    time: int,
    end: int,
    span: int,
    starts: NDArray[np.int64],
    regimes: NDArray[np.int64],
    by: Propagators,
) -> int:
    """Move the distribution from ``time``, which lies in ``span``, to ``end``; return the span of ``end``."""
    while True:
        until = min(end, starts[span + 1])
        if until - time == starts[span + 1] - starts[span]:
            _times(a, by.spans[span])
        else:
            gap = until - time
            digit = 0
            while gap > 0:
                if gap & 255:
                    _times(a, by.digits[regimes[span], digit, gap & 255])
                gap >>= 8
                digit += 1
        time = until
        if end < starts[span + 1]:
            return span
        span += 1
        if time == end:
            return span


@njit(cache=True)
def _filter(  # noqa: PLR0917  (a compiled loop has no keywords)
    customer: NDArray[np.int64],
    time: NDArray[np.int64],
    kind: NDArray[np.int8],
    sequence: NDArray[np.int64],
    horizon_ms: int,
    tables: Tables,
    out: NDArray[np.float64],
) -> int:
    """Fill ``out``; return the index of the first impossible event, -1 when there is none."""
    a = np.zeros(tables.prior.shape[1:])
    later = np.zeros_like(a)
    span = 0
    for n in range(len(time)):
        if n == 0 or customer[n] != customer[n - 1]:
            span = np.searchsorted(tables.starts, time[n], side="right") - 1
            a[:] = tables.prior[tables.regimes[span]]
        elif sequence[n] == sequence[n - 1]:
            out[n] = out[n - 1]
            continue
        else:
            span = _move(a, time[n - 1], time[n], span, tables.starts, tables.regimes, tables.silent)
        regime = tables.regimes[span]
        _times(a, tables.marked[regime, kind[n]])
        total = a.sum()
        if not total > 0:
            return n
        a /= total
        end = time[n] + horizon_ms
        if end <= tables.starts[span + 1]:
            none = (a * tables.survival[regime]).sum()
        else:
            later[:] = a
            _move(later, time[n], end, span, tables.starts, tables.regimes, tables.purchase_free)
            none = later.sum()
        out[n] = min(max(1.0 - none, 0.0), 1.0)
    return -1
