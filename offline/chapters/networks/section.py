"""The stage "network": experiments, curves, and decision boundaries, with the demonstration whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from offline.chapters.networks.boundary import boundary, picture
from offline.chapters.networks.demonstration import (
    DURATION,
    PAGES,
    demonstration,
    true_probability,
    write_demonstration,
)
from offline.chapters.networks.experiments import RECOMMENDED, REFERENCE, TRAINED, Study, experiments, study
from offline.chapters.networks.pictures import curves, gaps
from offline.chapters.workspace import Workspace
from offline.lab.figures import TITLES
from offline.lab.models import MODELS, fit, network, probabilities
from offline.lab.networks.architectures import Architecture
from offline.lab.networks.training import Training
from offline.lab.sampling import QUICK_ROWS, sampled
from offline.lab.wording import with_interval
from offline.problems.holdout import hold_out
from offline.problems.leaks import alone
from offline.problems.problem import Problem
from offline.report.section import Picture, Section, Table

#: Rows that networks are tried on, at most.
MOST_ROWS: Final = 20_000

#: Where the demonstration's visits go in the report's folder.
DEMONSTRATION: Final = "demonstration.csv"

_SURE: Final = 0.05
_MANY_VALUES: Final = 10
_HALF: Final = 0.5


class Demonstrated(NamedTuple):
    """AUC and accuracy on other visits of the demonstration; ``best`` is the true probability's: no model beats it."""

    logistic: float
    network: float
    best: float
    logistic_accuracy: float
    network_accuracy: float
    best_accuracy: float


def study_networks(workspace: Workspace, columns: Sequence[str] = ()) -> Section:
    """Try networks on the input of a report, compare them with logistic regression, and draw boundaries.

    Parameters
    ----------
    columns
        Any two columns for the boundary; by default the two numeric ones that alone tell most.
    """
    quick, seed = workspace.options.quick, workspace.options.seed
    whole = sampled(workspace.problem, QUICK_ROWS if quick else MOST_ROWS, seed)
    problem = whole.without(set(whole.leaks))
    train, test, how = hold_out(problem, seed=seed)
    with workspace.progress("Trying networks") as on_progress:
        found = study(problem, train, test, experiments(quick=quick), seed=seed, on_progress=on_progress)
    parts: list[Table | Picture] = [_table(found, how), gaps(found.outcomes), *curves(found.outcomes)]
    names = list(columns) or telling(problem.take(train))
    with workspace.progress("Drawing decision boundaries"):
        if len(names) == 2:  # noqa: PLR2004
            rows = whole.take(train)  # who names a column that knows the target, wants to see it
            drawn = boundary(rows, names, seed=seed, quick=quick)
            parts.append(picture(rows, drawn, f"Decision boundary on {names[0]} and {names[1]}"))
        visits = demonstration(seed=seed)
        drawn = boundary(visits, [DURATION, PAGES], exact=true_probability, seed=seed, quick=quick)
        shown = demonstrated(seed=seed, quick=quick)
        parts += [
            picture(visits, drawn, "Demonstration: visit duration and pages visited, boundary known"),
            _demonstration_table(shown, len(visits)),
        ]
    write_demonstration(visits, workspace.directory / DEMONSTRATION)
    figures: dict[str, Any] = {
        "how": how,
        "experiments": [
            {
                "group": outcome.experiment.group,
                "name": outcome.experiment.name,
                "parameters": outcome.parameters,
                **outcome.figures,
                "against_logistic": {name: gap._asdict() for name, gap in outcome.against.items()},
                "curve": vars(outcome.curve),
            }
            for outcome in found.outcomes
        ],
        "logistic": found.logistic,
        "boundary": names,
        "demonstration": shown._asdict(),
    }
    return Section("network", "Network", _summary(found, shown), parts, figures, audience="data people")


def demonstrated(*, seed: int = 0, quick: bool = False) -> Demonstrated:
    """Learn from the demonstration's visits and judge on others."""
    visits, others = demonstration(seed=seed), demonstration(seed=seed + 1)
    training = Training(epochs=40 if quick else 60, patience=15)
    bent = network(visits.kinds, Architecture(hidden=(64, 64), dropout=0.0), training, seed=seed)
    line = MODELS["logistic"].make(visits.kinds, seed, quick)
    predicted = [probabilities(fit(model, visits), others.columns) for model in (line, bent)]
    every = [
        *predicted,
        true_probability(others.columns[DURATION].to_numpy(), others.columns[PAGES].to_numpy()),
    ]
    aucs = [float(roc_auc_score(others.target, some)) for some in every]
    right = [float(np.mean((some > _HALF) == others.target)) for some in every]
    return Demonstrated(*aucs, *right)


def telling(problem: Problem) -> list[str]:
    """Return the two numeric columns that alone tell most, of those with more than a few values."""
    numeric = [
        name
        for name in problem.columns
        if problem.kinds[name] == "numeric" and problem.columns[name].nunique() > _MANY_VALUES
    ]
    aucs = {name: alone(problem.columns[name], "numeric", problem.target) for name in numeric}
    best = sorted(numeric, key=lambda name: -aucs[name])
    # A second column that says the same as the first one would make a line of dots.
    for other in best[1:]:
        if abs(float(problem.columns[[best[0], other]].rank().corr().iloc[0, 1])) < 0.8:  # noqa: PLR2004
            return [best[0], other]
    return best[:2] if len(best) > 1 else []


def _table(found: Study, how: str) -> Table:
    measures = ("pr_auc", "brier", "ece", "accuracy")

    def measured(figures: dict[str, Any]) -> dict[str, str]:
        return {TITLES[name]: with_interval(figures, name) for name in measures}

    rows: list[dict[str, Any]] = [
        {
            "changed": "–",
            "model": "logistic regression",
            TITLES["auc"]: with_interval(found.logistic, "auc"),
            "against logistic": "–",
            "p": np.nan,
            **measured(found.logistic),
            "weights": np.nan,
            "epochs": "–",
        }
    ]
    for outcome in found.outcomes:
        gap, curve = outcome.against["auc"], outcome.curve
        rows.append(
            {
                "changed": outcome.experiment.group,
                "model": outcome.experiment.name,
                TITLES["auc"]: with_interval(outcome.figures, "auc"),
                "against logistic": f"{gap.value:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})",
                "p": gap.p,
                **measured(outcome.figures),
                "weights": outcome.parameters,
                "epochs": f"{curve.best + 1} of {len(curve.loss)}",
            }
        )
    caption = (
        f"Test rows: {how}. Each network differs from “{REFERENCE}” (two layers of 128, dropout 0.1, weight decay "
        f"{TRAINED.weight_decay:g}, AdamW, stopped early by a fifth of the training rows) in one thing, and was "
        "trained once; the recommended ones are means of networks that each left out a fold, the last one learned "
        "from the probabilities of LightGBM and a random forest too. In brackets 95% intervals, by a bootstrap over "
        "the test, as p. Against logistic: difference of the AUC. Weights: numbers that are learned. Epochs (passes "
        "over the data): the one whose weights were kept, of all trained. Do not pick the best row by this test: many "
        "were tried."
    )
    return Table("Experiments", pd.DataFrame(rows), caption, {"p": ".3f", "weights": ",.0f"})


def _demonstration_table(shown: Demonstrated, visits: int) -> Table:
    frame = pd.DataFrame(
        {
            "model": ["logistic regression", "Keras network", "the truth"],
            "AUC": [shown.logistic, shown.network, shown.best],
            "accuracy": [shown.logistic_accuracy, shown.network_accuracy, shown.best_accuracy],
        }
    )
    caption = (
        f"Learned from {visits:,} made-up visits ({DEMONSTRATION}), judged on {visits:,} others. Whoever looks at some "
        "pages at a good pace buys; few pages, many in a hurry, or hours on one do not. Even the truth is not always "
        "right: it knows the probability, not the outcome."
    )
    return Table(
        "Demonstration: how near models come to the truth", frame, caption, {"AUC": ".3f", "accuracy": ".1%"}
    )


def _summary(found: Study, shown: Demonstrated) -> list[str]:
    best = max(found.outcomes, key=lambda outcome: outcome.figures["auc"])
    # The recommended one comes last; a quick run only has the plain one.
    last = found.outcomes[-1]
    main = last if last.experiment.group == RECOMMENDED else found.outcomes[0]
    which = "recommended" if main is last else "plain"
    gap = main.against["auc"]
    sure = "more than chance" if gap.p < _SURE else "which may be chance"
    luck = "with so many tried on one test, part of that is luck"
    top = (
        "That is also the highest AUC of all."
        if best is main
        else f"The highest AUC of all is {best.figures['auc']:.3f} ({best.experiment.name}); {luck}."
    )
    return [
        f"{len(found.outcomes)} networks were tried. The {which} one ({main.experiment.name}) reaches AUC "
        f"{with_interval(main.figures, 'auc')}, logistic regression {with_interval(found.logistic, 'auc')}: a "
        f"difference of {gap.value:+.3f} ({gap.low:+.3f} to {gap.high:+.3f}), {sure}. {top}",
        "On the demonstration, made-up visits whose true boundary is an ellipse, logistic regression reaches AUC "
        f"{shown.logistic:.3f}, the network {shown.network:.3f}, and the true probability itself {shown.best:.3f}: "
        "where a boundary is bent, a network finds it and a line cannot.",
    ]
