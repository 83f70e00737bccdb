"""The model card of a table's models, from their measures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from features.counts import counted
from offline.chapters.bundle.card_measures import calibration_error, metrics_table, quality
from offline.chapters.bundle.model_card import Chapter, ModelCard
from offline.problems.problem import Problem

_LEAST_POSITIVES: Final = 200


def card_of_table(
    problem: Problem, metrics: Mapping[str, Mapping[str, Any]], main: str | None = None
) -> ModelCard:
    """Return the card of the models of a table.

    Parameters
    ----------
    metrics
        Measures by name of the model, like those of `offline.training.evaluation.measure`; empty without a comparison.
    main
        Name of the report's main model; by default the one with the highest AUC.
    """
    best = (
        main
        if main in metrics
        else max(metrics, key=lambda name: metrics[name].get("auc") or 0.0, default=None)
    )
    measures = metrics[best] if best else {}
    leaks = [
        f"{name} seems to know the target ({why}): where it is not known before the decision, only the figures "
        f"without it count."
        for name, why in problem.leaks.items()
    ]
    how = (
        "trained on earlier and tested on later rows"
        if problem.times is not None
        else "compared on stratified folds, not on later data, so seasons and drift are not in the figures"
    )
    chapters = [
        Chapter(
            "Intended use",
            [
                f"The models say how likely {problem.target_name} is for a {problem.unit}. They are made for "
                f"insight and for choosing whom to address, not for a running stream: there is no bundle for a table.",
                "Not made for: refusing service or setting prices for single persons, or any decision with "
                "legal effect on a person.",
            ],
        ),
        Chapter(
            "Data",
            [
                f"{problem.name}: {counted(len(problem), problem.unit)}, {counted(len(problem.kinds), 'column')}, "
                f"{problem.prevalence:.2%} positive.",
                f"Models were {how}.",
                *leaks,
            ],
        ),
        Chapter(
            "Quality",
            quality(measures, str(best), f"positive {problem.unit}", f"negative {problem.unit}")
            if best
            else ["No model was compared in this report."],
            metrics_table(metrics) if metrics else None,
        ),
        Chapter("Calibration", calibration_error(measures) or ["Calibration was not measured."]),
        Chapter(
            "Limits",
            [
                f"{int(problem.target.sum()):,} positive {problem.unit}s are what the models learned from"
                + (
                    ": few, so differences between models are uncertain."
                    if problem.target.sum() < _LEAST_POSITIVES
                    else "."
                ),
                "What a column means was inferred or told, not checked: a value that is only known after the "
                "target makes every figure too good.",
            ],
        ),
        Chapter(
            "Fairness",
            [
                "Columns such as region, browser or visitor type can go with age, income or origin. Compare "
                "rates and calibration between groups before using scores on persons.",
            ],
        ),
    ]
    return ModelCard(
        f"Model card: {problem.name}",
        chapters,
        {"metrics": metrics, "best": best, "leaks": dict(problem.leaks)},
    )
