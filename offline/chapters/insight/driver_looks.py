"""What insight says of the drivers of conversion: over all, in each segment, and for single customers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from offline.chapters.insight.customer_looks import Look
from offline.chapters.insight.drivers import (
    Drivers,
    by_group,
    dependence,
    dependence_by_group,
    shares_by_group,
)
from offline.chapters.insight.model import InsightModel
from offline.chapters.insight.pictures import dependences, dependences_by_group, group_effects, swarm
from offline.chapters.insight.reasons import Explained, some_customers, write_reasons
from offline.report.section import Calculator, Picture, Table
from offline.report.words import column_words, meaning

#: Where the reasons go in the report's folder.
REASONS_FILE: Final = "reasons.csv"

_DEPENDENCES: Final = 6
_GROUP_DEPENDENCES: Final = 3
_NAMED: Final = 4
_CLEAR: Final = 0.2


class Members(NamedTuple):
    """Segments and who belongs to them.

    Attributes
    ----------
    names
        Of the segments.
    groups
        Segment of each explained row, -1 where it belongs to no segment.
    when
        A sentence that says from when the segments are; empty for a table, which has no times.
    """

    names: list[str]
    groups: NDArray[np.int64]
    when: str = ""


def drivers_look(model: InsightModel, drivers: Drivers, *, log: bool, seed: int) -> Look:
    """Return what drives conversion over all."""
    found = [dependence(model, name, seed=seed) for name in drivers.ranking["column"][:_DEPENDENCES]]
    ranking = drivers.ranking.assign(
        column=[column_words(name, log=log) for name in drivers.ranking["column"]]
    )
    if log:
        ranking["meaning"] = drivers.ranking["column"].map(meaning)
    parts: list[Table | Picture | Calculator] = [
        swarm(drivers, log=log, seed=seed),
        Table(
            "Columns by their effect", ranking,
            "Effect: mean size of the SHAP values, in log-odds (0.7 doubles or halves the odds). Share: of all "
            "effects. Direction: how the effect goes with the value (rank correlation); +1: the more, the likelier; "
            "-1: the less, the likelier; near 0: neither, or up and down.",
            {"effect": ".2f", "share": ".1%", "direction": "+.2f"},
        ),
        dependences(found, log=log, target=model.test.target_name),
    ]  # fmt: skip
    figures = {
        "drivers": drivers.ranking,
        "dependence": [
            {"column": d.name, "grid": d.grid, "mean": d.mean, "low": d.low, "high": d.high} for d in found
        ],
    }
    return Look([_ranked(drivers, log)], parts, figures)


def _ranked(drivers: Drivers, log: bool) -> str:
    words = []
    for row in drivers.ranking.head(_NAMED).itertuples():
        sign = ""
        if abs(row.direction) > _CLEAR:
            sign = f", {'the more, the likelier' if row.direction > 0 else 'the less, the likelier'}"
        words.append(f"{column_words(row.column, log=log)} ({row.share:.0%}{sign})")
    return f"What drives conversion most, by share of all effects: {'; '.join(words)}."


def segments_look(model: InsightModel, drivers: Drivers, members: Members, *, log: bool, seed: int) -> Look:
    """Return what drives conversion in each segment."""
    if not (members.groups >= 0).any():
        return Look([], [], {})
    effects = by_group(drivers, members.groups, members.names)
    shares = shares_by_group(drivers, members.groups, members.names)
    table = _segment_table(model, drivers, members, shares, log)
    top = drivers.ranking["column"][:_GROUP_DEPENDENCES]
    count = len(members.names)
    lines = [
        (dependence(model, name, seed=seed),
         dependence_by_group(model, drivers, name, members.groups, count, seed=seed))
        for name in top
    ]  # fmt: skip
    parts: list[Table | Picture | Calculator] = [
        group_effects(effects, log=log),
        Table(
            "What decides in each segment", table,
            "Test rows of each segment: mean probability by the model, what happened, and the columns with the "
            f"largest share of all effects there. {members.when}".strip(),
            {"probability": ".1%", "happened": ".1%"},
        ),
    ]  # fmt: skip
    if any(groups for _, groups in lines):
        parts.append(dependences_by_group(lines, members.names, log=log, target=model.test.target_name))
    figures = {
        "by_segment": effects.reset_index(),
        "share_by_segment": shares.reset_index(),
        "segments": table,
        "dependence_by_segment": [
            {"column": one.name, "segment": members.names[group], "grid": own.grid, "mean": own.mean}
            for one, groups in lines
            for group, own in groups.items()
        ],
    }
    return Look(_contrast(table, effects, log), parts, figures)


def _segment_table(
    model: InsightModel, drivers: Drivers, members: Members, shares: pd.DataFrame, log: bool
) -> pd.DataFrame:
    probabilities, happened = model.probabilities[drivers.rows], model.test.target[drivers.rows]
    rows = []
    for group, name in enumerate(members.names):
        own = members.groups == group
        if not own.any():
            continue
        row: dict[str, Any] = {
            "segment": name, "rows": int(own.sum()), "probability": float(probabilities[own].mean()),
            "happened": float(happened[own].mean()),
        }  # fmt: skip
        largest = shares[name].nlargest(3)
        for nth, (column, share) in enumerate(largest.items(), start=1):
            row[f"column {nth}"] = f"{column_words(str(column), log=log)} ({share:.0%})"
        rows.append(row)
    return pd.DataFrame(rows)


def _contrast(table: pd.DataFrame, effects: pd.DataFrame, log: bool) -> list[str]:
    """Return how the likeliest and the least likely segment come about."""
    if len(table) < 2:  # noqa: PLR2004  (one segment has nothing to be compared with)
        return []
    ordered = table.sort_values("probability")
    low, high = ordered.iloc[0], ordered.iloc[-1]
    lifts, lowers = effects[high["segment"]].idxmax(), effects[low["segment"]].idxmin()
    return [
        f"The likeliest segment is “{high['segment']}” ({high['happened']:.0%} of the cases it was tried on; lifted "
        f"most by {column_words(str(lifts), log=log)}), the least likely “{low['segment']}” ({low['happened']:.0%}; "
        f"lowered most by {column_words(str(lowers), log=log)})."
    ]


def reasons_look(found: Explained, directory: Path) -> Look:
    """Return the reasons of single customers, and write those of all beside the report."""
    write_reasons(found, directory / REASONS_FILE)
    shown = some_customers(found)
    log = found.what == "customer"
    if not log and "segment" in shown:  # whose names are long
        shown = shown.drop(columns="segment")
    count = f"{len(found.frame):,}"
    who = (
        "customers, each at the last event whose outcome is known"
        if found.what == "customer"
        else "rows that the model has not seen"
    )
    caption = (
        f"The likeliest, and a few others down to the unlikely. Reasons: the three columns that moved the probability "
        f"most, with their value and their effect on the log-odds (+ raises, - lowers; 0.7 doubles or halves the "
        f"odds). All {count} {who}: {REASONS_FILE}."
    )
    table = Table("Reasons for single customers" if log else "Reasons for single rows", shown,
                  caption, {"probability": ".1%"})  # fmt: skip
    return Look([], [table], {"reasons": shown, "explained": len(found.frame), "reasons_file": REASONS_FILE})
