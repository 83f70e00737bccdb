"""Two models on one test, as a comparison holds them against each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from offline.lab.figures import REPLICATES, Difference, figures_drawn, paired_differences

Floats = NDArray[np.float64]


def bootstrap_test(
    target: NDArray[np.bool_],
    first: Floats,
    second: Floats,
    groups: NDArray[np.int64] | None = None,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> dict[str, Difference]:
    """Return the differences of two models' figures on one test, by a paired bootstrap over customers."""
    one, other = (figures_drawn(target, p, groups, replicates=replicates, seed=seed) for p in (first, second))
    return paired_differences(*one, *other)
