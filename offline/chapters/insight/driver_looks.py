"""What insight says of the drivers of conversion: over all, in each segment, and for single customers."""

from __future__ import annotations

from dataclasses import replace
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
    things,
    things_of,
)
from offline.chapters.insight.model import InsightModel
from offline.chapters.insight.pictures import dependences, dependences_by_group, group_effects, swarm
from offline.chapters.insight.reasons import Explained, some_customers, write_reasons
from offline.lab.differences import Claim, stands_alone, supported, widest_gap
from offline.lab.independent import last_of_each
from offline.report.section import Calculator, Picture, Table
from offline.report.words import column_words, meaning

#: Where the reasons go in the report's folder.
REASONS_FILE: Final = "reasons.csv"

_DEPENDENCES: Final = 6
_GROUP_DEPENDENCES: Final = 3
_NAMED: Final = 4
_CLEAR: Final = 0.2
_NOISE: Final = "The model ranks no better than chance: what is shown here may be noise."


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
    parts = _as_noise(parts, model)
    figures = {
        "drivers": drivers.ranking,
        "dependence": [
            {"column": d.name, "grid": d.grid, "mean": d.mean, "low": d.low, "high": d.high} for d in found
        ],
    }
    return Look([_ranked(model, drivers, log)], parts, figures)


def _as_noise(
    parts: list[Table | Picture | Calculator], model: InsightModel
) -> list[Table | Picture | Calculator]:
    """Return parts that say what they are where the model tells nothing."""
    if model.tells:
        return parts
    return [replace(part, caption=f"{_NOISE} {part.caption}".rstrip()) for part in parts]


def _ranked(model: InsightModel, drivers: Drivers, log: bool) -> str:
    if not model.tells:
        who = "buyers" if log else f"{model.test.unit}s with {model.test.target_name}"
        return (
            f"Nothing that is known tells {who} from others better than chance, so there is nothing to say of what "
            "drives conversion."
        )
    words = []
    for row in things(drivers, log=log).head(_NAMED).itertuples():
        sign = ""
        if abs(row.direction) > _CLEAR:
            sign = f", {'the more, the likelier' if row.direction > 0 else 'the less, the likelier'}"
        words.append(f"{row.Index} ({row.share:.0%}{sign})")
    return f"What drives conversion most, by share of all effects: {'; '.join(words)}."


def segments_look(model: InsightModel, drivers: Drivers, members: Members, *, log: bool, seed: int) -> Look:
    """Return what drives conversion in each segment."""
    if not (members.groups >= 0).any():
        return Look([], [], {})
    effects = by_group(drivers, members.groups, members.names)
    shares = shares_by_group(drivers, members.groups, members.names)
    table = _segment_table(model, drivers, members, log)
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
    parts = _as_noise(parts, model)
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
    return Look(_contrast(model, drivers, members, log), parts, figures)


def _segment_table(model: InsightModel, drivers: Drivers, members: Members, log: bool) -> pd.DataFrame:
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
        if model.tells:
            effect = things_of(drivers, log=log)[own].abs().mean()
            largest = (effect / max(float(effect.sum()), 1e-12)).nlargest(3)
            for nth, (thing, share) in enumerate(largest.items(), start=1):
                row[f"column {nth}"] = f"{thing} ({share:.0%})"
        rows.append(row)
    return pd.DataFrame(rows)


def _contrast(model: InsightModel, drivers: Drivers, members: Members, log: bool) -> list[str]:
    """Return in which segments most and fewest buy, where that is more than chance and the model sees it so, too.

    Two that differ are compared with each other. One is called likeliest only where it is ahead of each other one.

    Tested on one row for each customer, over all segments of enough customers.
    """
    if not model.tells:
        return []
    rows = last_of_each(model.test.groups, len(model.test), drivers.rows)
    of, happened = members.groups[rows], model.test.target[drivers.rows][rows]
    probabilities = model.probabilities[drivers.rows][rows]
    kept = of >= 0
    names = np.array(members.names, object)[of[kept]]
    grouped = pd.DataFrame({"happened": happened[kept], "probability": probabilities[kept]}).groupby(names)
    sizes, found, expected = grouped.size(), grouped["happened"].sum(), grouped["probability"].mean()
    gap = widest_gap(found, sizes)
    if gap is None or not supported([Claim("", gap.p_value)])[0] or expected[gap.top] <= expected[gap.bottom]:
        return []
    own = things_of(drivers, log=log)
    lifts, lowers = (
        own[members.groups == members.names.index(name)].mean() for name in (gap.top, gap.bottom)
    )
    unit = "customers" if log else f"{model.test.unit}s"
    top = f"{found[gap.top] / sizes[gap.top]:.0%} of {sizes[gap.top]:,} {unit} it was tried on"
    bottom = f"{found[gap.bottom] / sizes[gap.bottom]:.0%} of {sizes[gap.bottom]:,}"
    lifted, lowered = f"lifted most by {lifts.idxmax()}", f"lowered most by {lowers.idxmin()}"
    alone = all(
        stands_alone(found, sizes, name) and last == name
        for name, last in ((gap.top, expected.idxmax()), (gap.bottom, expected.idxmin()))
    )
    return [
        f'The likeliest segment is "{gap.top}" ({top}; {lifted}), '
        f'the least likely "{gap.bottom}" ({bottom}; {lowered}).'
        if alone
        else f'"{gap.top}" is likelier than "{gap.bottom}": {top} ({lifted}) against {bottom} ({lowered}).'
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
    told = "reason 1" in found.frame
    why = (
        "Reasons: the three columns that moved the probability most, with their value and their effect on the "
        "log-odds (+ raises, - lowers; 0.7 doubles or halves the odds)."
        if told
        else "There are no reasons: the model tells buyers from others no better than chance."
    )
    caption = (
        f"The likeliest, and a few others down to the unlikely. {why} All {count} {who}: {REASONS_FILE}."
    )
    what = "Reasons" if told else "Probabilities"
    table = Table(f"{what} for single customers" if log else f"{what} for single rows", shown,
                  caption, {"probability": ".1%"})  # fmt: skip
    return Look([], [table], {"reasons": shown, "explained": len(found.frame), "reasons_file": REASONS_FILE})
