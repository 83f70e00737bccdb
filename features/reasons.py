"""Reasons in words: which columns mean the same, and what each group of them says about a customer.

`GROUPS` is the one table: every column belongs to exactly one group, whose effect is the sum of its columns' effects. A
group's text speaks of one number of the customer's own, in plain English. Texts state facts; whether a fact makes a
purchase more or less likely is the sign of the effect.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compiled import njit
from features.counts import counted
from features.vector import COLUMN_NAMES, DECAYED_INPUTS, NEVER_S

#: Reasons of a score at most.
MOST: Final = 3
#: Smaller effects on the log-odds are no reasons.
LEAST_EFFECT: Final = 0.05

_AT: Final = {name: at for at, name in enumerate(COLUMN_NAMES)}
_NEVER_DAYS: Final = round(NEVER_S / 86_400)
_UNITS: Final = ((86_400, 36 * 3_600, "day"), (3_600, 5_400, "hour"), (60, 90, "minute"), (1, 0, "second"))
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_WHOLE_FROM: Final = 1000  # larger quantities are said without a decimal
_REPEATED: Final = 2  # from this many on there is an earlier one

# Few counts occur again and again.
_counted = lru_cache(1 << 14)(partial(counted, digits=1))

Said = tuple[float, str]
#: A vector as plain numbers.
Row = Sequence[float]


class Naming(NamedTuple):
    """What texts name that is not in the vector: the shop's currency, and the segments by id."""

    currency: str
    segments: Sequence[str]


class Group(NamedTuple):
    """Columns that mean the same; ``say`` returns the number that the text speaks of, and the text."""

    key: str
    columns: tuple[str, ...]
    say: Callable[[Row, Naming], Said]


def span(seconds: float) -> tuple[int, str]:
    """Return a duration in one unit.

    Examples
    --------
    >>> span(50), span(89.8), span(86_400 * 12.2)
    ((50, 'second'), (1, 'minute'), (12, 'day'))
    """
    for size, least, unit in _UNITS:
        if seconds >= least - 0.5:
            return round(seconds / size), unit
    return 0, "second"


def _ago(what: str, seconds: float) -> Said:
    number, unit = span(seconds)
    return number, f"{what} {_counted(number, unit)} ago" if number else f"{what} just now"


def _never(noun: str, row: Row) -> Said:
    """Return that something was not done: ever, or for as long as features look back."""
    if row[_AT["tenure"]] < NEVER_S:
        return 0, f"no {noun} so far"
    return _NEVER_DAYS, f"no {noun} in the last {_NEVER_DAYS} days"


def _done(event: str, did: str, noun: str) -> Callable[[Row, Naming], Said]:
    """Return what says how often something was done in this session, else how long ago."""
    count_at, since_at = _AT[f"session_{event}"], _AT[f"since_{event}"]

    def say(row: Row, naming: Naming) -> Said:
        if row[count_at] >= 1:
            count = round(row[count_at])
            return count, f"{did} {_counted(count, 'time')} in this session"
        return _never(noun, row) if row[since_at] >= NEVER_S else _ago(f"last {noun}", row[since_at])

    return say


_searched = _done("search", "searched", "search")
_listed = _done("view_item_list", "looked at lists of items", "look at a list of items")
_looked = _done("view_item", "looked at items", "look at an item")
_removed = _done("remove_from_cart", "removed items from the cart", "removal from the cart")
_checkout = _done("begin_checkout", "began the checkout", "checkout")
_bought = _done("purchase", "bought", "purchase")


def _items(row: Row, naming: Naming) -> Said:
    views = round(row[_AT["session_view_item"]])
    items = min(round(row[_AT["session_items"]]), views)
    if items < 1:  # no view in this session, or views that name no item
        return _looked(row, naming)
    return items, f"looked at {_counted(items, 'item')} in this session"


def _cart(row: Row, naming: Naming) -> Said:
    quantity = row[_AT["cart_quantity"]]
    pieces = round(quantity, 1) if quantity < _WHOLE_FROM else round(quantity)
    if pieces <= 0:
        return 0, "nothing in the cart"
    return pieces, f"{_counted(pieces, 'piece')} in the cart"


def _last_purchase(row: Row, naming: Naming) -> Said:
    return _bought(row, naming) if row[_AT["purchases"]] >= 1 else (0, "never bought")


def _purchases(row: Row, naming: Naming) -> Said:
    count = round(row[_AT["purchases"]])
    return (count, f"bought {_counted(count, 'time')} so far") if count else (0, "never bought")


def _rhythm(row: Row, naming: Naming) -> Said:
    mean = row[_AT["purchase_gap_mean"]]
    if row[_AT["purchases"]] < _REPEATED:
        return _REPEATED, f"fewer than {_REPEATED} purchases so far"
    if mean >= NEVER_S:
        return _NEVER_DAYS, f"{_NEVER_DAYS} days or more between purchases"
    number, unit = span(mean)
    return number, f"{_counted(number, unit)} between purchases on average"


def _spend(row: Row, naming: Naming) -> Said:
    amount = round(row[_AT["spend"]])
    if row[_AT["spend"]] <= 0:
        return 0, "no money spent so far"
    return (amount, f"spent {amount:,} {naming.currency} so far") if amount else (
        1, f"spent less than 1 {naming.currency} so far")  # fmt: skip


def _refund(row: Row, naming: Naming) -> Said:
    since = row[_AT["since_refund"]]
    return _never("refund", row) if since >= NEVER_S else _ago("last refund", since)


def _session(row: Row, naming: Naming) -> Said:
    count = round(row[_AT["session_events"]])
    return count, f"{_counted(count, 'action')} in this session"


def _pace(row: Row, naming: Naming) -> Said:
    gap = row[_AT["gap_1"]]
    if row[_AT["events"]] < _REPEATED:
        return 0, "no earlier action"
    if gap >= NEVER_S:
        return _NEVER_DAYS, f"{_NEVER_DAYS} days or more since the action before"
    number, unit = span(gap)
    return (number, f"{_counted(number, unit)} since the action before") if number else (
        0, "right after the action before")  # fmt: skip


def _last_visit(row: Row, naming: Naming) -> Said:
    gap = row[_AT["session_gap"]]
    if row[_AT["sessions"]] < _REPEATED:
        return 0, "first visit"
    if gap >= NEVER_S:
        return _NEVER_DAYS, f"last visit {_NEVER_DAYS} days ago or earlier"
    return _ago("last visit", gap)


def _repeats(row: Row, naming: Naming) -> Said:
    count = round(row[_AT["item_repeats"]])
    if count == 0:
        return 0, "no item looked at yet"
    return count, f"came to the same item {_counted(count, 'time')} lately"


def _tenure(row: Row, naming: Naming) -> Said:
    tenure = row[_AT["tenure"]]
    if tenure >= NEVER_S:
        return _NEVER_DAYS, f"first seen {_NEVER_DAYS} days ago or earlier"
    return _ago("first seen", tenure)


def _visits(row: Row, naming: Naming) -> Said:
    count = round(row[_AT["sessions"]])
    return count, f"{_counted(count, 'visit')} so far"


def _turn(row: Row, name: str) -> float:
    """Return which part of the day or week has passed, 0 to 1."""
    angle = math.atan2(row[_AT[f"{name}_sin"]], row[_AT[f"{name}_cos"]])
    return angle / (2 * math.pi) % 1.0


def _time_of_day(row: Row, naming: Naming) -> Said:
    hour = round(_turn(row, "hour") * 24) % 24
    return hour, f"the time of day, about {hour}:00"


def _day_of_week(row: Row, naming: Naming) -> Said:
    day = int(_turn(row, "weekday") * 7 + 1e-6) % 7
    return day + 1, f"the day of the week, a {_DAYS[day]}"


def _channel(row: Row, naming: Naming) -> Said:
    shares = {"on the web": "channel_web", "in the app": "channel_app", "in the store": "channel_store"}
    where, share = max(
        ((place, row[_AT[name]]) for place, name in shares.items()), key=lambda found: found[1]
    )
    percent = round(100 * share)
    return percent, f"{percent}% of actions {where}" if percent else "no actions with a channel"


def _segment(row: Row, naming: Naming) -> Said:
    rank = round(row[_AT["segment"]])
    name = naming.segments[rank] if 0 <= rank < len(naming.segments) else "unknown"
    return rank, f"in segment {rank}, “{name}”"


def _about(event: str) -> tuple[str, ...]:
    """Return recency, count and decayed counters of an event type."""
    halves = (f"{name}_{half}" for name, half in DECAYED_INPUTS if name == event)
    return (f"since_{event}", f"session_{event}", *halves)


GROUPS: Final = (
    Group("items_viewed", (*_about("view_item"), "session_items"), _items),
    Group("lists_viewed", _about("view_item_list"), _listed),
    Group("searches", _about("search"), _searched),
    Group("cart", (*_about("add_to_cart"), "cart_value", "cart_quantity"), _cart),
    Group("removed_from_cart", _about("remove_from_cart"), _removed),
    Group("checkout", _about("begin_checkout"), _checkout),
    Group("last_purchase", _about("purchase"), _last_purchase),
    Group("purchases", ("purchases",), _purchases),
    Group("purchase_rhythm", ("purchase_gap", "purchase_gap_mean", "purchase_overdue"), _rhythm),
    Group("spend", ("spend", "order_value"), _spend),
    Group("refund", ("since_refund",), _refund),
    Group("session", ("session_age", "session_events"), _session),
    Group("pace", ("gap_1", "gap_2", "gap_3", "gap_smoothed"), _pace),
    Group("last_visit", ("session_gap",), _last_visit),
    Group("item_repeats", ("item_repeats",), _repeats),
    Group("first_seen", ("tenure",), _tenure),
    Group("visits", ("events", "sessions"), _visits),
    Group("time_of_day", ("hour_sin", "hour_cos"), _time_of_day),
    Group("day_of_week", ("weekday_sin", "weekday_cos"), _day_of_week),
    Group("channel", ("channel_web", "channel_app", "channel_store"), _channel),
    Group("segment", ("segment",), _segment),
)

_GROUP_OF: Final = np.array(
    [next(at for at, group in enumerate(GROUPS) if name in group.columns) for name in COLUMN_NAMES]
)


def grouped(effects: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the effect of every group, shape ``(rows, len(GROUPS))``, from that of every column."""
    out = np.zeros((len(effects), len(GROUPS)))
    _add_up(effects, _GROUP_OF, out)
    return out


def strongest(effects: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return for each row the `MOST` groups with the largest absolute effects, largest first."""
    out = np.empty((len(effects), MOST), np.intp)
    _pick(effects, out)
    return out


@njit(cache=True, nogil=True)
def _add_up(
    effects: NDArray[np.float64], group_of: NDArray[np.intp], out: NDArray[np.float64]
) -> None:  # pragma: no cover
    for i in range(effects.shape[0]):
        for j in range(effects.shape[1]):
            out[i, group_of[j]] += effects[i, j]


@njit(cache=True, nogil=True)
def _pick(effects: NDArray[np.float64], out: NDArray[np.intp]) -> None:  # pragma: no cover
    for i in range(effects.shape[0]):
        for place in range(out.shape[1]):
            best, largest = 0, -1.0
            for group in range(effects.shape[1]):
                taken = False
                for earlier in range(place):
                    taken = taken or out[i, earlier] == group
                if not taken and abs(effects[i, group]) > largest:
                    best, largest = group, abs(effects[i, group])
            out[i, place] = best
