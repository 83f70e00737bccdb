"""What insight says of contacts: from which probability on they pay, and what they would have brought."""

from __future__ import annotations

from typing import Final

import pandas as pd

from offline.chapters.insight.customer_looks import Look
from offline.chapters.insight.model import InsightModel
from offline.chapters.insight.money_pictures import profit_picture
from offline.chapters.insight.profit import Economics, ProfitCurve, profit_curve
from offline.chapters.workspace import ContactAssumptions
from offline.report.section import Picture, Table
from offline.views.log_view import LogView

# Where nothing is said: a contact costs a hundredth of a purchase's value, and adds a tenth to the purchases.
_COST_SHARE, _EFFECT = 0.01, 0.1
_TABLE_VALUE: Final = 100.0
_SHARES: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)


def economics_of(assumed: ContactAssumptions, view: LogView | None, currency: str | None) -> Economics:
    """Return what a purchase and a contact are worth: as said, or the mean order of the log."""
    if view is not None:
        inferred, currency = _mean_order(view), view.currency
    else:
        inferred, currency = _TABLE_VALUE, currency or "units of money"
    value = assumed.value if assumed.value is not None else inferred
    cost = assumed.cost if assumed.cost is not None else _COST_SHARE * value
    return Economics(value, cost, assumed.effect if assumed.effect is not None else _EFFECT, currency)


def profit_look(model: InsightModel, economics: Economics, unit: str, *, seed: int) -> Look:
    """Return the expected profit by threshold on the test rows."""
    test = model.test
    times = None if test.times is None else test.times.astype("int64").to_numpy()
    curve = profit_curve(model.probabilities, test.target, test.groups, times, economics, seed=seed)
    money = dict.fromkeys(("expected", "happened", "low", "high"), ",.0f")
    parts: list[Table | Picture] = [
        profit_picture(curve, economics, unit),
        Table(
            "Profit by threshold", _some_thresholds(curve),
            f"Contacted from this probability on, in {economics.currency}, on the test rows. Expected: by the model's "
            "probabilities; happened: by what the contacted did, with its 95 % interval. The rule follows from value, "
            "cost and effect alone, not from this table.",
            {"threshold": ".1%", "contacted": ".1%", **money},
        ),
    ]  # fmt: skip
    figures = {
        **economics._asdict(),
        "threshold": economics.threshold,
        "best": curve.best,
        "everybody": curve.everybody,
        "curve": curve.frame,
    }
    return Look([_sentence(economics, curve, unit)], parts, {"profit": figures})


def _mean_order(view: LogView) -> float:
    paid = view.orders["value"][view.orders["value"] > 0]
    return float(paid.mean()) if len(paid) else 1.0


def _sentence(economics: Economics, curve: ProfitCurve, unit: str) -> str:
    currency = economics.currency
    assumed = (
        f"With {economics.value:,.2f} {currency} per purchase, {economics.cost:,.2f} per contact and "
        f"{economics.effect:.0%} more purchases by contacts (assumed: only a comparison with {unit}s left alone can "
        "tell)"
    )
    if economics.threshold > 1:
        return f"{assumed}, no contact pays."
    best = curve.best
    return (
        f"{assumed}, a contact pays from a probability of {economics.threshold:.1%} on: in the test "
        f"{best['contacted']:.0%} of the {unit}s, for a profit of {best['happened']:,.0f} {currency} "
        f"({best['low']:,.0f} to {best['high']:,.0f}); contacting everybody would have brought {curve.everybody:,.0f}."
    )


def _some_thresholds(curve: ProfitCurve) -> pd.DataFrame:
    at = {int((curve.frame["contacted"] - share).abs().argmin()) for share in _SHARES}
    rule = int((curve.frame["threshold"] - curve.best["threshold"]).abs().argmin())
    frame = curve.frame.iloc[sorted(at | {rule}, reverse=True)].copy()
    frame[""] = ["← the rule" if row == rule else "" for row in sorted(at | {rule}, reverse=True)]
    return frame
