"""The stage "preparation": what was missing, doubled, skewed, outlying and rare, and what was done about it."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression

from offline.evaluation import measure
from offline.preparation.balance import class_weights, correct_prior, resample
from offline.preparation.changes import before_and_after, category_changes, numeric_changes
from offline.preparation.duplicates import find_duplicates
from offline.preparation.transformers import FENCE, preparation
from offline.problem import Problem
from offline.report.section import Picture, Section, Table
from offline.report.workspace import Workspace
from offline.tables.holdout import Holdout

# Rows from which the effect of balancing is shown, at most: it is an illustration, not a contest.
_ROWS: Final = 30_000
_QUICK_ROWS: Final = 8_000
_REPLICATES: Final = 50
_DRIFT: Final = 0.02


def prepare(workspace: Workspace) -> Section:
    """Run the stage on the input of a report."""
    with workspace.progress("Preparing"):
        return preparation_section(
            workspace.problem, workspace.holdout,
            most_rows=_QUICK_ROWS if workspace.options.quick else _ROWS, seed=workspace.options.seed,
        )  # fmt: skip


def preparation_section(
    problem: Problem, holdout: Holdout, *, most_rows: int = _ROWS, seed: int = 0
) -> Section:
    """Fit the preparation on the training rows and tell what it does.

    Parameters
    ----------
    most_rows
        Training rows that are used, at most; more hardly move a median.
    """
    rng = np.random.default_rng(seed)
    train = problem.take(_some(holdout.train, most_rows, rng))
    test = problem.take(_some(holdout.test, most_rows, rng))
    prepared = preparation(problem.kinds)
    prepared.fit(train.columns)
    numeric, categories = numeric_changes(train, prepared), category_changes(train, prepared)
    duplicates = find_duplicates(problem)
    copies = int(duplicates.copies.sum())
    # Beside a column that knows the target nothing else could be seen.
    honest = preparation({name: kind for name, kind in problem.kinds.items() if name not in problem.leaks})
    balance = _balance(honest, train, test, seed)
    missing = {name: int(count) for name, count in problem.columns.isna().sum().items() if count}
    transformed = int((numeric["transform"] != "none").sum()) if len(numeric) else 0
    before, after, clipped = (
        int(numeric[name].sum()) if len(numeric) else 0
        for name in ("outliers before", "outliers after", "clipped")
    )
    unit = problem.unit
    summary = [
        f"{sum(missing.values()):,} values are missing in {len(missing)} columns: numbers get the median and a mark of "
        "their own, categories get a category."
        if missing
        else "No value is missing.",
        _duplicates_sentence(problem, copies, duplicates.contradictions),
        f"{transformed} of {len(numeric)} numeric columns are skewed and are transformed; {before:,} values lie "
        f"beyond {FENCE:g} robust deviations before that and {after:,} after. "
        + (
            f"{clipped:,} are so far out and so few that they are pulled to a fence."
            if clipped
            else "None has to be clipped then."
        ),
        _balance_sentence(train, test, balance),
        f"Learned from {len(train):,} training {unit}s only ({holdout.how}), so nothing of the test gets into it.",
    ]
    figure, shown = before_and_after(train, prepared) if len(numeric) else (None, [])
    parts: list[Table | Picture] = []
    if len(numeric):
        parts.append(
            Table(
                "What was changed: numbers",
                numeric,
                "For models that need it (linear, SVM, network, distances); trees take the columns as they are. "
                "All are standardised at the end. "
                f"Outliers: values beyond the median plus and minus {FENCE:g} robust standard deviations "
                f"(median absolute deviation), before and "
                "after the transform. Clipped: those in the outermost 0.5 % of a side, to the range in the "
                "column's own unit.",
                {"skewness before": ".2f", "after": ".2f", "filled with": ".4g"},
            )
        )
    if len(categories):
        parts.append(Table("What was changed: categories", categories))
    if shown and figure is not None:
        parts.append(
            Picture(
                "The most skewed columns before and after",
                figure,
                "Upper row: as they come. Lower row: transformed, outliers at the fence, standardised.",
            )
        )
    parts.append(
        Table(
            "Balancing the classes, with and without prior correction",
            balance,
            f"Logistic regression{_without(problem)}, judged on the test rows. Balancing makes the probability of "
            "the rare class too high; prior correction brings it back to the prevalence of the training "
            "rows. Nothing in this report is trained on resampled rows.",
            {
                "mean probability": ".3f",
                "happened": ".3f",
                "AUC": ".3f",
                "PR-AUC": ".3f",
                "log-loss": ".4f",
                "ECE": ".4f",
            },
        )
    )
    figures = {
        "training_rows": len(train),
        "division": holdout.how,
        "missing": missing,
        "duplicates": copies,
        "contradictions": duplicates.contradictions,
        "outliers_before": before,
        "outliers_after": after,
        "transformed": transformed,
        "clipped": clipped,
        "numeric": numeric,
        "categories": categories,
        "balance": balance,
    }
    return Section("preparation", "Preparation", summary, parts, figures)


def _some(rows: NDArray[np.intp], most: int, rng: np.random.Generator) -> NDArray[np.intp]:
    return rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))


def _balance(prepared: ColumnTransformer, train: Problem, test: Problem, seed: int) -> pd.DataFrame:
    """Return how logistic regression does on the test with every way of balancing, corrected and not."""
    target = train.target
    rows, test_rows = prepared.fit_transform(train.columns), prepared.transform(test.columns)
    natural = float(target.mean())
    groups = test.groups if test.groups is not None else np.arange(len(test))
    results = []

    def judge(name: str, guess: NDArray[np.float64]) -> None:
        found = measure(test.target.astype(np.int8), guess, groups, seed=seed, replicates=_REPLICATES)
        results.append(
            {"balancing": name, "mean probability": float(guess.mean()), "happened": found["prevalence"],
             "AUC": found["auc"], "PR-AUC": found["pr_auc"], "log-loss": found["log_loss"], "ECE": found["ece"]}
        )  # fmt: skip

    def fitted(chosen: NDArray[np.intp], weights: dict[bool, float] | None = None) -> NDArray[np.float64]:
        model = LogisticRegression(class_weight=weights, max_iter=500)
        guess: NDArray[np.float64] = model.fit(rows[chosen], target[chosen]).predict_proba(test_rows)[:, 1]
        return guess

    everything = np.arange(len(target))
    judge("none", fitted(everything))
    ways = (
        ("class weights", fitted(everything, class_weights(target)), 0.5),
        (
            "fewer negatives",
            fitted(under := resample(target, "under", seed=seed)),
            float(target[under].mean()),
        ),
        (
            "repeated positives",
            fitted(over := resample(target, "over", seed=seed)),
            float(target[over].mean()),
        ),
    )
    for name, guess, trained in ways:
        judge(name, guess)
        judge(f"{name}, prior corrected", correct_prior(guess, trained, natural))
    return pd.DataFrame(results)


def _duplicates_sentence(problem: Problem, copies: int, contradictions: int) -> str:
    if not copies and not contradictions:
        return f"No two {problem.unit}s are equal."
    kept = (
        "They are kept: without an identifier two short visits can be equal by chance "
        "(--drop-duplicates leaves them out)."
        if problem.groups is None
        else "They are kept here; what is the same event is recognised by its id when the log is read."
    )
    return (
        f"{copies:,} {problem.unit}s equal another one in every column and the target, {contradictions:,} in "
        f"every column but the target. "
        f"{kept}"
    )


def _without(problem: Problem) -> str:
    return f" without {' and '.join(problem.leaks)}" if problem.leaks else ""


def _balance_sentence(train: Problem, test: Problem, balance: pd.DataFrame) -> str:
    rows = balance.set_index("balancing")
    none, weighted, corrected = (
        rows.loc["none"],
        rows.loc["class weights"],
        rows.loc["class weights, prior corrected"],
    )
    sentence = (
        f"{train.prevalence:.1%} of the training rows are positive. Class weights make the mean probability "
        f"{weighted['mean probability']:.1%}, "
        f"prior correction {corrected['mean probability']:.1%}; for ranking, balancing is no gain to rely on "
        f"(AUC {none['AUC']:.3f} without, "
        f"{weighted['AUC']:.3f} with; PR-AUC {none['PR-AUC']:.3f} and {weighted['PR-AUC']:.3f})."
    )
    if abs(test.prevalence - train.prevalence) > _DRIFT:
        sentence += (
            f" The later test rows have {test.prevalence:.1%} positives: that drift neither balancing "
            "nor correction knows of."
        )
    return sentence
