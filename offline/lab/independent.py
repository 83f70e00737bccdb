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


def last_of_each(
    groups: NDArray[np.int64] | None, count: int, among: NDArray[np.intp] | None = None
) -> NDArray[np.intp]:
    """Return the last row of each customer, all where nobody knows the customer.

    Parameters
    ----------
    groups
        Number of the customer of each of ``count`` rows.
    among
        Rows to choose from; the positions that are returned are those in it.
    """
    if among is not None:
        return last_of_each(None if groups is None else groups[among], len(among))
    if groups is None:
        return np.arange(count)
    _, first = np.unique(groups[::-1], return_index=True)
    return np.sort(count - 1 - first)
