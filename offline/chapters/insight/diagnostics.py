"""How good the model is in detail: its decisions at the threshold, and its figures in each group of customers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from plotly.subplots import make_subplots
from scipy import stats
from sklearn.metrics import roc_curve

from offline.chapters.insight.customer_looks import Look
from offline.chapters.insight.model import InsightModel
from offline.lab.differences import Claim, supported
from offline.lab.statistics import wilson
from offline.problems.problem import Problem
from offline.report.section import Calculator, Picture, Table
from offline.report.theme import GREY, series_colour
from offline.report.words import short
from offline.training.evaluation import measure

#: A group is judged from so many examples on, and so many of each kind.
LEAST_EXAMPLES, LEAST_OF_A_KIND = 200, 30
_MOST_GROUPS: Final = 8
_POINTS: Final = 100
_BINS: Final = 8
_NAMED: Final = 3
_COLUMNS: Final = 3
_CATEGORIES: Final = 12


def confusion(model: InsightModel) -> Look:
    """Return who is flagged at the threshold, and who bought."""
    threshold = float(model.metrics["threshold"])
    frame = confusion_matrix(model.test.target, model.probabilities, threshold)
    unit = model.test.unit
    shown = pd.DataFrame(
        {
            f"{unit}s": ["flagged", "not flagged", "all"],
            "bought": frame["happened"].to_numpy(),
            "did not": frame["did not"].to_numpy(),
            "all": frame["all"].to_numpy(),
            "share that did": _shares(model.test, model.probabilities >= threshold),
        }
    ).rename(columns={"bought": model.test.target_name, "did not": "nothing of it"})
    caption = (
        f"Test rows flagged from a probability of {threshold:.1%} on, which is expected to give the best F1; labels "
        "had no part in choosing it. Share: of the row, with 95% intervals over customers."
    )
    return Look([], [Table("Confusion matrix at the threshold", shown, caption)],
                {"confusion": {"threshold": threshold, "counts": frame}})  # fmt: skip


def confusion_matrix(
    target: NDArray[np.bool_], probabilities: NDArray[np.float64], threshold: float
) -> pd.DataFrame:
    """Return counts: rows ``flagged``, ``not flagged`` and ``all``, columns ``happened``, ``did not`` and ``all``.

    Examples
    --------
    >>> confusion_matrix(np.array([True, False, True]), np.array([0.9, 0.8, 0.1]), 0.5).to_numpy().tolist()
    [[1, 1, 2], [1, 0, 1], [2, 1, 3]]
    """
    flagged = probabilities >= threshold
    rows = [[int((some & target).sum()), int((some & ~target).sum())] for some in (flagged, ~flagged)]
    frame = pd.DataFrame(rows, index=["flagged", "not flagged"], columns=["happened", "did not"])
    frame.loc["all"] = frame.sum()
    frame["all"] = frame.sum(axis=1)
    return frame.astype(int)


def share_interval(happened: NDArray[np.bool_], customers: NDArray[np.int64]) -> tuple[float, float]:
    """Return the 95% interval of a share whose rows belong to customers: those of one customer are alike.

    Wilson's interval, for as many independent rows as have the variance that the customers' sums show.
    """
    size = len(happened)
    share = float(happened.mean())
    rest = np.bincount(np.unique(customers, return_inverse=True)[1], happened - share)
    variance = float(np.square(rest).sum()) / size**2
    effective = min(size, share * (1 - share) / variance) if variance > 0 else float(len(rest))
    low, high = wilson([share * effective], [effective])
    return float(low[0]), float(high[0])


def _shares(test: Problem, flagged: NDArray[np.bool_]) -> list[str]:
    customers = np.arange(len(test)) if test.groups is None else test.groups
    texts = []
    for own in (flagged, ~flagged, np.ones(len(test), bool)):
        if not own.any():
            texts.append("–")
            continue
        low, high = share_interval(test.target[own], customers[own])
        texts.append(f"{test.target[own].mean():.1%} ({low:.1%} to {high:.1%})")
    return texts


def groups_of_table(model: InsightModel, ranking: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the categories that a table's test rows are in, for the few most important columns of categories."""
    kinds, columns = model.test.kinds, model.test.columns
    found = [
        name
        for name in ranking["column"]
        if kinds[name] != "numeric" and columns[name].nunique() <= _CATEGORIES
    ]
    return {name: columns[name].astype(object).reset_index(drop=True) for name in found[:_COLUMNS]}


def groups_look(model: InsightModel, groups: Mapping[str, pd.Series], *, seed: int = 0) -> Look:
    """Return the figures in every group that is large enough.

    Parameters
    ----------
    groups
        By what divides (segment, country, channel): the group of every test row, None where it is unknown.
    """
    parts: list[Table | Picture | Calculator] = []
    claims: list[tuple[bool, Claim]] = []
    frames = []
    for what, of in groups.items():
        frame = judged(model.test, model.probabilities, of, seed=seed)
        if len(frame) < 2:  # noqa: PLR2004  (one group has nothing beside it)
            continue
        frames.append(frame.assign(by=what))
        parts += [_picture(model, what, of, frame), _table(what, frame)]
        claims += _claims(what, frame)
    figures: dict[str, Any] = {"by_group": pd.concat(frames, ignore_index=True) if frames else []}
    return Look([], parts, figures, _off(claims))


def judged(
    test: Problem, probabilities: NDArray[np.float64], of: pd.Series, *, seed: int = 0
) -> pd.DataFrame:
    """Return the figures of each group with enough examples, the largest first.

    Returns
    -------
    DataFrame
        ``group``, ``examples``, ``happened``, ``predicted`` (mean probability), ``p`` (of no difference between the
        two, summed over customers), ``auc``, ``ece`` and the ends of their 95% intervals over customers.
    """
    customers = np.arange(len(test)) if test.groups is None else test.groups
    rows: list[dict[str, Any]] = []
    values = of.to_numpy(object)
    for name in of.value_counts().index[:_MOST_GROUPS]:
        own = values == name
        happened = int(test.target[own].sum())
        if own.sum() < LEAST_EXAMPLES or min(happened, int(own.sum()) - happened) < LEAST_OF_A_KIND:
            continue
        found = measure(test.target[own].astype(np.int8), probabilities[own], customers[own], seed=seed)
        ends = {
            f"{m} {end}": found["ci"][m][at] for m in ("auc", "ece") for at, end in enumerate(("low", "high"))
        }
        rows.append(
            {
                "group": str(name), "examples": int(own.sum()), "happened": happened / int(own.sum()),
                "predicted": float(probabilities[own].mean()),
                "p": _p_value(test.target[own] - probabilities[own], customers[own]),
                "auc": found["auc"], "ece": found["ece"], **ends,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _p_value(rest: NDArray[np.float64], customers: NDArray[np.int64]) -> float:
    by_customer = np.bincount(np.unique(customers, return_inverse=True)[1], rest)
    spread = float(np.sqrt(np.square(by_customer).sum()))
    return float(2 * stats.norm.sf(abs(rest.sum()) / spread)) if spread else 1.0


def _claims(what: str, frame: pd.DataFrame) -> list[tuple[bool, Claim]]:
    """Return for each group whether the model promises too much there, and what is to be said if that is no chance."""
    return [
        (
            bool(row.predicted > row.happened),
            Claim(f"{row.group} ({what}; predicted {row.predicted:.1%}, happened {row.happened:.1%})", row.p),
        )
        for row in frame.itertuples()
    ]


def _off(claims: list[tuple[bool, Claim]]) -> list[str]:
    """Return where the model promises too much or too little, of all groups those where that is more than chance."""
    stand = supported([claim for _, claim in claims])
    sentences = []
    for too_much, words in ((True, "much"), (False, "little")):
        named = [
            c.sentence for (much, c), told in zip(claims, stand, strict=True) if told and much == too_much
        ]
        if named:
            more = f", and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
            sentences.append(
                f"The model promises too {words}, by more than chance, in {'; '.join(named[:_NAMED])}{more}."
            )
    return sentences


def _table(what: str, frame: pd.DataFrame) -> Table:
    shown = frame[["group", "examples", "happened", "predicted"]].rename(columns={"group": what})
    for name, words in (("auc", "AUC"), ("ece", "calibration error")):
        shown[words] = [
            f"{row[name]:.3f} ({row[f'{name} low']:.3f} to {row[f'{name} high']:.3f})"
            for _, row in frame.iterrows()
        ]
    caption = (
        f"Test rows; groups of at least {LEAST_EXAMPLES} with {LEAST_OF_A_KIND} of each kind. Predicted: mean "
        "probability. In brackets 95% intervals over customers."
    )
    return Table(f"Quality by {what}", shown, caption, {"happened": ".1%", "predicted": ".1%"})


def _picture(model: InsightModel, what: str, of: pd.Series, frame: pd.DataFrame) -> Picture:
    figure = make_subplots(rows=1, cols=2, subplot_titles=["ROC", "calibration"], horizontal_spacing=0.12)
    values = of.to_numpy(object).astype(str)
    customers = np.arange(len(model.test)) if model.test.groups is None else model.test.groups
    top = 0.0
    for at, name in enumerate(frame["group"]):
        own = values == name
        target, p = model.test.target[own], model.probabilities[own]
        look = {
            "name": short(name),
            "legendgroup": name,
            "line": {"color": series_colour(at), "width": 1.8},
        }
        x, y, _ = roc_curve(target, p)
        some = np.unique(np.linspace(0, len(x) - 1, _POINTS).astype(int))
        figure.add_scatter(x=x[some], y=y[some], mode="lines", **look, row=1, col=1)
        bins = np.array_split(np.argsort(p, kind="stable"), _BINS)
        means, shares = [p[b].mean() for b in bins], np.array([target[b].mean() for b in bins])
        low, high = np.array([share_interval(target[b], customers[own][b]) for b in bins]).T
        top = max(top, float(high.max()), float(max(means)))
        figure.add_scatter(
            x=means, y=shares, mode="lines+markers", showlegend=False, **look, row=1, col=2,
            error_y={"type": "data", "symmetric": False, "array": high - shares, "arrayminus": shares - low,
                     "thickness": 0.8, "width": 2},
        )  # fmt: skip
    for col, end in ((1, 1.0), (2, top)):
        figure.add_scatter(x=[0, end], y=[0, end], mode="lines", showlegend=False, hoverinfo="skip",
                           line={"color": GREY, "dash": "dot", "width": 1}, row=1, col=col)  # fmt: skip
    figure.update_xaxes(tickformat=".0%", title_text="share of others flagged", row=1, col=1)
    figure.update_yaxes(tickformat=".0%", title_text="share of buyers found", row=1, col=1)
    figure.update_xaxes(tickformat=".0%", title_text="predicted", row=1, col=2)
    figure.update_yaxes(tickformat=".0%", title_text="happened", row=1, col=2)
    figure.update_layout(height=440, legend={"y": 1.1}, margin={"t": 90})
    return Picture(
        f"ROC and calibration by {what}",
        figure,
        f"Test rows of groups with at least {LEAST_EXAMPLES} examples and {LEAST_OF_A_KIND} of each kind. Right: "
        f"{_BINS} bins of each group with 95% intervals over customers; on the dotted line, probabilities are honest.",
    )
