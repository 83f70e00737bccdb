"""What came of actions so far: buyers among those who were contacted, and among those held out.

The window is the horizon of the scores, and the first action of a customer since somebody looks is what counts, also
over logins: this is the first impression. ``intent uplift`` measures over longer windows, with every action of the
topic, and checks that the arms were divided by chance.
"""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, NamedTuple

from features.durations import duration_words
from features.sequence import LEAST_BUYERS, boundary
from stream.decisions.holdout import Assignment
from stream.messages.action import Action
from stream.serving.live.shown import ArmOutcome, Outcome
from stream.texts import counted

#: Customers whose actions are remembered; of older ones the counts stay.
MOST_ACTED: Final = 50_000
#: Customers whose purchases are remembered, and purchases of each.
MOST_BUYERS: Final = 20_000
_PURCHASES: Final = 8
_ARMS: Final = ("holdout", "treatment")


@dataclass(slots=True)
class _Acted:
    decided_at: int
    arm: int
    experiment: str
    bought: bool = False
    closed: bool = False


class Arms(NamedTuple):
    """Customers and buyers of a version of the experiment; holdout first, then treatment."""

    customers: tuple[int, int]
    buyers: tuple[int, int]


class Difference(NamedTuple):
    """Share of buyers, treatment less holdout; the ends of the interval; whether there are enough buyers."""

    value: float
    low: float
    high: float
    known: bool


class Outcomes:
    """Follows who was acted on, and who bought."""

    def __init__(self) -> None:
        self._acted: OrderedDict[str, _Acted] = OrderedDict()
        self._purchases: OrderedDict[str, list[int]] = OrderedDict()
        self._closing: list[tuple[int, str]] = []
        self._counts: dict[str, list[list[int]]] = {}
        self._persons: OrderedDict[str, str] = OrderedDict()  # ids that were merged, and into whom
        self._window_ms: int | None = None

    def use_window(self, window_ms: int) -> None:
        """Say how long after an action a purchase counts; windows that have closed stay as they were."""
        if window_ms != self._window_ms:
            self._window_ms = window_ms
            for customer, acted in self._acted.items():
                acted.bought = acted.bought or self._bought(customer, acted)

    def act(self, action: Action) -> None:
        """Take an action: the first of a customer is compared."""
        customer = self._person(action.customer_id)
        if action.arm not in _ARMS or customer in self._acted:
            return
        acted = _Acted(action.decided_at, _ARMS.index(action.arm), action.experiment)
        acted.bought = self._bought(customer, acted)
        self._acted[customer] = acted
        heapq.heappush(self._closing, (action.decided_at, customer))
        if len(self._acted) > MOST_ACTED:
            self._acted.popitem(last=False)
        if len(self._closing) > 2 * MOST_ACTED:
            self._closing = [one for one in self._closing if one[1] in self._acted]
            heapq.heapify(self._closing)

    def buy(self, customer: str, time_ms: int) -> None:
        """Take a purchase."""
        customer = self._person(customer)
        times = self._purchases.setdefault(customer, [])
        self._purchases.move_to_end(customer)
        if time_ms in times:
            return
        times.append(time_ms)
        del times[:-_PURCHASES]
        if len(self._purchases) > MOST_BUYERS:
            self._purchases.popitem(last=False)
        self._look(customer)

    def _person(self, customer: str) -> str:
        while (merged := self._persons.get(customer)) is not None:
            customer = merged
        return customer

    def _look(self, customer: str) -> None:
        acted = self._acted.get(customer)
        if acted is not None and not acted.bought and self._bought(customer, acted):
            acted.bought = True
            if acted.closed:  # read late: another partition had brought the clock further
                self._counts[acted.experiment][acted.arm][1] += 1

    def merge(self, anonymous: str, customer: str) -> None:
        """Take two ids for one person's, as a login tells: the first action is compared, and all that either buys."""
        self._persons.pop(customer, None)
        self._persons[anonymous] = customer
        if len(self._persons) > MOST_ACTED:
            self._persons.popitem(last=False)
        acted, own = self._acted.pop(anonymous, None), self._acted.get(customer)
        if acted is not None and (
            own is None or (not own.closed and (acted.closed or acted.decided_at < own.decided_at))
        ):
            self._acted[customer] = acted
            heapq.heappush(self._closing, (acted.decided_at, customer))
        for time_ms in self._purchases.pop(anonymous, []):
            self.buy(customer, time_ms)
        self._look(customer)

    def bought_at(self, customer: str, since_ms: int) -> int | None:
        """Return when a customer first bought after a moment, ``None`` for not at all."""
        times = self._purchases.get(self._person(customer), [])
        return min((time for time in times if time > since_ms), default=None)

    def forget(self, customer: str) -> None:
        """Let go of a customer; the counts stay, which name nobody."""
        self._acted.pop(customer, None)
        self._purchases.pop(customer, None)
        self._persons.pop(customer, None)

    def at(self, now_ms: int) -> Outcome:
        """Return what came of the actions whose window has closed by now."""
        self._close(now_ms)
        versions = [
            (share_of(name), Arms((held[0], treated[0]), (held[1], treated[1])))
            for name, (held, treated) in self._counts.items()
        ]
        holdout, treatment = (
            ArmOutcome(
                sum(one.customers[arm] for _, one in versions), sum(one.buyers[arm] for _, one in versions)
            )
            for arm in (0, 1)
        )
        seconds = None if self._window_ms is None else self._window_ms / 1000
        waiting = sum(not acted.closed for acted in self._acted.values())
        found = difference(versions)
        detail = _sentence(found, holdout, treatment, self._window_ms, waiting)
        if not found.known:
            return Outcome(seconds, treatment, holdout, waiting, None, None, None, detail)
        return Outcome(seconds, treatment, holdout, waiting, found.value, found.low, found.high, detail)

    def _close(self, now_ms: int) -> None:
        if self._window_ms is None:
            return
        while self._closing and self._closing[0][0] + self._window_ms <= now_ms:
            decided_at, customer = heapq.heappop(self._closing)
            acted = self._acted.get(customer)
            if acted is None or acted.closed or acted.decided_at != decided_at:
                continue  # forgotten meanwhile
            acted.closed = True
            counts = self._counts.setdefault(acted.experiment, [[0, 0], [0, 0]])[acted.arm]
            counts[0] += 1
            counts[1] += acted.bought

    def _bought(self, customer: str, acted: _Acted) -> bool:
        if self._window_ms is None:
            return False
        first = self.bought_at(customer, acted.decided_at)
        return first is not None and first <= acted.decided_at + self._window_ms


def share_of(experiment: str) -> float | None:
    """Return the share of an experiment's compared customers that is held out; ``None`` where its name has none."""
    shares = Assignment.shares_of_name(experiment)
    if shares is None or shares[1] >= 1:
        return None
    return shares[0] / (1 - shares[1])


def difference(versions: list[tuple[float | None, Arms]]) -> Difference:
    """Compare the arms, each version of the experiment for itself, with an interval that holds at every look.

    The same as `offline.uplift.effects.effect_sequence` makes of buyers without CUPED; a test compares them.

    Parameters
    ----------
    versions
        Held-out share and counts of each; a share that is not known is that of the customers.
    """
    usable = [(share, arms) for share, arms in versions if min(arms.customers) > 1]
    total = sum(sum(arms.customers) for _, arms in usable)
    value = variance = rare = information = 0.0
    first = None
    for share, arms in usable:
        count = sum(arms.customers)
        held = arms.customers[0] / count if share is None or not 0 < share < 1 else share
        means = [bought / customers for bought, customers in zip(arms.buyers, arms.customers, strict=True)]
        own = [mean * (1 - mean) * n / (n - 1) for mean, n in zip(means, arms.customers, strict=True)]
        both = sum(one * n for one, n in zip(own, arms.customers, strict=True)) / count
        weight = count / total
        value += weight * (means[1] - means[0])
        variance += weight**2 * sum(max(one, both) / n for one, n in zip(own, arms.customers, strict=True))
        bought = sum(arms.buyers)
        rare += min(bought, count - bought) * min(held, 1 - held)
        first = held * (1 - held) if first is None else first
        information += count * first / (held * (1 - held))
    if not variance or rare < LEAST_BUYERS:
        return Difference(value, math.nan, math.nan, False)
    wide = float(boundary(information)) * math.sqrt(variance)
    return Difference(value, value - wide, value + wide, True)


def _sentence(
    found: Difference, holdout: ArmOutcome, treatment: ArmOutcome, window_ms: int | None, waiting: int
) -> str:
    if not treatment.customers + holdout.customers:
        if not waiting:
            return "Nothing can be told yet: there were no actions."
        return f"Nothing can be told yet: the windows of all {waiting:,} customers are open."
    if not found.known:
        bought, customers = treatment.buyers + holdout.buyers, treatment.customers + holdout.customers
        return (
            f"No lift is shown yet: of {counted(customers, 'customer')} {bought:,} bought, too few to tell an effect "
            "from chance."
        )
    within = "" if window_ms is None else f" within {duration_words(window_ms)}"
    told = "" if found.low > 0 or found.high < 0 else "No effect can be told yet: "
    return (
        f"{told}{treatment.buyers / treatment.customers:.1%} of the contacted customers bought{within}, "
        f"{holdout.buyers / holdout.customers:.1%} of those held out; a difference of {100 * found.value:+.1f} points "
        f"(between {100 * found.low:+.1f} and {100 * found.high:+.1f})."
    )
