"""The stage "comparison": all models on the same folds, with and without columns that know the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from features.counts import counted, listed
from offline.chapters.comparison.comparison_tables import (
    capital,
    decisions_table,
    leaks_table,
    ranking_table,
    tests_table,
)
from offline.chapters.comparison.curves import pictures
from offline.chapters.workspace import Workspace
from offline.lab.comparison import Comparison, compare
from offline.lab.folds import make_folds, random_splits
from offline.lab.models import Model, choose_models
from offline.lab.sampling import MOST_ROWS, QUICK_ROWS, sampled
from offline.lab.wording import with_interval
from offline.lab.worthwhile import USUAL, WORTHWHILE, Change, leads, main_model
from offline.problems.problem import Problem
from offline.report.section import Picture, Section, Table, Text
from offline.report.words import in_units

__all__ = [
    "compare_models",
    "rows_at_random",
    "section",
]

_FOLDS, _QUICK_FOLDS = 5, 3
# These models show what leaks give, if they take part; the others would only take longer.
_SHOW_LEAKS: Final = ("rule", "logistic", "lightgbm")
# Quick, and good enough to show what dividing at random pretends. A gain of this much AUC is reported.
_SHUFFLED_MODEL: Final = "lightgbm"
_WARNED: Final = 0.01


def compare_models(workspace: Workspace, models: Sequence[Model] = ()) -> Section:
    """Compare all models on the input of a report.

    Hands over the models' measures, without the columns that know the target, if there are any.
    """
    quick, seed, balance = workspace.options.quick, workspace.options.seed, workspace.options.balance
    problem = sampled(workspace.problem, QUICK_ROWS if quick else MOST_ROWS, seed)
    models = models or choose_models()
    folds = make_folds(problem, _QUICK_FOLDS if quick else _FOLDS, seed=seed)
    honest = problem.without(set(problem.leaks)) if problem.leaks else problem
    leaky = None
    with workspace.progress("Comparing models") as on_progress:
        comparison = compare(
            honest, models, folds, balance=balance, seed=seed, quick=quick, on_progress=on_progress
        )
    if problem.leaks:
        with workspace.progress(f"Comparing models with {' and '.join(problem.leaks)}") as on_progress:
            quickest = [model for model in models if model.key in _SHOW_LEAKS] or models
            leaky = compare(
                problem, quickest, folds, balance=balance, seed=seed, quick=quick, on_progress=on_progress
            )
    workspace.handover.main = main_model(comparison)
    workspace.handover.metrics = {judged.title: judged.figures for judged in comparison.models.values()}
    shuffled = rows_at_random(honest, models, seed) if honest.times is not None else None
    log = workspace.input == "log"
    return section(comparison, leaky, rows=len(workspace.problem), shuffled=shuffled, log=log)


def rows_at_random(problem: Problem, models: Sequence[Model], seed: int) -> tuple[str, float] | None:
    """Return a model's AUC where rows are divided at random although they have times: what not to believe."""
    model = next((model for model in models if model.key == _SHUFFLED_MODEL), None)
    if model is None or problem.groups is None:
        return None
    found = compare(problem, [model], random_splits(problem, 1, seed=seed), seed=seed)
    return model.key, float(found.models[model.key].figures["auc"])


def section(
    comparison: Comparison,
    leaky: Comparison | None = None,
    *,
    rows: int | None = None,
    shuffled: tuple[str, float] | None = None,
    log: bool = False,
) -> Section:
    """Return the section of a comparison, and of one with the columns that know the target.

    Parameters
    ----------
    rows
        Of the whole problem, if fewer were compared.
    shuffled
        A model's key, and its AUC where rows with times were divided at random: a warning.
    log
        Columns are those of the stream, so their units are known.
    """
    problem = comparison.problem
    parts: list[Table | Picture | Text] = [ranking_table(comparison), decisions_table(comparison)]
    if leaky is not None:
        parts.append(leaks_table(comparison, leaky))
    parts += [tests_table(comparison)]
    predicted = {
        judged.title: comparison.pooled(key) for key, judged in comparison.models.items() if key != "dummy"
    }
    best = None if comparison.best == "dummy" else comparison.models[comparison.best].title
    parts += pictures(comparison.target, predicted, problem.unit, best)
    if comparison.rule:
        parts.append(
            Text(
                f"The rule of two lines: how likely {problem.target_name} is",
                [
                    *(in_units(line) if log else line for line in comparison.rule),
                    "What a shop could write down after a look at its data; a model has to beat it.",
                ],
            )
        )
    figures: dict[str, Any] = {
        "folds": comparison.folds.how,
        "rows": len(problem),
        "balance": comparison.balance,
        "best": comparison.best,
        "main": main_model(comparison),
        "smallest_worthwhile_gain": WORTHWHILE,
        "models": {key: judged.figures for key, judged in comparison.models.items()},
        "leads": {
            key: {"auc": lead.gap.value, "p_corrected": lead.p, "verdict": lead.verdict}
            for key, lead in leads(comparison).items()
        },
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
    summary = _summary(comparison, leaky, rows)
    if shuffled is not None:
        figures["rows_at_random"] = {"model": shuffled[0], "auc": shuffled[1]}
        summary += _warning(comparison, *shuffled)
    return Section("comparison", "Models", summary, parts, figures, audience="data people")


def _warning(comparison: Comparison, key: str, auc: float) -> list[str]:
    judged = comparison.models[key]
    if auc < judged.figures["auc"] + _WARNED:
        return []
    return [
        f"Beware of rows divided at random: {judged.title} would seem to reach an AUC of {auc:.3f} instead of "
        f"{judged.figures['auc']:.3f}, because it has seen other rows of the same customers and times. No "
        "prediction can do that."
    ]


def _summary(comparison: Comparison, leaky: Comparison | None, rows: int | None) -> list[str]:
    best = comparison.models[comparison.best]
    unit = comparison.problem.unit
    found = best.figures
    order = np.argsort(-comparison.pooled(comparison.best), kind="stable")
    target = comparison.target
    tenth = float(target[order[: max(1, len(order) // 10)]].sum() / target.sum())
    sentences = [
        f"{capital(best.title)} ranks best: of a positive and a negative {unit} it ranks the positive one higher in "
        f"{found['auc']:.0%} of cases (AUC {with_interval(found, 'auc')}; PR-AUC {with_interval(found, 'pr_auc')} at a "
        f"prevalence of {found['prevalence']:.1%}). The likeliest tenth of the {unit}s holds "
        f"{tenth:.0%} of the positives."
    ]
    found_leads = leads(comparison)
    sentences += [_main(comparison), *_sure(comparison, found_leads)]
    for key in ("logistic", "rule"):
        if key in found_leads:
            lead = found_leads[key]
            chance = "" if lead.sure else f", which {lead.doubt}"
            sentences.append(
                f"The {comparison.models[key].title} is {lead.gap.value:.3f} AUC behind the best "
                f"({lead.gap.low:.3f} to {lead.gap.high:.3f}){chance}."
            )
    if leaky is not None:
        names = " and ".join(leaky.problem.leaks)
        sentences.append(
            f"These figures are without {names}, which knows the target; with it the best AUC is "
            f"{leaky.models[leaky.best].figures['auc']:.3f}, which no prediction ahead of time can reach."
        )
    if rows is not None and rows > len(comparison.problem):
        sentences.append(f"Models were compared on {len(comparison.problem):,} of the {counted(rows, unit)}.")
    return sentences


def _main(comparison: Comparison) -> str:
    main = main_model(comparison)
    title = capital(comparison.models[main].title)
    if main == comparison.best:
        return f"{title} is the main model."
    lead = leads(comparison)[USUAL]
    why = (
        f"is smaller than {WORTHWHILE} AUC, the smallest gain worth it"
        if lead.verdict == "same"
        else lead.doubt
    )
    return f"The main model is {title} all the same: the lead over it ({lead.gap.value:.3f} AUC) {why}."


def _sure(comparison: Comparison, found: Mapping[str, Change]) -> list[str]:
    """Return over which models the best one's lead matters, by p-values corrected for their number."""
    titles = {key: comparison.models[key].title for key in found}
    names = {
        verdict: [titles[key] for key, lead in found.items() if lead.verdict == verdict]
        for verdict in ("gain", "same", "unclear")
    }
    best, many = capital(comparison.models[comparison.best].title), len(found)
    corrected = f"p corrected for {many} comparisons" if many > 1 else "one comparison"
    sentences = []
    if names["gain"]:
        over = "every other model" if len(names["gain"]) == many else listed(names["gain"])
        sentences.append(
            f"The lead of {best} over {over} is more than chance and at least {WORTHWHILE} AUC ({corrected})."
        )
    if names["same"]:
        are = "is" if len(names["same"]) == 1 else "are"
        sentences.append(
            f"{capital(listed(names['same']))} {are} practically as good: less than {WORTHWHILE} AUC apart."
        )
    if names["unclear"]:
        sentences.append(f"The lead over {listed(names['unclear'])} may be chance ({corrected}).")
    return sentences
