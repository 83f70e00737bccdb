"""The whole measurement: the division first, then conversion and revenue, over days and by groups."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from offline.uplift.assignment import Assigned, assigned
from offline.uplift.effects import Effect, Group, effect_sequence, effects_by
from offline.uplift.effects import Sequence as EffectSequence
from offline.uplift.mismatch import Check, checks
from offline.uplift.outcomes import Outcomes, Payments, outcomes

DAY_MS: Final = 86_400_000
CONVERSION, REVENUE = "bought", "revenue"


@dataclass(frozen=True)
class Uplift:
    """What the actions of an experiment did.

    Attributes
    ----------
    window_ms
        In which purchases count, after a customer's first action.
    shares
        The share that is held out, by version.
    assigned, outcomes, payments
        See there.
    checks
        Tests of the division. Where one failed, nothing is compared: `overall` and the rest are empty.
    overall
        Conversion and, where money is known, revenue, at the end of every day.
    versions
        The same for each version by itself, as of now; empty where there is only one.
    groups
        Conversion by action and by segment.
    """

    window_ms: int
    shares: Mapping[str, float]
    assigned: Assigned
    outcomes: Outcomes
    payments: Payments
    checks: Sequence[Check]
    overall: Mapping[str, EffectSequence]
    versions: Mapping[str, Effect]
    groups: Mapping[str, Sequence[Group]]

    @property
    def failed(self) -> list[Check]:
        """The tests that say that the arms were not divided by chance, the least probable one first."""
        return sorted((check for check in self.checks if check.failed), key=lambda check: check.p_value)


def measure(
    actions: pd.DataFrame,
    paid: Payments,
    window_ms: int,
    shares: Mapping[str, float],
    by: Sequence[str] = ("action", "segment"),
    several: Collection[str] = (),
) -> Uplift:
    """Measure what actions did.

    Parameters
    ----------
    actions
        Has `offline.uplift.assignment.ACTION_COLUMNS`.
    paid
        Purchases and refunds of everybody.
    window_ms
        In which purchases count, after a customer's first action.
    shares
        The share that is held out, by version; has every version of ``actions``.
    by
        Columns of the first action to compare within.
    several
        Which customers are people of several ids; their ``customer_id`` is the same one in actions and payments.
    """
    who = assigned(actions, several)
    found = outcomes(who.customers, paid, window_ms)
    tested = checks(who.customers, shares) if len(who.customers) else []
    result = Uplift(window_ms, shares, who, found, paid, tested, {}, {}, {})
    if result.failed or not len(found.customers):
        return result
    customers = found.customers
    values = [CONVERSION] if paid.currency is None else [CONVERSION, REVENUE]
    looks = days(customers["closes_at"].to_numpy(), paid.end)
    now = looks[-1:]
    versions = customers["experiment"].astype(str)
    names = versions.drop_duplicates().tolist()
    return Uplift(
        window_ms,
        shares,
        who,
        found,
        paid,
        tested,
        {value: effect_sequence(customers, value, looks, shares) for value in values},
        {name: effect_sequence(customers[versions == name], CONVERSION, now, shares).at() for name in names}
        if len(names) > 1
        else {},
        {column: effects_by(customers, column, CONVERSION, int(now[0]), shares) for column in by},
    )


def days(closes: NDArray[np.int64], end: int) -> NDArray[np.int64]:
    """Return the ends of all days (UTC) on which windows closed, and ``end``: when somebody may have looked."""
    first = int(closes.min()) // DAY_MS + 1
    return np.append(np.arange(first, end // DAY_MS + 1, dtype=np.int64) * DAY_MS, end).astype(np.int64)
