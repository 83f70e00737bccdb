"""The stage "budget": so many contacts, to whom? The list, and how many on it are expected to buy."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from features.counts import counted
from offline.chapters.budget.chooser import best_rule, fit_chooser
from offline.chapters.budget.moments import DAY, horizon_of, learned_from, moment_at, past_moments
from offline.chapters.budget.trial import Expected, Trial, agreeing, expected_buyers, try_lists
from offline.chapters.workspace import Workspace
from offline.lab.statistics import ALPHA
from offline.report.section import Finding, Picture, Section, Table
from offline.report.spreadsheets import write_csv
from offline.report.theme import BLUE, GREY, ORANGE
from offline.views.huge_orders import capped, counted_words, tamed
from offline.views.log_view import LogView

#: Where the list goes in the report's folder.
BUDGET_FILE: Final = "budget.csv"
#: Share of the customers where no budget was named.
_SHARE: Final = 0.1
#: A wider interval, as a share of the list, says nothing.
_WIDEST: Final = 0.5
_SHOWN: Final = 12
_POINTS: Final = 200


def choose_customers(workspace: Workspace) -> Section:
    """Run the stage on the log of a report."""
    options, view = workspace.options, capped(workspace.customer_view)
    horizon = horizon_of(view, pd.Timedelta(workspace.context.horizon_ms, unit="ms"))
    with workspace.progress("Choosing customers"):
        moments = past_moments(view, horizon)
        now = moment_at(view, view.last + pd.Timedelta(milliseconds=1), horizon)
        count = min(options.budget or max(1, round(_SHARE * len(now.known))), len(now.known))
        trial = try_lists(moments, count, seed=options.seed, quick=options.quick)
        chooser = fit_chooser(learned_from(moments), seed=options.seed, quick=options.quick)
        probabilities = chooser.probabilities(now.known)
        first = np.argsort(-probabilities, kind="stable")[:count]
        expected = expected_buyers(trial, count)
        agreed = agreeing(probabilities[first], expected.value)
        listed = pd.DataFrame(
            {
                "customer": np.array(workspace.customer_names, object)[now.known.index.to_numpy()[first]],
                "probability": agreed,
                "expected value": agreed * _order_value(view, now.known)[first],
            }
        )
        if trial.tells:
            listed["reason"] = chooser.reasons(now.known.iloc[first])
    write_csv(listed.round(4), workspace.directory / BUDGET_FILE)
    days = _days(horizon)
    summary = _summary(trial, expected, count, len(now.known), days)
    if options.budget and options.budget > count:
        summary.insert(
            0,
            f"The budget is {options.budget:,}, the log knows {counted(count, 'customer')}: all are listed.",
        )
    parts: list[Table | Picture] = [
        Table(
            "Whom to contact", listed.head(_SHOWN),
            f"Probability of an order within {days} after the end of the log, likeliest first; calibrated on past "
            "lists, so that the probabilities add up to the number that is expected. Expected value: the "
            f"probability times the customer's mean order ({view.currency}, drawn to that of all where there are few "
            f"orders). {counted_words(view)} {_reasons_words(trial)} All {count:,}: {BUDGET_FILE}.".replace("  ", " "),
            {"probability": ".1%", "expected value": ",.2f"}, "open",
        ),
        Picture(
            "Buyers by number of contacts", _drawn(trial, count),
            f"Made as of {trial.moments['from'].iloc[0]:%d %b %Y}, from what was known then: how many of the first so "
            f"many customers bought within {days}. Dotted: a list of {count:,}.",
        ),
        Table(
            "Lists of that size at past moments", _moments_table(trial),
            f"All customers known at each moment, none left out. Model and rule were chosen on the time before it. "
            f"Buyers: who bought within {days}, of the model with 95% intervals; by chance: if the list were drawn "
            f"at random. Without an interval: the list is too short to tell. Money: of their orders, in "
            f"{view.currency}.",
            {"by chance": ",.0f", "expected by model": ",.0f", "money by model": ",.0f", "money by rule": ",.0f"},
        ),
    ]  # fmt: skip
    figures: dict[str, Any] = {
        "budget": count,
        "customers": len(now.known),
        "days": horizon / DAY,
        "expected": expected._asdict(),
        "sum_of_probabilities": float(agreed.sum()),
        "sum_before_calibration": float(probabilities[first].sum()),
        "over_chance": {"buyers": trial.over_chance[0], "p_value": trial.over_chance[1]},
        "ahead_of_rule": trial.ahead._asdict() | {"p_value": trial.p_value},
        "rule_now": best_rule(moments[0], count),
        "moments": trial.moments,
        "file": BUDGET_FILE,
    }
    return Section(
        "budget",
        "Budget of contacts",
        summary,
        parts,
        figures,
        findings=_findings(trial, expected, count, days),
    )


def _summary(trial: Trial, expected: Expected, count: int, known: int, days: str) -> list[str]:
    last = trial.moments.iloc[0]
    moments = len(trial.moments)
    past = "the last such list" if moments == 1 else f"{moments} such lists of the past"
    nothing = [] if trial.tells else [
        "Nothing that is known of customers tells who will buy better than chance: past lists held "
        f"{counted(trial.moments['buyers by model'].sum(), 'buyer')}, lists at random would have held "
        f"{trial.moments['by chance'].sum():,.0f}."
    ]  # fmt: skip
    listed = f"{count:,} of {counted(known, 'customer')}"
    return [
        f"{listed}: {expected.value:,.0f} of them are expected to buy within {days} (95% interval "
        f"{np.floor(expected.low):,.0f} to {np.ceil(expected.high):,.0f}), by {past}. The list: {BUDGET_FILE}."
        if _says_something(expected.low, expected.high, count)
        else f"{listed} are listed. How many of them will buy within {days} cannot be told: lists of the past are too "
        f"few or too short. The list: {BUDGET_FILE}.",
        *nothing,
        _against_rule(trial, int(last["buyers by model"]), int(last["buyers by rule"])),
        f"{'These customers are likely to buy; how' if trial.tells else 'How'} many buy because of a contact only "
        "a comparison with customers left alone can tell.",
    ]


def _findings(trial: Trial, expected: Expected, count: int, days: str) -> list[Finding]:
    """Return how many are expected, where lists have held more buyers than chance and the interval says something."""
    if not trial.tells or not _says_something(expected.low, expected.high, count):
        return []
    return [
        Finding(
            f"Of the {counted(count, 'customer')} on the list, {expected.value:,.0f} are expected to buy within "
            f"{days}.",
            f"95% interval {np.floor(expected.low):,.0f} to {np.ceil(expected.high):,.0f}, by "
            f"{'the last such list' if len(trial.moments) == 1 else f'{len(trial.moments)} such lists of the past'}.",
            "Contact them, and leave some alone by lot: only that tells how many buy because of it.",
            count,
            file=BUDGET_FILE,
        )
    ]


def _says_something(low: float, high: float, count: float) -> bool:
    return high - low <= _WIDEST * count


def _reasons_words(trial: Trial) -> str:
    if trial.tells:
        return "Reason: what raises the probability most."
    return "There are no reasons: past lists held no more buyers than lists at random would, for certain."


def _against_rule(trial: Trial, by_model: int, by_rule: int) -> str:
    last = trial.moments.iloc[0]
    ahead = trial.ahead
    said = (
        f"As of {last['from']:%d %b %Y}, {by_model:,} of the {last['listed']:,} listed customers bought; of those "
        f"{last['rule']}, {by_rule:,}; of a list at random, {last['by chance']:,.0f}."
    )
    lists = "" if len(trial.moments) == 1 else f" a list over {counted(len(trial.moments), 'list')}"
    between = f"{ahead.value:+,.0f} buyers{lists} (95% interval {ahead.low:+,.0f} to {ahead.high:+,.0f})"
    if not _says_something(
        ahead.low, ahead.high, 2 * last["listed"]
    ):  # it may lie between - and + the whole list
        return f"{said} Lists of the past are too few or too short to tell whether model or rule does better."
    if trial.p_value >= ALPHA:
        return f"{said} The difference of model and rule may be chance: {between}."
    return f"{said} The model does {'better' if ahead.value > 0 else 'worse'} than the rule: {between}."


def _moments_table(trial: Trial) -> pd.DataFrame:
    frame = trial.moments.drop(columns=["low", "high"])
    frame["from"] = [f"{at:%d %b %Y}" for at in trial.moments["from"]]
    frame["buyers by model"] = [
        f"{row['buyers by model']} ({row['low']:.0f} to {row['high']:.0f})"
        if _says_something(row["low"], row["high"], row["listed"])
        else f"{row['buyers by model']}"
        for _, row in trial.moments.iterrows()
    ]
    return frame


def _order_value(view: LogView, known: pd.DataFrame) -> NDArray[np.float64]:
    """Return what an order of each customer is expected to be worth: the mean with one order of the average added."""
    overall = float(tamed(view.orders)[0]["value"].mean())
    own = known["mean_order"].fillna(overall)  # no order yet, or all in another currency
    values = (own * known["frequency"] + overall) / (known["frequency"] + 1)
    return np.asarray(values, np.float64)


def _days(horizon: pd.Timedelta) -> str:
    days = horizon / DAY
    return f"{counted(days, 'day')}" if days >= 2 else f"{counted(days * 24, 'hour')}"  # noqa: PLR2004


def _drawn(trial: Trial, count: int) -> go.Figure:
    curve = trial.curve
    step = max(1, len(curve) // _POINTS)
    some = curve.iloc[step - 1 :: step]
    figure = go.Figure()
    rule = trial.moments["rule"].iloc[0]
    for name, words, colour, dash in (
        ("by model", "the model's list", BLUE, "solid"),
        ("by rule", rule, ORANGE, "solid"),
        ("by chance", "at random", GREY, "dash"),
    ):
        figure.add_scatter(
            x=some["customers"], y=some[name], mode="lines", name=words, line={"color": colour, "dash": dash},
            hovertemplate="%{x:,} customers: %{y:,.0f} buyers<extra>" + words + "</extra>",
        )  # fmt: skip
    if count < len(curve):
        figure.add_vline(x=count, line={"color": GREY, "dash": "dot", "width": 1.5})
    figure.update_xaxes(title_text="customers contacted", rangemode="tozero")
    figure.update_yaxes(title_text="of them bought", rangemode="tozero")
    figure.update_layout(height=360)
    return figure
