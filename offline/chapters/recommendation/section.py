"""The stage "recommendations": which items for whom, tried on what customers took up later; offers for segments."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from features.counts import counted
from features.items import named
from features.offers import CustomerItems, Offer
from offline.chapters.recommendation.grouping import groups_of_segments
from offline.chapters.recommendation.interactions import Interactions
from offline.chapters.recommendation.offers import Groups, customer_items, offers_of, offers_table
from offline.chapters.recommendation.recommenders import OWN, POPULAR, QUICK_RECIPES, RECIPES
from offline.chapters.recommendation.trial import MEASURES, TOP, Trial, try_out
from offline.chapters.segments.section import segments_of
from offline.chapters.workspace import Workspace
from offline.report.section import Finding, Picture, Section, Table
from offline.report.spreadsheets import write_csv
from offline.report.theme import BLUE, GREY, ORANGE
from offline.views.net_orders import settled

#: Where the items of every customer go in the report's folder.
ITEMS_FILE: Final = "recommendations.csv"
#: Where the offers go, with how many customers each is for.
OFFERS_FILE: Final = "offers.csv"
_SHOWN, _FEW, _SEPARATOR = 8, 5, "|"
_MEANING: Final = (
    "Hit rate: share of customers who took up at least one of the items; NDCG: the same with more weight on the first "
    "places and on every item taken up (1: all of them on top, 0: none)."
)
_MOST_ROWS: Final = 3_000_000


def recommend(workspace: Workspace) -> Section:
    """Run the stage on the log of a report."""
    seed = workspace.options.seed
    with workspace.progress("Reading items"):
        known = Interactions.of(workspace.log)
    recipes = QUICK_RECIPES if workspace.options.quick or len(known) > _MOST_ROWS else RECIPES
    with workspace.progress("Trying recommenders") as on_progress:
        trial = try_out(known, recipes, seed=seed, on_progress=on_progress)
    workspace.handover.recommenders = known, trial
    groups = groups_of_segments(known, workspace.customer_names, segments_of(workspace))
    offers = offers_of(known, groups)
    with workspace.progress("Recommending") as on_progress:
        made = list(customer_items(known, trial.best, trial.best_new, "", seed=seed, on_progress=on_progress))
    frame = trial.scores
    customers = _customers(workspace, known, groups)
    listed = _listed(made, customers, offers, workspace.item_names)
    offered = offers_table(offers, workspace.item_names, customers)
    for name, table in ((ITEMS_FILE, listed), (OFFERS_FILE, offered)):
        write_csv(table.round(2), workspace.directory / name)
    parts: list[Table | Picture] = [
        Picture(
            f"Hit rate and NDCG of {TOP} recommended items",
            _picture(trial),
            f"{counted(trial.customers, 'customer')}; learned until {_day(trial.learned_until)}, tried on what they "
            f"{trial.what} from then on. Whiskers: 95% intervals over customers. {_MEANING}",
        ),
        Table("Recommenders tried", _table(frame), _caption(trial), _FORMATS),
        Table(
            "Difference from popularity",
            _differences_table(trial.differences),
            "Mean over the same customers, in brackets 95% intervals; above 0: better than showing everybody the "
            "same popular items.",
        ),
        Table(
            "Offers for segments and intent",
            offered,
            _who(workspace.context.currency, intents=workspace.handover.bands is not None)
            + " High intent is helped, not discounted; an incentive goes to those in between. Items: for customers of "
            f"whom nothing more is known. The same table: {OFFERS_FILE}.",
            dict.fromkeys(("money", "money of segment"), ",.0f"),
        ),
        Table(
            "Items for single customers, for example", _examples(listed, known, workspace.item_names),
            f"The customers seen last, first {_FEW} items each. All {counted(len(made), 'customer')} with {TOP} items: "
            f"{ITEMS_FILE}.",
        ),
    ]  # fmt: skip
    figures: dict[str, Any] = {
        "customers": trial.customers,
        "counted": trial.what,
        "learned_until": _day(trial.learned_until),
        "scores": frame,
        "differences": trial.differences,
        "items": trial.items,
        "at_random": trial.at_random,
        "popular_gain": trial.popular_gain,
        "best": trial.best.words,
        "best_for_new": trial.best_new.words,
        "offers": [{"segment": o.segment_name, "band": o.band, "offer": o.offer, "text": o.text, "items": o.items}
                   for o in offers],
        "recommended_customers": len(made),
        "items_file": ITEMS_FILE,
        "offers_file": OFFERS_FILE,
    }  # fmt: skip
    summary, details = _plain(trial, len(made)), _summary(trial, len(made))
    return Section(
        "recommendations", "Recommendations", summary, parts, figures, details, _findings(trial, len(made))
    )


_FORMATS: Final = {"coverage": ".1%", "validation": ".3f"}


def _hits(trial: Trial) -> tuple[float, float]:
    """Return which share of the customers took up a recommended item, and which one of the most popular items."""
    scores = trial.scores
    own = scores[scores["chosen"]].iloc[0]
    return float(own["hit rate"]), float(scores.iloc[0]["hit rate"])


def _plain(trial: Trial, customers: int) -> list[str]:
    own, popular = _hits(trial)
    offers = f"There are items for {counted(customers, 'customer')}, and an offer for every segment."
    if not trial.choice:
        return [
            f"The log has {counted(trial.items, 'item')}, hardly more than the {TOP} that are recommended: whether "
            "the choice is good cannot be told.",
            offers,
        ]
    of = f"of {counted(trial.customers, 'customer')} {trial.what} one or more of"
    random = f"of {TOP} items at random, {trial.at_random:.0%}"
    if trial.beats_popularity:
        said = (
            f"{own:.0%} {of} {TOP} recommended items later; of the {TOP} most popular items, {popular:.0%} did; "
            f"{random}."
        )
    else:
        said = f"{popular:.0%} {of} the {TOP} most popular items later; {random}. {_AS_GOOD}"
    return [said, offers]


_AS_GOOD: Final = "Items chosen for each customer were no better for certain: popular ones do as well."


def _findings(trial: Trial, customers: int) -> list[Finding]:
    """Return what chosen items are worth, or that popular ones do as well; nothing where chance could do it."""
    own, popular = _hits(trial)
    if not trial.choice:
        return []
    tried = f"Tried on {counted(trial.customers, 'customer')} and what they did later"
    if trial.beats_popularity:
        gap = trial.differences.set_index("recommender").loc[trial.best.kind]
        return [
            Finding(
                f"{own:.0%} of the customers {trial.what} one or more of {TOP} items that were chosen for them, "
                f"{popular:.0%} one of the {TOP} most popular items.",
                f"{tried}; the difference is {100 * gap['hit rate']:.0f} percentage points (95% interval "
                f"{100 * gap['hit rate low']:.0f} to {100 * gap['hit rate high']:.0f}).",
                "Show these items in newsletters and on the start page.",
                customers,
                file=ITEMS_FILE,
            )
        ]
    gain, low, high = trial.popular_gain
    if not low > 0:
        return []
    return [
        Finding(
            f"The most popular items do as well as items chosen for each customer: {popular:.0%} of the customers "
            f"{trial.what} one or more of the {TOP} most popular items, {trial.at_random:.0%} would by chance.",
            f"{tried}; {100 * gain:.0f} percentage points more than {TOP} items at random (95% interval "
            f"{100 * low:.0f} to {100 * high:.0f}).",
            "Show the most popular items in newsletters and on the start page.",
        )
    ]


def _summary(trial: Trial, customers: int) -> list[str]:
    scores = trial.scores
    popular = scores.iloc[0]
    differences = trial.differences.set_index("recommender")
    summary = []
    for words, prefix, recipe, column in (
        ("All items", "", trial.best, "chosen"),
        ("Items that are new to the customer", "new ", trial.best_new, "chosen for new"),
    ):
        measured = f"at least one of {TOP} was {trial.what} later by"
        if recipe.kind == POPULAR:
            summary.append(
                f"{words}: no recommender beat popularity beyond chance before the test, so popularity is what is "
                f"recommended; {measured} {popular[f'{prefix}hit rate']:.0%} of {counted(trial.customers, 'customer')}."
            )
            continue
        own, gap = scores[scores[column]].iloc[0], differences.loc[recipe.kind]
        low, high = gap[f"{prefix}NDCG low"], gap[f"{prefix}NDCG high"]
        summary.append(
            f"{words}: recommended by {recipe.kind}, {measured} {own[f'{prefix}hit rate']:.0%} of "
            f"{counted(trial.customers, 'customer')} (popularity: {popular[f'{prefix}hit rate']:.0%}); NDCG "
            f"{own[f'{prefix}NDCG']:.3f}, popularity {popular[f'{prefix}NDCG']:.3f} (difference {low:+.3f} to "
            f"{high:+.3f}{'' if low > 0 else ': no proof of a gain'})."
        )
    if trial.best.kind == OWN:
        summary.append(
            "Customers mostly take up again what they know: reorders are best served by their own history, and a "
            "model is for what is new to them."
        )
    summary.append(
        f"There are items for {counted(customers, 'customer')}, and an offer for every segment and band of intent."
    )
    return summary


def _caption(trial: Trial) -> str:
    return (
        f"{_MEANING} Settings and the recommender were chosen by the NDCG in a span of time before the test "
        "(validation). New: only items that the customer had nothing to do with before. Coverage: share of all items "
        f"recommended to anybody. Test from {_day(trial.learned_until)} to {_day(trial.until)}; ± is half of a 95% "
        "interval."
    )


def _differences_table(differences: pd.DataFrame) -> pd.DataFrame:
    """Return the differences for people: one and its interval in one cell."""
    table = differences[["recommender"]].copy()
    for name in MEASURES:
        table[name] = [
            "–"
            if pd.isna(row[name])
            else f"{row[name]:+.3f} ({row[f'{name} low']:+.3f} to {row[f'{name} high']:+.3f})"
            for _, row in differences.iterrows()
        ]
    return table


def _table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the scores for people: a measure and half of its interval in one cell."""
    table = frame[["recommender"]].copy()
    for name, digits in (("hit rate", 3), ("NDCG", 3), ("new hit rate", 3), ("new NDCG", 3)):
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


def _who(currency: str, *, intents: bool) -> str:
    """Return what the numbers beside an offer count."""
    of_segment = f"of segment: all its customers, and what they have spent so far, less refunds ({currency})"
    if not intents:
        return (
            "Intent: the band of the purchase probability by the bundle's thresholds. Customers and money "
            f"{of_segment}."
        )
    return (
        "Intent: the band of the purchase probability (the top 5%, the next 15%, the rest), for the counts at each "
        "customer's last event whose outcome is known. Customers and money: of the segment with this intent; "
        f"{of_segment}."
    )


def _customers(workspace: Workspace, known: Interactions, groups: Groups) -> pd.DataFrame:
    """Return segment, intent and money so far of every customer of the interactions, by id."""
    ids = workspace.customer_names
    spent = settled(workspace.customer_view).customers["monetary"]
    money = {ids[number]: value for number, value in spent.items()}
    bands = workspace.handover.bands or {}
    # Who is in a segment may have nothing to do with any item.
    listed = dict.fromkeys([*known.customer_ids, *ids])
    of = dict(zip(known.customer_ids, groups.members, strict=True))
    names = [*groups.names, None]
    return pd.DataFrame(
        {
            "segment": [names[of.get(customer, -1)] for customer in listed],
            "intent": pd.Series([bands.get(customer) for customer in listed], dtype=object),
            "money": [money.get(customer, 0.0) for customer in listed],
        }
    ).set_index(pd.Index(list(listed), name="customer"))


def _listed(
    made: list[tuple[str, CustomerItems]],
    customers: pd.DataFrame,
    offers: Sequence[Offer],
    names: Mapping[str, str],
) -> pd.DataFrame:
    """Return the items of every customer, best first, by id and by name, beside segment, money and offer."""
    offer_of = {(offer.segment_name, offer.band): offer.text for offer in offers}
    rows = []
    for customer, own in made:
        about = customers.loc[customer]
        row: dict[str, Any] = {
            "customer": customer,
            "segment": about["segment"],
            "spent so far": about["money"],
        }
        if about["intent"] is not None:
            row |= {"intent": about["intent"], "offer": offer_of.get((about["segment"], about["intent"]))}
        row |= {"items": _SEPARATOR.join(own.items), "new to them": _SEPARATOR.join(own.new_items)}
        if names:
            row["names"] = _SEPARATOR.join(names.get(item, item) for item in own.items)
            row["names of new"] = _SEPARATOR.join(names.get(item, item) for item in own.new_items)
        rows.append(row)
    return pd.DataFrame(rows)


def _examples(listed: pd.DataFrame, known: Interactions, names: Mapping[str, str]) -> pd.DataFrame:
    """Return the first items of the customers seen last."""
    _, first = np.unique(known.customers[::-1], return_index=True)
    latest = known.customers[::-1][np.sort(first)[:_SHOWN]]
    shown = listed.set_index("customer").loc[[known.customer_ids[number] for number in latest]].reset_index()
    shown = shown[["customer", "segment", "items", "new to them"]]
    for name in ("items", "new to them"):
        shown[name] = [
            ", ".join(named(item, names) for item in text.split(_SEPARATOR)[:_FEW]) for text in shown[name]
        ]
    return shown


def _day(ms: int) -> str:
    return f"{dt.datetime.fromtimestamp(ms / 1000, dt.UTC):%d %b %Y}"
