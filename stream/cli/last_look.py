"""Who was about to buy at the last moment of a log whose horizon is over, and who then did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.calendar import zone
from features.labels import POSITIVE, UNKNOWN, LabelStart, horizon_labels, label_starts
from stream.messages.score import Score

# With fewer earlier scores that are alike, a share of them is mostly chance.
_ENOUGH: Final = 100


class Foreseen(NamedTuple):
    """A score, and after how many milliseconds the customer bought; None where that did not happen."""

    score: Score
    bought_ms: int | None


class Silences(NamedTuple):
    """Earlier scores of a log, one entry each: how long the customer was silent then, and what came.

    Attributes
    ----------
    intent
        The published probability.
    silent_ms
        Until the customer's next event; very long where there was none.
    bought
        Whether the customer bought within the horizon.
    """

    intent: NDArray[np.float64]
    silent_ms: NDArray[np.int64]
    bought: NDArray[np.bool_]

    def kept(self, least: float, silent_ms: int) -> float | None:
        """Return which part of their promise scores of at least this probability kept after so long a silence.

        ``None`` where there were too few of them to tell.
        """
        alike = (self.intent >= least) & (self.silent_ms > silent_ms)
        promised = float(self.intent[alike].sum())
        return float(self.bought[alike].sum()) / promised if alike.sum() >= _ENOUGH and promised else None


class LastLook(NamedTuple):
    """The customers whose score was open at a moment, the most likely buyer first.

    Attributes
    ----------
    at_ms
        The moment: a horizon before the last score, so that all outcomes are known. Epoch ms.
    horizon_ms
        How far the scores look ahead.
    before
        What came of earlier scores of the log.
    """

    at_ms: int
    horizon_ms: int
    customers: list[Foreseen]
    before: Silences

    @property
    def buyers(self) -> int:
        """How many of the customers bought."""
        return sum(one.bought_ms is not None for one in self.customers)

    def expected(self, shown: Sequence[Foreseen]) -> float | None:
        """Return how many of these customers were to be expected to buy; ``None`` where the log does not tell.

        A probability is of the customer's last event. The customer has been silent since, and whoever is about to buy
        seldom is, so the sum of the probabilities would promise too many. Each one counts only in part: the part that
        earlier scores of the log, at least as high as the lowest of these, kept after as long a silence.
        """
        least = min((one.score.purchase_intent for one in shown), default=0.0)
        parts = [
            (one.score.purchase_intent, self.before.kept(least, self.at_ms - one.score.as_of))
            for one in shown
        ]
        known = [intent * part for intent, part in parts if part is not None]
        return sum(known) if len(known) == len(parts) else None


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
    return LastLook(at_ms, horizon_ms, customers, _before(scores, at_ms, horizon_ms, label_start, timezone))


def _before(
    scores: Sequence[Score], at_ms: int, horizon_ms: int, label_start: LabelStart, timezone: str
) -> Silences:
    """Return what came of the scores whose horizon was over at a moment."""
    number: dict[str, int] = {}
    customers = np.array([number.setdefault(s.customer_id, len(number)) for s in scores], np.int64)
    as_of = np.array([s.as_of for s in scores], np.int64)
    intent = np.array([s.purchase_intent for s in scores], np.float64)
    purchases = np.array([s.event_time if s.purchase else -1 for s in scores], np.int64)
    labels = horizon_labels(
        customers, as_of, purchases,
        horizon_ms=horizon_ms, start=label_start, zone=zone(timezone), end=at_ms,
    )  # fmt: skip
    silent_ms = np.full(len(scores), np.iinfo(np.int64).max)
    order = np.argsort(customers, kind="stable")
    follows = np.flatnonzero(customers[order][1:] == customers[order][:-1])
    silent_ms[order[follows]] = np.diff(as_of[order])[follows]
    known = (labels != UNKNOWN) & (purchases < 0)
    return Silences(intent[known], silent_ms[known], labels[known] == POSITIVE)
