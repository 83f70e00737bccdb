"""Tables of a comparison: measures with intervals, differences with tests, with and without leaking columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pandas as pd

from offline.lab.balanced import BALANCES
from offline.lab.comparison import Comparison, over_repeats
from offline.lab.figures import DECISIONS, RANKING, REPLICATES, TITLES
from offline.lab.wording import with_interval
from offline.lab.worthwhile import RULE, leads
from offline.report.section import Table

# The figures have the other measures, too.
_SHOWN_TESTS: Final = ("auc", "pr_auc")
_VERDICTS: Final = {"gain": "yes", "same": "too small", "unclear": "may be chance", "loss": "no"}


def ranking_table(comparison: Comparison) -> Table:
    """Return how well models rank and how honest their probabilities are, intervals behind each figure."""
    prevalence = comparison.target.mean()
    how = (
        "by Nadeau and Bengio over splits"
        if over_repeats(comparison.folds)
        else f"from a bootstrap over {_resampled(comparison)} ({REPLICATES:,} draws), as in all chapters"
    )
    trained = (
        ""
        if comparison.balance == "none"
        else f" Trained with {BALANCES[comparison.balance]}, probabilities brought back to the natural prevalence."
    )
    caption = (
        f"Judged on {comparison.folds.how}, the same for all models; 95% intervals {how}.{trained} AUC: how often the "
        "positive one of a pair gets the higher score; 0.5 is worthless. PR-AUC: precision averaged over all recalls; "
        f"worthless is {prevalence:.3f}, the prevalence. Log-loss, Brier (mean squared error of the probability) and "
        "ECE (how far probabilities lie from what happened): smaller is better."
    )
    return Table("Models compared", _measures(comparison, RANKING), caption)


def decisions_table(comparison: Comparison) -> Table:
    """Return how good yes or no decisions by the models' probabilities are."""
    frame = _measures(comparison, DECISIONS)
    frame["threshold"] = [judged.figures["threshold"] for judged in comparison.models.values()]
    unit = comparison.problem.unit
    caption = (
        f"Precision: share of the flagged {unit}s that are positive. Recall: share of the positive {unit}s that are "
        "flagged. F1: their harmonic mean. All three at the threshold where a model itself expects the highest F1. "
        f"Accuracy is counted at a probability of one half; always saying no is right in "
        f"{1 - comparison.target.mean():.1%}."
    )
    return Table("Decisions by the models", frame, caption, {"threshold": ".3f"})


def capital(text: str) -> str:
    """Return a text with a capital, as a sentence begins; names like XGBoost stay what they are."""
    return text[:1].upper() + text[1:]


def _resampled(comparison: Comparison) -> str:
    return "rows" if comparison.problem.groups is None else "customers"


def _measures(comparison: Comparison, names: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"model": judged.title, **{TITLES[name]: with_interval(judged.figures, name) for name in names}}
            for judged in comparison.models.values()
        ]
    )


def tests_table(comparison: Comparison) -> Table:
    """Return the differences of the best model to the others."""
    best = comparison.models[comparison.best].title
    found = leads(comparison)
    rows = []
    for key, tests in comparison.tests.items():
        row: dict[str, Any] = {"against": comparison.models[key].title}
        for name in _SHOWN_TESTS:
            test = tests[name]
            row[TITLES[name]] = f"{test.value:+.3f} ({test.low:+.3f} to {test.high:+.3f})"
            row[f"p ({TITLES[name]})"] = test.p
            if name == "auc":
                row["p, all"] = found[key].p
                row["worth it"] = _VERDICTS[found[key].verdict]
        rows.append(row)
    how = (
        "the corrected resampled t-test (Nadeau and Bengio 2003)"
        if over_repeats(comparison.folds)
        else f"a paired bootstrap over {_resampled(comparison)} ({REPLICATES:,} draws)"
    )
    formats = {f"p ({TITLES[name]})": ".3f" for name in _SHOWN_TESTS} | {"p, all": ".3f"}
    caption = (
        f"{capital(best)} less the other model on the same rows: difference, 95% interval and p (how often chance "
        f"alone makes so large a difference) by {how}. p, all: corrected for the number of comparisons. {RULE} "
        "The best model was chosen by these figures, so small leads are partly luck."
    )
    return Table(f"{capital(best)} against the others", pd.DataFrame(rows), caption, formats)


def leaks_table(comparison: Comparison, leaky: Comparison) -> Table:
    """Return measures without and with the columns that know the target."""
    names = " and ".join(leaky.problem.leaks)
    rows = []
    for key, judged in leaky.models.items():
        row: dict[str, Any] = {"model": judged.title}
        for name in ("auc", "pr_auc", "brier", "ece"):
            row[f"{TITLES[name]} without"] = comparison.models[key].figures[name]
            row[f"{TITLES[name]} with"] = judged.figures[name]
        rows.append(row)
    frame = pd.DataFrame(rows)
    why = "; ".join(f"{name}: {reason}" for name, reason in leaky.problem.leaks.items())
    return Table(
        f"With and without {names}",
        frame,
        f"What knows the target cannot be known when a prediction is wanted. {why}.",
        {name: ".3f" for name in frame if name != "model"},
    )
