"""The stage "preparation": what was missing, doubled, skewed, outlying and rare, and what was done about it."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer

from features.counts import counted
from offline.chapters.preparation.balance_trial import balance_sentence, balance_table, try_balances
from offline.chapters.preparation.changes import before_and_after, category_changes, numeric_changes
from offline.chapters.preparation.steps import Totals, steps, totals
from offline.chapters.workspace import Balance, Workspace
from offline.preparation.transformers import FENCE, preparation
from offline.problems.duplicates import Duplicates, find_duplicates
from offline.problems.holdout import Holdout
from offline.problems.problem import Problem
from offline.report.section import Picture, Section, Table

# Rows from which the effect of balancing is shown, at most: it is an illustration, not a contest.
_ROWS: Final = 30_000
_QUICK_ROWS: Final = 8_000

_TRAINED: Final[dict[Balance, str]] = {
    "none": "The models of this report are trained on rows as they come; --balance chooses otherwise.",
    "weights": "By --balance weights, the models compared are trained with class weights and prior correction.",
    "under": "By --balance under, the models compared are trained on undersampled rows, with prior correction.",
    "over": "By --balance over, the models compared are trained on oversampled rows, with prior correction.",
}


def prepare(workspace: Workspace) -> Section:
    """Run the stage on the input of a report."""
    options = workspace.options
    with workspace.progress("Preparing"):
        return preparation_section(
            workspace.problem, workspace.holdout, balance=options.balance,
            most_rows=_QUICK_ROWS if options.quick else _ROWS, seed=options.seed,
        )  # fmt: skip


def preparation_section(
    problem: Problem, holdout: Holdout, *, balance: Balance = "none", most_rows: int = _ROWS, seed: int = 0
) -> Section:
    """Fit the preparation on the training rows and tell what it does.

    Parameters
    ----------
    balance
        How the models of the report are balanced; the section mentions it.
    most_rows
        Training rows that are used, at most; more hardly move a median.
    """
    rng = np.random.default_rng(seed)
    train = problem.take(_some(holdout.train, most_rows, rng))
    test = problem.take(_some(holdout.test, most_rows, rng))
    prepared = preparation(problem.kinds).fit(train.columns)
    numeric, categories = numeric_changes(train, prepared), category_changes(train, prepared)
    duplicates, sums = find_duplicates(problem), totals(problem, train, numeric)
    # Beside a column that knows the target nothing else could be seen.
    honest = preparation({name: kind for name, kind in problem.kinds.items() if name not in problem.leaks})
    tried = try_balances(honest, train, test, seed) if len(problem.kinds) > len(problem.leaks) else None
    done = steps(problem, prepared, sums, duplicates)
    parts: list[Table | Picture] = [
        Table("What is done, step by step", done),
        *_changes(train, prepared, numeric),
    ]
    if len(categories):
        parts.append(Table("What was changed: categories", categories))
    if tried is not None:
        parts.append(balance_table(tried, problem, _TRAINED[balance]))
    figures = {
        "training_rows": len(train),
        "division": holdout.how,
        "missing": sums.missing,
        "duplicates": int(duplicates.copies.sum()),
        "contradictions": duplicates.contradictions,
        "outliers_before": sums.before,
        "outliers_after": sums.after,
        "transformed": sums.transformed,
        "clipped": sums.clipped,
        "steps": done,
        "numeric": numeric,
        "categories": categories,
        "balance": tried,
    }
    summary = _summary(problem, train, holdout, sums, duplicates)
    if tried is not None:
        summary.insert(-1, balance_sentence(train, test, tried))
    return Section("preparation", "Preparation", summary, parts, figures, audience="data people")


def _some(rows: NDArray[np.intp], most: int, rng: np.random.Generator) -> NDArray[np.intp]:
    return rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))


def _summary(
    problem: Problem, train: Problem, holdout: Holdout, sums: Totals, duplicates: Duplicates
) -> list[str]:
    missing, numbers = sums.missing, list(problem.kinds.values()).count("numeric")
    summary = [
        f"{_are(sum(missing.values()), 'value')} missing in {counted(len(missing), 'column')}: numbers get the "
        "median and a mark of their own, categories get a category."
        if missing
        else "No value is missing.",
        _duplicates_sentence(problem, duplicates),
    ]
    if numbers:
        clipped = f"{_are(sums.clipped, 'value')} so far out and so few that they are pulled to a fence."
        summary.append(
            f"{sums.transformed} of {numbers} numeric columns are skewed and are transformed; "
            f"{counted(sums.before, 'value')} "
            f"lie beyond {FENCE:g} robust deviations before that and {sums.after:,} after. "
            + (clipped if sums.clipped else "None has to be clipped then.")
        )
    summary.append(
        f"Learned from {len(train):,} training {problem.unit}s only ({holdout.how}), so nothing of the test gets into "
        "it."
    )
    return summary


def _changes(train: Problem, prepared: ColumnTransformer, numeric: pd.DataFrame) -> list[Table | Picture]:
    """Return what was changed in numeric columns, the most changed first, and the pictures of it."""
    if not len(numeric):
        return []
    varied = [train.columns[name].nunique(dropna=False) > 1 for name in numeric["column"]]
    shown = numeric[varied].assign(_gain=lambda frame: frame["skewness before"].abs() - frame["after"].abs())
    shown = shown.sort_values(["_gain", "clipped"], ascending=False, kind="stable").drop(columns="_gain")
    if not shown["clipped"].any():
        shown = shown.drop(columns=["clipped", "to"])
    same = len(numeric) - len(shown)
    caption = (
        "For models that need it (linear, SVM, network, distances); trees take the columns as they are. All are "
        f"standardised at the end. Outliers: values beyond the median plus and minus {FENCE:g} robust standard "
        "deviations (median absolute deviation), before and after the transform. Clipped: those in the outermost "
        "0.5% of a side, to the range in the column's own unit."
    )
    caption += (
        f" {counted(same, 'column')} with one value only {'is' if same == 1 else 'are'} left out."
        if same
        else ""
    )
    formats = {"skewness before": ".1f", "after": ".1f", "filled with": ".4g"}
    parts: list[Table | Picture] = (
        [Table("What was changed: numbers", shown, caption, formats)] if len(shown) else []
    )
    figure, columns = before_and_after(train, prepared)
    if columns:
        parts.append(
            Picture(
                "The most skewed columns before and after",
                figure,
                "Upper row: as they come. Lower row: transformed, outliers at the fence, standardised.",
            )
        )
    return parts


def _duplicates_sentence(problem: Problem, duplicates: Duplicates) -> str:
    copies, contradictions = int(duplicates.copies.sum()), duplicates.contradictions
    unit = problem.unit
    if not copies and not contradictions:
        return f"No two {unit}s are equal."
    if not copies:
        return f"{_are(contradictions, unit)} like another one in every column but the target."
    kept = (
        "They are kept: without an identifier two short visits can be equal by chance "
        "(--drop-duplicates leaves them out)."
        if problem.groups is None
        else "They are kept here; what is the same event is recognised by its id when the log is read."
    )
    other = f"; {contradictions:,} in every column but the target" if contradictions else ""
    return f"{_are(copies, unit)} equal to another one in every column, the target too{other}. {kept}"


def _are(number: int, noun: str) -> str:
    return f"{counted(number, noun)} {'is' if number == 1 else 'are'}"
