"""The reasons of scores: which rows get some, the effects on the published log-odds, and the strongest in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import numpy as np
from numpy.typing import NDArray

from features.bundle import Bundle
from features.reasons import GROUPS, LEAST_EFFECT, Naming, Row, grouped, strongest
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
        found: list[list[ReasonRef]] = [[] for _ in band]
        naming = Naming(self.bundle.manifest.currency, [s.name for s in self.bundle.segmenter.segments])
        best = strongest(effects)
        chosen = np.take_along_axis(effects, best, axis=1).round(_DIGITS).tolist()
        for row, vector, groups, moved in zip(explained.tolist(), part, best.tolist(), chosen, strict=True):
            values = cast(
                Row, memoryview(vector)
            )  # gives plain numbers, of the few columns that are asked for
            for at, effect in zip(groups, moved, strict=True):
                if abs(effect) < LEAST_EFFECT:
                    break
                value, text = GROUPS[at].say(values, naming)
                found[row].append(ReasonRef(GROUPS[at].key, value, effect, text))
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
