"""What insight says of contacts: whom they would have paid for, by what the reader says of margin, cost and effect.

Nothing is assumed that the reader did not say. Where something is missing, there is no advice: a table shows several
values of it, and sliders on the page take the reader's own.
"""

from __future__ import annotations

from itertools import product
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from offline.chapters.insight.customer_looks import Look
from offline.chapters.insight.driver_looks import REASONS_FILE
from offline.chapters.insight.model import InsightModel
from offline.chapters.insight.money_pictures import assumptions, profit_picture
from offline.chapters.insight.profit import (
    Best,
    Contacts,
    Economics,
    Estimate,
    ProfitCurve,
    count_contacts,
    profit_curve,
)
from offline.chapters.workspace import ContactAssumptions
from offline.report.section import Calculator, Finding, Picture, Slider, Table
from offline.views.huge_orders import counted_words, tamed
from offline.views.log_view import LogView

_SHARES: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
# What a table shows of what nobody said: cost of a contact in profits of a purchase, and purchases added.
_COST_SHARES: Final = (0.001, 0.005, 0.01, 0.02, 0.05)
_EFFECTS: Final = (0.02, 0.05, 0.1, 0.2)
# Ends of sliders; the fields beside them take any number.
_VALUES, _COST_SHARE, _MOST_EFFECT = 4.0, 0.25, 0.5
_TYPICAL_VALUE: Final = 100.0


class Known(NamedTuple):
    """What is known of the economics; None where nobody said it and the log does not tell.

    Attributes
    ----------
    value
        Of one purchase: as said, or the mean order of the log.
    mean_order
        Whether ``value`` is the mean order.
    remark
        How huge orders count in it; empty where there are none.
    margin, cost, effect
        As said.
    """

    value: float | None
    margin: float | None
    cost: float | None
    effect: float | None
    currency: str
    mean_order: bool = False
    remark: str = ""

    @property
    def missing(self) -> list[str]:
        """Names of what is not known; they are the options of the command, too."""
        return [name for name in ("value", "margin", "cost", "effect") if getattr(self, name) is None]

    @property
    def economics(self) -> Economics | None:
        """All of it; None where something is missing."""
        value, margin, cost, effect = self[:4]
        if value is None or margin is None or cost is None or effect is None:
            return None
        return Economics(value, margin, cost, effect, self.currency)


def known_of(assumed: ContactAssumptions, view: LogView | None, currency: str | None) -> Known:
    """Return what is known of a purchase and a contact."""
    value = assumed.value
    if view is not None:
        currency = view.currency
        value = value if value is not None else _mean_order(view)
    inferred = assumed.value is None and value is not None
    remark = counted_words(view) if view is not None and inferred else ""
    return Known(
        value, assumed.margin, assumed.cost, _effect(assumed), currency or "units of money", inferred, remark
    )


def profit_look(model: InsightModel, known: Known, unit: str, *, seed: int) -> Look:
    """Return what contacts would have brought on the test rows."""
    test, economics = model.test, known.economics
    times = None if test.times is None else test.times.astype("int64").to_numpy()
    exact = [some.threshold for some in ([economics] if economics else _tried(known))]
    counted = count_contacts(model.probabilities, test.target, test.groups, times, exact, seed=seed)
    figures: dict[str, Any] = {**known._asdict(), "missing": known.missing, "contacts": counted.frame}
    parts: list[Table | Picture | Calculator] = [_calculator(counted, known, unit)]
    if economics is None:
        several = _several(counted, known)
        parts.append(_several_table(several, known, unit))
        return Look([_question(known, unit)], parts, {"profit": figures | {"several": several}})
    curve = profit_curve(counted, economics)
    parts += [profit_picture(curve, economics, unit), _thresholds_table(curve, economics)]
    figures |= {
        "threshold": economics.threshold,
        "rule": curve.rule,
        "best": curve.best._asdict() | {"profit": curve.best.profit._asdict()},
        "everybody": curve.everybody._asdict(),
        "over_everybody": curve.over_everybody._asdict(),
        "curve": curve.frame,
    }
    findings = _findings(economics, curve, unit)
    return Look(_sentences(economics, curve, unit), parts, {"profit": figures}, findings=findings)


def _effect(assumed: ContactAssumptions) -> float | None:
    """Return the effect of a contact: what is assumed, until a holdout has measured it.

    A measured effect belongs here, before the assumed one; the sentences then must not call it assumed.
    """
    return assumed.effect


def _mean_order(view: LogView) -> float | None:
    orders = tamed(view.orders)[0]
    paid = orders["value"][orders["value"] > 0]
    return float(paid.mean()) if len(paid) else None


def _question(known: Known, unit: str) -> str:
    options = " ".join(f"--{name}" for name in known.missing)
    return (
        f"Which {unit}s are worth a contact depends on what a purchase brings, what a contact costs, and how many "
        f"purchases it adds. The data do not tell all of that ({', '.join(known.missing)} missing), so there is no "
        f"advice here: move the sliders, or give {options}."
    )


def _sentences(economics: Economics, curve: ProfitCurve, unit: str) -> list[str]:
    currency = economics.currency
    if economics.threshold > 1:
        return [
            f"{assumptions(economics)} So no contact pays: it costs more than the {economics.gain:,.2f} {currency} "
            "that it adds where a purchase is certain."
        ]
    rule = curve.by_rule
    text = (
        f"{assumptions(economics)} So a contact pays from a probability of {economics.threshold:.1%} on. Where "
        f"it was tried, that is {curve.rule['contacted']:.0%} of the {unit}s; contacting them "
        f"{_would_have(rule, currency)}"
    )
    if not rule.sure:
        unknown = "The interval holds 0, so the data do not tell whether contacts pay."
        return [f"{text}. {unknown}", _hindsight(curve, currency)]
    more = curve.over_everybody
    if more.sure:
        word = "more" if more.value > 0 else "less"
        low, high = sorted((abs(more.low), abs(more.high)))
        beside = f", {abs(more.value):,.0f} {word} than contacting everybody ({low:,.0f} to {high:,.0f})."
    else:
        beside = "; whether that is more than by contacting everybody, the data do not tell."
    return [text + beside, _hindsight(curve, currency)]


def _findings(economics: Economics, curve: ProfitCurve, unit: str) -> list[Finding]:
    """Return whom to contact, where it would surely have paid."""
    rule = curve.by_rule
    if economics.threshold > 1 or not rule.sure or rule.value <= 0:
        return []
    return [
        Finding(
            f"Contacting the {curve.rule['contacted']:.0%} of the {unit}s whose probability is "
            f"{economics.threshold:.1%} or more would have brought {rule.value:,.0f} {economics.currency}.",
            f"95% interval {rule.low:,.0f} to {rule.high:,.0f}, if a contact adds {economics.effect:.0%} purchases, "
            "as you said.",
            "Contact them, and leave a tenth of them alone at random: only that tells what contacts add.",
            file=REASONS_FILE,
        )
    ]


def _hindsight(curve: ProfitCurve, currency: str) -> str:
    best: Best = curve.best
    if best.contacted == 0 or not best.profit.sure or best.profit.value <= 0:
        return "Looking back, no share of them is sure to have brought a profit."
    return (
        f"Looking back, contacting the likeliest {best.contacted:.0%} ({best.low:.0%} to {best.high:.0%}) would have "
        f"been best: {_money(best.profit)} {currency}, less what looking back flatters."
    )


def _would_have(money: Estimate, currency: str) -> str:
    if money.sure and money.value < 0:
        low, high = -money.high, -money.low
        return f"would have cost {-money.value:,.0f} {currency} ({low:,.0f} to {high:,.0f})"
    return f"would have brought {_money(money)[:-1].replace(' (', f' {currency} (')})"


def _money(money: Estimate) -> str:
    return f"{money.value:,.0f} ({money.low:,.0f} to {money.high:,.0f})"


def _tried(known: Known) -> list[Economics]:
    """Return several values of what is missing, in profits of one purchase."""
    shares: tuple[float, ...] = _COST_SHARES
    if known.value is not None and known.margin is not None and known.cost is not None:
        profit = known.value * known.margin
        shares = (known.cost / profit,) if profit > 0 else ()
    effects = _EFFECTS if known.effect is None else (known.effect,)
    return [Economics(1.0, 1.0, share, effect, known.currency) for share, effect in product(shares, effects)]


def _several(counted: Contacts, known: Known) -> pd.DataFrame:
    """Return whom the rule contacts for several values of what is missing; money in profits of one purchase."""
    rows = []
    for economics in _tried(known):
        rule = profit_curve(counted, economics).rule
        rows.append(
            {
                "cost": economics.cost,
                "effect": economics.effect,
                "threshold": economics.threshold,
                "contacted": float(rule["contacted"]),
                "brought": float(rule["brought"]),
                "low": float(rule["low"]),
                "high": float(rule["high"]),
            }
        )
    return pd.DataFrame(rows)


def _several_table(several: pd.DataFrame, known: Known, unit: str) -> Table:
    frame = several.copy()
    if len(frame):
        frame["threshold"] = [f"{at:.1%}" if at <= 1 else "never" for at in frame["threshold"]]
        frame["brought"] = [
            f"{row.brought:,.1f} ({row.low:,.1f} to {row.high:,.1f})" for row in several.itertuples()
        ]
        frame = frame.drop(columns=["low", "high"])
    names = {
        "cost": "a contact costs",
        "effect": "it adds purchases",
        "threshold": "it pays from a probability of",
        "contacted": f"share of the {unit}s",
        "brought": "would have brought",
    }
    caption = (
        "Cost, and what contacts would have brought, as multiples of the profit of one purchase (value × margin); 95% "
        "intervals. Where one holds 0, the test rows do not tell whether contacts pay."
    )
    if known.mean_order and known.value is not None:
        caption += (
            f" The mean order of the log is {known.value:,.2f} {known.currency}. {known.remark}".rstrip()
        )
    formats = {names["cost"]: ".2%", names["effect"]: ".0%", names["contacted"]: ".0%"}
    return Table("Whom to contact, for several values", frame.rename(columns=names), caption, formats)


def _thresholds_table(curve: ProfitCurve, economics: Economics) -> Table:
    frame = curve.frame[np.isfinite(curve.frame["threshold"])]
    at = {int((frame["contacted"] - share).abs().argmin()) for share in _SHARES}
    rule = int(frame.index.get_indexer([curve.rule.name])[0])
    chosen = sorted(at | ({rule} if rule >= 0 else set()), reverse=True)
    shown = frame.iloc[chosen][["threshold", "contacted", "contacts", "expected", "brought", "low", "high"]]
    shown = shown.rename(columns={"brought": "would have brought"})
    shown[""] = ["← the rule" if row == rule else "" for row in chosen]
    money = dict.fromkeys(("expected", "would have brought", "low", "high"), ",.0f")
    return Table(
        "Profit by threshold", shown,
        f"Contacted from this probability on, in {economics.currency}, on the test rows. Expected: by the model's "
        "probabilities; would have brought: by what the contacted did, if contacts have the effect that was assumed, "
        "with its 95% interval. The rule follows from value, margin, cost and effect alone, not from this table.",
        {"threshold": ".1%", "contacted": ".1%", **money},
    )  # fmt: skip


def _calculator(counted: Contacts, known: Known, unit: str) -> Calculator:
    value = known.value or _TYPICAL_VALUE
    cost = _COST_SHARE * value
    sliders = (
        Slider("value", f"value of a purchase ({known.currency})", known.value, _VALUES * value),
        Slider("margin", "margin: share of it that remains", known.margin, 1.0, percent=True),
        Slider("cost", f"cost of a contact ({known.currency})", known.cost, max(cost, 2 * (known.cost or 0))),
        Slider(
            "effect", "purchases that contacts add", known.effect, max(_MOST_EFFECT, known.effect or 0), percent=True
        ),
    )  # fmt: skip
    frame = counted.frame
    data = {
        "unit": unit,
        "currency": known.currency,
        # JSON has no infinity: the last threshold is reached by nobody.
        "threshold": [round(float(at), 6) if np.isfinite(at) else 2 for at in frame["threshold"]],
        "contacts": frame["contacts"].tolist(),
        "contacted": [round(float(share), 6) for share in frame["contacted"]],
        "purchases": frame["purchases"].tolist(),
        "drawn_contacts": counted.drawn_contacts.tolist(),
        "drawn_purchases": counted.drawn_purchases.tolist(),
    }
    mean = f" The value is the mean order of the log. {known.remark}".rstrip() if known.mean_order else ""
    return Calculator(
        "What would contacts bring you?",
        sliders,
        data,
        f"Where the model was tried: {unit}s are contacted once, from the probability on at which a contact "
        f"pays.{mean} How many purchases contacts add, only a comparison with customers who are left alone can tell.",
    )
