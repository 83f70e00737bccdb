"""What insight says of a log's customers: who is valuable, and what each will still bring."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import pandas as pd

from offline.exceptions import TrainingError
from offline.exploration.view import LogView
from offline.insight.high_value import TOP, high_value
from offline.insight.lifetime_check import (
    MEAN,
    MODEL,
    RATE,
    Check,
    Lifetime,
    check_lifetime,
    lifetime_values,
)
from offline.insight.pictures import lifetime_picture
from offline.report.section import Picture, Table
from offline.segments.net import settled
from offline.segments.segmented import Segmented

_BEST: Final = 12
_LONG_LOG_DAYS: Final = 180
_OFF: Final = 0.15


class Look(NamedTuple):
    """Sentences, parts and figures."""

    summary: list[str]
    parts: list[Table | Picture]
    figures: dict[str, Any]


def valuable_customers(view: LogView) -> Look:
    """Return who the high-value customers are."""
    found = high_value(view)
    if found is None:
        return Look([], [], {})
    traits = found.compared
    orders = traits.loc["orders"]
    summary = [
        f"High-value customers, the best {TOP:.0%} of the buyers, spent at least {found.least:,.0f} "
        f"{view.currency} and "
        f"brought {found.share:.0%} of the money; the median one ordered {orders['high value']:.0f} times (others: "
        f"{orders['others']:.0f})."
    ]
    rates = dict.fromkeys(("high value", "low", "high"), ".1%")
    parts: list[Table | Picture] = [
        Table("High-value customers and the others", traits, "Medians.", {"ratio": ".2f"})
    ]
    if len(found.first_order):
        low, high = found.first_order.iloc[0], found.first_order.iloc[-1]
        if high["low"] > low["high"]:
            summary.append(
                "The first order tells early: of the quarter with the largest ones "
                f"{high['high value']:.0%} are among the "
                f"best {TOP:.0%} in what they spent after it, of the quarter with the smallest {low['high value']:.0%}."
            )
        parts.append(
            Table("What follows a large first order", found.first_order,
                  "Customers who first came in the first half of the log. High value: among the best "
                  "tenth in what they spent "
                  "after the first order; 95 % intervals.", rates)
        )  # fmt: skip
    if len(found.countries):
        parts.append(Table("High value by country", found.countries, "95 % intervals.", rates))
    return Look(summary, parts, {"high_value": found._asdict()})


def lifetime(view: LogView, segments: Segmented, names: list[str]) -> Look:
    """Return lifetime values, tried on time that they have not seen.

    Parameters
    ----------
    names
        Customer ids by number.
    """
    try:
        check = check_lifetime(view)
        values = lifetime_values(view, 90 if view.days >= _LONG_LOG_DAYS else max(1, round(view.days / 4)))
    except TrainingError as error:
        return Look([f"No lifetime values: {error}."], [], {"lifetime": {"done": False, "why": str(error)}})
    scores = check.scores.set_index("estimate")
    model, rate = scores.loc[MODEL], scores.loc[RATE]
    frame = values.frame
    total = frame["value"].sum()
    off = model["total"] - 1
    trend = (
        f" In sum it was {abs(off):.0%} too {'high' if off > 0 else 'low'}: it knows neither seasons nor "
        "growth, so take it "
        "for ranking customers and the forecast for sums."
        if abs(off) > _OFF
        else f" In sum it was {off:+.0%} off."
    )
    summary = [
        f"Lifetime value, {values.days} days ahead: {total:,.0f} {view.currency} from {len(frame):,} "
        "customers; the best "
        f"tenth is expected to bring {_top_share(frame['value']):.0%} of it.",
        f"Tried on the time from {check.since:%d %b %Y} on: the tenth of customers that it ranks highest brought "
        f"{model['top']:.0%} of the spending (ranking by past spending: {rate['top']:.0%}, a perfect ranking: "
        f"{check.best_top:.0%}), rank correlation {model['rank']:.2f} ({rate['rank']:.2f}).{trend}",
    ]
    return Look(
        summary, _lifetime_parts(view, check, values, segments, names), _lifetime_figures(check, values)
    )


def _lifetime_parts(
    view: LogView, check: Check, values: Lifetime, segments: Segmented, names: list[str]
) -> list[Table | Picture]:
    currency = view.currency
    formats = {"total": ".0%", "mae": ",.0f", "rank": ".3f", "top": ".1%"}
    frame = values.frame.assign(segment=_segments(values.frame, segments))
    by_segment = frame.groupby("segment", sort=False).agg(
        customers=("value", "size"), alive=("alive", "mean"), orders=("orders", "mean"), value=("value", "mean"),
        total=("value", "sum"),
    ).sort_values("value", ascending=False)  # fmt: skip
    best = frame.sort_values("value", ascending=False).head(_BEST)
    spent = settled(view).customers["monetary"].reindex(best.index)
    listed = pd.DataFrame(
        {"customer": [names[number] for number in best.index], "segment": best["segment"].to_list(),
         "spent": spent.to_numpy(), "alive": best["alive"].to_numpy(), "orders": best["orders"].to_numpy(),
         "value": best["value"].to_numpy()}
    )  # fmt: skip
    ahead = {"alive": ".1%", "orders": ".2f", "value": ",.0f", "total": ",.0f", "spent": ",.0f"}
    return [
        lifetime_picture(check, currency),
        Table(
            "Estimates of lifetime value, tried",
            check.scores,
            f"total: predicted sum as a share of the true one; mae in {currency} per customer; rank: "
            "Spearman; top: share of "
            f"the spending from the tenth ranked highest. {RATE}: spending per day so far; {MEAN}: the mean of all.",
            formats,
        ),
        Table(
            f"Lifetime value by segment, {values.days} days ahead", by_segment,
            f"alive: probability that the customer has not left; orders and value ({currency}) expected.", ahead,
        ),
        Table("The most valuable customers to come", listed, f"Money in {currency}.", ahead),
    ]  # fmt: skip


def _lifetime_figures(check: Check, values: Lifetime) -> dict[str, Any]:
    return {
        "lifetime": {
            "days": values.days,
            "total": float(values.frame["value"].sum()),
            "frequency": values.frequency._asdict(),
            "money": values.money._asdict(),
            "check": {"since": check.since, "until": check.until, "customers": check.customers, "scores": check.scores,
                      "groups": check.groups, "best_top": check.best_top},
        }
    }  # fmt: skip


def _segments(frame: pd.DataFrame, segments: Segmented) -> list[str]:
    of = pd.Series(segments.members, segments.frame.index).reindex(frame.index)
    return ["none" if pd.isna(k) else segments.names[int(k)] for k in of]


def _top_share(values: pd.Series) -> float:
    count = max(1, round(TOP * len(values)))
    return float(values.nlargest(count).sum() / max(values.sum(), 1e-12))
