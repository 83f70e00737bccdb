"""Two columns anybody understands, and a boundary that is known: what a network finds that a line cannot.

A built-in table of visits with the minutes that they lasted and the pages they saw. Whoever looks at some pages at a
good pace buys; few pages, or many pages in a hurry, or hours on one page, do not: the boundary is curved on purpose.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.whole_files import whole_file
from offline.problems.problem import Problem

Floats = NDArray[np.float64]

#: Names of the two columns.
DURATION, PAGES = "visit_duration_minutes", "pages_visited"

_STEEPNESS: Final = 7.0
_RADIUS: Final = 0.9


def demonstration(rows: int = 3000, *, seed: int = 0) -> Problem:
    """Return visits with a known probability of a purchase (`true_probability`)."""
    rng = np.random.default_rng(seed)
    minutes = rng.lognormal(np.log(6), 0.9, rows).clip(0.1, 120).round(1)
    pages = (1 + rng.poisson(rng.gamma(2.2, 3.2, rows))).clip(max=60)
    happened = rng.random(rows) < true_probability(minutes, pages)
    columns = pd.DataFrame({DURATION: minutes, PAGES: pages.astype(np.float64)})
    return Problem(
        "demonstration", columns, {DURATION: "numeric", PAGES: "numeric"}, happened, "purchase", "visit"
    )


def true_probability(minutes: Floats | NDArray[np.int64], pages: Floats | NDArray[np.int64]) -> Floats:
    """Return the exact probability of a purchase: one half on an ellipse on logarithmic scales.

    The ellipse is around 12 pages in 10 minutes: from about 5 to 30 pages, and from about 4 to 25 minutes.

    Examples
    --------
    >>> true_probability(np.array([10.0, 0.5, 90.0]), np.array([12.0, 12.0, 2.0])).round(2).tolist()
    [1.0, 0.0, 0.0]
    """
    return np.asarray(1 / (1 + np.exp(_STEEPNESS * (distance(minutes, pages) - _RADIUS))))


def distance(minutes: Floats | NDArray[np.int64], pages: Floats | NDArray[np.int64]) -> Floats:
    """Return how far a visit is from the ideal one; the boundary is where it is 0.9."""
    x = np.log(np.asarray(minutes, np.float64) / 10)
    y = np.log(np.asarray(pages, np.float64) / 12)
    return np.asarray(np.sqrt(x * x + y * y - 0.6 * x * y))


def write_demonstration(visits: Problem, path: Path) -> None:
    """Write visits as a table (CSV) that the lab itself can read, with the true probability beside them."""
    duration, pages = (visits.columns[name] for name in (DURATION, PAGES))
    frame = visits.columns.assign(
        **{PAGES: pages.astype(int)}, purchase=np.where(visits.target, "yes", "no"),
        true_probability=true_probability(duration.to_numpy(), pages.to_numpy()).round(4),
    )  # fmt: skip
    with whole_file(path) as partial:
        frame.to_csv(partial, index=False)
