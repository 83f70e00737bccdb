"""Rows that equal another row in everything that is known of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from offline.problems.problem import Problem


class Duplicates(NamedTuple):
    """Copies of earlier rows, and copies that carry the other label.

    Attributes
    ----------
    copies
        Whether a row equals an earlier one, target included.
    contradictions
        How many rows equal an earlier one but for the target.
    """

    copies: NDArray[np.bool_]
    contradictions: int


def find_duplicates(problem: Problem) -> Duplicates:
    """Compare all rows of a problem in columns, target, customer and time."""
    known = problem.columns.copy()
    if problem.groups is not None:
        known["_customer"] = problem.groups
    if problem.times is not None:
        known["_time"] = problem.times.to_numpy()
    hashes = pd.util.hash_pandas_object(known, index=False).to_numpy()
    both = pd.DataFrame({"columns": hashes, "target": problem.target})
    copies = both.duplicated().to_numpy()
    alike = both.duplicated(subset="columns").to_numpy()
    return Duplicates(copies, int(np.count_nonzero(alike & ~copies)))


def drop_duplicates(problem: Problem) -> Problem:
    """Return the problem without copies of earlier rows."""
    return problem.take(~find_duplicates(problem).copies)
