"""The stage "selection": which columns are kept and why, and what dropping the others does to every model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go

from features.counts import counted
from offline.chapters.selection.selection import Selection, select
from offline.chapters.workspace import Workspace
from offline.lab.comparison import ComparedModel, compare, difference
from offline.lab.figures import Difference
from offline.lab.folds import Fold, Folds
from offline.lab.models import Model, choose_models
from offline.lab.sampling import MOST_ROWS, QUICK_ROWS, sampled
from offline.lab.worthwhile import RULE, WORTHWHILE, Change, changes, main_model
from offline.problems.holdout import hold_out
from offline.report.section import Picture, Section, Table
from offline.report.theme import BLUE, GREY, ORANGE

_SHOWN: Final = ("auc", "pr_auc", "brier", "log_loss")
# What dropping columns may be to the main model, so that it is advised.
_HARMLESS: Final = ("gain", "same")


def select_columns(workspace: Workspace, models: Sequence[Model] = ()) -> Section:
    """Select columns on the training rows of a report's input, and compare all models with and without the rest."""
    quick, seed = workspace.options.quick, workspace.options.seed
    problem = sampled(workspace.problem, QUICK_ROWS if quick else MOST_ROWS, seed)
    problem = problem.without(set(problem.leaks))
    train, test, how = hold_out(problem, seed=seed)
    with workspace.progress("Selecting columns") as on_progress:
        selection = select(problem.take(train), seed=seed, quick=quick, on_progress=on_progress)
    # One test, so the bootstrap judges it.
    folds = Folds("temporal", how, (Fold(train, test),))
    kept = problem.without(set(problem.columns) - set(selection.kept))
    models = models or choose_models()
    with workspace.progress("Fitting all models on all columns") as on_progress:
        full = compare(problem, models, folds, seed=seed, quick=quick, on_progress=on_progress)
    with workspace.progress("Fitting all models on the selected columns") as on_progress:
        less = compare(kept, models, folds, seed=seed, quick=quick, on_progress=on_progress)
    gaps = {key: difference(folds, less.models[key], full.models[key]) for key in full.models}
    main = workspace.handover.main
    if main not in full.models:
        main = main_model(full)
    leaks = list(workspace.problem.leaks)
    return section(selection, full.models, less.models, gaps, how, main=main, leaks=leaks)


def section(
    selection: Selection,
    full: dict[str, ComparedModel],
    less: dict[str, ComparedModel],
    gaps: dict[str, dict[str, Difference]],
    how: str,
    *,
    main: str,
    leaks: Sequence[str] = (),
) -> Section:
    """Return the section of a selection and of its effect on every model.

    Parameters
    ----------
    main
        Key of the model whose change decides.
    """
    # The main model's is the one question of this section; the other models' are looked through for what stands out.
    asked = {key: gap["auc"] for key, gap in gaps.items() if key != "dummy"}
    effects = changes({key: gap for key, gap in asked.items() if key == main})
    effects |= changes({key: gap for key, gap in asked.items() if key != main})
    decided = effects[main].verdict if main in effects else "same"
    frame = selection.columns
    parts: list[Table | Picture] = [
        Table(
            "Columns kept and dropped",
            frame[["column", "kept", "why"]],
            "By LightGBM in cross-validation on the training rows; the test rows then decide whether to follow. "
            "Rank 1 was eliminated last.",
        ),
        _measures_table(frame),
        _importance_picture(frame),
        _path_picture(selection),
        _effect_picture(full, effects),
        _effect_table(full, less, gaps, effects, how),
    ]
    best = [str(name) for name in frame["column"][frame["kept"]][:3]]
    summary = [
        f"{len(selection.kept)} of {counted(len(frame), 'column')} would do in cross-validation, where the others "
        f"add less than "
        f"{WORTHWHILE} AUC; the most needed {_are(best)} {', '.join(best)}.",
    ]
    if main in effects:
        summary.append(_advice(full[main].title, effects[main]))
    summary.append(_effect(full, {key: effect for key, effect in effects.items() if key != main}))
    if leaks:
        summary.append(f"{' and '.join(leaks)} took no part, because it knows the target.")
    figures: dict[str, Any] = {
        "columns": frame,
        "path": selection.path,
        "kept": list(selection.kept),
        "main": main,
        "smallest_worthwhile_gain": WORTHWHILE,
        "ci": {key: judged.figures["ci"] for key, judged in full.items()},
        "use": "selected" if decided in _HARMLESS else "all",
        "effect": {
            key: {
                "all": {name: full[key].figures[name] for name in _SHOWN},
                "selected": {name: less[key].figures[name] for name in _SHOWN},
                "difference": {name: gaps[key][name]._asdict() for name in _SHOWN},
                "p_corrected": effects[key].p if key in effects else None,
                "verdict": effects[key].verdict if key in effects else "same",
            }
            for key in full
        },
    }
    return Section("selection", "Feature selection", summary, parts, figures, audience="data people")


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _advice(title: str, effect: Change) -> str:
    """Return what to do with the columns that would not be needed: the main model's change on the test decides."""
    gap, model = effect.gap, f"the main model, {title},"
    found = f"{gap.value:+.3f} AUC, {gap.low:+.3f} to {gap.high:+.3f}"
    if effect.verdict == "gain":
        return f"On the test rows {model} gains without the others ({found}): leave them out."
    if effect.verdict == "same":
        return f"On the test rows {model} is as good without the others ({found}): they can be left out."
    if effect.verdict == "loss":
        return f"But on the test rows {model} loses without the others ({found}): keep all columns."
    return (
        f"Whether {model} is as good without the others, the test rows do not tell ({found}): keep all columns unless "
        "they cost something."
    )


def _effect(full: Mapping[str, ComparedModel], effects: Mapping[str, Change]) -> str:
    """Return what dropping columns does to models beside the main one."""

    def named(verdict: str) -> list[str]:
        own = [(full[key].title, e.gap.value) for key, e in effects.items() if e.verdict == verdict]
        return [f"{title} {value:+.3f}" for title, value in own]

    gains, losses = named("gain"), named("loss")
    if not effects:
        return "No other model was fitted."
    if not gains and not losses:
        return (
            f"The AUC of no other model changes by {WORTHWHILE} or more beyond chance (p corrected for the number of "
            "models)."
        )
    texts = [
        f"{verb} without the others ({', '.join(some)})"
        for verb, some in (("gain", gains), ("lose", losses))
        if some
    ]
    rest = (
        " For the remaining ones the change is small or may be chance."
        if len(gains + losses) < len(effects)
        else ""
    )
    return f"Of the other models some {' and some '.join(texts)}.{rest}"


def _measures_table(frame: pd.DataFrame) -> Table:
    return Table(
        "What each measure says of the columns",
        frame.drop(columns=["kept", "why"]).rename(
            columns={"mutual information": "mutual inf.", "tree importance": "tree imp.", "twin correlation": "as twin"}
        ),
        "Correlation: Spearman's with the target, categories by their rate of positives. Twin: the column most like "
        "it, and their correlation. Mutual information with the target in bits: 0 says nothing, and a column can say "
        "much without rising or falling with the target. Tree importance: share of LightGBM's gain. Permutation: AUC "
        "lost when the column is shuffled, so that it tells nothing any more, and its spread over folds.",
        {"correlation": "+.2f", "as twin": "+.2f", "mutual inf.": ".3f", "tree imp.": ".1%",
         "permutation": "+.4f", "spread": ".4f"},
    )  # fmt: skip


def _effect_picture(full: Mapping[str, ComparedModel], effects: Mapping[str, Change]) -> Picture:
    names = [full[key].title for key in effects]
    found = [effect.gap for effect in effects.values()]
    figure = go.Figure()
    figure.add_scatter(
        x=[gap.value for gap in found], y=names, mode="markers", showlegend=False,
        marker={"size": 9, "color": [BLUE if effect.sure else GREY for effect in effects.values()]},
        error_x={"array": [gap.high - gap.value for gap in found],
                 "arrayminus": [gap.value - gap.low for gap in found], "color": "#5b6573", "width": 4},
        hovertemplate="%{y}: %{x:+.4f}<extra></extra>",
    )  # fmt: skip
    figure.add_vline(x=0, line={"color": ORANGE, "dash": "dot"})
    figure.update_xaxes(title="AUC gained by dropping the other columns", tickformat="+.3~f")
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(height=130 + 34 * len(names), margin={"t": 20})
    return Picture(
        "What dropping columns does to every model",
        figure,
        "Lines are 95% intervals. Blue: more than chance, also after correction for the number of models other than "
        "the main one. Grey: may be chance.",
    )


def _effect_table(
    full: dict[str, ComparedModel],
    less: dict[str, ComparedModel],
    gaps: dict[str, dict[str, Difference]],
    effects: Mapping[str, Change],
    how: str,
) -> Table:
    rows = []
    for key, judged in full.items():
        gap = gaps[key]["auc"]
        rows.append(
            {
                "model": judged.title,
                "AUC all": judged.figures["auc"],
                "AUC selected": less[key].figures["auc"],
                "gained": f"{gap.value:+.4f} ({gap.low:+.4f} to {gap.high:+.4f})",
                "p": gap.p,
                "p, all": effects[key].p if key in effects else float("nan"),
                "PR-AUC all": judged.figures["pr_auc"],
                "PR-AUC selected": less[key].figures["pr_auc"],
            }
        )
    frame = pd.DataFrame(rows)
    caption = (
        f"Columns were selected on the training rows, models judged on the test rows ({how}). 95% intervals and p by "
        f"a paired bootstrap over the test's customers, or over its rows where the customer is unknown. p, all: "
        f"corrected for the number of other models; the main one's is a question of its own. {RULE}"
    )
    return Table(
        "Effect on every model, in figures",
        frame,
        caption,
        {name: ".3f" for name in frame if name != "model"},
    )


def _importance_picture(frame: pd.DataFrame) -> Picture:
    shown = frame[frame["permutation"].notna()].sort_values("permutation").tail(25)
    figure = go.Figure()
    figure.add_bar(
        x=shown["permutation"],
        y=shown["column"].astype(str),
        orientation="h",
        error_x={"array": shown["spread"], "color": "#5b6573", "thickness": 1, "width": 3},
        marker_color=[BLUE if kept else GREY for kept in shown["kept"]],
        showlegend=False,
    )
    for name, colour in (("kept", BLUE), ("dropped", GREY)):
        figure.add_bar(x=[None], y=[None], orientation="h", marker_color=colour, name=name)
    figure.update_xaxes(title="AUC lost when the column is shuffled")
    figure.update_yaxes(categoryorder="array", categoryarray=list(shown["column"].astype(str)), dtick=1)
    figure.update_layout(height=max(320, 24 * len(shown) + 120), barmode="overlay")
    return Picture(
        "What every column adds to the others",
        figure,
        "Whiskers: one standard deviation over folds of the training rows.",
    )


def _path_picture(selection: Selection) -> Picture:
    path = selection.path
    figure = go.Figure()
    figure.add_scatter(
        x=path["columns"], y=path["auc"], mode="lines+markers", name="AUC, cross-validated", line={"color": BLUE},
        error_y={"array": path["error"], "color": "#5b6573", "thickness": 1, "width": 3},
        customdata=path["dropped"],
        hovertemplate="%{x} columns: %{y:.4f}<br>then dropped: %{customdata}<extra></extra>",
    )  # fmt: skip
    candidates = path["columns"].max()
    kept = min(len(selection.kept), candidates)
    figure.add_vline(x=kept, line={"color": ORANGE, "dash": "dot"})
    figure.add_annotation(
        x=kept,
        y=1,
        yref="paper",
        text=f"kept: {kept}",
        showarrow=False,
        xanchor="left",
        xshift=5,
        font={"color": ORANGE},
    )
    figure.update_xaxes(title="columns left")
    figure.update_yaxes(title="AUC")
    return Picture(
        "Recursive elimination",
        figure,
        "Round by round the column that adds least goes. Kept: the smallest set less than "
        f"{WORTHWHILE} AUC below the best. Whiskers: one standard error over folds.",
    )
