"""Reasons for single customers: why the model takes each for likely or unlikely to buy."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.offers import Band
from offline.chapters.insight.drivers import Attribution, effects, reasons
from offline.chapters.insight.model import InsightModel, logits
from offline.problems.problem import Problem
from offline.report.spreadsheets import write_csv
from offline.report.words import is_half, thing_words, value_words
from offline.training.calibration import HIGH_SHARE, MEDIUM_SHARE

#: Customers or rows that reasons are listed for, at most: the latest.
MOST: Final = 20_000
_LIKELIEST: Final = 8
_OTHERS: Final = (0.1, 0.25, 0.5, 0.75, 0.95)


class Explained(NamedTuple):
    """One row for each customer (for each test row of a table without customers).

    Attributes
    ----------
    frame
        The customer or row, ``probability``, ``segment``, and ``reason 1`` to ``reason 3`` in words, likeliest first.
    what
        Name of the first column: "customer", or what a row is.
    """

    frame: pd.DataFrame
    what: str


def explain_customers(
    model: InsightModel,
    problem: Problem,
    names: list[str],
    rows: NDArray[np.intp],
    segments: list[str] | None = None,
) -> Explained:
    """Return the probability of single rows, and the reasons where the model tells better than chance.

    Parameters
    ----------
    problem
        All rows.
    names
        Customer ids by the problem's numbers; empty for a table.
    rows
        Which rows: of a log, the latest of every customer.
    segments
        Name of the segment of each of these rows.
    """
    columns = problem.columns[model.names].iloc[rows]
    probabilities = model.calibration.probabilities(logits(model.booster, columns))
    values = effects(model, columns)[0] if model.tells else None
    log = bool(names)
    what = "customer" if log else f"{problem.unit} (row of the table)"
    found: list[dict[str, Any]] = []
    for at in np.argsort(-probabilities, kind="stable"):
        row: dict[str, Any] = {
            what: names[int(problem.groups[rows[at]])] if log and problem.groups is not None
            else int(problem.columns.index[rows[at]]) + 1,
            "probability": round(float(probabilities[at]), 4),
        }  # fmt: skip
        if segments is not None:
            row["segment"] = segments[at]
        if values is not None:
            found_here = reasons(columns, values, int(at), log=log)
            row |= {f"reason {nth}": _said(reason, log) for nth, reason in enumerate(found_here, start=1)}
        found.append(row)
    return Explained(pd.DataFrame(found), what)


def _said(reason: Attribution, log: bool) -> str:
    words = thing_words(reason.column, log=log)
    if is_half(reason.column, log=log):
        return f"{words} ({reason.effect:+.2f})"
    return f"{words}: {value_words(reason.column, reason.value, log=log)} ({reason.effect:+.2f})"


def bands_of(model: InsightModel, problem: Problem, names: list[str]) -> dict[str, Band]:
    """Return the band of every customer by id, at the latest row: high, medium and low as the stream has them.

    The thresholds are quantiles of the test rows' probabilities: the top 5%, the next 15%, the rest.
    """
    rows = latest_rows(problem, most=len(problem))
    assert problem.groups is not None  # a log's rows have customers
    columns = problem.columns[model.names].iloc[rows]
    probabilities = model.calibration.probabilities(logits(model.booster, columns))
    medium, high = np.quantile(model.probabilities, [1 - MEDIUM_SHARE, 1 - HIGH_SHARE])
    found: dict[str, Band] = {}
    for customer, probability in zip(problem.groups[rows], probabilities, strict=True):
        found[names[int(customer)]] = (
            "high" if probability >= high else "medium" if probability >= medium else "low"
        )
    return found


def latest_rows(problem: Problem, most: int = MOST) -> NDArray[np.intp]:
    """Return the latest row of every customer, of those seen latest if there are very many."""
    assert problem.groups is not None  # a log's rows have customers
    order = (
        np.arange(len(problem))
        if problem.times is None
        else np.argsort(problem.times.to_numpy(), kind="stable")
    )
    _, first = np.unique(problem.groups[order][::-1], return_index=True)
    latest = np.sort(len(order) - 1 - first)[-most:]
    return np.asarray(order[latest])


def some_customers(found: Explained) -> pd.DataFrame:
    """Return the likeliest, and a few others from likely to unlikely."""
    count = len(found.frame)
    others = [int(share * (count - 1)) for share in _OTHERS]
    shown = list(dict.fromkeys([*range(min(_LIKELIEST, count)), *others]))
    return found.frame.iloc[shown]


def write_reasons(found: Explained, path: Path) -> None:
    """Write all of them as a table (CSV)."""
    write_csv(found.frame, path)
