"""The stage "network": experiments, curves, and decision boundaries, with the demonstration whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from plotly.subplots import make_subplots
from sklearn.metrics import roc_auc_score

from offline.lab.figures import TITLES
from offline.lab.models import MODELS, fit, network, probabilities
from offline.lab.networks.architectures import Architecture
from offline.lab.networks.boundary import boundary, picture
from offline.lab.networks.demonstration import DURATION, PAGES, best_auc, demonstration, true_probability
from offline.lab.networks.experiments import (
    RECOMMENDED,
    REFERENCE,
    TRAINED,
    Outcome,
    Study,
    experiments,
    study,
)
from offline.lab.networks.training import Training
from offline.lab.section import QUICK_ROWS, sampled, with_interval
from offline.problem import Problem
from offline.report.section import Picture, Section, Table
from offline.report.theme import BLUE, ORANGE
from offline.report.workspace import Workspace
from offline.tables.holdout import hold_out
from offline.tables.leaks import alone

#: Rows that networks are tried on, at most.
MOST_ROWS: Final = 20_000

_CURVES: Final = (REFERENCE, "no dropout", "batch normalisation", "8 members sharing weights")
_SURE: Final = 0.05
_MANY_VALUES: Final = 10


class Demonstrated(NamedTuple):
    """AUC on other visits of the demonstration."""

    logistic: float
    network: float
    best: float


def study_networks(workspace: Workspace, columns: Sequence[str] = ()) -> Section:
    """Try networks on the input of a report, compare them with logistic regression, and draw boundaries.

    Parameters
    ----------
    columns
        Two numeric columns for the boundary; by default those that alone tell most.
    """
    quick, seed = workspace.options.quick, workspace.options.seed
    problem = sampled(workspace.problem, QUICK_ROWS if quick else MOST_ROWS, seed)
    problem = problem.without(set(problem.leaks))
    train, test, how = hold_out(problem, seed=seed)
    with workspace.progress("Trying networks") as on_progress:
        found = study(problem, train, test, experiments(quick=quick), seed=seed, on_progress=on_progress)
    parts: list[Table | Picture] = [_table(found, how), *_curves(found.outcomes)]
    names = list(columns) or telling(problem.take(train))
    with workspace.progress("Drawing decision boundaries"):
        if len(names) == 2:  # noqa: PLR2004
            rows = problem.take(train)
            drawn = boundary(rows, names, seed=seed, quick=quick)
            parts.append(picture(rows, drawn, f"Decision boundary on {names[0]} and {names[1]}"))
        visits = demonstration(seed=seed)
        drawn = boundary(visits, [DURATION, PAGES], exact=true_probability, seed=seed, quick=quick)
        parts.append(
            picture(visits, drawn, "Demonstration: visit duration and pages visited, boundary known")
        )
        shown = demonstrated(seed=seed, quick=quick)
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
    return Section("network", "Network", _summary(found, shown), parts, figures)


def demonstrated(*, seed: int = 0, quick: bool = False) -> Demonstrated:
    """Learn from the demonstration's visits and judge on others."""
    visits, others = demonstration(seed=seed), demonstration(seed=seed + 1)
    training = Training(epochs=15 if quick else 60, patience=15)
    bent = network(visits.kinds, Architecture(hidden=(64, 64), dropout=0.0), training, seed=seed)
    line = MODELS["logistic"].make(visits.kinds, seed, quick)
    aucs = [
        float(roc_auc_score(others.target, probabilities(fit(model, visits), others.columns)))
        for model in (line, bent)
    ]
    return Demonstrated(aucs[0], aucs[1], best_auc(others))


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
    rows: list[dict[str, Any]] = [
        {
            "changed": "–",
            "model": "logistic regression",
            **{
                TITLES[name]: with_interval(found.logistic, name)
                for name in ("auc", "pr_auc", "brier", "ece")
            },
            "AUC against logistic": "–",
            "p": np.nan,
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
                **{
                    TITLES[name]: with_interval(outcome.figures, name)
                    for name in ("auc", "pr_auc", "brier", "ece")
                },
                "AUC against logistic": f"{gap.value:+.4f} ({gap.low:+.4f} to {gap.high:+.4f})",
                "p": gap.p,
                "weights": outcome.parameters,
                "epochs": f"{curve.best + 1} of {len(curve.loss)}",
            }
        )
    caption = (
        f"{how.capitalize()}. Each network differs from “{REFERENCE}” (two layers of 128, dropout 0.1, weight decay "
        f"{TRAINED.weight_decay:g}, AdamW, stopped by a fifth of the training rows) in one thing. 95 "
        "% intervals and p by bootstrap over the "
        "test. Epochs: that whose weights were kept, of those trained. Do not pick the best row by "
        "this test: many were tried."
    )
    return Table("Experiments", pd.DataFrame(rows), caption, {"p": ".3f", "weights": ",.0f"})


def _curves(outcomes: Sequence[Outcome]) -> list[Picture]:
    shown = [outcome for outcome in outcomes if outcome.experiment.name in _CURVES]
    pictures = []
    for key, title, form in (("loss", "Log-loss", None), ("accuracy", "Accuracy", ".0%")):
        figure = make_subplots(
            1, len(shown), subplot_titles=[outcome.experiment.name for outcome in shown], shared_yaxes=True,
            horizontal_spacing=0.03,
        )  # fmt: skip
        for at, outcome in enumerate(shown):
            curve, where = outcome.curve, {"row": 1, "col": at + 1}
            epochs = np.arange(1, len(curve.loss) + 1)
            lines = (
                ("training", getattr(curve, key), BLUE),
                ("validation", getattr(curve, f"validation_{key}"), ORANGE),
            )
            for name, values, colour in lines:
                figure.add_scatter(
                    x=epochs,
                    y=values,
                    name=name,
                    mode="lines",
                    line={"color": colour},
                    showlegend=at == 0,
                    **where,
                )
            figure.add_vline(x=curve.best + 1, line={"color": "#1f2733", "dash": "dot", "width": 1}, **where)
            figure.update_xaxes(title="epoch", **where)
        figure.update_yaxes(title=title, tickformat=form, row=1, col=1)
        figure.update_layout(legend={"y": 1.12})
        caption = "Dotted: the epoch whose weights were kept."
        if key == "loss":
            caption += (
                " Training figures are taken while dropout is at work, so they can lie above validation."
            )
        pictures.append(Picture(f"{title} by epoch", figure, caption))
    return pictures


def _summary(found: Study, shown: Demonstrated) -> list[str]:
    best = max(found.outcomes, key=lambda outcome: outcome.figures["auc"])
    # The recommended one comes last; a quick run only has the plain one.
    last = found.outcomes[-1]
    whole = last if last.experiment.group == RECOMMENDED else found.outcomes[0]
    which = "recommended" if whole is last else "plain"
    gap = whole.against["auc"]
    sure = "more than chance" if gap.p < _SURE else "not beyond chance"
    return [
        f"{len(found.outcomes)} networks were tried. The {which} one ({whole.experiment.name}) reaches AUC "
        f"{with_interval(whole.figures, 'auc')}, logistic regression "
        f"{with_interval(found.logistic, 'auc')}: {gap.value:+.3f}, {sure}.",
        f"The highest AUC of all is {best.figures['auc']:.3f} ({best.experiment.name}); with so many "
        "tried on one test, part "
        "of any lead is luck.",
        "On the demonstration, whose boundary is an ellipse, a line reaches AUC "
        f"{shown.logistic:.3f}, the network {shown.network:.3f}, and "
        f"the truth itself {shown.best:.3f}.",
    ]
