"""The stage "tuning": the searches' histories, the best settings, and whether they beat the defaults on other rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from offline.lab.comparison import compare, difference
from offline.lab.figures import TITLES, Difference
from offline.lab.folds import Fold, Folds
from offline.lab.models import MODELS, Model
from offline.lab.section import QUICK_ROWS, sampled
from offline.lab.spaces import defaults_of, model_with
from offline.lab.tuning import METHODS, Method, Search, tune
from offline.report.section import Picture, Section, Table
from offline.report.theme import SERIES
from offline.report.workspace import Workspace
from offline.tables.holdout import hold_out

#: File of the studies within the report's folder.
STUDIES: Final = "tuning.journal"
#: Rows that settings are searched on, at most.
MOST_ROWS: Final = 20_000
TRIALS, QUICK_TRIALS = 20, 5

_SHOWN: Final = ("auc", "pr_auc", "brier", "log_loss")
_SURE: Final = 0.05


class Plan(NamedTuple):
    """What is searched, how, and for how long."""

    models: tuple[str, ...] = ("logistic", "lightgbm")
    methods: tuple[Method, ...] = METHODS
    trials: int | None = TRIALS
    minutes: float | None = None
    study: Path | None = None


class Tuned(NamedTuple):
    """A model's searches, and its figures on the test with the defaults and with the best settings."""

    searches: list[Search]
    default: dict[str, Any]
    tuned: dict[str, Any]
    gap: Mapping[str, Difference]

    @property
    def best(self) -> Search:
        """The search that found the least log-loss."""
        return min(self.searches, key=lambda search: float(search.trials["log_loss"].min()))


def tune_models(workspace: Workspace, plan: Plan | None = None) -> Section:
    """Search settings on the training rows of a report's input, and judge the best ones on the other rows.

    Leaves the best settings by model in ``workspace.shared["settings"]``.
    """
    quick, seed = workspace.options.quick, workspace.options.seed
    plan = plan or Plan(trials=QUICK_TRIALS if quick else TRIALS)
    problem = sampled(workspace.problem, QUICK_ROWS if quick else MOST_ROWS, seed)
    problem = problem.without(set(problem.leaks))
    train, test, how = hold_out(problem, seed=seed)
    study = plan.study or workspace.directory / STUDIES
    tuned = {}
    for key in plan.models:
        searches = []
        for method in plan.methods:
            with workspace.progress(f"Tuning {MODELS[key].title} by {method}") as on_progress:
                searches.append(
                    tune(
                        problem.take(train),
                        key,
                        method,
                        trials=plan.trials,
                        minutes=plan.minutes,
                        storage=study,
                        seed=seed,
                        quick=quick,
                        on_progress=on_progress,
                    )
                )
        best = min(searches, key=lambda search: float(search.trials["log_loss"].min()))
        pair = [
            Model(
                name,
                name,
                lambda kinds, seed, quick, s=settings, k=key: model_with(k, s, kinds, seed=seed, quick=quick),
            )  # type: ignore[misc]
            for name, settings in (
                ("default", defaults_of(key, problem.kinds, quick=quick)),
                ("tuned", best.settings),
            )
        ]
        folds = Folds("temporal", how, (Fold(train, test),))
        with workspace.progress(f"Judging {MODELS[key].title}") as on_progress:
            judged = compare(problem, pair, folds, seed=seed, quick=quick, on_progress=on_progress).models
        gap = difference(problem, folds, judged["tuned"], judged["default"], seed=seed)
        tuned[key] = Tuned(searches, judged["default"].figures, judged["tuned"].figures, gap)
    workspace.shared["settings"] = {key: found.best.settings for key, found in tuned.items()}
    return section(tuned, how)


def section(tuned: Mapping[str, Tuned], how: str) -> Section:
    """Return the section of searches."""
    parts: list[Table | Picture] = [_searches_table(tuned), _effect_table(tuned, how)]
    for key, found in tuned.items():
        parts += [_history(key, found.searches), _trials_table(key, found.best)]
    figures = {
        key: {
            "settings": found.best.settings,
            "method": found.best.method,
            "searches": {
                search.method: {"resumed": search.resumed, "trials": search.trials}
                for search in found.searches
            },
            "default": {name: found.default[name] for name in _SHOWN},
            "tuned": {name: found.tuned[name] for name in _SHOWN},
            "difference": {name: found.gap[name]._asdict() for name in _SHOWN},
        }
        for key, found in tuned.items()
    }
    return Section("tuning", "Tuning", _summary(tuned), parts, figures)


def _summary(tuned: Mapping[str, Tuned]) -> list[str]:
    sentences = []
    for key, found in tuned.items():
        gap = found.gap["log_loss"]
        sure = "beyond chance" if gap.p < _SURE else "not beyond chance"
        trials = sum(len(search.trials) for search in found.searches)
        sentences.append(
            f"{MODELS[key].title}: {trials} trials; the best settings, found by {found.best.method}, "
            "change log-loss on unseen rows by "
            f"{gap.value:+.4f} against the defaults ({sure}) and AUC by {found.gap['auc'].value:+.4f}."
        )
    return sentences


def _searches_table(tuned: Mapping[str, Tuned]) -> Table:
    rows = []
    for key, found in tuned.items():
        for search in found.searches:
            trials = search.trials
            rows.append(
                {
                    "model": MODELS[key].title,
                    "search": search.method,
                    "trials": len(trials),
                    "given up early": int((trials["state"] == "pruned").sum()),
                    "from earlier runs": search.resumed,
                    "seconds": float(trials["seconds"].sum()),
                    "best log-loss": float(trials["log_loss"].min()),
                    "found at trial": int(trials["trial"].iloc[int(np.nanargmin(trials["log_loss"]))]),
                    "settings": ", ".join(f"{n} {_short(v)}" for n, v in search.settings.items()),
                }
            )
    caption = (
        "Grid and random candidates are scikit-learn's, the others Optuna's (tree-structured Parzen "
        "estimator), which gives up settings "
        "that are worse than the median of earlier ones after the same folds. Log-loss in "
        "cross-validation on training rows; "
        "the least one of many trials flatters, hence the next table."
    )
    return Table("Searches", pd.DataFrame(rows), caption, {"seconds": ".1f", "best log-loss": ".4f"})


def _effect_table(tuned: Mapping[str, Tuned], how: str) -> Table:
    rows = []
    for key, found in tuned.items():
        for name in _SHOWN:
            gap = found.gap[name]
            rows.append(
                {
                    "model": MODELS[key].title,
                    "measure": TITLES[name],
                    "defaults": found.default[name],
                    "tuned": found.tuned[name],
                    "change": f"{gap.value:+.4f} ({gap.low:+.4f} to {gap.high:+.4f})",
                    "p": gap.p,
                }
            )
    caption = (
        f"{how.capitalize()}; settings were searched on the training rows. 95 % intervals and p by a "
        "paired bootstrap."
    )
    return Table(
        "On unseen rows", pd.DataFrame(rows), caption, {"defaults": ".4f", "tuned": ".4f", "p": ".3f"}
    )


def _trials_table(key: str, search: Search) -> Table:
    frame = search.trials.drop(columns="best").sort_values("log_loss", na_position="last")
    formats = {"log_loss": ".4f", "auc": ".4f", "seconds": ".1f"}
    return Table(f"Trials of {MODELS[key].title} by {search.method}, best first", frame, formats=formats)


def _history(key: str, searches: Sequence[Search]) -> Picture:
    figure = go.Figure()
    for at, search in enumerate(searches):
        colour = SERIES[at % len(SERIES)]
        trials = search.trials
        figure.add_scatter(
            x=trials["trial"], y=trials["log_loss"], mode="markers",
            marker={"color": colour, "size": 6, "opacity": 0.5},
            showlegend=False, hovertemplate="trial %{x}: %{y:.4f}<extra>" + search.method + "</extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=trials["trial"], y=trials["best"].replace(np.inf, np.nan), mode="lines",
            name=f"{search.method}, best so far",
            line={"color": colour, "shape": "hv", "width": 2},
        )  # fmt: skip
    losses = np.concatenate([search.trials["log_loss"].dropna() for search in searches])
    # One absurd trial would press all others into a line.
    low, high = float(losses.min()), float(np.quantile(losses, 0.85))
    pad = 0.08 * max(high - low, 1e-4)
    figure.update_yaxes(title="log-loss, cross-validated", range=[low - pad, high + pad])
    figure.update_xaxes(title="trial")
    return Picture(
        f"History of the searches: {MODELS[key].title}",
        figure,
        "Dots are trials (the worst ones lie above the picture), lines the best so far.",
    )


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
