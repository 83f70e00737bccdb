"""Who was about to buy at the last moment of a log whose horizon is over, and who then did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from features.calendar import zone
from features.labels import LabelStart, label_starts
from stream.messages.score import Score


class Foreseen(NamedTuple):
    """A score, and after how many milliseconds the customer bought; None where that did not happen."""

    score: Score
    bought_ms: int | None


class LastLook(NamedTuple):
    """The customers whose score was open at a moment, the most likely buyer first.

    Attributes
    ----------
    at_ms
        The moment: a horizon before the last score, so that all outcomes are known. Epoch ms.
    horizon_ms
        How far the scores look ahead.
    """

    at_ms: int
    horizon_ms: int
    customers: list[Foreseen]

    @property
    def buyers(self) -> int:
        """How many of the customers bought."""
        return sum(one.bought_ms is not None for one in self.customers)


def last_look(scores: Sequence[Score], label_start: LabelStart, timezone: str) -> LastLook:
    """Look at the scores of a whole log, those of a customer in order.

    Parameters
    ----------
    label_start, timezone
        From which moment on a purchase counts (`features.labels`).
    """
    horizon_ms = max((round(score.horizon_seconds * 1000) for score in scores), default=0)
    at_ms = max((score.as_of for score in scores), default=0) - horizon_ms
    latest: dict[str, Score] = {}
    purchases: dict[str, list[int]] = {}
    for score in scores:
        before = latest.get(score.customer_id)
        if score.as_of <= at_ms and (before is None or score.as_of >= before.as_of):
            latest[score.customer_id] = score
        if score.purchase:
            purchases.setdefault(score.customer_id, []).append(score.event_time)
    present = [s for s in latest.values() if not s.purchase and s.as_of + horizon_ms > at_ms]
    present.sort(key=lambda score: (-score.purchase_intent, score.customer_id))
    starts = label_starts(np.array([s.as_of for s in present], np.int64), label_start, zone(timezone))
    customers = []
    for score, start in zip(present, starts.tolist(), strict=True):
        times = purchases.get(score.customer_id, ())
        bought = [time for time in times if start < time <= score.as_of + horizon_ms]
        customers.append(Foreseen(score, min(bought) - score.as_of if bought else None))
    return LastLook(at_ms, horizon_ms, customers)
