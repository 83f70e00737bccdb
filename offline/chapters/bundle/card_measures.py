"""What cards say of a model's measures: in a table and in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from offline.report.section import Table

#: Names of a bundle's models, for people.
MODEL_TITLES: Final = {
    "rule": "simple rule",
    "logistic": "logistic regression",
    "lightgbm": "LightGBM",
    "best_possible": "best possible (the simulator knows it)",
}
#: Names of the measures, for people, in the order of the table.
_MEASURES: Final = {"auc": "AUC", "pr_auc": "PR-AUC", "log_loss": "log-loss", "brier": "Brier", "ece": "ECE"}
# An expected calibration error beyond this is worth a warning.
_POOR_ECE: Final = 0.05
# Shares below this want a digit more.
_RARE: Final = 0.01


def metrics_table(metrics: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return every model's measures with their 95% intervals, and the prevalence that PR-AUC goes with."""
    rows = []
    for name, found in metrics.items():
        row: dict[str, Any] = {"model": MODEL_TITLES.get(name, name)}
        for key, title in _MEASURES.items():
            if found.get(key) is not None:
                interval = (found.get("ci") or {}).get(key)
                row[title] = f"{found[key]:.3f}" + (
                    f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
                )
        row["prevalence"] = found.get("prevalence")
        row["examples"] = found.get("examples")
        rows.append(row)
    rare = any((found.get("prevalence") or 1.0) < _RARE for found in metrics.values())
    return Table(
        "Measures on the test",
        pd.DataFrame(rows),
        "In brackets: 95% intervals. A worthless model has AUC 0.5 and a PR-AUC of the prevalence.",
        {"prevalence": ".2%" if rare else ".1%"},
    )


def quality(
    found: Mapping[str, Any], name: str, positive: str = "buyer", negative: str = "non-buyer"
) -> list[str]:
    """Return how well a model ranks, in sentences."""
    if found.get("auc") is None:
        return ["The quality was not measured."]
    sentences = [
        f"Of a {positive} and a {negative}, {name} ranks the {positive} higher in {found['auc']:.0%} of cases (AUC "
        f"{with_interval(found, 'auc')}). "
        f"PR-AUC is {with_interval(found, 'pr_auc')} where chance reaches {found['prevalence']:.3f}."
        if found.get("prevalence") is not None
        else f"AUC {with_interval(found, 'auc')}."
    ]
    if "unseen" in found and found["unseen"].get("auc") is not None:
        sentences.append(
            f"For customers that training had not seen: AUC {with_interval(found['unseen'], 'auc')}, PR-AUC "
            f"{with_interval(found['unseen'], 'pr_auc')} at a prevalence of {found['unseen']['prevalence']:.3f}."
        )
    return sentences


def calibration_error(found: Mapping[str, Any]) -> list[str]:
    """Return how far probabilities are off, in sentences; nothing where it was not measured."""
    error = found.get("ece")
    if error is None:
        return []
    verdict = (
        "more than it should: calibrate again on recent data before multiplying it with money"
        if error > _POOR_ECE
        else "small enough to reckon with"
    )
    return [
        f"On the test the probabilities are off by {error:.3f} on average (expected calibration error, 15 bins "
        f"of equal mass), {verdict}."
    ]


def with_interval(found: Mapping[str, Any], key: str) -> str:
    """Return a measure with its interval for people."""
    interval = (found.get("ci") or {}).get(key)
    value = found.get(key)
    if value is None:
        return "not known"
    return f"{value:.3f}" + (f", 95% interval {interval[0]:.3f} to {interval[1]:.3f}" if interval else "")
