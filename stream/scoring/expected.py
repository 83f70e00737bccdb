"""The AUC to expect of what is published now, before anybody knows what happened.

It is that of the learner's figures (`stream.learning.judging.prequential.expected_auc`), a horizon earlier. Where it
falls, customers have become harder to tell apart. Where it lies far from the AUC that the learner finds later, the
probabilities are no longer true.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.bundle import Manifest
from features.events import TYPE_CODES
from stream.learning.judging.prequential import BINS, bins_of, expected_auc

# Scores that are noted before they are added.
_AT_ONCE: Final = 1_000


class ExpectedAuc:
    """The expected AUC of the scores of the last one to two horizons of event time, in two generations.

    Parameters
    ----------
    manifest
        Says how long a horizon is, and which events count in figures.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._horizon_ms = round(manifest.horizon_seconds * 1000)
        self._counted = np.zeros(256, np.bool_)  # by type code
        self._counted[[TYPE_CODES[name] for name in manifest.example_types]] = True
        self._generation = 0
        self._mass, self._predicted = np.zeros((2, BINS)), np.zeros((2, BINS))
        self._noted: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
        self._rows = 0  # that are noted

    @property
    def value(self) -> float | None:
        """The AUC; ``None`` before there are scores."""
        self._add()
        return expected_auc(self._mass.sum(axis=0), self._predicted.sum(axis=0))

    def count(
        self, kinds: NDArray[np.uint8], as_of: NDArray[np.int64], probability: NDArray[np.float64]
    ) -> None:
        """Count scores that were published.

        Parameters
        ----------
        kinds
            Type codes of their events.
        as_of
            The moments that they refer to, epoch ms; those of generations that have passed are left out.
        """
        counted = self._counted[kinds]
        rows = int(np.count_nonzero(counted))
        if not rows:
            return
        self._noted.append((as_of[counted], probability[counted]))
        self._rows += rows
        if self._rows >= _AT_ONCE:
            self._add()

    def _add(self) -> None:
        """Add what was noted: some rounds together, since a small one takes as long as a large one."""
        if not self._rows:
            return
        as_of, said = map(np.concatenate, zip(*self._noted, strict=True))
        self._noted, self._rows = [], 0
        generations = as_of // self._horizon_ms
        self._turn(int(generations.max()))
        bins = bins_of(said)
        for age in range(2):
            own = generations == self._generation - age
            self._mass[age] += np.bincount(bins[own], minlength=BINS)
            self._predicted[age] += np.bincount(bins[own], weights=said[own], minlength=BINS)

    def _turn(self, generation: int) -> None:
        passed = generation - self._generation
        if passed <= 0:
            return
        for array in (self._mass, self._predicted):
            array[1] = array[0] if passed == 1 else 0.0
            array[0] = 0.0
        self._generation = generation
