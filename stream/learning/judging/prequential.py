"""How good the published probabilities were: prequential figures as histograms that can be added up.

Every example is counted once its label is known, by what had been published about it (`stream.learning.model.history`),
before the model learns from it [Gama, Sebastião and Rodrigues 2013, doi 10.1007/s10994-012-5320-9]. Only histograms
over the logit are kept, so figures take the same memory whatever the traffic, and figures of several windows are those
of their sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.compiled import njit

#: Whose probabilities are judged: the frozen network, the online models, and what was published.
JUDGED: Final = ("network", "online", "blend")
#: Bins of a histogram, evenly over the logit between `LOWEST` and `HIGHEST`.
BINS: Final = 100
LOWEST, HIGHEST = -9.0, 4.0
#: Reliability bins (of about equal mass), and what the calibration error is summed over.
RELIABILITY_BINS: Final = 15

_FLOOR: Final = 1e-9
_NEGATIVE, _POSITIVE, _PREDICTED = range(3)
_LOSS, _BRIER = range(2)
_CELL: Final = (len(JUDGED), BINS, 3)
_SUMS: Final = (len(JUDGED), 2)


class ReliabilityBin(msgspec.Struct, frozen=True):
    """Examples of about equal probability: what was predicted on average, what happened, and how many they are."""

    predicted: float
    observed: float
    weight: float


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """How good one model's probabilities were; what needs both classes is None where there is only one.

    ``examples`` is the sum of weights; ``pr_auc`` goes with ``prevalence``, which a worthless model reaches.
    ``expected_auc`` is what the probabilities promised before anybody knew (see the function); figures of an earlier
    version of this program have none.
    """

    examples: float
    prevalence: float
    auc: float | None
    pr_auc: float | None
    log_loss: float
    brier: float
    ece: float
    reliability: list[ReliabilityBin]
    expected_auc: float | None = None


class Cell:
    """The histograms of one group of examples; cells can be added.

    Attributes
    ----------
    histogram
        By model, bin, and (weight of negatives, weight of positives, weighted sum of probabilities).
    sums
        By model: weighted sums of log-loss and squared error.
    """

    def __init__(self, histogram: NDArray[np.float64], sums: NDArray[np.float64]) -> None:
        self.histogram = histogram
        self.sums = sums

    def __add__(self, other: Cell) -> Cell:
        return Cell(self.histogram + other.histogram, self.sums + other.sums)

    @classmethod
    def empty(cls) -> Cell:
        """Return a cell in which nothing was counted."""
        return cls(np.zeros(_CELL), np.zeros(_SUMS))

    def figures(self, names: Sequence[str] = JUDGED) -> dict[str, Figures]:
        """Return the figures of every model, by its name; empty if nothing was counted."""
        if not self.histogram[0, :, :_PREDICTED].sum() > 0:
            return {}
        return {name: _figures(self.histogram[m], self.sums[m]) for m, name in enumerate(names)}

    def count(
        self, labels: NDArray[np.uint8], weights: NDArray[np.float64], probabilities: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Count examples, of one group; see `Quality.count`."""
        losses = np.empty_like(probabilities)
        here, none = np.zeros(len(labels), np.int64), Cell.empty()
        _count(
            np.arange(len(labels)), labels, weights, probabilities, here, here,
            self.histogram, self.sums, none.histogram[None], none.sums[None], none.histogram, none.sums, losses,
        )  # fmt: skip
        return losses


class Quality:
    """Prequential figures by horizon window, and by segment and band.

    Parameters
    ----------
    segments
        Number of segments of the bundle; others are counted under the id ``segments``.
    bands
        Number of bands.
    horizon_ms
        Length of a window; an example belongs to the window that its ``as_of`` lies in.
    windows
        Windows that are kept. Groups are kept for so many windows too, in two generations: their figures are over the
        last one to two times ``windows``.
    """

    def __init__(self, *, segments: int, bands: int, horizon_ms: int, windows: int) -> None:
        self._segments, self._bands = segments, bands
        self._horizon_ms, self._windows = horizon_ms, windows
        self._ids = np.zeros(0, np.int64)
        self._histograms, self._sums = np.zeros((0, *_CELL)), np.zeros((0, *_SUMS))
        groups = segments + 1 + bands
        self._generation = np.zeros(1, np.int64)
        self._group_histograms = np.zeros((2, groups, *_CELL))
        self._group_sums = np.zeros((2, groups, *_SUMS))
        self._total_histogram, self._total_sums = np.zeros(_CELL), np.zeros(_SUMS)

    def count(
        self,
        as_of: NDArray[np.int64],
        segment: NDArray[np.int64],
        band: NDArray[np.uint8],
        labels: NDArray[np.uint8],
        weights: NDArray[np.float64],
        probabilities: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Count a mini-batch, ordered by ``as_of``.

        Parameters
        ----------
        band
            Of the published probability.
        probabilities
            As published, shape ``(examples, len(JUDGED))``.

        Returns
        -------
        numpy.ndarray
            Log-loss of every example and model, same shape.
        """
        losses = np.empty_like(probabilities)
        windows = as_of // self._horizon_ms
        for window in np.unique(windows):
            rows = np.flatnonzero(windows == window)
            at = self._window(int(window))
            self._turn(int(window))
            _count(
                rows,
                labels,
                weights,
                probabilities,
                np.where((segment >= 0) & (segment < self._segments), segment, self._segments),
                self._segments + 1 + band.astype(np.int64),
                self._histograms[at],
                self._sums[at],
                self._group_histograms[0],
                self._group_sums[0],
                self._total_histogram,
                self._total_sums,
                losses,
            )
        return losses

    @property
    def total(self) -> Cell:
        """All examples since learning began."""
        return Cell(self._total_histogram, self._total_sums)

    def windows(self) -> dict[int, Cell]:
        """Return the kept windows by their beginning, epoch ms, oldest first."""
        return {
            int(number) * self._horizon_ms: Cell(self._histograms[at], self._sums[at])
            for at, number in enumerate(self._ids)
        }

    def segments(self) -> list[Cell]:
        """Return recent examples by segment id; the last cell is for unknown ones."""
        return [self._group(at) for at in range(self._segments + 1)]

    def bands(self) -> list[Cell]:
        """Return recent examples by band of what was published."""
        return [self._group(self._segments + 1 + at) for at in range(self._bands)]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the state."""
        return {
            "ids": self._ids,
            "histograms": self._histograms,
            "sums": self._sums,
            "generation": self._generation,
            "group_histograms": self._group_histograms,
            "group_sums": self._group_sums,
            "total_histogram": self._total_histogram,
            "total_sums": self._total_sums,
        }

    def set_arrays(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Continue from a state that `arrays` returned."""
        for name, array in arrays.items():
            setattr(self, f"_{name}", array.copy())

    def _group(self, at: int) -> Cell:
        return Cell(self._group_histograms[:, at].sum(axis=0), self._group_sums[:, at].sum(axis=0))

    def _window(self, number: int) -> int:
        if len(self._ids) == 0 or number > self._ids[-1]:
            keep = slice(max(len(self._ids) + 1 - self._windows, 0), None)
            self._ids = np.append(self._ids[keep], number)
            self._histograms = np.concatenate([self._histograms[keep], np.zeros((1, *_CELL))])
            self._sums = np.concatenate([self._sums[keep], np.zeros((1, *_SUMS))])
        return max(int(np.searchsorted(self._ids, number, side="right")) - 1, 0)

    def _turn(self, window: int) -> None:
        generation = window // self._windows
        passed = generation - int(self._generation[0])
        if passed <= 0:
            return
        for array in (self._group_histograms, self._group_sums):
            array[1] = array[0] if passed == 1 else 0.0
            array[0] = 0.0
        self._generation[0] = generation


@njit(cache=True, nogil=True)
def _count(
    rows: NDArray[np.int64],
    labels: NDArray[np.uint8],
    weights: NDArray[np.float64],
    probabilities: NDArray[np.float64],
    segment: NDArray[np.int64],
    band: NDArray[np.int64],
    histogram: NDArray[np.float64],
    sums: NDArray[np.float64],
    group_histograms: NDArray[np.float64],
    group_sums: NDArray[np.float64],
    total_histogram: NDArray[np.float64],
    total_sums: NDArray[np.float64],
    losses: NDArray[np.float64],
) -> None:  # pragma: no cover
    for i in rows:
        w, y = weights[i], labels[i]
        what = _POSITIVE if y else _NEGATIVE
        for m in range(probabilities.shape[1]):
            p = min(max(probabilities[i, m], _FLOOR), 1.0 - _FLOOR)
            place = (np.log(p / (1.0 - p)) - LOWEST) * (BINS / (HIGHEST - LOWEST))
            b = int(min(max(place, 0.0), BINS - 1.0))
            loss = -np.log(p) if y else -np.log1p(-p)
            losses[i, m] = loss
            error = (p - y) ** 2
            for h, s in (
                (histogram, sums),
                (total_histogram, total_sums),
                (group_histograms[segment[i]], group_sums[segment[i]]),
                (group_histograms[band[i]], group_sums[band[i]]),
            ):
                h[m, b, what] += w
                h[m, b, _PREDICTED] += w * p
                s[m, _LOSS] += w * loss
                s[m, _BRIER] += w * error


def _figures(histogram: NDArray[np.float64], sums: NDArray[np.float64]) -> Figures:
    negative, positive, predicted = histogram[::-1].T  # from the highest probability down
    mass = negative + positive
    positives, negatives = float(positive.sum()), float(negative.sum())
    total = positives + negatives
    pr_auc = None
    if positives > 0 and negatives > 0:
        above = np.cumsum(positive)
        flagged = np.cumsum(mass)
        # within a bin, precision goes from that above it to that at its end
        precision = above / np.maximum(flagged, 1e-300)
        pr_auc = float((positive * precision).sum() / positives)
    group = ((np.cumsum(mass) - mass / 2) / total * RELIABILITY_BINS).astype(np.int64)
    group = np.minimum(group, RELIABILITY_BINS - 1)
    size, said, came = (
        np.bincount(group, weights=column, minlength=RELIABILITY_BINS)
        for column in (mass, predicted, positive)
    )
    return Figures(
        examples=total,
        prevalence=positives / total,
        auc=_auc(positive, negative),
        pr_auc=pr_auc,
        log_loss=float(sums[_LOSS] / total),
        brier=float(sums[_BRIER] / total),
        ece=float(np.abs(said - came).sum() / total),
        reliability=[
            ReliabilityBin(float(said[k] / size[k]), float(came[k] / size[k]), float(size[k]))
            for k in reversed(range(RELIABILITY_BINS))
            if size[k] > 0
        ],
        expected_auc=expected_auc(mass[::-1], predicted[::-1]),
    )


def bins_of(probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the bin of a histogram that each probability falls into."""
    p = np.clip(probabilities, _FLOOR, 1.0 - _FLOOR)
    place = (np.log(p / (1.0 - p)) - LOWEST) * (BINS / (HIGHEST - LOWEST))
    return np.clip(place, 0, BINS - 1).astype(np.int64)


def expected_auc(mass: NDArray[np.float64], predicted: NDArray[np.float64]) -> float | None:
    """Return the AUC to expect of probabilities if they come true, whatever happened.

    Confidence-based performance estimation [CBPE, NannyML's documentation, "How it works"]: a score counts as positive
    by its own probability, and as negative by the rest. It is as good as the calibration.

    Parameters
    ----------
    mass, predicted
        How many scores fall into each bin of `BINS`, and the sum of their probabilities.
    """
    return _auc(predicted[::-1], (mass - predicted)[::-1])


def _auc(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float | None:
    """Return the AUC of bins, from the highest probability down; ``None`` where one class is missing."""
    positives, negatives = float(positive.sum()), float(negative.sum())
    if not (positives > 0 and negatives > 0):
        return None
    above = np.cumsum(positive)
    return float((negative * (above - positive / 2)).sum() / (positives * negatives))
