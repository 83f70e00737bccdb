"""The stage "tuning": the searches' histories, the best settings, and whether they beat the defaults on other rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from features.counts import counted
from offline.chapters.tuning.pictures import SEARCHES, history_picture, settings_picture
from offline.chapters.tuning.search import Search, tune
from offline.chapters.tuning.spaces import Settings, defaults_of, model_with, space_of
from offline.chapters.tuning.studies import METHODS, Method
from offline.chapters.workspace import Workspace
from offline.lab.comparison import compare, difference
from offline.lab.figures import TITLES, Difference
from offline.lab.folds import Fold, Folds
from offline.lab.models import MODELS, Kinds, Model
from offline.lab.sampling import QUICK_ROWS, sampled
from offline.lab.worthwhile import RULE, WORTHWHILE, Change, changes
from offline.problems.holdout import hold_out
from offline.report.section import Picture, Section, Table

#: File of the studies within the report's folder.
STUDIES: Final = "tuning.journal"
#: Rows that settings are searched on, at most.
MOST_ROWS: Final = 20_000
TRIALS, QUICK_TRIALS = 20, 5

_SHOWN: Final = ("auc", "pr_auc", "brier", "log_loss")
_VERDICTS: Final = {
    "gain": f"a gain of {WORTHWHILE} AUC or more, beyond chance, so tuning pays",
    "loss": "the defaults are better there: keep them",
    "same": f"less than {WORTHWHILE} AUC, the smallest gain worth it, so keep the defaults",
    "unclear": "a change that {doubt}, so keep the defaults",
}


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
    defaults: Settings
    default: dict[str, Any]
    tuned: dict[str, Any]
    gap: Mapping[str, Difference]

    @property
    def best(self) -> Search:
        """The search that found the least log-loss."""
        return min(self.searches, key=lambda search: float(search.trials["log_loss"].min()))


def tune_models(workspace: Workspace, plan: Plan | None = None) -> Section:
    """Search settings on the training rows of a report's input, and judge the best ones on the other rows.

    Hands over the settings that every model should have.
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
        defaults = defaults_of(key, problem.kinds, quick=quick)
        pair = [_model(key, "default", defaults), _model(key, "tuned", best.settings)]
        folds = Folds("temporal", how, (Fold(train, test),))
        with workspace.progress(f"Judging {MODELS[key].title}") as on_progress:
            judged = compare(problem, pair, folds, seed=seed, quick=quick, on_progress=on_progress).models
        gap = difference(folds, judged["tuned"], judged["default"])
        tuned[key] = Tuned(searches, defaults, judged["default"].figures, judged["tuned"].figures, gap)
    workspace.handover.settings = {key: adopted(tuned, key) for key in tuned}
    return section(tuned, how)


def effects(tuned: Mapping[str, Tuned]) -> dict[str, Change]:
    """Return the change of AUC by tuning of every model whose settings changed, tested together."""
    changed = {key: found for key, found in tuned.items() if found.best.settings != found.defaults}
    return changes({key: found.gap["auc"] for key, found in changed.items()})


def adopted(tuned: Mapping[str, Tuned], key: str) -> Settings:
    """Return the settings that a model should have: the found ones if they are worth it, else the defaults."""
    effect = effects(tuned).get(key)
    worth = effect is not None and effect.verdict == "gain"
    return tuned[key].best.settings if worth else tuned[key].defaults


def _model(key: str, name: str, settings: Settings) -> Model:
    def make(kinds: Kinds, seed: int, quick: bool) -> Any:
        return model_with(key, settings, kinds, seed=seed, quick=quick)

    return Model(name, name, make)


def section(tuned: Mapping[str, Tuned], how: str) -> Section:
    """Return the section of searches."""
    tested = effects(tuned)
    parts: list[Table | Picture] = [_searches_table(tuned), _effect_table(tuned, how)]
    for key, found in tuned.items():
        title = MODELS[key].title
        parts += [
            history_picture(title, found.searches),
            settings_picture(title, space_of(key), found.searches),
            _settings_table(title, found),
            _trials_table(title, found.searches),
        ]
    figures = {
        key: {
            "settings": found.best.settings,
            "adopted": adopted(tuned, key),
            "verdict": tested[key].verdict if key in tested else "same",
            "p_corrected": tested[key].p if key in tested else None,
            "smallest_worthwhile_gain": WORTHWHILE,
            "defaults": found.defaults,
            "method": found.best.method,
            "searches": {
                search.method: {
                    "resumed": search.resumed, "settings": search.settings, "trials": search.trials
                }
                for search in found.searches
            },
            "default": {name: found.default[name] for name in _SHOWN},
            "tuned": {name: found.tuned[name] for name in _SHOWN},
            "difference": {name: found.gap[name]._asdict() for name in _SHOWN},
        }
        for key, found in tuned.items()
    }  # fmt: skip
    return Section("tuning", "Tuning", _summary(tuned), parts, figures, audience="data people")


def _summary(tuned: Mapping[str, Tuned]) -> list[str]:
    sentences, tested = [], effects(tuned)
    for key, found in tuned.items():
        auc = found.gap["auc"]
        trials = sum(len(search.trials) for search in found.searches)
        title = MODELS[key].title
        if found.best.settings == found.defaults:
            sentences.append(
                f"{title[0].upper()}{title[1:]}: {counted(trials, 'trial')}, and none had a smaller loss than the "
                f"defaults: keep "
                f"them (AUC {found.default['auc']:.3f} on unseen rows)."
            )
            continue
        verdict = _VERDICTS[tested[key].verdict].format(doubt=tested[key].doubt)
        sentences.append(
            f"{title[0].upper()}{title[1:]}: {counted(trials, 'trial')}; the best settings came from "
            f"{SEARCHES[found.best.method]}. "
            f"On unseen rows their AUC is {found.tuned['auc']:.3f} (defaults: {found.default['auc']:.3f}, change "
            f"{auc.low:+.3f} to {auc.high:+.3f}) and their log-loss {found.tuned['log_loss']:.4f} "
            f"({found.default['log_loss']:.4f}): {verdict}."
        )
    sentences.append("All other chapters of a report show models with their default settings.")
    return sentences


def _searches_table(tuned: Mapping[str, Tuned]) -> Table:
    rows = []
    for key, found in tuned.items():
        for search in found.searches:
            trials = search.trials
            rows.append(
                {
                    "model": MODELS[key].title,
                    "search": SEARCHES[search.method],
                    "trials": len(trials),
                    "given up early": int((trials["state"] == "pruned").sum()),
                    "from earlier runs": search.resumed,
                    "seconds": float(trials["seconds"].sum()),
                    "best log-loss": float(trials["log_loss"].min()),
                    "found at trial": int(trials["trial"].iloc[int(np.nanargmin(trials["log_loss"]))]),
                }
            )
    caption = (
        "Grid: every combination of a few values; random: combinations drawn at random; "
        "Optuna: each trial learns from those before it (tree-structured Parzen estimator), and settings that are "
        "worse than the median of earlier ones after the same folds are given up. Random search and Optuna begin with "
        "the defaults. Log-loss (smaller is better) in cross-validation on the training rows: the best of many "
        "trials looks better than it is, hence the next table."
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
        f"Test rows: {how}; settings were searched on the training rows only. 95% intervals and p by a paired "
        "bootstrap, p not corrected. AUC and PR-AUC: more is better; Brier and log-loss: less is better. The AUC "
        f"decides. {RULE}"
    )
    return Table(
        "On unseen rows", pd.DataFrame(rows), caption, {"defaults": ".4f", "tuned": ".4f", "p": ".3f"}
    )


def _settings_table(title: str, found: Tuned) -> Table:
    names = list(found.best.settings)
    frame = pd.DataFrame({"setting": names})
    if found.defaults:
        frame["default"] = [_short(found.defaults[name]) for name in names]
    for search in found.searches:
        frame[SEARCHES[search.method]] = [_short(search.settings[name]) for name in names]
    return Table(f"Best settings of {title}, by search", frame)


def _trials_table(title: str, searches: Sequence[Search]) -> Table:
    every = pd.concat([search.trials.assign(search=SEARCHES[search.method]) for search in searches])
    frame = every.drop(columns="best").sort_values("log_loss", na_position="last", kind="stable")
    first = ["search", "trial", "log_loss", "auc", "seconds", "state"]
    frame = frame[first + [name for name in frame if name not in first]]
    frame["state"] = frame["state"].replace("pruned", "given up")
    formats = {"log-loss": ".4f", "AUC": ".4f", "seconds": ".1f"} | dict.fromkeys(frame.columns[6:], ".3g")
    formats |= {name: ",d" for name in frame.columns[6:] if pd.api.types.is_integer_dtype(frame[name])}
    frame = frame.rename(columns={"log_loss": "log-loss", "auc": "AUC"})
    return Table(f"All trials of {title}, best first", frame, formats=formats)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
