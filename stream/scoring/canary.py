"""The canary: a bundle whose scores a share of the customers gets, so that a new one meets few people first.

The hash of a salt and the customer is one point on a line from 0 to 1, always the same, and the share begins at its
left end: a larger share keeps the customers of a smaller one. The salt is drawn with the canary, so that other people
are the first to meet the next one.

A canary's score has its probability, band and reasons, and names it in ``model_version``. The segment is the live
bundle's, as for all other customers: policy and offers speak of those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from features.bundle import Bundle
from features.vector import Vectors
from stream.messages.score import ReasonRef
from stream.scoring.explaining import Explaining
from stream.scoring.reasons import Reasons
from stream.setting_values import ReasonBands

A = TypeVar("A", bound=np.generic)


class CanaryScores(NamedTuple):
    """What a canary says of some rows of a batch.

    Attributes
    ----------
    version
        Names the bundle.
    taken
        For each row of the batch, whether the score is the canary's.
    probability, band, reasons
        Of the rows that are.
    """

    version: str
    taken: NDArray[np.bool_]
    probability: NDArray[np.float64]
    band: NDArray[np.uint8]
    reasons: Reasons | None

    def over(self, values: NDArray[A], own: NDArray[A]) -> NDArray[A]:
        """Return values of a batch with the canary's own for its rows."""
        found = values.copy()
        found[self.taken] = own
        return found

    def over_reasons(self, reasons: Sequence[list[ReasonRef]] | None) -> list[list[ReasonRef]] | None:
        """Return the reasons of a batch with the canary's own for its rows; ``None`` where no row has any."""
        if reasons is None and self.reasons is None:
            return None
        found = [[] for _ in self.taken] if reasons is None else list(reasons)
        for at, row in enumerate(np.flatnonzero(self.taken).tolist()):
            found[row] = [] if self.reasons is None else self.reasons[at]
        return found


@dataclass(frozen=True, slots=True)
class CanaryBundle:
    """A bundle, and whose scores it makes.

    Parameters
    ----------
    bundle
        The canary.
    share
        Of the customers, between 0 and 1.
    salt
        Decides which customers.
    """

    bundle: Bundle
    share: float
    salt: str

    @property
    def version(self) -> str:
        """Names the bundle."""
        return self.bundle.manifest.version

    def has(self, customers: Sequence[str]) -> NDArray[np.bool_]:
        """Return which customers get this bundle's scores."""
        salt, border = self.salt.encode() + b"\0", int(self.share * 2**64)
        return np.fromiter(
            (xxh3_64_intdigest(salt + customer.encode()) < border for customer in customers),
            np.bool_,
            len(customers),
        )

    def score(
        self, vectors: Vectors, taken: NDArray[np.bool_], bands: ReasonBands, apart: NDArray[np.bool_]
    ) -> CanaryScores:
        """Score the rows that are ``taken``, with the canary's own segments, which are inputs of its network.

        Where it says what is no probability, the live bundle's score stands.

        Parameters
        ----------
        bands
            Which scores carry reasons.
        apart
            Rows that are given none, whatever their band.
        """
        own = vectors[taken]
        said = self.bundle.score(own)
        good = (said.probability >= 0.0) & (said.probability <= 1.0)
        if not good.all():
            taken = taken.copy()
            taken[np.flatnonzero(taken)[~good]] = False
            return self.score(vectors, taken, bands, apart)
        reasons = Explaining(self.bundle, bands).reasons(
            own, said.logit, said.segment, said.band, None, apart[taken]
        )
        return CanaryScores(self.version, taken, said.probability, said.band, reasons)
