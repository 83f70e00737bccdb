"""The stage "comparison": all models on the same folds, with and without columns that know the target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from offline.lab.comparison import Comparison, better, compare, over_repeats
from offline.lab.curves import pictures
from offline.lab.figures import DECISIONS, RANKING, TITLES
from offline.lab.folds import make_folds
from offline.lab.models import Model, choose_models
from offline.problem import Problem
from offline.report.section import Picture, Section, Table, Text
from offline.report.workspace import Workspace

#: Rows that models are compared on, at most; more are sampled, customers kept whole.
MOST_ROWS, QUICK_ROWS = 40_000, 6_000

_FOLDS, _QUICK_FOLDS = 5, 3
_SURE: Final = 0.05
_SHOWN_TESTS: Final = ("auc", "pr_auc", "brier", "log_loss")


def compare_models(workspace: Workspace, models: Sequence[Model] = ()) -> Section:
    """Compare all models on the input of a report.

    Leaves the `Comparison` in ``workspace.shared["comparison"]`` and the models' measures in ``["metrics"]``, both
    without the columns that know the target, if there are any.
    """
    quick, seed = workspace.options.quick, workspace.options.seed
    problem = sampled(workspace.problem, QUICK_ROWS if quick else MOST_ROWS, seed)
    models = models or choose_models()
    folds = make_folds(problem, _QUICK_FOLDS if quick else _FOLDS, seed=seed)
    honest = problem.without(set(problem.leaks)) if problem.leaks else problem
    leaky = None
    with workspace.progress("Comparing models") as on_progress:
        comparison = compare(honest, models, folds, seed=seed, quick=quick, on_progress=on_progress)
    if problem.leaks:
        with workspace.progress(f"Comparing models with {' and '.join(problem.leaks)}") as on_progress:
            leaky = compare(problem, models, folds, seed=seed, quick=quick, on_progress=on_progress)
    workspace.shared["comparison"] = comparison
    workspace.shared["metrics"] = {key: judged.figures for key, judged in comparison.models.items()}
    return section(comparison, leaky, rows=len(workspace.problem))


def sampled(problem: Problem, most: int, seed: int = 0) -> Problem:
    """Return at most about ``most`` rows: all of some customers, or any rows where nobody knows the customer."""
    if len(problem) <= most:
        return problem
    rng = np.random.default_rng(seed)
    if problem.groups is None:
        return problem.take(np.sort(rng.choice(len(problem), most, replace=False)))
    known, slots = np.unique(problem.groups, return_inverse=True)
    chosen = rng.random(len(known)) < most / len(problem)
    return problem.take(np.flatnonzero(chosen[slots]))


def section(comparison: Comparison, leaky: Comparison | None = None, *, rows: int | None = None) -> Section:
    """Return the section of a comparison, and of one with the columns that know the target."""
    problem = comparison.problem
    parts: list[Table | Picture | Text] = [figures_table(comparison, "Models compared")]
    if leaky is not None:
        parts.append(_leaks_table(comparison, leaky))
    parts += [tests_table(comparison)]
    predicted = {
        judged.title: comparison.pooled(key) for key, judged in comparison.models.items() if key != "dummy"
    }
    parts += pictures(comparison.target, predicted, problem.unit)
    if comparison.rule:
        parts.append(Text("The rule of two lines", list(comparison.rule)))
    figures: dict[str, Any] = {
        "folds": comparison.folds.how,
        "rows": len(problem),
        "best": comparison.best,
        "models": {key: judged.figures for key, judged in comparison.models.items()},
        "differences": {
            key: {name: test._asdict() for name, test in tests.items()}
            for key, tests in comparison.tests.items()
        },
        "rule": list(comparison.rule),
    }
    if leaky is not None:
        figures["with_leaks"] = {
            "columns": dict(leaky.problem.leaks),
            "best": leaky.best,
            "models": {key: judged.figures for key, judged in leaky.models.items()},
        }
    return Section("comparison", "Models", _summary(comparison, leaky, rows), parts, figures)


def figures_table(comparison: Comparison, title: str) -> Table:
    """Return the table of all measures, intervals behind each figure."""
    rows = []
    for judged in comparison.models.values():
        row: dict[str, Any] = {"model": judged.title}
        for name in (*RANKING, *DECISIONS):
            row[TITLES[name]] = with_interval(judged.figures, name)
        rows.append(row | {"threshold": judged.figures["threshold"]})
    prevalence = comparison.target.mean()
    how = (
        "Nadeau and Bengio's over folds"
        if over_repeats(comparison.folds)
        else "from a bootstrap over customers"
    )
    caption = (
        f"{comparison.folds.how}; the same for all models. 95 % intervals {how}. A worthless model has an AUC of 0.5 "
        f"and a PR-AUC of {prevalence:.3f} (the prevalence); always saying no is right in {1 - prevalence:.1%}. "
        "Accuracy is counted at a probability of one half; precision, recall and F1 at the threshold where a model "
        "itself expects the highest F1. Log-loss, Brier and ECE: smaller is better."
    )
    return Table(title, pd.DataFrame(rows), caption, {"threshold": ".3f"})


def with_interval(figures: dict[str, Any], name: str) -> str:
    """Return a figure with its interval for people."""
    value, interval = figures.get(name), (figures.get("ci") or {}).get(name)
    if value is None:
        return "–"
    if interval is None or not np.isfinite(interval).all():
        return f"{value:.3f}"
    return f"{value:.3f} ({interval[0]:.3f}–{interval[1]:.3f})"


def tests_table(comparison: Comparison) -> Table:
    """Return the differences of the best model to the others."""
    best = comparison.models[comparison.best].title
    rows = []
    for key, tests in comparison.tests.items():
        row: dict[str, Any] = {"against": comparison.models[key].title}
        for name in _SHOWN_TESTS:
            test = tests[name]
            row[TITLES[name]] = f"{test.value:+.4f} ({test.low:+.4f} to {test.high:+.4f})"
            row[f"p ({TITLES[name]})"] = test.p
        rows.append(row)
    how = (
        "corrected resampled t-test (Nadeau and Bengio 2003)"
        if over_repeats(comparison.folds)
        else "paired bootstrap over customers"
    )
    formats = {f"p ({TITLES[name]})": ".3f" for name in _SHOWN_TESTS}
    caption = f"{best} less the other model, 95 % interval and p by {how}; not corrected for the number of comparisons."
    return Table(f"{best} against the others", pd.DataFrame(rows), caption, formats)


def _leaks_table(comparison: Comparison, leaky: Comparison) -> Table:
    names = " and ".join(leaky.problem.leaks)
    rows = []
    for key, judged in comparison.models.items():
        row: dict[str, Any] = {"model": judged.title}
        for name in ("auc", "pr_auc", "brier", "ece"):
            row[f"{TITLES[name]} without"] = judged.figures[name]
            row[f"{TITLES[name]} with"] = leaky.models[key].figures[name]
        rows.append(row)
    frame = pd.DataFrame(rows)
    why = "; ".join(f"{name}: {reason}" for name, reason in leaky.problem.leaks.items())
    return Table(
        f"With and without {names}",
        frame,
        f"What knows the target cannot be known when a prediction is wanted. {why}.",
        {name: ".3f" for name in frame if name != "model"},
    )


def _summary(comparison: Comparison, leaky: Comparison | None, rows: int | None) -> list[str]:
    best = comparison.models[comparison.best]
    unit = comparison.problem.unit
    found = best.figures
    order = np.argsort(-comparison.pooled(comparison.best), kind="stable")
    target = comparison.target
    tenth = float(target[order[: max(1, len(order) // 10)]].sum() / target.sum())
    sentences = [
        f"{best.title} ranks best: AUC {with_interval(found, 'auc')}, PR-AUC {with_interval(found, 'pr_auc')} at a "
        f"prevalence of {found['prevalence']:.1%}; the likeliest tenth of the {unit}s holds "
        f"{tenth:.0%} of the positives."
    ]
    sentences.append(_sure(comparison))
    for key in ("logistic", "rule"):
        if key in comparison.models and key != comparison.best:
            gap = comparison.tests[key]["auc"]
            sentences.append(
                f"{comparison.models[key].title.capitalize()} is {abs(gap.value):.3f} AUC behind "
                f"({gap.low:.3f} to {gap.high:.3f})."
            )
    if leaky is not None:
        names = " and ".join(leaky.problem.leaks)
        sentences.append(
            f"These figures are without {names}, which knows the target; with it the best AUC is "
            f"{leaky.models[leaky.best].figures['auc']:.3f}, which no prediction ahead of time can reach."
        )
    if rows is not None and rows > len(comparison.problem):
        sentences.append(f"Models were compared on {len(comparison.problem):,} of the {rows:,} {unit}s.")
    return sentences


def _sure(comparison: Comparison) -> str:
    best = comparison.models[comparison.best].title
    tests = {key: test["auc"] for key, test in comparison.tests.items()}
    equal = [
        comparison.models[key].title
        for key, test in tests.items()
        if not (test.p < _SURE and better("auc", test.value))
    ]
    if not equal:
        return f"Its lead over every other model is more than chance (paired test, p < {_SURE})."
    return f"No sure difference in AUC between {best} and {', '.join(equal)} (paired test, p of {_SURE} or more)."
