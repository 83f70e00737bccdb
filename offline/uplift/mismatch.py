"""Whether chance has divided the customers as it should: a sample-ratio mismatch means that no comparison holds.

Too few customers in an arm are never an accident: records were lost, or one arm was filtered after the assignment. What
made them disappear may also make them buy [Fabijan 2019].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from offline.corrections import holm

#: Less probable divisions are no chance.
LIMIT: Final = 1e-3
#: What a mismatch is looked for in, besides all customers of a version.
DIMENSIONS: Final = ("day", "segment", "band", "trigger", "action")

_DAY_MS: Final = 86_400_000
# Levels with less variance than so many customers are taken together: chi-squared needs some.
_LEAST: Final = 5.0
_REST: Final = "all others"


class Check(NamedTuple):
    """One test of the division.

    Attributes
    ----------
    dimension
        "all customers", or one of `DIMENSIONS`.
    level
        The experiment's version, or the level of the dimension that is furthest off.
    customers, held_out
        Of the level.
    expected
        How many customers chance would hold out, in the mean.
    p_value
        Of the dimension, corrected for the number of versions or dimensions (Holm).
    """

    dimension: str
    level: str
    customers: int
    held_out: int
    expected: float
    p_value: float

    @property
    def failed(self) -> bool:
        """Whether the division is no chance."""
        return self.p_value < LIMIT


def checks(customers: pd.DataFrame, shares: Mapping[str, float]) -> list[Check]:
    """Test each version as a whole (exact), and each dimension (chi-squared; the worst level by itself).

    Parameters
    ----------
    customers
        `Assigned.customers`.
    shares
        The share that is held out, by version.

    References
    ----------
    Fabijan et al. (2019), Diagnosing sample ratio mismatch in online controlled experiments, KDD.
    """
    held = ~customers["treated"].to_numpy()
    share = customers["experiment"].map(shares).to_numpy(np.float64)
    whole = []
    for version, rows in customers.groupby("experiment", observed=True).indices.items():
        count = int(held[rows].sum())
        p = float(stats.binomtest(count, len(rows), shares[str(version)]).pvalue)
        whole.append(Check("all customers", str(version), len(rows), count, float(share[rows].sum()), p))
    days = pd.Series(
        (customers["decided_at"].to_numpy() // _DAY_MS).astype("datetime64[D]").astype(str), dtype=object
    )
    parts = [
        _by_level(
            name, (days if name == "day" else customers[name]).astype(str).to_numpy(object), held, share
        )
        for name in DIMENSIONS
    ]
    return [*_corrected(whole), *_corrected(parts)]


def _corrected(found: list[Check]) -> list[Check]:
    p_values = holm([check.p_value for check in found])
    return [check._replace(p_value=float(p)) for check, p in zip(found, p_values, strict=True)]


def _by_level(
    name: str, levels: NDArray[np.object_], held: NDArray[np.bool_], share: NDArray[np.float64]
) -> Check:
    frame = pd.DataFrame({"level": levels, "held": held, "mean": share, "variance": share * (1 - share)})
    found = frame.groupby("level").agg(
        size=("held", "size"), held=("held", "sum"), mean=("mean", "sum"), variance=("variance", "sum")
    )
    small = found["variance"] < _LEAST
    if small.sum() > 1:
        found = pd.concat([found[~small], found[small].sum().rename(_REST).to_frame().T])
    z = (found["held"] - found["mean"]) / np.sqrt(found["variance"].clip(lower=1e-12))
    worst = str(z.abs().idxmax())
    together = float(stats.chi2.sf(float((z**2).sum()), len(z)))
    exact = _binomial(
        int(found.loc[worst, "held"]), int(found.loc[worst, "size"]), float(found.loc[worst, "mean"])
    )
    # Two looks at the same levels: the sum finds many that are a little off, the worst one a single bad day.
    p = min(1.0, 2 * min(together if found["variance"].min() >= _LEAST else 1.0, len(z) * exact))
    row = found.loc[worst]
    return Check(name, worst, int(row["size"]), int(row["held"]), float(row["mean"]), p)


def _binomial(count: int, size: int, mean: float) -> float:
    return float(stats.binomtest(count, size, min(max(mean / size, 0.0), 1.0)).pvalue)
