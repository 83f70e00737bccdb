"""What insight says of a log's customers: who is valuable, and what each will still bring."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd

from features.counts import counted
from offline.chapters.insight.high_value import TOP, HighValue, high_value
from offline.chapters.insight.lifetime_check import (
    MEAN,
    MODEL,
    RATE,
    Check,
    Lifetime,
    check_lifetime,
    lifetime_values,
)
from offline.chapters.insight.money_pictures import lifetime_picture
from offline.chapters.segments.segmented import Segmented
from offline.exceptions import TrainingError
from offline.lab.differences import LEAST, share_p_value
from offline.lab.statistics import ALPHA
from offline.report.section import Calculator, Finding, Picture, Table
from offline.report.spreadsheets import write_csv
from offline.views.huge_orders import capped, counted_words, huge_words
from offline.views.log_view import LogView
from offline.views.net_orders import settled

#: Where every customer's lifetime value goes in the report's folder.
LIFETIME_FILE: Final = "lifetime_values.csv"

_BEST: Final = 12
_LONG_LOG_DAYS: Final = 180
_OFF, _RIGHT = 0.15, 0.005
_TEN: Final = 10.0


class Look(NamedTuple):
    """Sentences, parts and figures; ``details`` are sentences for data people, ``findings`` for the first screen."""

    summary: list[str]
    parts: list[Table | Picture | Calculator]
    figures: dict[str, Any]
    details: Sequence[str] = ()
    findings: Sequence[Finding] = ()


def valuable_customers(view: LogView) -> Look:
    """Return who the high-value customers are."""
    found = high_value(view)
    if found is None:
        return Look([], [], {})
    traits = found.compared
    best = max(1, round(TOP * found.buyers))
    remark = " ".join([*huge_words(view), counted_words(view)]).strip()
    summary: list[str] = []
    if best >= LEAST:
        orders = traits.loc["orders"]
        summary.append(
            f"High-value customers, the best {TOP:.0%} of the buyers, spent at least {found.least:,.0f} "
            f"{view.currency} and brought {found.share:.0%} of the money; the median one ordered "
            f"{orders['high value']:.0f} times (others: {orders['others']:.0f}). {remark}".rstrip()
        )
    rates = dict.fromkeys(("high value", "low", "high"), ".1%")
    parts: list[Table | Picture | Calculator] = [
        Table("High-value customers and the others", _rounded(traits),
              f"Medians of the best {TOP:.0%} of the buyers by money spent, and of all others.")
    ]  # fmt: skip
    if len(found.first_order):
        low, high = found.first_order.iloc[0], found.first_order.iloc[-1]
        if high["high value"] > low["high value"] and _told_apart(high, low):
            summary.append(
                "The first order tells early: of the quarter with the largest ones "
                f"{high['high value']:.0%} are among the "
                f"best {TOP:.0%} in what they spent after it, of the quarter with the smallest {low['high value']:.0%}."
            )
        parts.append(
            Table("What follows a large first order", found.first_order,
                  "Customers who first came in the first half of the log. High value: among the best "
                  "tenth in what they spent "
                  "after the first order; 95% intervals.", rates)
        )  # fmt: skip
    if len(found.countries):
        parts.append(
            Table(
                "High value by country",
                found.countries,
                f"Share of a country's customers among the best {TOP:.0%} of all, with 95% intervals.",
                rates,
            )
        )
    return Look(summary, parts, {"high_value": found._asdict()}, findings=_findings(found, best, remark))


def _findings(found: HighValue, best: int, remark: str) -> list[Finding]:
    """Return what the best tenth brought, where it is more than it would be by lot."""
    if best < LEAST or found.share <= found.by_chance:
        return []
    return [
        Finding(
            f"A tenth of the buyers brought {found.share:.0%} of the money. {remark}".rstrip(),
            "Counted, refunds taken off. If buyers did not differ, and who orders how much were drawn by lot, it would "
            f"be {found.by_chance:.0%} at most, in 95 of 100 draws.",
            "Know them by name: answer them first, ask before you change what they buy.",
            best,
            file=LIFETIME_FILE,
        )
    ]


def _told_apart(one: pd.Series, other: pd.Series) -> bool:
    counts = [(round(row["high value"] * row["customers"]), int(row["customers"])) for row in (one, other)]
    return share_p_value(*counts[0], *counts[1]) < ALPHA


def lifetime(view: LogView, segments: Segmented, names: list[str], directory: Path, *, seed: int = 0) -> Look:
    """Return lifetime values, tried on time that they have not seen, and write those of all customers.

    Parameters
    ----------
    names
        Customer ids by number.
    directory
        The report's.
    """
    typical = capped(view)
    try:
        check = check_lifetime(typical, seed=seed)
        values = lifetime_values(typical, 90 if view.days >= _LONG_LOG_DAYS else max(1, round(view.days / 4)))
    except TrainingError as error:
        return Look([f"No lifetime values: {error}."], [], {"lifetime": {"done": False, "why": str(error)}})
    listed = _listed(view, values, segments, names)
    write_csv(listed.round(4), directory / LIFETIME_FILE)
    said, tried = _lifetime_summary(check, values, view.currency)
    return Look(
        [f"{said} {counted_words(view)}".rstrip()],
        _lifetime_parts(check, values, listed, view.currency),
        _lifetime_figures(check, values),
        [tried],
    )


def _lifetime_summary(check: Check, values: Lifetime, currency: str) -> list[str]:
    scores = check.scores.set_index("estimate")
    model, rate = scores.loc[MODEL], scores.loc[RATE]
    frame = values.frame.dropna(subset="value")  # money in another currency is not known
    gap, low, high = check.ahead
    verdict = (
        "better than by past spending"
        if low > 0
        else "worse than by past spending"
        if high < 0
        else "no proof that it is better than past spending"
    )
    off = model["total"] - 1
    expected, came = check.returned
    trend = (
        f"In sum it was {abs(off):.0%} too {'high' if off > 0 else 'low'}: it knows neither seasons nor growth, so "
        "take it for ranking customers and the forecast for sums."
        if abs(off) > _OFF
        else f"In sum it was {abs(off):.0%} too {'high' if off > 0 else 'low'}."
        if abs(off) >= _RIGHT
        else "In sum it was right within 1%."
    )
    return [
        f"Lifetime value, {counted(values.days, 'day')} ahead: {frame['value'].sum():,.0f} {currency} from "
        f"{counted(len(frame), 'customer')}; the best tenth is expected to bring {_top_share(frame['value']):.0%} of "
        "it.",
        f"Tried on the time from {check.since:%d %b %Y} on, which it had not seen: the tenth of customers that it "
        f"ranks highest brought {model['top']:.0%} of the spending, the tenth by past spending {rate['top']:.0%} "
        f"(difference {100 * gap:+.0f} points, {100 * low:+.0f} to {100 * high:+.0f}: {verdict}), a perfect ranking "
        f"would have {check.best_top:.0%}. It expected {expected:.0%} of the customers to order, {came:.0%} did. "
        f"{trend}",
    ]


def _listed(view: LogView, values: Lifetime, segments: Segmented, names: list[str]) -> pd.DataFrame:
    """Return every customer's lifetime value, the most valuable to come first."""
    frame = values.frame.sort_values("value", ascending=False, kind="stable")
    return pd.DataFrame(
        {
            "customer": [names[number] for number in frame.index],
            "segment": _segments(frame, segments),
            "spent so far": settled(view).customers["monetary"].reindex(frame.index).to_numpy(),
            "orders again": frame["returns"].to_numpy(),
            "orders": frame["orders"].to_numpy(),
            "value": frame["value"].to_numpy(),
        }
    )


def _lifetime_parts(
    check: Check, values: Lifetime, listed: pd.DataFrame, currency: str
) -> list[Table | Picture | Calculator]:
    by_segment = listed.groupby("segment", sort=False).agg(
        customers=("value", "size"), **{"orders again": ("orders again", "mean")}, orders=("orders", "mean"),
        value=("value", "mean"), total=("value", "sum"),
    ).sort_values("value", ascending=False)  # fmt: skip
    ahead = {"orders again": ".0%", "orders": ".1f", "value": ",.0f", "total": ",.0f", "spent so far": ",.0f"}
    meaning = (
        f"Within {counted(values.days, 'day')}. Orders again: probability of at least one more order; orders and value "
        f"({currency}): how many and how much are expected"
    )
    return [
        lifetime_picture(check, currency),
        Table(
            "Estimates of lifetime value, tried", _scores_table(check.scores),
            f"Total: predicted sum as a share of the true one. Mean error: in {currency} per customer. Rank: how well "
            "customers are ordered (Spearman's correlation; 1 is perfect, 0 is chance). Best tenth: share of the "
            "spending from the tenth of customers ranked highest. In brackets 95% intervals over customers. "
            f"“{MODEL}”: a model of how often and how much customers buy until they leave; “{RATE}”: each customer's "
            f"spending per day so far; “{MEAN}”: the mean of all.",
            {"total": ".0%"},
        ),
        Table(
            f"Lifetime value by segment, {counted(values.days, 'day')} ahead",
            by_segment, f"{meaning} per customer.", ahead,
        ),
        Table(
            "The most valuable customers to come", listed.head(_BEST),
            f"{meaning}. All {counted(len(listed), 'customer')}: {LIFETIME_FILE}.", ahead,
        ),
    ]  # fmt: skip


def _scores_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the scores for people: a measure and its interval in one cell."""
    table = scores[["estimate", "total"]].copy()
    for name, words, form in (
        ("mae", "mean error", ",.0f"),
        ("rank", "rank", ".2f"),
        ("top", "best tenth", ".0%"),
    ):
        table[words] = [
            f"{row[name]:{form}} ({row[f'{name} low']:{form}} to {row[f'{name} high']:{form}})"
            if row[f"{name} high"] > row[f"{name} low"] else f"{row[name]:{form}}"
            for _, row in scores.iterrows()
        ]  # fmt: skip
    return table


def _lifetime_figures(check: Check, values: Lifetime) -> dict[str, Any]:
    return {
        "lifetime": {
            "days": values.days,
            "total": float(values.frame["value"].sum()),
            "frequency": values.frequency._asdict(),
            "money": values.money._asdict(),
            "check": {"since": check.since, "until": check.until, "customers": check.customers, "scores": check.scores,
                      "groups": check.groups, "best_top": check.best_top, "ahead": check.ahead,
                      "returned": check.returned},
            "file": LIFETIME_FILE,
        }
    }  # fmt: skip


def _rounded(traits: pd.DataFrame) -> pd.DataFrame:
    """Return traits as texts with as many digits as they deserve."""

    def said(value: float) -> str:
        return "–" if pd.isna(value) else f"{value:,.0f}" if abs(value) >= _TEN else f"{value:,.1f}"

    table = traits.copy().astype(object)
    for name in ("high value", "others"):
        table[name] = [said(value) for value in traits[name]]
    table["ratio"] = ["–" if pd.isna(value) else f"{value:.1f} times" for value in traits["ratio"]]
    return table


def _segments(frame: pd.DataFrame, segments: Segmented) -> list[str]:
    of = pd.Series(segments.members, segments.frame.index).reindex(frame.index)
    return ["none" if pd.isna(k) else segments.names[int(k)] for k in of]


def _top_share(values: pd.Series) -> float:
    count = max(1, round(TOP * len(values)))
    return float(values.nlargest(count).sum() / max(values.sum(), 1e-12))
