"""By which of their ids people are assigned to arms: the one with the earliest first event.

Somebody who browses and then logs in has two ids, and stays in the arm of the first. What is handed over with a state
says by which id its person was assigned, so whoever merges it keeps the earlier one of the two: in any order, and over
any number of ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from features.columns import HAND_OVER, MERGE
from features.fold import Asides
from stream.decisions.holdout import Assignment


class Came(NamedTuple):
    """When a person was there first (epoch ms), and by which id the person is assigned."""

    first_time: int
    assigned: str


def assigned_first(own: Came | None, handed: Came) -> Came:
    """Return by which id a person is assigned of whom two states are merged: the one who was there first.

    Of two first events in the same moment that of the lesser id counts.

    Parameters
    ----------
    own
        Of the state that the other one is merged into; ``None`` where there is none.

    Examples
    --------
    >>> assigned_first(Came(20, "ada"), Came(10, "a-1"))
    Came(first_time=10, assigned='a-1')
    """
    return handed if own is None else min(own, handed)


class Assignees(NamedTuple):
    """By which ids the customers of a round are assigned, where these are others than their own.

    Attributes
    ----------
    before
        By customer, before the round.
    names, at
        For each row of the round the position of the id among the names; -1 for the customer's own.
    """

    before: Mapping[str, str]
    names: Sequence[str]
    at: NDArray[np.int64]

    @classmethod
    def each(cls, names: Sequence[str]) -> Self:
        """Return that each row is assigned by one of these."""
        return cls({}, names, np.arange(len(names)))

    def arms(
        self,
        assignment: Assignment,
        customers: Sequence[str],
        slots: NDArray[np.int64],
        rows: NDArray[np.intp],
    ) -> NDArray[np.uint8]:
        """Return the arm of each of these rows.

        Parameters
        ----------
        slots
            Of each row the position of its customer.
        """
        arms = assignment.arms(customers)[slots]
        at = self.at[rows]
        others = np.flatnonzero(at >= 0)
        if len(others):
            arms[others] = assignment.arms(self.names)[at[others]]
        return arms

    def of(self, customer: str, row: int | None) -> str:
        """Return by whom a customer is assigned: as of a row, or before the round."""
        if row is None:
            return self.before.get(customer, customer)
        return customer if self.at[row] < 0 else self.names[self.at[row]]


class Step(NamedTuple):
    """A row of a round at which it may change by whom a customer is assigned.

    Attributes
    ----------
    row, customer
        Where, and who.
    type
        `HAND_OVER` and `MERGE` as in the fold; at any other row the customer is a new one from here on.
    handed
        By whom the state is assigned that is merged; empty where it was handed over in the same log.
    """

    row: int
    customer: str
    type: int
    handed: str = ""


@dataclass(slots=True)
class Assigning:
    """Finds the assignees of a round: which state was there first is known when they are folded.

    Parameters
    ----------
    before
        By customer the id by which the customer is assigned before the round, where it is another one.
    steps
        In the order of their rows.

    Attributes
    ----------
    now
        As ``before``, after the round.
    given
        By the position of an aside, by whom the state there is assigned.
    """

    before: Mapping[str, str]
    steps: Sequence[Step] = ()
    given: dict[int, str] = field(default_factory=dict)
    now: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.now = dict(self.before)

    def assignees(
        self,
        customers: Sequence[str],
        slots: NDArray[np.int64],
        asides: Asides,
        first_times: NDArray[np.int64],
    ) -> Assignees | None:
        """Return the assignees of a round that was folded; ``None`` where everybody is assigned by the own id.

        Parameters
        ----------
        customers, slots
            The customers of the round, and for each row the position of its own.
        asides, first_times
            See `features.fold.fold` and `features.fold.Folded`.
        """
        if not self.before and not self.steps:
            return None
        positions: dict[str, int] = {}

        def position(customer: str) -> int:
            name = self.now.get(customer)
            return -1 if name is None else positions.setdefault(name, len(positions))

        at = np.fromiter(map(position, customers), np.int64, len(customers))[slots]
        if self.steps:
            steps: dict[int, list[Step]] = {}
            for step in self.steps:
                steps.setdefault(step.row, []).append(step)
            moving = np.unique(slots[list(steps)])
            for row in np.flatnonzero(np.isin(slots, moving)).tolist():
                for step in steps.get(row, ()):
                    self._take(step, asides, first_times)
                at[row] = position(customers[slots[row]])
        return Assignees(self.before, list(positions), at)

    def _take(self, step: Step, asides: Asides, first_times: NDArray[np.int64]) -> None:
        customer = step.customer
        if step.type == MERGE:
            aside = int(asides.at[step.row])
            before, after = first_times[aside].tolist()
            handed = Came(
                int(asides.states["first_time"][aside]), step.handed or self.given.get(aside, customer)
            )
            own = Came(before, self.now.get(customer, customer)) if before else None
            # Of two states that lie further apart than a state lives, only the later one is left.
            found = [one for one in (own, handed) if one is not None and one.first_time == after]
            if found:
                self._assign(customer, found[0] if len(found) == 1 else assigned_first(found[0], found[1]))
            return
        assigned = self.now.pop(customer, customer)
        if step.type == HAND_OVER:
            self.given[int(asides.at[step.row])] = assigned

    def _assign(self, customer: str, came: Came) -> None:
        if came.assigned == customer:
            self.now.pop(customer, None)
        else:
            self.now[customer] = came.assigned
