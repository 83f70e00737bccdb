"""Rows that the lab works on: how many at most, and which of a larger problem."""

from __future__ import annotations

import numpy as np

from offline.problems.problem import Problem

#: Rows that models are compared on, at most; more are sampled, customers kept whole.
MOST_ROWS, QUICK_ROWS = 40_000, 6_000


def sampled(problem: Problem, most: int, seed: int = 0) -> Problem:
    """Return at most about ``most`` rows: all of some customers, or any rows where nobody knows the customer."""
    if len(problem) <= most:
        return problem
    rng = np.random.default_rng(seed)
    if problem.groups is None:
        return problem.take(np.sort(rng.choice(len(problem), most, replace=False)))
    known, slots = np.unique(problem.groups, return_inverse=True)
    chosen = rng.random(len(known)) < most / len(problem)
    return problem.take(np.flatnonzero(chosen[slots]))
