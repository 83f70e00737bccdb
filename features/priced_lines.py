"""What of a customer may be compared with prices: the lines of the cart, then the entries of the wish list."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compiled import kernel
from features.state import CART_LINES, WISHES, State, States

#: Lines of one customer.
PRICED_LINES: Final = CART_LINES + WISHES


class PricedLines(NamedTuple):
    """Lines of some customers, one row each, `PRICED_LINES` in a row.

    Attributes
    ----------
    items
        Hashes; 0 = no line, or one of no one item.
    units
        What one piece cost then, 0 where that is not known.
    added
        When the line was added, or the item wished.
    """

    items: NDArray[np.uint64]
    units: NDArray[np.float64]
    added: NDArray[np.int64]

    @classmethod
    def blank(cls, count: int) -> PricedLines:
        """Return those of so many customers who have none."""
        shape = (count, PRICED_LINES)
        return cls(np.zeros(shape, np.uint64), np.zeros(shape), np.zeros(shape, np.int64))

    @classmethod
    def of(cls, states: States) -> PricedLines:
        """Return those of some states."""
        lines = cls.blank(len(states))
        _write(states, *lines)
        return lines

    def take(self, rows: NDArray[np.intp]) -> PricedLines:
        """Return those at these positions, of no rows where there are none."""
        return PricedLines(self.items[rows], self.units[rows], self.added[rows]) if len(self.items) else self

    def then(self, others: PricedLines) -> PricedLines:
        """Return these, and others behind them."""
        return PricedLines(
            np.concatenate([self.items, others.items]),
            np.concatenate([self.units, others.units]),
            np.concatenate([self.added, others.added]),
        )


#: Of nobody.
NO_LINES: Final = PricedLines.blank(0)


@kernel
def write_lines(
    s: State, items: NDArray[np.uint64], units: NDArray[np.float64], added: NDArray[np.int64]
) -> None:  # pragma: no cover
    """Write down the lines of one customer; the places are zeros."""
    for i in range(s.cart_lines):
        items[i] = s.cart_items[i]
        if s.cart_money[i] > 0.0 and s.cart_pieces[i] > 0.0:
            units[i] = s.cart_money[i] / s.cart_pieces[i]
        added[i] = s.cart_times[i]
    for i in range(WISHES):
        items[CART_LINES + i] = s.wish_items[i]
        units[CART_LINES + i] = s.wish_prices[i]
        added[CART_LINES + i] = s.wish_times[i]


@kernel
def _write(
    states: States, items: NDArray[np.uint64], units: NDArray[np.float64], added: NDArray[np.int64]
) -> None:  # pragma: no cover
    for i in range(len(states)):
        write_lines(states[i], items[i], units[i], added[i])
