"""The stage "insight": what drives conversion, reasons, what a contact is worth, and the value of customers."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.exceptions import IntentError
from features.log import ERASED
from offline.exploration.view import LogView
from offline.insight.customer_looks import lifetime, valuable_customers
from offline.insight.drivers import Drivers, by_group, dependence, explain, reasons
from offline.insight.model import InsightModel, fit_insight_model
from offline.insight.pictures import dependences, group_effects, profit_picture, swarm
from offline.insight.profit import Economics, ProfitCurve, profit_curve
from offline.insight.words import column_words, meaning, value_words
from offline.problem import Problem
from offline.report.section import Picture, Section, Table
from offline.report.workspace import QUICK_EVENTS, Workspace
from offline.segments.section import log_view, segments_of
from offline.segments.segmented import Segmented
from offline.tables.logs import MOST_EVENTS, sample_customers

#: Where a command may leave what is assumed of value, cost and effect.
ASSUMED: Final = "economics"
_DEPENDENCES: Final = 6
_REASONED: Final = 10
_QUICK_ROWS: Final = 800
#: Where nothing is said: a contact costs a hundredth of a purchase's value, and adds a tenth to the purchases.
_COST_SHARE, _EFFECT = 0.01, 0.1
_TABLE_VALUE: Final = 100.0
_CLEAR: Final = 0.2


class Assumed(NamedTuple):
    """What a user says of value, cost and effect; None: as inferred."""

    value: float | None = None
    cost: float | None = None
    effect: float | None = None


def gain_insight(workspace: Workspace) -> Section:
    """Run the stage on the input of a report."""
    seed, log = workspace.options.seed, workspace.input == "log"
    problem = workspace.problem
    with workspace.progress("Learning what drives conversion"):
        model = fit_insight_model(problem, workspace.holdout, seed=seed)
    with workspace.progress("Explaining"):
        drivers = explain(model, most_rows=_QUICK_ROWS) if workspace.options.quick else explain(model)
        found = [dependence(model, name, seed=seed) for name in drivers.ranking["column"][:_DEPENDENCES]]
    summary = [_quality(model), _ranked(drivers, log)]
    parts: list[Table | Picture] = [
        swarm(drivers, log=log, seed=seed),
        Table("Columns by their effect", _ranking(drivers, log),
              "Effect: mean absolute SHAP value, in log-odds. Direction: "
              "rank correlation of value and effect; +1 = more of it, likelier.",
              {"effect": ".3f", "share": ".1%", "direction": "+.2f"}),
        dependences(found, log=log, target=problem.target_name),
    ]  # fmt: skip
    figures: dict[str, Any] = {
        "metrics": model.metrics,
        "with_leaks": model.with_leaks,
        "drivers": drivers.ranking,
        "dependence": [{"column": d.name, "grid": d.grid, "mean": d.mean} for d in found],
    }
    segments = _segments(workspace)
    names: list[str] = []
    if segments is not None:
        names, groups = _groups(workspace, segments, drivers)
        effects = by_group(drivers, groups, segments.names)
        parts.append(group_effects(effects, log=log))
        figures["by_segment"] = effects.reset_index()
    reasoned = _reasons(model, drivers, names, log)
    parts.append(
        Table(
            "Reasons, for the likeliest",
            reasoned,
            f"The three columns that moved the {'customer' if log else problem.unit}'s log-odds most; + "
            "raises, - lowers.",
            {"probability": ".1%"},
        )
    )
    figures["reasons"] = reasoned
    economics, curve = _profit(workspace, model)
    summary.append(_profit_sentence(economics, curve, "customer" if log else problem.unit))
    parts += [
        profit_picture(curve, economics),
        Table("Profit by threshold", _some_thresholds(curve), f"Money in {economics.currency}, on the test rows.",
              {"threshold": ".1%", "contacted": ".1%", "expected": ",.0f", "happened": ",.0f", "low": ",.0f",
               "high": ",.0f"}),
    ]  # fmt: skip
    figures["profit"] = {
        **economics._asdict(),
        "threshold": economics.threshold,
        "best": curve.best,
        "everybody": curve.everybody,
        "curve": curve.frame,
    }
    if log and segments is not None:
        view = log_view(workspace)
        with workspace.progress("Lifetime values"):
            looks = [valuable_customers(view), lifetime(view, segments, _names(workspace))]
        for look in looks:
            summary += look.summary
            parts += look.parts
            figures |= look.figures
    return Section("insight", "Insight", summary, parts, figures)


def _quality(model: InsightModel) -> str:
    found = model.metrics
    text = (
        f"The model that explains: AUC {found['auc']:.3f}, PR-AUC {found['pr_auc']:.3f} at a prevalence of "
        f"{found['prevalence']:.1%}, calibration error {found['ece']:.3f}, on rows it has not seen."
    )
    if model.with_leaks is not None:
        auc = model.with_leaks["auc"]
        text += f" Columns that seem to know the target are left out; with them the AUC would be {auc:.3f}."
    return text


def _ranked(drivers: Drivers, log: bool) -> str:
    words = []
    for row in drivers.ranking.head(4).itertuples():
        sign = (
            ""
            if not abs(row.direction) > _CLEAR
            else ", more is likelier"
            if row.direction > 0
            else ", less is likelier"
        )
        words.append(f"{column_words(row.column, log=log)} ({row.share:.0%} of all effects{sign})")
    return f"What drives conversion most: {'; '.join(words)}."


def _ranking(drivers: Drivers, log: bool) -> pd.DataFrame:
    frame = drivers.ranking.copy()
    if log:
        frame["meaning"] = frame["column"].map(meaning)
    return frame


def _segments(workspace: Workspace) -> Segmented | None:
    """Return the segments, None where the data allow none: insight can do without."""
    try:
        return segments_of(workspace)
    except IntentError:
        return None


def _groups(
    workspace: Workspace, segments: Segmented, drivers: Drivers
) -> tuple[list[str], NDArray[np.int64]]:
    """Return customer ids by the problem's numbers (none for a table), and the segment of every explained row."""
    rows = workspace.holdout.test[drivers.rows]
    if workspace.input == "table":
        return [], segments.members[rows]
    names = _problem_names(workspace)
    of = {name: at for at, name in enumerate(_names(workspace))}
    segment = pd.Series(segments.members, segments.frame.index)
    numbers = workspace.problem.groups
    assert numbers is not None  # a log's rows have customers
    known = pd.Series([of.get(names[number], -1) for number in numbers[rows]]).map(segment)
    return names, known.fillna(-1).to_numpy(np.int64)


def _names(workspace: Workspace) -> list[str]:
    """Return customer ids by the numbers of `LogView`."""
    kept = workspace.log.filter(pc.not_equal(workspace.log["type"], ERASED))
    names: list[str] = kept["customer_id"].combine_chunks().dictionary_encode().dictionary.to_pylist()
    return names


def _problem_names(workspace: Workspace) -> list[str]:
    """Return customer ids by the numbers of the problem, whose log may be a sample."""
    log, most = workspace.log, QUICK_EVENTS if workspace.options.quick else MOST_EVENTS
    if len(log) > most:
        log = sample_customers(log, most / len(log))
    ids = pc.fill_null(log["customer_id"].combine_chunks(), "")
    names: list[str] = ids.dictionary_encode().dictionary.to_pylist()
    return names


def _reasons(model: InsightModel, drivers: Drivers, names: list[str], log: bool) -> pd.DataFrame:
    """Return the likeliest rows, one for each customer, with their reasons."""
    probabilities = model.probabilities[drivers.rows]
    groups = None if model.test.groups is None else model.test.groups[drivers.rows]
    rows, seen = [], set()
    for at in np.argsort(-probabilities, kind="stable"):
        who = int(drivers.rows[at]) if groups is None else int(groups[at])
        if who in seen:
            continue
        seen.add(who)
        row: dict[str, Any] = {"customer" if groups is not None else f"test {model.test.unit}":
                               names[who] if names else who, "probability": float(probabilities[at])}  # fmt: skip
        for nth, reason in enumerate(reasons(drivers, int(at)), start=1):
            value = value_words(reason["column"], reason["value"], log=log)
            row[f"reason {nth}"] = (
                f"{column_words(reason['column'], log=log)}: {value} ({reason['effect']:+.2f})"
            )
        rows.append(row)
        if len(rows) == _REASONED:
            break
    return pd.DataFrame(rows)


def _profit(workspace: Workspace, model: InsightModel) -> tuple[Economics, ProfitCurve]:
    assumed: Assumed = workspace.shared.get(ASSUMED, Assumed())
    if workspace.input == "log":
        view = log_view(workspace)
        value, currency = _mean_order(view), view.currency
    else:
        value, currency = _TABLE_VALUE, workspace.options.currency or "units of money"
    value = assumed.value if assumed.value is not None else value
    cost = assumed.cost if assumed.cost is not None else _COST_SHARE * value
    effect = assumed.effect if assumed.effect is not None else _EFFECT
    economics = Economics(value, cost, effect, currency)
    test: Problem = model.test
    times = None if test.times is None else test.times.astype("int64").to_numpy()
    curve = profit_curve(
        model.probabilities, test.target, test.groups, times, economics, seed=workspace.options.seed
    )
    return economics, curve


def _mean_order(view: LogView) -> float:
    paid = view.orders["value"][view.orders["value"] > 0]
    return float(paid.mean()) if len(paid) else 1.0


def _profit_sentence(economics: Economics, curve: ProfitCurve, unit: str) -> str:
    if economics.threshold > 1:
        return (
            f"With {economics.value:,.2f} {economics.currency} per purchase, {economics.cost:,.2f} per "
            "contact and an effect "
            f"of {economics.effect:.0%}, no contact pays."
        )
    best = curve.best
    return (
        f"A contact pays from a probability of {economics.threshold:.1%} on ({economics.value:,.2f} "
        f"{economics.currency} "
        f"per purchase, {economics.cost:,.2f} per contact, {economics.effect:.0%} more purchases by it, the latter an "
        f"assumption). Contacting those {best['contacted']:.0%} of the {unit}s would have brought "
        f"{best['happened']:,.0f} ({best['low']:,.0f} to {best['high']:,.0f}) in the test, contacting everybody "
        f"{curve.everybody:,.0f}."
    )


def _some_thresholds(curve: ProfitCurve) -> pd.DataFrame:
    wanted = [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0]
    at = {int((curve.frame["contacted"] - share).abs().argmin()) for share in wanted}
    at.add(int((curve.frame["threshold"] - curve.best["threshold"]).abs().argmin()))
    frame = curve.frame.iloc[sorted(at, reverse=True)].copy()
    frame["where it pays"] = frame["threshold"] == curve.best["threshold"]
    return frame
