"""Groups of customers by rules that a reader can check: when they last ordered, how often, and for how much.

Every customer is in exactly one group, and the group's name is true of every member at every moment: rules are
applied, not learned. What "lately" and "long ago" mean is taken from the shop's own rhythm, once for the whole log.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.counts import counted
from offline.views.log_view import LogView

DAY: Final = pd.Timedelta(days=1)
#: Customers of many orders have at least so many.
OFTEN: Final = 4
#: Somebody has filled a cart lately who put something into it within so many days.
CART_DAYS: Final = 7

_ACTIVE, _LAPSED, _BEST = (
    0.75,
    0.9,
    0.75,
)  # shares of the pauses that are shorter, of the buyers who spent less
_LEAST_ACTIVE, _LEAST_LAPSED = 7.0, 30.0  # days
_LEAST_PAUSES: Final = 20
_USUAL: Final = (30.0, 90.0)  # days, where the log has too few pauses to know the shop's rhythm


class Bounds(NamedTuple):
    """What the words of the rules mean in one shop.

    Attributes
    ----------
    active, lapsed
        Days: who ordered within the first is active, who was not seen for the second has lapsed.
    money
        What the best quarter of the buyers spent at least.
    known
        Whether the days are those of this shop, rather than usual ones.
    """

    active: float
    lapsed: float
    money: float
    known: bool


class Rule(NamedTuple):
    """A group: its name, its definition in words, and who belongs to it."""

    name: str
    definition: str
    holds: NDArray[np.bool_]


def bounds_of(view: LogView, frame: pd.DataFrame) -> Bounds:
    """Return the bounds of a shop: three in four of its pauses between orders, nine in ten, and the best quarter.

    Parameters
    ----------
    frame
        What is known of the customers at the log's end.
    """
    ordered = view.orders.sort_values(["customer", "time"], kind="stable")
    pauses = ordered.groupby("customer")["time"].diff().dropna() / DAY
    pauses = pauses[pauses >= 1]  # two orders of one visit are no pause
    spent = frame.loc[frame["purchases"] > 0, "monetary"]
    money = float(f"{np.nan_to_num(spent.quantile(_BEST)):.2g}")
    if len(pauses) < _LEAST_PAUSES:
        return Bounds(*_USUAL, money, False)
    active = max(round(float(pauses.quantile(_ACTIVE))), _LEAST_ACTIVE)
    lapsed = max(round(float(pauses.quantile(_LAPSED))), _LEAST_LAPSED, active + 1)
    return Bounds(float(active), float(lapsed), money, True)


def rules(
    frame: pd.DataFrame, bounds: Bounds, *, watched: float, browsing: bool, currency: str
) -> list[Rule]:
    """Return all groups, the least valuable first; together they hold every customer exactly once.

    Parameters
    ----------
    frame
        As `offline.chapters.segments.history.history_at` returns it.
    watched
        Days between the log's first event and the moment of the frame: nobody is new who ordered so early that
        older orders would lie before the log.
    browsing
        Whether the log has visits without an order; then who was seen lately has not lapsed.
    """
    orders, silent = frame["purchases"].to_numpy(), frame["recency"].to_numpy()
    since_order, money = frame["since_order"].to_numpy(), frame["monetary"].to_numpy()
    bought, again, often = orders >= 1, orders >= 2, orders >= OFTEN  # noqa: PLR2004
    active, lapsed = since_order <= bounds.active, silent > bounds.lapsed
    here = bought & active & ~lapsed
    paid = bounds.money > 0
    best = (money >= bounds.money) | (not paid)
    new = here & ~again & (since_order <= watched - bounds.active)
    carts = ~bought & (frame["since_cart"].to_numpy() <= CART_DAYS)
    visits = frame["sessions"].to_numpy()
    a, gone = counted(bounds.active, "day"), counted(bounds.lapsed, "day")
    sign = "not seen" if browsing else "no order"
    lately = f"the last within {a}"
    quiet = f"the last more than {a} ago, but {'seen' if browsing else 'ordered'} within {gone}"
    rich = f"{bounds.money:,.0f} {currency}".strip()
    less = f"less than {rich} in all" + ", or paid in another currency" * bool(np.isnan(money).any())
    found = [
        Rule("First visitors", "one visit, no order", ~bought & ~carts & (visits <= 1)),
        Rule("Repeat visitors", "two visits or more, no order, nothing put into the cart in the last "
             f"{CART_DAYS} days", ~bought & ~carts & (visits > 1)),
        Rule("Cart fillers", f"no order, something put into the cart in the last {CART_DAYS} days", carts),
        Rule("Lapsed one-time buyers", f"one order, {sign} for more than {gone}", bought & ~again & lapsed),
        Rule("Lapsed regulars", f"two orders or more, {sign} for more than {gone}", again & lapsed),
        Rule("One-time buyers", f"one order, {'seen' if browsing else 'placed'} within {gone}, and not new",
             bought & ~again & ~lapsed & ~new),
        Rule("New customers", f"first order within {a}, and none before it in at least {a} of the log", new),
        Rule("At risk", f"two orders or more, {quiet}", again & ~active & ~lapsed),
        Rule("Growing customers", f"two or three orders, {lately}", here & again & ~often),
        Rule("Loyal customers", f"{OFTEN} orders or more, {lately}, {less}", here & often & ~best),
        Rule("Champions", f"{OFTEN} orders or more, {lately}" + f", {rich} or more in all" * paid,
             here & often & best),
    ]  # fmt: skip
    return found


def bounds_text(bounds: Bounds, currency: str) -> str:
    """Return in words where the bounds come from."""
    if not bounds.known:
        return (
            f"{bounds.active:.0f} and {counted(bounds.lapsed, 'day')} are usual values: the log has too few second "
            "orders to know this shop's rhythm."
        )
    text = (
        "Three in four pauses between two orders of a customer are shorter than about "
        f"{counted(bounds.active, 'day')}, nine in ten shorter than about "
        f"{counted(bounds.lapsed, 'day')} (pauses below a day left out, at least "
        f"{_LEAST_ACTIVE:.0f} and {counted(_LEAST_LAPSED, 'day')})."
    )
    if bounds.money > 0:
        text += f" The best quarter of the buyers spent about {bounds.money:,.0f} {currency} or more."
    return text
