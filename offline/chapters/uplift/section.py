"""What actions did, as a page: the sentence, the effect over days as a picture, tables, and all figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from offline.report.section import Picture, Section, Table, Text
from offline.report.theme import BLUE, GREY, faint
from offline.uplift import words
from offline.uplift.analysis import CONVERSION, REVENUE, Uplift
from offline.uplift.effects import Effect, Group
from offline.uplift.effects import Sequence as EffectSequence

_METHOD: Final = (
    "Customers are divided by chance before the first action, so nothing but the actions can have made the difference.",
    "The blue band is a 95% confidence sequence: it holds on all days together. Look at it whenever you like, and "
    "stop when it lies above 0 (asymptotic, by Robbins' normal mixture [Waudby-Smith 2021]).",
    "The score before the first action takes chance out of the comparison (CUPED [Deng 2013]).",
    "Actions and segments: p-values are always valid and corrected by Holm, which holds under continuous looking, too; "
    "intervals hold for all groups together (Bonferroni).",
)
_FORMATS: Final = {
    "bought, contacted": ".2%",
    "bought, held out": ".2%",
    "lift": "+.1%",
    "from": "+.1%",
    "to": "+.1%",
}


def uplift_section(uplift: Uplift, notes: Sequence[str] = ()) -> Section:
    """Return the page of a measurement; ``notes`` are further sentences about what was read."""
    summary = [words.headline(uplift), *words.advice(uplift)]
    if (money := words.money(uplift)) is not None:
        summary.append(money)
    parts: list[Picture | Table | Text] = [
        _picture(uplift, value, sequence)
        for value, sequence in uplift.overall.items()
        if sequence.known.any()
    ]
    for column, groups in uplift.groups.items():
        caption = (
            "By the first action of each customer. Shares are adjusted by the score before it. Intervals hold for all "
            "groups together."
        )
        parts.append(Table(f"Effect by {column}", group_frame(groups), caption, _FORMATS))
    if uplift.versions:
        rows = [_row(name, effect) for name, effect in uplift.versions.items()]
        parts.append(Table("Effect by version of the experiment", pd.DataFrame(rows), "", _FORMATS))
    divided = "The numbers do not fit: see above." if uplift.failed else "The numbers fit to the shares."
    parts.append(
        Table(
            "Was it chance who divided the customers?",
            check_frame(uplift),
            f"Tests for a sample-ratio mismatch. {divided}",
            {"expected": ",.0f", "p": ".3g"},
        )
    )
    parts.append(Text("How this was measured", _METHOD))
    return Section(
        "uplift", "Does it help?", summary, parts, figures(uplift), details=[*words.remarks(uplift), *notes]
    )


def group_frame(groups: Sequence[Group]) -> pd.DataFrame:
    """Return groups as rows."""
    return pd.DataFrame(
        [_row(group.name, group.effect) | {"p": words.p_value(group.p_value), "told": words.verdict(group)}
         for group in groups]
    )  # fmt: skip


def check_frame(uplift: Uplift) -> pd.DataFrame:
    """Return the tests of the division as rows."""
    return pd.DataFrame([check._asdict() for check in uplift.checks]).rename(columns={"p_value": "p"})


def _row(name: str, effect: Effect) -> dict[str, Any]:
    return {
        "group": name,
        "contacted": effect.treated,
        "held out": effect.held_out,
        "bought, contacted": effect.mean_treated if effect.known else np.nan,
        "bought, held out": effect.mean_held_out if effect.known else np.nan,
        "lift": effect.lift if effect.known else np.nan,
        "from": effect.lift_low if effect.known else np.nan,
        "to": effect.lift_high if effect.known and np.isfinite(effect.lift_high) else np.nan,
    }


def figures(uplift: Uplift) -> Mapping[str, Any]:
    """Return all figures of a measurement, as plain values."""
    return {
        "verdict": "mismatch" if uplift.failed else _verdict(uplift),
        "window_ms": uplift.window_ms,
        "seen_until": uplift.payments.end,
        "currency": uplift.payments.currency,
        "shares": dict(uplift.shares),
        "customers": {
            "assigned": len(uplift.assigned.customers),
            "compared": len(uplift.outcomes.customers),
            "open": uplift.outcomes.open,
            "before_the_log": uplift.outcomes.unseen,
            "customer_managed": uplift.assigned.managed,
            "in_later_versions": uplift.assigned.later,
            "in_both_arms": uplift.assigned.moved,
            "in_both_arms_by_a_login": uplift.assigned.crossed,
        },
        "refunds": {"count": uplift.outcomes.refunds, "money": uplift.outcomes.refunded},
        "checks": [check._asdict() | {"failed": check.failed} for check in uplift.checks],
        "effects": {_NAMES[value]: _effect(sequence.at()) for value, sequence in uplift.overall.items()},
        "days": {_NAMES[value]: _days(sequence) for value, sequence in uplift.overall.items()},
        "versions": {name: _effect(effect) for name, effect in uplift.versions.items()},
        "groups": {
            column: [{"group": group.name, **_effect(group.effect), "p_value": group.p_value, "told": group.told}
                     for group in groups]
            for column, groups in uplift.groups.items()
        },
    }  # fmt: skip


_NAMES: Final = {CONVERSION: "conversion", REVENUE: "revenue"}


def _verdict(uplift: Uplift) -> str:
    return words.verdict(uplift.overall[CONVERSION].at()) if uplift.overall else "too few yet"


def _effect(effect: Effect) -> dict[str, Any]:
    return effect._asdict() | {"told": effect.told}


def _days(sequence: EffectSequence) -> list[dict[str, Any]]:
    names = ("treated", "held_out", "difference", "low", "high", "lift", "lift_low", "lift_high")
    return [
        {"until": int(look)} | {name: getattr(sequence, name)[at].item() for name in names}
        for at, look in enumerate(sequence.looks)
        if sequence.known[at]
    ]


def _picture(uplift: Uplift, value: str, sequence: EffectSequence) -> Picture:
    known = sequence.known
    days = pd.to_datetime(sequence.looks[known], unit="ms")
    factor = 100.0 if value == CONVERSION else 1.0
    low, high, middle = (factor * getattr(sequence, name)[known] for name in ("low", "high", "difference"))
    figure = go.Figure()
    figure.add_scatter(x=days, y=high, mode="lines", line={"width": 0}, hoverinfo="skip", showlegend=False)
    figure.add_scatter(x=days, y=low, mode="lines", line={"width": 0}, fill="tonexty", fillcolor=faint(BLUE),
                       name="95%, at all looks together")  # fmt: skip
    figure.add_scatter(x=days, y=middle, mode="lines+markers" if len(days) == 1 else "lines", line={"color": BLUE},
                       name="so far")  # fmt: skip
    figure.add_hline(y=0, line_color=GREY)
    what = "percentage points" if value == CONVERSION else uplift.payments.currency
    figure.update_yaxes(title_text=f"contacted less held out, {what}")
    figure.update_xaxes(title_text="customers whose window had ended by")
    title = (
        "How much more of the contacted customers bought"
        if value == CONVERSION
        else "How much more they spent"
    )
    return Picture(
        title,
        figure,
        "While the band contains 0, no effect can be told. It may be looked at any day.",
        "lead",
    )
