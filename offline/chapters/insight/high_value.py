"""Who the high-value customers are, and what their first order already said."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from offline.lab.statistics import wilson
from offline.views.huge_orders import capped
from offline.views.log_view import LogView
from offline.views.net_orders import settled

#: Share of the buyers that counts as high value.
TOP: Final = 0.1
_LEAST_BUYERS: Final = 40
_QUARTERS: Final = 4
_COUNTRIES: Final = 5
_DRAWS, _MOST_DRAWN = 200, 2_000
# The first orders of customers who came at the end of the log say nothing yet about what becomes of them.
_EARLY: Final = 0.5


class HighValue(NamedTuple):
    """The best tenth of the buyers by money spent.

    Attributes
    ----------
    least
        Money that one has to have spent to belong to them.
    share
        Of all money.
    compared
        One row for each trait: medians of ``high value`` and ``others``, and their ``ratio``.
    countries
        Customers and high-value share by country with 95% intervals; empty where the log names fewer than two.
    first_order
        By quarter of the first order's value, the share that is among the best tenth in what was spent *after* it,
        among the customers of the log's first half.
    buyers
        Of whom the best tenth are taken.
    by_chance
        Share of the money that the best tenth would have at most (in 95 of 100 draws) if customers did not differ:
        each order's value, and who places it, drawn by lot.
    """

    least: float
    share: float
    compared: pd.DataFrame
    countries: pd.DataFrame
    first_order: pd.DataFrame
    buyers: int
    by_chance: float = 1.0


def high_value(view: LogView) -> HighValue | None:
    """Compare the best tenth with the others; None where there are too few buyers."""
    view = settled(capped(view))
    buyers = view.customers.dropna(subset="monetary")  # who paid in another currency cannot be compared
    if len(buyers) < _LEAST_BUYERS or buyers["monetary"].sum() <= 0:
        return None
    ordered = buyers["monetary"].sort_values(ascending=False)
    top = ordered.index[: max(1, round(TOP * len(ordered)))]
    best = pd.Series(buyers.index.isin(top), buyers.index)
    orders = view.orders[view.orders["customer"].isin(buyers.index)]
    first = orders.sort_values("time", kind="stable").drop_duplicates("customer").set_index("customer")
    traits = pd.DataFrame(
        {
            "orders": buyers["frequency"],
            f"mean order ({view.currency})": buyers["mean_order"],
            f"first order ({view.currency})": first["value"],
            "pieces per order": orders.groupby("customer")["quantity"].mean(),
            "days between orders": (buyers["span"] / (buyers["frequency"] - 1)).where(
                buyers["frequency"] > 1
            ),
            "days since the last order": buyers["recency"],
            "days since the first order": (view.last - buyers["first"]) / pd.Timedelta(days=1),
        }
    )
    compared = pd.DataFrame({"high value": traits[best].median(), "others": traits[~best].median()})
    compared["ratio"] = compared["high value"] / compared["others"].replace(0.0, np.nan)
    compared.index.name = "median of"
    return HighValue(
        float(ordered.loc[top].min()),
        float(ordered.loc[top].sum() / ordered.sum()),
        compared,
        _countries(view, best),
        _first_order(view, first, buyers["monetary"] - first["value"]),
        len(buyers),
        _by_chance(view.orders["value"].dropna().to_numpy(np.float64), len(buyers)),
    )


def _by_chance(values: NDArray[np.float64], buyers: int) -> float:
    """Return the 95% quantile of the best tenth's share where who orders how often and for how much is drawn by lot.

    Numbers of orders are Poisson's, of those who ordered at all.
    """
    rng = np.random.default_rng(0)
    drawn = min(buyers, _MOST_DRAWN)
    rate = _rate_of(len(values) / buyers)
    top = max(1, round(TOP * drawn))
    shares = np.empty(_DRAWS)
    for at in range(_DRAWS):
        none = np.exp(-rate)
        counts = stats.poisson.ppf(none + (1 - none) * rng.random(drawn), rate).astype(np.int64)
        counts = np.maximum(counts, 1)
        spent = np.bincount(np.repeat(np.arange(drawn), counts), rng.choice(values, counts.sum()), drawn)
        spent.sort()
        shares[at] = spent[-top:].sum() / max(spent.sum(), 1e-12)
    return float(np.quantile(shares, 0.95))


def _rate_of(mean: float) -> float:
    """Return the rate of a Poisson distribution whose mean is this among those above 0."""
    low, high = 1e-9, max(mean, 1e-9)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if middle / -np.expm1(-middle) < mean else (low, middle)
    return high


def _countries(view: LogView, best: pd.Series) -> pd.DataFrame:
    orders = view.orders[view.orders["customer"].isin(best.index)]
    home = orders.dropna(subset=["country"]).groupby("customer")["country"].last().astype(object)
    if home.nunique() < 2:  # noqa: PLR2004  (one country has nothing to be compared with)
        return pd.DataFrame()
    counts = home.value_counts().index[:_COUNTRIES]
    rows = [_rate("country", str(name), best.loc[home.index[home == name]]) for name in counts]
    rest = home.index[~home.isin(counts)]
    if len(rest):
        rows.append(_rate("country", "all others", best.loc[rest]))
    return pd.DataFrame(rows)


def _first_order(view: LogView, first: pd.DataFrame, spent_after: pd.Series) -> pd.DataFrame:
    early = first[first["time"] < view.first + _EARLY * (view.last - view.first)].dropna(subset="value")
    if len(early) < _LEAST_BUYERS or early["value"].nunique() < _QUARTERS:
        return pd.DataFrame()
    after = spent_after.loc[early.index]
    best = (after > 0) & (after.rank(ascending=False, method="first") <= max(1, round(TOP * len(after))))
    quarter = pd.qcut(early["value"].rank(method="first"), _QUARTERS, labels=False)
    rows = []
    for at in range(_QUARTERS):
        own = early[quarter == at]
        label = f"{own['value'].min():,.0f} to {own['value'].max():,.0f} {view.currency}"
        rows.append(_rate("first order", label, best.loc[own.index]))
    return pd.DataFrame(rows)


def _rate(what: str, name: str, best: pd.Series) -> dict[str, Any]:
    low, high = wilson([int(best.sum())], [len(best)])
    return {what: name, "customers": len(best), "high value": float(best.mean()), "low": float(low[0]),
            "high": float(high[0])}  # fmt: skip
