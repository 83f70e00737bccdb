"""The reasons of scores: which rows get some, the effects on the published log-odds, and the strongest in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from features.bundle import Bundle
from features.reasons import BOOK, LEAST_EFFECT, grouped, strongest
from features.vector import Vectors
from stream.scoring.reasons import DIGITS, Reasons, wording
from stream.setting_values import ReasonBands

if TYPE_CHECKING:
    from stream.learning.model.advisor import Advisor

#: Lowest band, as an index into `features.bundle.BANDS`, whose scores carry reasons.
_LOWEST: Final[dict[ReasonBands, int]] = {"all": 0, "medium": 1, "high": 2, "off": 3}


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
    ) -> Reasons | None:
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
        moved = np.take_along_axis(effects, best, axis=1).round(DIGITS)
        strong = np.abs(moved) >= LEAST_EFFECT  # in each row the first ones, as the largest come first
        counts = np.zeros(len(band) + 1, np.int64)
        counts[explained + 1] = strong.sum(axis=1)
        told = BOOK.tell(part, best)
        return Reasons(
            wording(self.bundle.naming), told[strong], best[strong], moved[strong], counts.cumsum()
        )

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
