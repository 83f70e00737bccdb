"""Cohort retention: of those who first bought in a period, how many buy again in each period after."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from offline.chapters.exploration.findings import Findings
from offline.report.section import Picture
from offline.report.theme import SEQUENTIAL, scale
from offline.views.log_view import LogView, period_label

_WORDS: Final = {"M": "month", "W": "week", "D": "day"}
_LEAST: Final = 2
_LEAST_COHORTS: Final = 3
# The share of fewer customers is an anecdote.
_SOLID: Final = 30


def cohorts(view: LogView) -> Findings:
    """Return the table of cohorts as a heat map."""
    table = retention(view)
    if len(table) < _LEAST:
        return Findings("cohorts")
    word = _WORDS[view.period]
    shares = table.drop(columns="size")
    after = shares.iloc[:, 1:]
    # The last period of every cohort is cut off by the log's end.
    full = after.where(~_incomplete(shares).iloc[:, 1:])
    pooled = _pooled(full, table["size"])
    summary = [_sentence(pooled, full, table["size"], word)] if pooled.notna().any() else []
    caption = (
        f"Each row is a cohort: customers by the {word} of their first order in the log; columns are {word}s "
        f"since. The first cohort holds all older "
        "customers too, because the log does not know them. Values in the last diagonal are of an incomplete period."
    )
    parts = [Picture(f"Share of a cohort that buys again, by {word}", _heat(table, word), caption)]
    figures = {
        "period": word,
        "cohorts": [
            {"cohort": period_label(i), "size": int(r["size"]), "retention": r.drop("size").dropna().tolist()}
            for i, r in table.iterrows()
        ],
        "pooled": {str(key): value for key, value in pooled.items()},
    }
    return Findings("cohorts", summary, parts, figures)


def _sentence(pooled: pd.Series, full: pd.DataFrame, size: pd.Series, word: str) -> str:
    known = pooled.dropna()
    first = int(known.index[0])
    said = f"Of those who bought for the first time, {known.iloc[0]:.0%} buy again in the {word} after"
    # What a single cohort did late says little of the others.
    shared = [
        since for since in known.index if full[since].notna().sum() >= _LEAST_COHORTS and since != first
    ]
    if shared:
        said += f", and {known[shared[-1]]:.0%} in {word} {int(shared[-1])} after it"
    counted = full[first][size >= _SOLID].dropna()
    if len(counted) > 1:
        best = f"{period_label(counted.idxmax())} with {counted.max():.0%} in the {word} after"
        said += f"; the best cohort is that of {best}"
    return said + "."


def retention(view: LogView) -> pd.DataFrame:
    """Return one row for each cohort: its size, and the share of it that bought 0, 1, 2, ... periods after.

    What lies beyond the end of the log is NaN.
    """
    period = view.orders["time"].dt.to_period(view.period)
    bought = pd.DataFrame({"customer": view.orders["customer"], "period": period}).drop_duplicates()
    if bought.empty:
        return pd.DataFrame({"size": []})
    bought["cohort"] = bought.groupby("customer")["period"].transform("min")
    ordinal = pd.PeriodIndex(bought["period"]).asi8 - pd.PeriodIndex(bought["cohort"]).asi8
    counts = pd.crosstab(bought["cohort"], pd.Series(ordinal, bought.index, name="since"))
    last = pd.Period(view.last, freq=view.period).ordinal
    counts = counts.reindex(columns=range(int(counts.columns.max()) + 1), fill_value=0)
    size = counts[0]
    shares = counts.div(size, axis=0).astype("float64")
    for cohort in shares.index:
        shares.loc[cohort, [since for since in shares if cohort.ordinal + since > last]] = np.nan
    shares.insert(0, "size", size)
    return shares


def _incomplete(shares: pd.DataFrame) -> pd.DataFrame:
    known = shares.notna()
    return known & ~known.shift(-1, axis=1, fill_value=False)


def _pooled(full: pd.DataFrame, size: pd.Series) -> pd.Series:
    weights = full.notna().mul(size, axis=0)
    return (full.mul(size, axis=0).sum() / weights.sum().replace(0, np.nan)).astype("float64")


def _heat(table: pd.DataFrame, word: str) -> go.Figure:
    table = table[table.drop(columns="size").iloc[:, 1:].notna().any(axis=1)]
    shares = table.drop(columns="size").iloc[:, 1:]
    labels = [
        f"{period_label(cohort)}  ({size:,.0f})"
        for cohort, size in zip(table.index, table["size"], strict=True)
    ]
    few = shares.shape[1] <= 16  # noqa: PLR2004  (more numbers than that cannot be read side by side)
    figure = go.Figure(
        go.Heatmap(
            z=shares.to_numpy(),
            x=list(shares.columns),
            y=labels,
            colorscale=scale(SEQUENTIAL),
            zmin=0,
            zmax=max(float(np.nanmax(shares.to_numpy())), 1e-9),
            xgap=1,
            ygap=1,
            texttemplate="%{z:.0%}" if few else None,
            textfont={"size": 11},
            hoverongaps=False,
            colorbar={"title": {"text": "buys"}, "tickformat": ".0%", "thickness": 12},
            hovertemplate=f"%{{y}}, {word} %{{x}}: %{{z:.1%}}<extra></extra>",
        )  # fmt: skip
    )
    figure.update_xaxes(title_text=f"{word}s since the first order", dtick=1 if few else None, showgrid=False)
    figure.update_yaxes(
        autorange="reversed", showgrid=False, title_text="cohort (customers)", type="category"
    )
    figure.update_layout(height=max(300, 120 + 30 * min(len(table), 30)))
    return figure
