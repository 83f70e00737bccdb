"""The reasons of scores: which rows get some, the effects on the published log-odds, and the strongest in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from features.bundle import Bundle
from features.reasons import BOOK, LEAST_EFFECT, grouped, strongest
from features.vector import Vectors
from stream.messages.score import ReasonRef
from stream.settings import ReasonBands

if TYPE_CHECKING:
    from stream.learning.model.advisor import Advisor

#: Lowest band, as an index into `features.bundle.BANDS`, whose scores carry reasons.
_LOWEST: Final[dict[ReasonBands, int]] = {"all": 0, "medium": 1, "high": 2, "off": 3}
#: Digits of an effect after the point: it is known to 1e-3.
_DIGITS: Final = 3


@dataclass(frozen=True, slots=True)
class Explaining:
    """Gives scores of some bands their reasons.

    Parameters
    ----------
    bundle
        One without an explainer gives none.
    bands
        Which scores carry reasons.
    """

    bundle: Bundle
    bands: ReasonBands

    def reasons(
        self,
        vectors: Vectors,
        logit: NDArray[np.float64],
        segment: NDArray[np.int64],
        band: NDArray[np.uint8],
        advisor: Advisor | None,
        apart: NDArray[np.bool_] | None = None,
    ) -> list[list[ReasonRef]] | None:
        """Return the reasons of every row, strongest first; ``None`` where no row has any.

        Parameters
        ----------
        vectors, logit, segment, band
            The rows, and what was said of them; ``logit`` is the network's, before calibration.
        advisor
            What was learned online; ``None`` where the network decides alone.
        apart
            Rows that are given none, whatever their band; ``None``: no such rows.
        """
        wanted = band >= _LOWEST[self.bands]
        explained = np.flatnonzero(wanted if apart is None else wanted & ~apart)
        if self.bundle.explainer is None or not len(explained):
            return None
        part = vectors[explained]
        effects = grouped(self.effects(part, logit[explained], segment[explained], advisor))
        best = strongest(effects)
        moved = np.take_along_axis(effects, best, axis=1).round(_DIGITS)
        strong = np.abs(moved) >= LEAST_EFFECT  # in each row the first ones, as the largest come first
        told = BOOK.tell(part, best)
        codes, numbers = told.codes[strong.ravel()].tolist(), told.numbers[strong.ravel()].tolist()
        refs = [
            ReasonRef(feature, value, effect, text)
            for (feature, value, text), effect in zip(
                map(self.bundle.texts.of, codes, numbers), moved[strong].tolist(), strict=True
            )
        ]
        found: list[list[ReasonRef]] = [[]] * len(band)
        start = 0
        for row, stop in zip(explained.tolist(), np.cumsum(strong.sum(axis=1)).tolist(), strict=True):
            found[row] = refs[start:stop]
            start = stop
        return found

    def effects(
        self,
        vectors: Vectors,
        logit: NDArray[np.float64],
        segment: NDArray[np.int64],
        advisor: Advisor | None,
    ) -> NDArray[np.float64]:
        """Return every column's effect on the published log-odds; they add up to the difference from the reference."""
        assert self.bundle.explainer is not None
        network = self.bundle.explainer.effects(vectors)
        return network if advisor is None else advisor.effects(vectors, logit, segment, network)
