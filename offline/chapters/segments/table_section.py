"""Segments of a table's rows: what sets each apart, and how often the wanted thing happens in each."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from features.counts import counted
from offline.chapters.segments.common import show
from offline.chapters.segments.names import TRUE_OF
from offline.chapters.segments.pictures import value_picture
from offline.chapters.segments.segmented import Clusters
from offline.lab.differences import Claim, Gap, supported, widest_gap
from offline.lab.independent import one_each
from offline.lab.statistics import wilson
from offline.problems.problem import Problem
from offline.report.section import Finding, Section, Table
from offline.report.tables import shown

_TRAITS: Final = 3
_MARKED: Final = 0.4


def segment_table_section(problem: Problem, segments: Clusters, *, seed: int = 0) -> Section:
    """Return what there is to say about segments of a table's rows."""
    profile = _profile(problem, segments)
    who, how, figures = show(segments, f"{problem.unit}s", seed)
    medians = segments.frame.groupby(segments.members).median()
    medians.index = pd.Index(segments.names, name="segment")
    rate = profile["share with it"].to_numpy()
    happened = problem.target_name
    parts = [
        Table(
            "Segments and what they bring",
            profile,
            f"Share: of all {problem.unit}s that are in the segment. With {happened}: how many, and which share of the "
            "segment, with its 95% interval. Times the average: that share by the share of all. A name is true of at "
            f"least {TRUE_OF:.0%} of its segment: many, long and high mean above the median of all, few, short and low "
            "below it (or at it, where nothing is smaller); a range holds so many.",
            dict.fromkeys(("share", "share with it", "low", "high", "share of all with it"), ".1%")
            | {"times the average": ".2f"},
        ),
        Table(
            "Segments in words",
            pd.DataFrame({"segment": segments.names, "what sets them apart": traits(segments)}),
            f"Medians, and in brackets those of all {problem.unit}s.",
        ),
        value_picture(
            segments.names, rate, profile["low"].to_numpy(), profile["high"].to_numpy(),
            f"share of {problem.unit}s with {happened}", "What each segment brings",
            f"How often {happened} happens, with 95% intervals (Wilson).", percent=True, place="lead",
        ),
        *who,
        Table("Medians of every segment", medians, "In the columns' own units."),
        *how,
    ]  # fmt: skip
    figures["profile"] = profile
    summary = _summary(problem, segments, profile)
    return Section(
        "segments", "Segments", summary, parts, figures, findings=_findings(problem, segments, profile)
    )


def traits(segments: Clusters) -> list[str]:
    """Return for every segment the columns that set it apart most, with their medians and those of all rows."""
    frame = segments.frame
    everywhere = frame.median()
    result = []
    for k, centre in enumerate(segments.centroids):
        own = frame[segments.members == k].median()
        said: list[str] = []
        for at in np.argsort(-np.abs(centre)):
            name = segments.columns[at]
            # Where both medians are 0, it is the tail that differs, which a median does not show.
            if abs(centre[at]) < _MARKED or name not in own or own[name] == everywhere[name]:
                continue
            said.append(f"{name} {_short(own[name])} (all: {_short(everywhere[name])})")
        result.append(", ".join(said[:_TRAITS]) or "near the average in everything")
    return result


def _short(value: float) -> str:
    return shown(float(f"{value:.2g}"))


def _profile(problem: Problem, segments: Clusters) -> pd.DataFrame:
    sizes = segments.sizes()
    happened = np.array([int(problem.target[segments.members == k].sum()) for k in range(segments.count)])
    low, high = wilson(happened, sizes)
    rate = happened / np.maximum(sizes, 1)
    return pd.DataFrame(
        {
            "segment": segments.names,
            f"{problem.unit}s": sizes,
            "share": sizes / sizes.sum(),
            f"with {problem.target_name}": happened,
            "share with it": rate,
            "low": low,
            "high": high,
            "times the average": rate / problem.prevalence,
            "share of all with it": happened / max(happened.sum(), 1),
        }
    )


def _gap(problem: Problem, segments: Clusters) -> Gap | None:
    """Return the segments where it happens most and least, tested on one row for each customer."""
    rows = one_each(problem)
    of = np.array(segments.names, object)[segments.members[rows]]
    grouped = pd.Series(problem.target[rows]).groupby(of)
    return widest_gap(grouped.sum(), grouped.size())


def _findings(problem: Problem, segments: Clusters, profile: pd.DataFrame) -> list[Finding]:
    gap = _gap(problem, segments)
    if gap is None or not supported([Claim("", gap.p_value)])[0]:
        return []
    own, units = profile.set_index("segment").loc[gap.top], f"{problem.unit}s"
    return [
        Finding(
            f'Of the {units} in "{gap.top}", {own["share with it"]:.1%} come with {problem.target_name}, '
            f"{own['times the average']:.1f} times the average.",
            f"95% interval {own['low']:.1%} to {own['high']:.1%}; the gap between segments is more than chance.",
            "See what sets them apart in the chapter on segments, and whether you can bring more of them.",
            int(own[units]),
            units,
        )
    ]


def _summary(problem: Problem, segments: Clusters, profile: pd.DataFrame) -> list[str]:
    happened = problem.target_name
    summary = [
        f"{counted(len(segments.frame), problem.unit)} fall into {counted(segments.count, 'segment')}, divided by "
        f"{len(segments.columns)} numeric columns; {happened} takes no part."
    ]
    gap = _gap(problem, segments)
    if gap is not None and supported([Claim("", gap.p_value)])[0]:
        best, worst = (profile.set_index("segment").loc[name] for name in (gap.top, gap.bottom))
        summary.append(
            f'"{gap.top}": {best["share with it"]:.1%} with {happened} ({best["low"]:.1%} to {best["high"]:.1%}), '
            f'{best["times the average"]:.1f} times the average; "{gap.bottom}": {worst["share with it"]:.1%}.'
        )
    else:
        summary.append(f"That {happened} is more frequent in one segment than in another may be chance.")
    if problem.leaks:
        several = len(problem.leaks) > 1
        summary.append(
            f"{', '.join(problem.leaks)} took no part in dividing: {'they seem' if several else 'it seems'} to know "
            f"{happened}."
        )
    summary.append("A table does not tell who moves between segments; an event log does.")
    return summary
