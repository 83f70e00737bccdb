"""What stands for the online model: a ledger of what it was taught, and what must stand in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from features.bundle import Bundle
from stream.learning.model.settings import LearningSettings
from stream.learning.model.snapshot import Snapshot
from stream.learning.records.examples import Examples
from stream.messages.alert import Alert
from tests.stream.learning.histories import Batches

#: A row per example, in the order of learning: mini-batch, ``as_of``, partition, source offset, label.
Rows = NDArray[np.int64]

_NONE: Rows = np.zeros((0, 5), np.int64)


class Ledger:
    """A `stream.learning.online_learner.OnlineLearner` that keeps a row for each example, and learns nothing else.

    Parameters
    ----------
    bundle, settings
        Whose examples are learned, and how.
    """

    def __init__(self, bundle: Bundle, settings: LearningSettings) -> None:
        self.version = 0
        self._rows = _NONE
        self._bundle = bundle.manifest.version

    def learn(
        self, examples: Examples, labels: NDArray[np.uint8], customers: NDArray[np.uint64] | None = None
    ) -> list[Alert]:
        """Take a mini-batch down."""
        self.version += 1
        number = np.full(len(labels), self.version)
        came = [number, examples.as_of, examples.partition, examples.offset, labels]
        self._rows = np.concatenate([self._rows, np.column_stack(came).astype(np.int64)])
        return []

    def snapshot(self) -> Snapshot:
        """Return everything."""
        meta = {"version": self.version, "as_of": None, "bundle": self._bundle}
        return Snapshot({"ledger": self._rows}, meta)

    @classmethod
    def restore(cls, bundle: Bundle, settings: LearningSettings, snapshot: Snapshot) -> Self:
        """Return the ledger that a snapshot was taken of."""
        ledger = cls(bundle, settings)
        ledger.version, ledger._rows = snapshot.version, rows_of(snapshot)
        return ledger


def rows_of(snapshot: Snapshot) -> Rows:
    """Return what was learned."""
    return snapshot.arrays["ledger"]


def rows_wanted(batches: Batches) -> Rows:
    """Return what has to be learned (`tests.stream.learning.histories.truth`)."""
    rows: list[Sequence[Any]] = [
        (number, *place, label)
        for number, (places, labels) in enumerate(batches, 1)
        for place, label in zip(places, labels, strict=True)
    ]
    return np.array(rows, np.int64) if rows else _NONE


def difference(found: Rows, wanted: Rows) -> str:
    """Return where rows leave the beginning of those that are wanted, empty if they don't."""
    if len(found) > len(wanted):
        return f"{len(found)} examples were learned, there are only {len(wanted)}"
    wrong = np.flatnonzero((found != wanted[: len(found)]).any(axis=1))
    if not len(wrong):
        return ""
    at = int(wrong[0])
    return f"example {at} was learned as {found[at].tolist()} and is {wanted[at].tolist()}"
