"""Rows that tests may take for independent: one of each customer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from offline.problems.problem import Problem


def one_each(problem: Problem, seed: int = 0) -> NDArray[np.intp]:
    """Return the rows of a problem, one drawn at random of each customer where customers are known."""
    if problem.groups is None:
        return np.arange(len(problem))
    drawn = np.random.default_rng(seed).permutation(len(problem))
    first = np.unique(problem.groups[drawn], return_index=True)[1]
    return np.sort(drawn[first])
