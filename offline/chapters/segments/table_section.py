"""Segments of a table's rows: what sets each apart, and how often its rows are positive."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from offline.chapters.segments.common import show
from offline.chapters.segments.pictures import value_picture
from offline.chapters.segments.segmented import Segmented
from offline.lab.statistics import wilson
from offline.problems.problem import Problem
from offline.report.section import Section, Table
from offline.report.tables import shown
from offline.report.words import in_words

_TRAITS: Final = 3
_MARKED: Final = 0.4


def segment_table_section(problem: Problem, segments: Segmented, *, seed: int = 0) -> Section:
    """Return what there is to say about segments of a table's rows."""
    profile = _profile(problem, segments)
    who, how, figures = show(segments, f"{problem.unit}s", seed)
    medians = segments.frame.groupby(segments.members).median()
    medians.index = pd.Index(segments.names, name="segment")
    rate = profile["rate"].to_numpy()
    parts = [
        Table(
            "Segments and what they bring",
            profile,
            f"Rate: how often {problem.target_name} is positive, with its 95 % interval. Lift: times the average.",
            dict.fromkeys(("share", "rate", "low", "high", "share of positives"), ".1%") | {"lift": ".2f"},
        ),
        Table(
            "Segments in words",
            pd.DataFrame({"segment": segments.names, "what sets them apart": traits(segments)}),
            "Medians, and in brackets those of all rows.",
        ),
        value_picture(
            segments.names, rate, profile["low"].to_numpy(), profile["high"].to_numpy(),
            f"share of positive {problem.unit}s", "What each segment brings",
            f"How often {problem.target_name} is positive, with 95 % intervals (Wilson).", percent=True,
        ),
        *who,
        Table("Medians of every segment", medians, "In the columns' own units."),
        *how,
    ]  # fmt: skip
    figures["profile"] = profile
    return Section("segments", "Segments", _summary(problem, segments, profile), parts, figures)


def traits(segments: Segmented) -> list[str]:
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
            said.append(f"{in_words(name)} {_short(own[name])} (all: {_short(everywhere[name])})")
        result.append(", ".join(said[:_TRAITS]) or "near the average in everything")
    return result


def _short(value: float) -> str:
    return shown(float(f"{value:.2g}"))


def _profile(problem: Problem, segments: Segmented) -> pd.DataFrame:
    sizes = segments.sizes()
    positive = np.array([int(problem.target[segments.members == k].sum()) for k in range(segments.count)])
    low, high = wilson(positive, sizes)
    rate = positive / np.maximum(sizes, 1)
    return pd.DataFrame(
        {
            "segment": segments.names,
            f"{problem.unit}s": sizes,
            "share": sizes / sizes.sum(),
            "positive": positive,
            "rate": rate,
            "low": low,
            "high": high,
            "lift": rate / problem.prevalence,
            "share of positives": positive / max(positive.sum(), 1),
        }
    )


def _summary(problem: Problem, segments: Segmented, profile: pd.DataFrame) -> list[str]:
    best, worst = profile.loc[profile["rate"].idxmax()], profile.loc[profile["rate"].idxmin()]
    summary = [
        f"{len(segments.frame):,} {problem.unit}s fall into {segments.count} segments, divided by "
        f"{len(segments.columns)} numeric columns; the target takes no part.",
        f'"{best["segment"]}": {best["rate"]:.1%} positive ({best["low"]:.1%} to {best["high"]:.1%}), '
        f'{best["lift"]:.1f} times the average; "{worst["segment"]}": {worst["rate"]:.1%}.',
    ]
    if problem.leaks:
        several = len(problem.leaks) > 1
        summary.append(
            f"{', '.join(problem.leaks)} took no part in dividing: {'they seem' if several else 'it seems'} to know "
            "the target."
        )
    summary.append("A table does not tell who moves between segments; an event log does.")
    return summary
