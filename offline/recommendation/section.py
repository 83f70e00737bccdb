"""The stage "recommendations": which items for whom, tried on what customers took up later; offers for segments."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from features.offers import CustomerItems
from offline.recommendation.grouping import groups_of_segments
from offline.recommendation.interactions import Interactions
from offline.recommendation.offers import customer_items, offers_of, offers_table
from offline.recommendation.recommenders import OWN, QUICK_RECIPES, RECIPES
from offline.recommendation.trial import TOP, Trial, try_out
from offline.report.section import Picture, Section, Table
from offline.report.theme import BLUE, GREY, ORANGE
from offline.report.workspace import Workspace
from offline.segments.section import segments_of

#: Where the stage leaves its interactions and its trial for who writes offers.
SHARED: Final = "recommendations"
_SHOWN: Final = 8
_MOST_ROWS: Final = 3_000_000


def recommend(workspace: Workspace) -> Section:
    """Run the stage on the log of a report."""
    seed = workspace.options.seed
    with workspace.progress("Reading items"):
        known = Interactions.of(workspace.log)
    recipes = QUICK_RECIPES if workspace.options.quick or len(known) > _MOST_ROWS else RECIPES
    with workspace.progress("Trying recommenders") as on_progress:
        trial = try_out(known, recipes, seed=seed, on_progress=on_progress)
    workspace.shared[SHARED] = known, trial
    groups = groups_of_segments(known, workspace.log, segments_of(workspace))
    offers = offers_of(known, groups)
    with workspace.progress("Recommending") as on_progress:
        made = list(customer_items(known, trial.best, trial.best_new, "", seed=seed, on_progress=on_progress))
    frame = trial.scores
    parts: list[Table | Picture] = [
        Picture(
            f"Hit rate and NDCG of {TOP} recommended items",
            _picture(trial),
            f"{trial.customers:,} customers; learned until {_day(trial.learned_until)}, tried on what they "
            f"{trial.what} "
            "from then on. 95 % intervals over customers.",
        ),
        Table("Recommenders tried", _table(frame), _caption(trial), _FORMATS),
        Table(
            "Difference of the NDCG from popularity",
            trial.differences,
            "Mean over the same customers, 95 % intervals.",
            dict.fromkeys(("difference", "low", "high"), "+.4f"),
        ),
        Table(
            "Offers for segments and intent",
            offers_table(offers),
            "Items: for customers of whom nothing more is known. High intent is helped, not discounted; "
            "an incentive goes "
            "to those in between.",
        ),
        Table("Items for single customers, for example", _examples(made), "Of the customers seen latest."),
    ]
    figures: dict[str, Any] = {
        "customers": trial.customers,
        "counted": trial.what,
        "learned_until": _day(trial.learned_until),
        "scores": frame,
        "differences": trial.differences,
        "best": trial.best.words,
        "best_for_new": trial.best_new.words,
        "offers": [{"segment": o.segment_name, "band": o.band, "offer": o.offer, "text": o.text, "items": o.items}
                   for o in offers],
        "recommended_customers": len(made),
    }  # fmt: skip
    return Section("recommendations", "Recommendations", _summary(trial, len(made)), parts, figures)


_FORMATS: Final = {"coverage": ".1%", "validation": ".4f"}


def _summary(trial: Trial, customers: int) -> list[str]:
    scores = trial.scores
    best, popular = scores[scores["chosen"]].iloc[0], scores.iloc[0]
    fresh = scores[scores["chosen for new"]].iloc[0]
    summary = [
        f"Of {TOP} items recommended by {best['recommender']}, at least one was {trial.what} later by "
        f"{best['hit rate']:.0%} of {trial.customers:,} customers (popularity: {popular['hit rate']:.0%}); NDCG "
        f"{best['NDCG']:.3f} ± {best['NDCG ±']:.3f} (popularity {popular['NDCG']:.3f}).",
        f"Items that are new to the customer: {fresh['recommender']} hits for {fresh['new hit rate']:.0%} (popularity "
        f"{popular['new hit rate']:.0%}), NDCG {fresh['new NDCG']:.3f} ± {fresh['new NDCG ±']:.3f} (popularity "
        f"{popular['new NDCG']:.3f}).",
    ]
    differences = trial.differences.set_index("recommender")
    if trial.best.kind in differences.index and differences.loc[trial.best.kind, "low"] <= 0:
        summary.append(f"With {trial.customers:,} customers that is no proof that it beats popularity.")
    if fresh["new NDCG"] - fresh["new NDCG ±"] <= popular["new NDCG"] + popular["new NDCG ±"]:
        summary.append("For new items there is no proof of a gain over popularity.")
    if trial.best.kind == OWN:
        summary.append(
            "Customers mostly take up again what they know: reorders are best served by their own history, and a "
            "model is for what is new to them."
        )
    summary.append(
        f"There are items for {customers:,} customers, and an offer for every segment and band of intent."
    )
    return summary


def _caption(trial: Trial) -> str:
    return (
        f"Settings were chosen by the NDCG in a span of time before the test (validation). New: only items that the "
        f"customer had nothing to do with before. Coverage: share of all items recommended to anybody. Test from "
        f"{_day(trial.learned_until)} to {_day(trial.until)}."
    )


def _table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the scores for people: a measure and half of its interval in one cell."""
    table = frame[["recommender"]].copy()
    for name, digits in (("hit rate", 3), ("NDCG", 4), ("new hit rate", 3), ("new NDCG", 4)):
        if name in frame:
            table[name] = [
                "–" if pd.isna(value) else f"{value:.{digits}f} ± {half:.{digits}f}"
                for value, half in zip(frame[name], frame[f"{name} ±"], strict=True)
            ]
    table[["coverage", "validation"]] = frame[["coverage", "validation"]]
    table["chosen"] = [
        " and ".join(what for what, is_it in (("all", best), ("new", best_new)) if is_it)
        for best, best_new in zip(frame["chosen"], frame["chosen for new"], strict=True)
    ]
    return table


def _picture(trial: Trial) -> go.Figure:
    frame = trial.scores
    names = [name.replace(" (", "<br>(") for name in frame["recommender"]]
    figure = make_subplots(
        rows=1, cols=2, subplot_titles=["hit rate", "NDCG"], shared_yaxes=True, horizontal_spacing=0.06
    )
    for at, name in enumerate(("hit rate", "NDCG"), start=1):
        for prefix, words, colour in (("", "all items", BLUE), ("new ", "new items only", ORANGE)):
            figure.add_bar(
                y=names, x=frame[f"{prefix}{name}"], orientation="h", name=words, legendgroup=words,
                showlegend=at == 1, marker_color=colour,
                error_x={"type": "data", "array": frame[f"{prefix}{name} ±"], "color": GREY, "thickness": 1.5},
                hovertemplate="%{y}: %{x:.3f}<extra>" + words + "</extra>", row=1, col=at,
            )  # fmt: skip
        figure.update_xaxes(rangemode="tozero", row=1, col=at)
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(height=140 + 66 * len(names), barmode="group", legend={"y": 1.08}, margin={"t": 70})
    return figure


def _examples(made: list[tuple[str, CustomerItems]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"customer": customer, "items": ", ".join(own.items[:5]), "new to them": ", ".join(own.new_items[:5])}
            for customer, own in made[-_SHOWN:]
        ]
    )  # fmt: skip


def _day(ms: int) -> str:
    return f"{dt.datetime.fromtimestamp(ms / 1000, dt.UTC):%d %b %Y}"
