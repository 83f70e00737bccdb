"""Reasons in words: which columns mean the same, and what each group of them says about a customer.

`GROUPS` is the one table: every column belongs to exactly one group, whose effect is the sum of its columns' effects. A
group's text speaks of one number of the customer's own, in plain English. Texts state facts; whether a fact makes a
purchase more or less likely is the sign of the effect.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compiled import kernel
from features.phrases import Measure, Phrase, Phrasebook
from features.vector import COLUMN_NAMES, DECAYED_INPUTS, NEVER_S

#: Reasons of a score at most.
MOST: Final = 3
#: Smaller effects on the log-odds are no reasons.
LEAST_EFFECT: Final = 0.05

_NEVER_DAYS: Final = round(NEVER_S / 86_400)
_REPEATED: Final = 2  # from this many on there is an earlier one
_LEAST_MONEY: Final = 0.005


class Group(NamedTuple):
    """Columns that mean the same, and what is said of them: the first phrase that holds."""

    key: str
    columns: tuple[str, ...]
    phrases: tuple[Phrase, ...]


def _count(text: str, column: str, noun: str) -> Phrase:
    return Phrase(text, Measure.COUNT, column, noun=noun)


def _ago(what: str, since: str) -> tuple[Phrase, ...]:
    """Return how long ago something was, unless it was never."""
    ever = (since, NEVER_S)
    return (
        Phrase(f"{what} {{}} ago", Measure.SPAN, since, below=ever),
        Phrase(f"{what} just now", below=ever),
    )


def _never(noun: str) -> tuple[Phrase, ...]:
    """Return that something was not done: ever, or for as long as features look back."""
    return (
        Phrase(f"no {noun} so far", below=("tenure", NEVER_S)),
        Phrase(f"no {noun} in the last {_NEVER_DAYS} days", given=_NEVER_DAYS),
    )


def _done(event: str, did: str, noun: str) -> tuple[Phrase, ...]:
    """Return how often something was done in this session, else how long ago."""
    return (
        _count(f"{did} {{}} in this session", f"session_{event}", "time"),
        *_ago(f"last {noun}", f"since_{event}"),
        *_never(noun),
    )


def _about(event: str) -> tuple[str, ...]:
    """Return recency, count and decayed counters of an event type."""
    halves = (f"{name}_{half}" for name, half in DECAYED_INPUTS if name == event)
    return (f"since_{event}", f"session_{event}", *halves)


_ITEMS: Final = (
    # Distinct items are estimated, views are counted.
    Phrase("looked at {} in this session", Measure.LESSER, "session_items", "session_view_item", "item"),
    *_done("view_item", "looked at items", "look at an item"),
)
_CART: Final = (
    Phrase("{} in the cart", Measure.PIECES, "cart_quantity", noun="piece"),
    Phrase("nothing in the cart"),
)
_LAST_PURCHASE: Final = (
    Phrase("never bought", below=("purchases", 1)),
    *_done("purchase", "bought", "purchase"),
)
_PURCHASES: Final = (_count("bought {} so far", "purchases", "time"), Phrase("never bought"))
_RHYTHM: Final = (
    Phrase(
        f"fewer than {_REPEATED} purchases so far",
        below=("purchases", _REPEATED),
        given=_REPEATED,
    ),
    Phrase(
        "{} between purchases on average",
        Measure.SPAN,
        "purchase_gap_mean",
        below=("purchase_gap_mean", NEVER_S),
    ),
    Phrase("0 seconds between purchases on average", below=("purchase_gap_mean", NEVER_S)),
    Phrase(f"{_NEVER_DAYS} days or more between purchases", given=_NEVER_DAYS),
)
_SPEND: Final = (
    Phrase("spent {} {currency} so far", Measure.MONEY, "spend"),
    Phrase("no money spent so far", below=("spend", _LEAST_MONEY)),
    Phrase("spent less than 1 {currency} so far", given=1),
)
_REFUND: Final = (*_ago("last refund", "since_refund"), *_never("refund"))
_SESSION: Final = (_count("{} in this session", "session_events", "action"),)
_PACE: Final = (
    Phrase("no earlier action", below=("events", _REPEATED)),
    Phrase("{} since the action before", Measure.SPAN, "gap_1", below=("gap_1", NEVER_S)),
    Phrase("right after the action before", below=("gap_1", NEVER_S)),
    Phrase(f"{_NEVER_DAYS} days or more since the action before", given=_NEVER_DAYS),
)
_LAST_VISIT: Final = (
    Phrase("first visit", below=("sessions", _REPEATED)),
    *_ago("last visit", "session_gap"),
    Phrase(f"last visit {_NEVER_DAYS} days ago or earlier", given=_NEVER_DAYS),
)
_REPEATS: Final = (
    _count("came to the same item {} lately", "item_repeats", "time"),
    Phrase("no item looked at yet"),
)
_TENURE: Final = (
    *_ago("first seen", "tenure"),
    Phrase(f"first seen {_NEVER_DAYS} days ago or earlier", given=_NEVER_DAYS),
)
_VISITS: Final = (_count("{} so far", "sessions", "visit"),)
_TIME_OF_DAY: Final = (Phrase("the time of day, about {}:00", Measure.HOUR, "hour_sin", "hour_cos"),)
_DAY_OF_WEEK: Final = (Phrase("the day of the week, a {}", Measure.WEEKDAY, "weekday_sin", "weekday_cos"),)
_CHANNEL: Final = (
    *(
        Phrase(f"{{}}% of actions {where}", Measure.SHARE, f"channel_{name}", "channel_web")
        for name, where in {"web": "on the web", "app": "in the app", "store": "in the store"}.items()
    ),
    Phrase("no actions with a channel"),
)
_SEGMENT: Final = (Phrase("in segment {}, “{}”", Measure.SEGMENT, "segment"),)

GROUPS: Final = (
    Group("items_viewed", (*_about("view_item"), "session_items"), _ITEMS),
    Group(
        "lists_viewed",
        _about("view_item_list"),
        _done("view_item_list", "looked at lists of items", "look at a list of items"),
    ),
    Group("searches", _about("search"), _done("search", "searched", "search")),
    Group("cart", (*_about("add_to_cart"), "cart_value", "cart_quantity"), _CART),
    Group(
        "removed_from_cart",
        _about("remove_from_cart"),
        _done("remove_from_cart", "removed items from the cart", "removal from the cart"),
    ),
    Group("checkout", _about("begin_checkout"), _done("begin_checkout", "began the checkout", "checkout")),
    Group("last_purchase", _about("purchase"), _LAST_PURCHASE),
    Group("purchases", ("purchases",), _PURCHASES),
    Group("purchase_rhythm", ("purchase_gap", "purchase_gap_mean", "purchase_overdue"), _RHYTHM),
    Group("spend", ("spend", "order_value"), _SPEND),
    Group("refund", ("since_refund",), _REFUND),
    Group("session", ("session_age", "session_events"), _SESSION),
    Group("pace", ("gap_1", "gap_2", "gap_3", "gap_smoothed"), _PACE),
    Group("last_visit", ("session_gap",), _LAST_VISIT),
    Group("item_repeats", ("item_repeats",), _REPEATS),
    Group("first_seen", ("tenure",), _TENURE),
    Group("visits", ("events", "sessions"), _VISITS),
    Group("time_of_day", ("hour_sin", "hour_cos"), _TIME_OF_DAY),
    Group("day_of_week", ("weekday_sin", "weekday_cos"), _DAY_OF_WEEK),
    Group("channel", ("channel_web", "channel_app", "channel_store"), _CHANNEL),
    Group("segment", ("segment",), _SEGMENT),
)

#: What is said of groups, by their positions in `GROUPS`.
BOOK: Final = Phrasebook([group.phrases for group in GROUPS])

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


@kernel
def _add_up(
    effects: NDArray[np.float64], group_of: NDArray[np.intp], out: NDArray[np.float64]
) -> None:  # pragma: no cover
    for i in range(effects.shape[0]):
        for j in range(effects.shape[1]):
            out[i, group_of[j]] += effects[i, j]


@kernel
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
