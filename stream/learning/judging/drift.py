"""Drift: what tells that customers no longer behave as those that the network was trained on."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from river.drift import ADWIN

from features.compiled import kernel
from features.reference import Reference
from features.vector import COLUMN_NAMES, WIDTH, Vectors
from stream.messages.alert import Drifted

#: What ADWIN sees is summed over slots of so many parts of a horizon.
SLOTS_A_HORIZON: Final = 4

_REMEMBERED: Final = 4_096  # values that ADWIN is rebuilt from; beyond it only the newest half is
_CONFIDENCE: Final = 0.002  # ADWIN's delta
_CALM: Final = 0.5  # a column has calmed down below this share of the threshold
_LEAST_EXAMPLES: Final = 1_000  # a population of fewer is not judged
_LEAST_SHARE: Final = 1e-4
_CALENDAR: Final = ("hour_sin", "hour_cos", "weekday_sin", "weekday_cos")


def excess_loss(losses: NDArray[np.float64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much larger each log-loss is than its probability expects; 0 on average where that is right.

    Log-loss itself follows the prevalence through the day; its excess does not.
    """
    p = np.clip(probabilities, 1e-9, 1 - 1e-9)
    expected = -(p * np.log(p) + (1 - p) * np.log1p(-p))
    return np.asarray(losses - expected)


class LossDrift:
    """ADWIN on the network's excess log-loss, means over slots of event time [Bifet and Gavaldà 2007].

    An episode begins where the mean rises and ends where it falls again.

    Attributes
    ----------
    changed
        Whether the last mini-batch showed a change, up or down.
    """

    def __init__(self, slot_ms: int) -> None:
        self._slot_ms = slot_ms
        self._values: list[float] = []  # since ADWIN last forgot everything: it is a function of them
        self._slots: list[int] = []
        self._adwin = _detector()
        self._open = self.changed = False
        self._slot, self._sum, self._weight = -1, 0.0, 0.0

    def update(
        self, as_of: NDArray[np.int64], excess: NDArray[np.float64], weights: NDArray[np.float64]
    ) -> list[tuple[int, float]]:
        """Count a mini-batch; return (beginning, excess since) of an episode that begins."""
        self.changed = False
        begun: list[tuple[int, float]] = []
        slots = as_of // self._slot_ms
        for slot in np.unique(slots):
            rows = slots == slot
            if slot > self._slot:
                if self._weight > 0 and (episode := self._feed()):
                    begun.append(episode)
                self._slot, self._sum, self._weight = int(slot), 0.0, 0.0
            self._sum += float((weights[rows] * excess[rows]).sum())
            self._weight += float(weights[rows].sum())
        return begun

    def _feed(self) -> tuple[int, float] | None:
        value = float(np.clip(self._sum / self._weight, -1.0, 1.0))
        if len(self._values) == _REMEMBERED:
            self._rebuild(self._values[_REMEMBERED // 2 :], self._slots[_REMEMBERED // 2 :])
        if self._adwin.drift_detected:  # ADWIN is about to forget everything
            self._values, self._slots = [], []
        self._values.append(value)
        self._slots.append(self._slot)
        self._adwin.update(value)  # type: ignore[no-untyped-call]
        if not self._adwin.drift_detected:
            return None
        self.changed = True
        at = _change(np.array(self._values))
        before, since = float(np.mean(self._values[:at])), float(np.mean(self._values[at:]))
        if since < before:
            self._open = False
        elif not self._open:
            self._open = True
            return self._slots[at] * self._slot_ms, since
        return None

    def _rebuild(self, values: list[float], slots: list[int]) -> None:
        self._adwin = _detector()
        self._values, self._slots = values, slots
        for value in values:
            self._adwin.update(value)  # type: ignore[no-untyped-call]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the state."""
        return {
            "values": np.array(self._values, np.float64),
            "slots": np.array(self._slots, np.int64),
            "sums": np.array([self._sum, self._weight]),
            "now": np.array([self._slot, int(self._open)], np.int64),
        }

    def set_arrays(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Continue from a state that `arrays` returned."""
        self._rebuild(arrays["values"].tolist(), arrays["slots"].tolist())
        self._sum, self._weight = arrays["sums"].tolist()
        self._slot, self._open = int(arrays["now"][0]), bool(arrays["now"][1])


def _change(values: NDArray[np.float64]) -> int:
    """Return where the mean of values changes most clearly: ADWIN says that it did, not where."""
    ends = np.arange(1, len(values))
    sums = np.cumsum(values)
    contrast = (sums[:-1] / ends - values.mean()) ** 2 * ends / (len(values) - ends)
    return int(np.argmax(contrast)) + 1


def _detector() -> ADWIN:
    return ADWIN(delta=_CONFIDENCE, clock=1, min_window_length=4, grace_period=16)  # type: ignore[no-untyped-call]


class PopulationDrift:
    """Population stability index of every column against the bundle's reference, block by block of event time.

    The index sums (share - reference) x log(share / reference) over decile bins [Siddiqi 2006, Credit Risk Scorecards];
    .1 counts as a small shift, .25 as a large one. Every column has its own episodes: one begins at the threshold
    and ends below half of it. The calendar's columns are left out, since a block is shorter than a week.
    """

    def __init__(self, reference: Reference | None, *, block_ms: int, threshold: float) -> None:
        self._block_ms, self._threshold = block_ms, threshold
        self._reference = reference
        self._edges, self._shares = _tables(reference)
        self._counts = np.zeros(self._shares.shape)
        self._block = -1
        self._open = np.zeros(WIDTH, np.bool_)
        self._indices = np.zeros(WIDTH)

    def indices(self) -> dict[str, float]:
        """Return the index of every column in the last whole block; empty without a reference."""
        if self._reference is None:
            return {}
        return {name: float(self._indices[COLUMN_NAMES.index(name)]) for name in self._reference.columns}

    def update(
        self, as_of: NDArray[np.int64], vectors: Vectors, weights: NDArray[np.float64]
    ) -> list[tuple[int, list[Drifted]]]:
        """Count a mini-batch; return (beginning of the block, columns) of the episodes that begin together."""
        if self._reference is None:
            return []
        begun: list[tuple[int, list[Drifted]]] = []
        blocks = as_of // self._block_ms
        for block in np.unique(blocks):
            if block > self._block:
                if self._block >= 0 and (drifted := self._judge()):
                    begun.append((self._block * self._block_ms, drifted))
                self._block = int(block)
                self._counts[:] = 0.0
            rows = blocks == block
            _count(np.ascontiguousarray(vectors[rows], np.float32), weights[rows], self._edges, self._counts)
        return begun

    def _judge(self) -> list[Drifted]:
        total = self._counts.sum(axis=1, keepdims=True)
        if total.max() < _LEAST_EXAMPLES:
            return []
        used = self._shares > 0
        share = np.where(used, np.maximum(self._counts / np.maximum(total, 1.0), _LEAST_SHARE), 1.0)
        expected = np.where(used, np.maximum(self._shares, _LEAST_SHARE), 1.0)
        self._indices = ((share - expected) * np.log(share / expected)).sum(axis=1)
        begun = (self._indices >= self._threshold) & ~self._open
        self._open = begun | (self._open & (self._indices >= self._threshold * _CALM))
        worst = np.argsort(-self._indices, kind="stable")
        return [Drifted(COLUMN_NAMES[at], float(self._indices[at])) for at in worst if begun[at]]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the state."""
        return {
            "counts": self._counts,
            "indices": self._indices,
            "block": np.array([self._block], np.int64),
            "open": self._open.astype(np.uint8),
        }

    def set_arrays(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Continue from a state that `arrays` returned; without it where the bundle's reference has changed."""
        if arrays["counts"].shape == self._counts.shape:
            self._counts, self._indices = arrays["counts"].copy(), arrays["indices"].copy()
            self._block, self._open = int(arrays["block"][0]), arrays["open"].astype(np.bool_)


def _tables(reference: Reference | None) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return edges (padded by infinity) and shares (padded by 0) of all columns as arrays."""
    if reference is None:
        return np.zeros((WIDTH, 0), np.float32), np.zeros((WIDTH, 0))
    most = max((len(column.edges) for column in reference.columns.values()), default=0)
    edges = np.full((WIDTH, most), np.inf, np.float32)
    shares = np.zeros((WIDTH, most + 1))
    for name, column in reference.columns.items():
        if name in _CALENDAR:
            continue
        at = COLUMN_NAMES.index(name)
        edges[at, : len(column.edges)] = column.edges
        shares[at, : len(column.shares)] = column.shares
    return edges, shares


@kernel
def _count(
    vectors: Vectors, weights: NDArray[np.float64], edges: NDArray[np.float32], counts: NDArray[np.float64]
) -> None:  # pragma: no cover
    for i in range(len(vectors)):
        for j in range(vectors.shape[1]):
            b = 0
            while b < edges.shape[1] and vectors[i, j] > edges[j, b]:
                b += 1
            counts[j, b] += weights[i]
