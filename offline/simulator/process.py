"""The shop's process as matrices, and the calendar of their changes.

A marked Markovian arrival process is a set of matrices: ``D0`` (hidden moves, and minus all rates on the
diagonal) and one ``Dk`` per event type (rate times the distribution of the state after it). They change with
the part of the day and with a sale; each such combination is a *regime*, and a `Calendar` says when each
holds.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from offline.simulator.shop import DAY_MS, PURCHASE, STATES, TYPES, Sale, ShopParameters

_HOUR_MS: Final = 3_600_000
_AWAY_COLD, _AWAY_HOT, _BROWSE, _COMPARE, _DECIDE = (
    STATES.index(name) for name in ("away_cold", "away_hot", "browse", "compare", "decide")
)
_NO_SALE: Final = Sale()


class Generators(NamedTuple):
    """The matrices of the process, for each regime and persona, in rates per minute.

    Attributes
    ----------
    weights
        Share of each persona, shape (personas,).
    first_states
        Distribution of the state at arrival, shape (personas, states).
    event_rates
        Shape (regimes, personas, states, types).
    hidden_rates
        Hidden moves, zero on the diagonal, shape (regimes, personas, states, states).
    after_event
        Distribution of the state after an event, shape (regimes, types, states, states).
    """

    weights: NDArray[np.float64]
    first_states: NDArray[np.float64]
    event_rates: NDArray[np.float64]
    hidden_rates: NDArray[np.float64]
    after_event: NDArray[np.float64]

    def silent(self) -> NDArray[np.float64]:
        """Return D0, the generator while no event happens, shape (regimes, personas, states, states)."""
        d0 = self.hidden_rates.copy()
        out = self.hidden_rates.sum(axis=-1) + self.event_rates.sum(axis=-1)
        states = np.arange(len(STATES))
        d0[..., states, states] -= out
        return d0

    def marked(self) -> NDArray[np.float64]:
        """Return the Dk, shape (regimes, personas, types, states, states)."""
        rates = np.moveaxis(self.event_rates, -1, 2)[..., None]
        dk: NDArray[np.float64] = rates * self.after_event[:, None]
        return dk

    def purchase_free(self) -> NDArray[np.float64]:
        """Return the generator while no purchase happens: D0 and all Dk but the purchase's."""
        others = [kind for kind in range(len(TYPES)) if kind != PURCHASE]
        free: NDArray[np.float64] = self.silent() + self.marked()[:, :, others].sum(axis=2)
        return free


def generators(parameters: ShopParameters) -> Generators:
    """Build the matrices: the day parts' regimes first, then, if there is a sale, the same during it."""
    personas = list(parameters.personas.values())
    first_states = np.zeros((len(personas), len(STATES)))
    for row, persona in enumerate(personas):
        for state, share in persona.first_state.items():
            first_states[row, STATES.index(state)] = share
    sales = (_NO_SALE,) if parameters.sale is None else (_NO_SALE, parameters.sale)
    regimes = [(part, sale) for sale in sales for part in parameters.day_parts]
    shape = (len(regimes), len(personas), len(STATES))
    event_rates = np.zeros((*shape, len(TYPES)))
    hidden_rates = np.zeros((*shape, len(STATES)))
    after_event = np.zeros((len(regimes), len(TYPES), len(STATES), len(STATES)))
    for regime, (part, sale) in enumerate(regimes):
        after_event[regime] = _after_event(parameters, sale)
        for row, persona in enumerate(personas):
            rates = _event_rates(parameters)
            kinds = {name: rates[:, column] for column, name in enumerate(TYPES)}
            rates *= persona.speed
            kinds["add_to_cart"] *= persona.cart
            kinds["add_to_cart"][_BROWSE] *= sale.browse_cart
            kinds["purchase"] *= persona.buy * sale.buy
            kinds["begin_checkout"][_DECIDE] *= np.sqrt(persona.buy * sale.buy)
            kinds["view_item_list"] *= persona.list * sale.list
            kinds["search"] *= persona.search * sale.search
            event_rates[regime, row] = rates

            moves = _hidden_rates(parameters)
            moves[_BROWSE, [_AWAY_COLD, _AWAY_HOT]] *= persona.leave
            moves[_COMPARE, _AWAY_COLD] *= persona.leave
            moves[_COMPARE, _AWAY_HOT] *= np.sqrt(persona.leave)
            moves[_BROWSE, _COMPARE] *= persona.compare
            moves[_COMPARE, _DECIDE] *= persona.decide * sale.decide * part.decide
            moves[_AWAY_COLD] *= persona.comeback * sale.comeback * part.activity
            moves[_AWAY_HOT, [_BROWSE, _COMPARE, _DECIDE]] *= persona.resume * part.activity
            hidden_rates[regime, row] = moves
    weights = np.array([persona.weight for persona in personas])
    return Generators(weights, first_states, event_rates, hidden_rates, after_event)


def _event_rates(parameters: ShopParameters) -> NDArray[np.float64]:
    rates = np.zeros((len(STATES), len(TYPES)))
    for state, by_type in parameters.event_rates.items():
        for kind, rate in by_type.items():
            rates[STATES.index(state), TYPES.index(kind)] = rate
    return rates


def _hidden_rates(parameters: ShopParameters) -> NDArray[np.float64]:
    rates = np.zeros((len(STATES), len(STATES)))
    for state, moves in parameters.transitions.items():
        for after, rate in moves.items():
            rates[STATES.index(state), STATES.index(after)] = rate
    return rates


def _after_event(parameters: ShopParameters, sale: Sale) -> NDArray[np.float64]:
    kernels = np.tile(np.eye(len(STATES)), (len(TYPES), 1, 1))
    for kind, by_state in parameters.after_event.items():
        for state, shares in by_state.items():
            row = kernels[TYPES.index(kind), STATES.index(state)]
            row[:] = 0
            for after, share in shares.items():
                row[STATES.index(after)] = share
    carts = kernels[TYPES.index("add_to_cart")]
    for state_index in (_BROWSE, _COMPARE):
        carts[state_index] *= 1 - sale.idle_cart
        carts[state_index, state_index] += sale.idle_cart
    return kernels


class Calendar(NamedTuple):
    """When each regime holds: ``regimes[i]`` from ``starts[i]`` until ``starts[i + 1]``.

    Attributes
    ----------
    starts
        Epoch milliseconds, ascending, one more than there are regimes (the last is the end), shape (spans +
        1,).
    regimes
        Index into the matrices of `Generators`, shape (spans,).
    activity
        Relative rate of arrivals in each span, shape (spans,).
    """

    starts: NDArray[np.int64]
    regimes: NDArray[np.int64]
    activity: NDArray[np.float64]


def calendar(parameters: ShopParameters, start: int, first: int, end: int) -> Calendar:
    """Lay the regimes over [first, end).

    Parameters
    ----------
    parameters
        The shop.
    start
        Where the simulation's day 0 begins (a sale counts from there), epoch milliseconds.
    first, end
        The span to cover, epoch milliseconds.
    """
    parts = parameters.day_parts
    days = np.arange(first // DAY_MS, end // DAY_MS + 1, dtype=np.int64) * DAY_MS
    hours = np.array([part.from_hour for part in parts], dtype=np.int64) * _HOUR_MS
    starts = (days[:, None] + hours[None, :]).ravel()
    sale = parameters.sale
    window = (
        (0, 0)
        if sale is None
        else (start + round(sale.from_day * DAY_MS), start + round(sale.to_day * DAY_MS))
    )
    starts = np.unique(np.concatenate([starts, [edge for edge in window if first < edge < end]])).astype(
        np.int64
    )
    starts = np.concatenate([[first], starts[(starts > first) & (starts < end)]]).astype(np.int64)
    part_of = np.searchsorted(hours, starts % DAY_MS, side="right") - 1
    on_sale = (starts >= window[0]) & (starts < window[1])
    activity = np.array([part.activity for part in parts])[part_of]
    return Calendar(np.append(starts, end), part_of + len(parts) * on_sale, activity)
