"""Cohort retention: of those who first bought in a period, how many buy again in each period after."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from features.counts import counted
from offline.chapters.exploration.findings import Findings
from offline.chapters.exploration.periods import whole_period
from offline.lab.differences import LEAST, Claim, highest_share
from offline.lab.statistics import wilson
from offline.report.section import Picture
from offline.report.theme import SEQUENTIAL, scale
from offline.views.log_view import LogView, period_label

_WORDS: Final = {"M": "month", "W": "week", "D": "day"}
_LEAST: Final = 2
_LEAST_COHORTS: Final = 3
_GREY: Final = "#dfe3e8"


def cohorts(view: LogView) -> Findings:
    """Return the table of cohorts as a heat map."""
    table = retention(view)
    if len(table) < _LEAST:
        return Findings("cohorts")
    word = _WORDS[view.period]
    shares = table.drop(columns="size")
    # The last period of every cohort is cut off by the log's end, unless it has just ended.
    ended = whole_period(view.last, view.period)
    after = shares.iloc[:, 1:]
    full = after if ended else after.where(~_unfinished(after, view.last, view.period))
    beginning = pd.Period(view.first, freq=view.period)
    compared = full[full.index != beginning]
    size = table["size"][compared.index]
    pooled = _pooled(compared, size)
    summary = _sentences(pooled, compared, size, word, beginning)
    caption = (
        f"Each row is a cohort: customers by the {word} of their first order in the log; columns are {word}s since. "
        f"Grey: the first {word} of the log, whose row holds all older customers, too, because the log does not know "
        "their first orders"
        + (
            "."
            if ended
            else f", and {word}s that the log has not finished. Neither is counted in any sentence."
        )
    )
    parts = [
        Picture(f"Share of a cohort that buys again, by {word}", _heat(table, full, beginning, word), caption)
    ]
    figures = {
        "period": word,
        "cohorts": [
            {"cohort": period_label(i), "size": int(r["size"]), "retention": r.drop("size").dropna().tolist()}
            for i, r in table.iterrows()
        ],
        "pooled": {str(key): value for key, value in pooled.items()},
    }
    return Findings("cohorts", summary, parts, figures, _claims(compared, size, word))


def _sentences(
    pooled: pd.Series, full: pd.DataFrame, size: pd.Series, word: str, beginning: pd.Period
) -> list[str]:
    known = pooled.dropna()
    if not len(known):
        return []
    since = int(known.index[0])
    enough = full[since].notna()
    people = int(size[enough].sum())
    if people < LEAST:
        return []
    low, high = wilson([round(known.iloc[0] * people)], [people])
    said = (
        f"Of the {counted(people, 'customer')} who first bought after {period_label(beginning)}, "
        f"{known.iloc[0]:.0%} bought "
        f"again in the {word} after (95% interval {low[0]:.0%} to {high[0]:.0%})"
    )
    # What a single cohort did late says little of the others.
    shared = [
        later for later in known.index
        if later != since and full[later].notna().sum() >= _LEAST_COHORTS and size[full[later].notna()].sum() >= LEAST
    ]  # fmt: skip
    if shared:
        held = full[shared[-1]].notna()
        said += (
            f"; of the {int(size[held].sum()):,} of them whose {word} {int(shared[-1])} is over, "
            f"{known[shared[-1]]:.0%} bought in it"
        )
    return [f"{said}. Who was there when the log began is left out: their first orders are unknown."]


def _claims(full: pd.DataFrame, size: pd.Series, word: str) -> list[Claim]:
    """Return the cohort that comes back more than all others, in the first period after."""
    if not full.shape[1]:
        return []
    first = full[full.columns[0]].dropna()
    if len(first) < 2:  # noqa: PLR2004  (one cohort is compared with nothing)
        return []
    sizes = size[first.index]
    again = (first * sizes).round()
    best = highest_share(again.set_axis(again.index.map(str)), sizes.set_axis(sizes.index.map(str)))
    if best is None:
        return []
    at = pd.Period(best.group, freq=first.index.freqstr)
    low, high = wilson([again[at]], [sizes[at]])
    others = (again.sum() - again[at]) / max(sizes.sum() - sizes[at], 1)
    text = (
        f"Customers who first bought in {period_label(at)} came back more often than other new ones: {first[at]:.0%} "
        f"in the {word} after (95% interval {low[0]:.0%} to {high[0]:.0%}), the others {others:.0%}."
    )
    return [Claim(text, best.p_value)]


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


def _unfinished(after: pd.DataFrame, last: pd.Timestamp, period: str) -> pd.DataFrame:
    """Say which cells are of the period that the log ends in."""
    end = pd.Period(last, freq=period).ordinal
    cohorts_at = np.array([cohort.ordinal for cohort in after.index])
    return pd.DataFrame(
        cohorts_at[:, None] + after.columns.to_numpy(int)[None, :] == end, after.index, after.columns
    )


def _pooled(full: pd.DataFrame, size: pd.Series) -> pd.Series:
    weights = full.notna().mul(size, axis=0)
    return (full.mul(size, axis=0).sum() / weights.sum().replace(0, np.nan)).astype("float64")


def _heat(table: pd.DataFrame, full: pd.DataFrame, beginning: pd.Period, word: str) -> go.Figure:
    table = table[table.drop(columns="size").iloc[:, 1:].notna().any(axis=1)]
    shares = table.drop(columns="size").iloc[:, 1:]
    sure = full.loc[table.index].copy()
    sure.loc[sure.index == beginning] = np.nan
    unsure = shares.where(sure.isna())
    largest = float(np.nanmax(sure.to_numpy())) if sure.notna().any(axis=None) else 1.0
    labels = [
        f"{period_label(cohort)}  ({size:,.0f})"
        for cohort, size in zip(table.index, table["size"], strict=True)
    ]
    few = shares.shape[1] <= 16  # noqa: PLR2004  (more numbers than that cannot be read side by side)
    figure = go.Figure()
    colours: dict[str, object] = {
        "colorscale": scale(SEQUENTIAL), "zmin": 0, "zmax": max(largest, 1e-9),
        "colorbar": {"title": {"text": "buys"}, "tickformat": ".0%", "thickness": 12},
    }  # fmt: skip
    grey: dict[str, object] = {"colorscale": [[0, _GREY], [1, _GREY]], "showscale": False}
    for part, colour, note in ((sure, colours, ""), (unsure, grey, " (not comparable)")):
        figure.add_heatmap(
            z=part.to_numpy(),
            x=list(part.columns),
            y=labels,
            xgap=1,
            ygap=1,
            texttemplate="%{z:.0%}" if few else None,
            textfont={"size": 11},
            hoverongaps=False,
            hovertemplate=f"%{{y}}, {word} %{{x}}: %{{z:.1%}}{note}<extra></extra>",
            **colour,
        )
    figure.update_xaxes(title_text=f"{word}s since the first order", dtick=1 if few else None, showgrid=False)
    figure.update_yaxes(
        autorange="reversed", showgrid=False, title_text="cohort (customers)", type="category"
    )
    figure.update_layout(height=max(300, 120 + 30 * min(len(table), 30)))
    return figure
