"""Split a log by time: training, calibration and test, with an embargo of one horizon between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.counts import counted
from features.durations import duration_rounded
from features.labels import NEGATIVE
from offline.examples.examples import Examples
from offline.exceptions import TrainingError
from offline.training.needs import LEAST, SPLIT_SHARES, can_be_enough, needs


class Slices(NamedTuple):
    """Positions in `Examples` of the rows to train on, to calibrate on and to test on."""

    train: NDArray[np.int64]
    calibration: NDArray[np.int64]
    test: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Split:
    """Where the time of a log is cut: training, calibration and test, one embargo apart.

    An example belongs to a slice if it lies in it with its whole horizon, so no label looks into a later
    slice.

    Attributes
    ----------
    begin, calibration, test, end
        Where training, calibration and test begin, and where the test ends, epoch ms.
    horizon_ms
        The embargo before ``calibration`` and before ``test``.
    """

    begin: int
    calibration: int
    test: int
    end: int
    horizon_ms: int

    def slices(self, examples: Examples) -> Slices:
        """Return the usable examples of each slice, in order of time."""
        usable, as_of = examples.usable, examples.as_of

        def rows(start: int, end: int) -> NDArray[np.int64]:
            found = np.flatnonzero(usable & (as_of >= start) & (as_of < end))
            return found[np.argsort(as_of[found], kind="stable")]

        return Slices(
            rows(self.begin, self.calibration - self.horizon_ms),
            rows(self.calibration, self.test - self.horizon_ms),
            rows(self.test, self.end),
        )

    def describe(self) -> dict[str, Any]:
        """Return the split in words and times, for the manifest."""
        return {
            "by": "time",
            "train": [_instant(self.begin), _instant(self.calibration - self.horizon_ms)],
            "calibration": [_instant(self.calibration), _instant(self.test - self.horizon_ms)],
            "test": [_instant(self.test), _instant(self.end)],
            "embargo_seconds": self.horizon_ms / 1000,
            "labels": "known once the watermark has passed the horizon",
            "resampling": "none",
        }


def split_by_time(examples: Examples, horizon_ms: int, shares: Sequence[float] = SPLIT_SHARES) -> Split:
    """Cut the time of the usable examples, less two embargoes, into training, calibration and test.

    Raises
    ------
    TrainingError
        No label is known, or the log is too short for two embargoes, or a slice has no positive or negative
        example.
    """
    usable = np.flatnonzero(examples.usable)
    if not len(usable):
        raise TrainingError(
            f"the log is shorter than the horizon of {duration_rounded(horizon_ms / 1000)}, so no label is known: "
            "use a longer log or a shorter --horizon"
        )
    begin, last = int(examples.as_of[usable].min()), int(examples.as_of[usable].max())
    usable_ms = last - begin - 2 * horizon_ms
    if usable_ms < horizon_ms:
        raise TrainingError(_too_short("examples with known labels", last - begin, horizon_ms))
    train, calibration, _ = np.asarray(shares) / sum(shares)
    start = begin + int(train * usable_ms) + horizon_ms
    test = start + int(calibration * usable_ms) + horizon_ms
    split = Split(begin, start, test, last + 1, horizon_ms)
    require_both_classes(examples, split.slices(examples))
    return split


def require_enough(times: NDArray[np.int64], purchases: int, horizon_ms: int) -> None:
    """Refuse a log that cannot be enough whatever folding makes of it, before anybody waits for that.

    Parameters
    ----------
    times
        Event times, epoch ms.
    purchases
        How many of the events are purchases.

    Raises
    ------
    TrainingError
        It has too few events or purchases, or is too short for two embargoes.
    """
    if not can_be_enough(len(times), purchases):
        raise TrainingError(
            f"the log has {counted(len(times), 'event')}, {purchases:,} of them purchases; {needs()}: use a longer log"
        )
    span = int(times.max()) - int(times.min())
    if span < 3 * horizon_ms:
        raise TrainingError(_too_short("events", span, horizon_ms))


def _too_short(what: str, span_ms: int, horizon_ms: int) -> str:
    return (
        f"the log is too short: its {what} span {duration_rounded(span_ms / 1000)}, "
        f"a horizon of {duration_rounded(horizon_ms / 1000)} with two embargoes of the same length needs "
        f"{duration_rounded(3 * horizon_ms / 1000)}: "
        "use a longer log or a shorter --horizon"
    )


def require_both_classes(examples: Examples, slices: Slices, *, least: int = LEAST) -> None:
    """Refuse slices from which nothing can be learned or judged.

    Raises
    ------
    TrainingError
        A slice has fewer than ``least`` positive or negative examples.
    """
    for name, rows in slices._asdict().items():
        positive = int(np.count_nonzero(examples.labels[rows] > NEGATIVE))
        rarer, kind = min((positive, "positive"), (len(rows) - positive, "negative"))
        if rarer < least:
            raise TrainingError(
                f"the {name} slice of the log has {rarer} {kind} examples among {len(rows)}, at least "
                f"{least} are needed: use a longer log or another --horizon"
            )


def _instant(ms: int) -> str:
    return f"{np.datetime64(ms, 'ms')}Z"
