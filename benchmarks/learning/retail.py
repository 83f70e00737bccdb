"""Online Retail replayed in event time: a network that keeps learning, against models refitted every week.

Every order from 2011-09-01 to 2011-11-09 is scored with "another order within 30 days", by models that know only what a
live system would have known: labels are 30 days late. ``python -m benchmarks.learning --only retail``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.table import Table

from benchmarks.learning import retail_contenders as contenders
from benchmarks.learning.retail_data import TEST, Orders, Period, load_log, orders
from benchmarks.learning.retail_figures import Floats, by_group, difference, figures
from features.state import DAY_MS

OnProgress = Callable[[int, int], None]
Step = Callable[[str], AbstractContextManager[OnProgress]]

#: AUC and PR-AUC that the blend should reach, and the calibration error that it should not exceed.
GOALS: Final = {"auc": 0.810, "pr_auc": 0.817, "ece": 0.03}
#: Names for people, in the order of the table.
NAMES: Final = {
    "blend": "blend (published)",
    "online": "online model",
    "network": "network, frozen",
    "forest": "adaptive forest, online",
    "lightgbm_weekly": "LightGBM, weekly",
    "lightgbm_default": "LightGBM, as in training",
    "logistic_weekly": "logistic, weekly",
    "bg_nbd": "BG/NBD, weekly",
    "rule": "rule",
}


@contextmanager
def _silent(description: str) -> Iterator[OnProgress]:
    yield lambda done, total: None


def run_retail(step: Step = _silent, *, path: Path | None = None, when: Period = TEST) -> dict[str, Any]:
    """Return the figures of every contender.

    Parameters
    ----------
    step
        Opens a step of the work by its description and yields where to report what is done and in all.
    path
        The data set; by default in ``INTENT_DATA_DIR``, else in ``../shared/data``.
    when
        When the bundle is trained, and the period that is judged.

    Returns
    -------
    dict
        By contender ``auc``, ``pr_auc``, ``brier``, ``ece``, ``log_loss`` and ``ci``; ``period``;
        ``blend_minus_lightgbm``; ``by_history`` and ``by_month``; ``goals``: what should be reached, and whether it is.
    """
    with step("Reading Online Retail"):
        log = load_log(path)
        known = orders(log)
    with step("Training the network"):
        bundle = contenders.trained_bundle(log, when.trained)
    predicted = predictions(known, bundle, when, step)
    judged = known.within(when.begin, when.end)
    with step("Drawing customers"):
        return judge(known, predicted, judged, when)


def predictions(known: Orders, bundle: Any, when: Period, step: Step = _silent) -> dict[str, Floats]:
    """Return each contender's probabilities of the orders in the period."""
    with step("Replaying the orders") as on_progress:
        found = contenders.replayed(known, bundle, when, on_progress=on_progress)
    with step("Replaying the orders to an adaptive forest") as on_progress:
        found["forest"] = contenders.adaptive_forest(known, bundle, when, on_progress)
    with step("Fitting LightGBM every week"):
        found["lightgbm_weekly"] = contenders.refitted_weekly(known, when, contenders.lightgbm)
        found["lightgbm_default"] = contenders.refitted_weekly(known, when, contenders.lightgbm_default)
    with step("Fitting logistic regression every week"):
        found["logistic_weekly"] = contenders.refitted_weekly(known, when, contenders.logistic)
    with step("Fitting BG/NBD every week"):
        found["bg_nbd"] = contenders.bg_nbd_weekly(known, when)
    found["rule"] = contenders.refitted_weekly(known, when, contenders.rule)
    return {name: found[name] for name in NAMES}


def judge(
    known: Orders, predicted: dict[str, Floats], judged: np.ndarray[Any, Any], when: Period
) -> dict[str, Any]:
    """Return the figures of what was predicted about the orders that are judged."""
    labels, customers = known.labels[judged], known.customers[judged]
    as_of, order_days = known.as_of[judged], known.order_days[judged]
    seen = np.unique(known.customers[known.known_at(when.trained)])
    new = ~np.isin(customers, seen)
    history = {
        "one order day": order_days == 1,
        "2 to 4": (order_days >= 2) & (order_days <= 4),
        "5 or more": order_days >= 5,
        "new since training": new,
        "seen in training": ~new,
    }
    months = as_of.astype("datetime64[ms]").astype("datetime64[M]")
    by_month = {str(month): months == month for month in np.unique(months)}
    found: dict[str, Any] = {
        name: figures(labels, probabilities, customers) for name, probabilities in predicted.items()
    }
    gain, default = (
        difference(labels, predicted["blend"], predicted[name], customers)
        for name in ("lightgbm_weekly", "lightgbm_default")
    )
    blend = found["blend"]
    return found | {
        "period": {
            "trained": _day(when.trained),
            "begin": _day(when.begin),
            "end": _day(int(as_of.max())),
            "orders": len(labels),
            "customers": len(np.unique(customers)),
            "prevalence": float(labels.mean()),
        },
        "blend_minus_lightgbm": gain,
        "blend_minus_lightgbm_default": default,
        "by_history": by_group(labels, predicted, customers, history),
        "by_month": by_group(labels, predicted, customers, by_month),
        "goals": {
            "auc": [GOALS["auc"], blend["auc"] >= GOALS["auc"]],
            "pr_auc": [GOALS["pr_auc"], blend["pr_auc"] >= GOALS["pr_auc"]],
            "ece": [GOALS["ece"], blend["ece"] <= GOALS["ece"]],
            "above_lightgbm": [0.0, gain["auc"]["difference"] > 0],
        },
    }


def retail_tables(found: dict[str, Any]) -> list[Table]:
    """Return the tables of what `run_retail` found."""
    period = found["period"]
    main = _table(
        f"Online Retail, another order within 30 days: {period['orders']:,} orders of "
        f"{period['customers']:,} customers, {period['begin']} to {period['end']}, prevalence "
        f"{period['prevalence']:.3f}",
        main_rows(found),
    )
    main.caption = "\n".join(retail_notes(found))
    groups = _table(
        "AUC by order days so far, and by whether the customer was in training",
        groups_rows(found["by_history"], "auc"),
    )
    return [main, groups, _table("ECE by month", groups_rows(found["by_month"], "ece"))]


def main_rows(found: dict[str, Any]) -> list[list[str]]:
    """Return the table of all contenders, its header first."""
    rows = [["", "AUC", "95%", "PR-AUC", "95%", "Brier", "ECE", "log-loss"]]
    for key, name in NAMES.items():
        row = found[key]
        rows.append([
            name, f"{row['auc']:.3f}", _interval(row["ci"]["auc"]), f"{row['pr_auc']:.3f}",
            _interval(row["ci"]["pr_auc"]), f"{row['brier']:.3f}", f"{row['ece']:.3f}", f"{row['log_loss']:.4f}",
        ])  # fmt: skip
    return rows


def groups_rows(by: dict[str, Any], figure: str) -> list[list[str]]:
    """Return the table of one figure by group, its header first."""
    rows = [
        ["", *by],
        ["orders", *(f"{row['examples']:,}" for row in by.values())],
        ["prevalence", *(f"{row['prevalence']:.3f}" for row in by.values())],
    ]
    for key, name in NAMES.items():
        found = (row[key][figure] for row in by.values())
        rows.append([name, *("-" if value is None else f"{value:.3f}" for value in found)])
    return rows


def retail_notes(found: dict[str, Any]) -> list[str]:
    """Return what the tables do not say, a sentence or two each."""
    notes = []
    for name, key in (
        ("LightGBM refitted every week", "blend_minus_lightgbm"),
        ("LightGBM as in training", "blend_minus_lightgbm_default"),
    ):
        gains = ", ".join(
            f"{figure} {row['difference']:+.4f} ({row['ci'][0]:+.4f} to {row['ci'][1]:+.4f})"
            for figure, row in zip(("AUC", "PR-AUC"), found[key].values(), strict=True)
        )
        notes.append(f"The blend minus {name}, 95% by a paired bootstrap over customers: {gains}.")
    missed = [name for name, (_, reached) in found["goals"].items() if not reached]
    if "ece" in missed:
        months = found["by_month"].items()
        gaps = (
            ", ".join(f"{month} {row['prevalence'] - row[name]['mean']:+.3f}" for month, row in months)
            for name in ("blend", "lightgbm_weekly")
        )
        notes.append(
            "Observed rate minus mean prediction, by month: blend {}; weekly LightGBM {}. Labels are a month late and "
            "cover no earlier autumn, so every model lags behind the season.".format(*gaps)
        )
    low, high = found["blend_minus_lightgbm"]["auc"]["ci"]
    if "above_lightgbm" in missed and low < 0 < high:
        notes.append(
            "The interval of the difference to weekly LightGBM contains 0: these data do not show which is better."
        )
    return notes


def _table(title: str, rows: list[list[str]]) -> Table:
    table = Table(title=title)
    for number, name in enumerate(rows[0]):
        table.add_column(name, justify="right" if number else "left")
    for row in rows[1:]:
        table.add_row(*row)
    return table


def _interval(interval: list[float]) -> str:
    return f"{interval[0]:.3f}-{interval[1]:.3f}"


def _day(ms: int) -> str:
    return str(np.datetime64(ms + DAY_MS // 24, "ms").astype("datetime64[D]"))
