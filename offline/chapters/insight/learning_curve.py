"""Would more data help? The model learned from parts of the training rows, always judged on the same test rows."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from features.counts import counted
from offline.chapters.insight.customer_looks import Look
from offline.lab.figures import figures_drawn, paired_differences
from offline.lab.models import MODELS, fit, probabilities
from offline.lab.statistics import ALPHA
from offline.problems.holdout import Holdout
from offline.problems.problem import Problem
from offline.report.section import Picture
from offline.report.theme import BLUE, faint

_SHARES: Final = (0.05, 0.1, 0.25, 0.5, 1.0)
_QUICK_SHARES: Final = (0.25, 0.5, 1.0)
_LEAST_OF_A_KIND: Final = 20
_REPLICATES: Final = 500


def learning_curve(problem: Problem, holdout: Holdout, *, seed: int = 0, quick: bool = False) -> Look:
    """Return the AUC by number of training rows; customers are kept whole, and smaller parts lie in larger ones."""
    plain = problem.without(set(problem.leaks))
    test = plain.take(holdout.test)
    rows, figures, draws = [], [], []
    for share in _QUICK_SHARES if quick else _SHARES:
        train = plain.take(part_of(plain, holdout.train, share, seed))
        happened = int(train.target.sum())
        if min(happened, len(train) - happened) < _LEAST_OF_A_KIND:
            continue
        fitted = fit(MODELS["lightgbm"].make(plain.kinds, seed, quick), train)
        found, drawn = figures_drawn(
            test.target, probabilities(fitted, test.columns), test.groups, replicates=_REPLICATES, seed=seed
        )
        low, high = found["ci"]["auc"] or (float("nan"), float("nan"))
        rows.append({"share": share, "rows": len(train), "auc": found["auc"], "low": low, "high": high})
        figures.append(found)
        draws.append(drawn)
    frame = pd.DataFrame(rows)
    if len(frame) < 2 or frame["auc"].isna().any():  # noqa: PLR2004  (a curve needs two points)
        return Look([], [], {"learning_curve": frame})
    gain = paired_differences(figures[-1], draws[-1], figures[-2], draws[-2])["auc"]
    times = frame["rows"].iloc[-1] / frame["rows"].iloc[-2]
    verdict = (
        "which may be chance: more rows of this kind are not known to help" if gain.p >= ALPHA
        else "more than chance: more rows may help further" if gain.value > 0
        else "more than chance: older rows mislead more than they teach"
    )  # fmt: skip
    caption = (
        f"LightGBM with default settings on parts of the training rows, judged on the same {len(test):,} test rows; "
        f"band: 95% over customers. From {frame['rows'].iloc[-2]:,} to {counted(frame['rows'].iloc[-1], 'row')} "
        f"({times:.1f} "
        f"times as many) AUC changes by {gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}), {verdict}."
    )
    return Look([], [Picture("Learning curve", _drawn(frame), caption)],
                {"learning_curve": frame, "learning_gain": gain._asdict()})  # fmt: skip


def part_of(problem: Problem, rows: NDArray[np.intp], share: float, seed: int) -> NDArray[np.intp]:
    """Return the rows of a share of the customers, or of a share of the rows where nobody knows the customer."""
    groups = rows if problem.groups is None else problem.groups[rows]
    names = np.unique(groups)
    drawn = np.random.default_rng(seed).permutation(names)[: max(1, round(share * len(names)))]
    return rows[np.isin(groups, drawn)]


def _drawn(frame: pd.DataFrame) -> go.Figure:
    x = frame["rows"]
    figure = go.Figure()
    figure.add_scatter(
        x=[*x, *x[::-1]], y=[*frame["high"], *frame["low"][::-1]], fill="toself", mode="lines", fillcolor=faint(BLUE),
        line={"width": 0}, hoverinfo="skip", showlegend=False,
    )  # fmt: skip
    figure.add_scatter(
        x=x, y=frame["auc"], mode="lines+markers", line={"color": BLUE}, showlegend=False,
        hovertemplate="%{x:,} rows: AUC %{y:.3f}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(
        type="log", title_text="training rows", tickvals=x.tolist(), ticktext=[f"{n:,}" for n in x]
    )
    figure.update_yaxes(title_text="AUC on the test rows")
    figure.update_layout(height=340, margin={"t": 20})
    return figure
