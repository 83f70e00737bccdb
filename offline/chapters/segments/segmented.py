"""Segments as they were found: who belongs to which, what they are called, and how another moment is divided."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from offline.chapters.segments.clustering import Choice, Members, Points, choose, kmeans, nearest
from offline.chapters.segments.history import DAY, facts_of, history_at, segment_columns, words_of
from offline.chapters.segments.names import name_customers, name_rows
from offline.exceptions import TrainingError
from offline.preparation import preparation
from offline.problems.problem import Problem
from offline.progress import OnProgress
from offline.report.words import in_words
from offline.views.log_view import LogView

_MISSING_MARK = "missingindicator_"


@dataclass(frozen=True)
class Segmented:
    """A division of customers or rows.

    Attributes
    ----------
    names, descriptions
        Of every segment, in order of value: the least valuable is first.
    members
        Segment of every row of ``frame``.
    frame
        What is known about every row, in its own units; a log's is indexed by the customer's number.
    columns, words
        The columns that the division is made from, and what people call them.
    points, centroids
        The same on the standardised scale.
    center, scale
        Of the log scale, for a log; empty for a table.
    choice
        How the number of segments was chosen.
    """

    names: list[str]
    descriptions: list[str]
    members: Members
    frame: pd.DataFrame
    columns: list[str]
    words: list[str]
    points: Points
    centroids: Points
    center: NDArray[np.float64]
    scale: NDArray[np.float64]
    choice: Choice

    @property
    def count(self) -> int:
        """How many segments there are."""
        return len(self.names)

    def sizes(self) -> NDArray[np.int64]:
        """Return how many rows every segment has."""
        return np.bincount(self.members, minlength=self.count)

    def at(self, view: LogView, moment: pd.Timestamp) -> pd.Series:
        """Return the segment of every customer known before a moment, by the same centroids."""
        then = history_at(view, moment)
        points = (np.log1p(then[self.columns].to_numpy()) - self.center) / self.scale
        return pd.Series(nearest(points, self.centroids), then.index)


def segment_customers(
    view: LogView, *, count: int | None = None, seed: int = 0, on_progress: OnProgress | None = None
) -> Segmented:
    """Divide the customers of a log by what is known about them at its end.

    Parameters
    ----------
    count
        Number of segments; by default chosen by `offline.chapters.segments.clustering.choose`.

    Raises
    ------
    TrainingError
        There are too few customers, or all are alike.
    """
    frame = history_at(view, view.last + DAY / 86_400)
    columns = list(segment_columns(view))
    logs = np.log1p(frame[columns].to_numpy())
    varying = np.ptp(logs, axis=0) > 0 if len(logs) else np.zeros(len(columns), np.bool_)
    columns = [name for name, kept in zip(columns, varying, strict=True) if kept]
    if not columns:
        raise TrainingError(f"the log has {len(frame)} customers, all alike: there is nothing to divide")
    logs = logs[:, varying]
    center, scale = logs.mean(axis=0), logs.std(axis=0)
    points = (logs - center) / scale
    choice = _forced(choose(points, seed=seed, on_progress=on_progress), points, count, seed)
    groups = [frame[choice.members == k] for k in range(choice.number)]
    facts = [facts_of(group) for group in groups]
    order = sorted(range(choice.number), key=lambda k: facts[k].value)
    named = name_customers([groups[k] for k in order], [facts[k] for k in order], view)
    return Segmented(
        [name for name, _ in named],
        [text for _, text in named],
        _ranks(order)[choice.members],
        frame,
        columns,
        words_of(view, columns),
        points,
        choice.centroids[order],
        center,
        scale,
        choice,
    )


def segment_rows(
    problem: Problem, *, count: int | None = None, seed: int = 0, on_progress: OnProgress | None = None
) -> Segmented:
    """Divide the rows of a table by their numeric columns, prepared; the target and what knows it take no part.

    Raises
    ------
    TrainingError
        There are no numeric columns, too few rows, or all are alike.
    """
    kept = [name for name, kind in problem.kinds.items() if kind == "numeric" and name not in problem.leaks]
    if not kept:
        raise TrainingError(f"{problem.name} has no numeric column to divide rows by")
    frame = problem.columns[kept]
    prepared = preparation({name: problem.kinds[name] for name in kept}).fit(frame)
    made = [str(name) for name in prepared.get_feature_names_out()]
    at = [k for k, name in enumerate(made) if not name.startswith(_MISSING_MARK)]
    points = np.asarray(prepared.transform(frame), np.float64)[:, at]
    columns = [made[k] for k in at]
    choice = _forced(choose(points, seed=seed, on_progress=on_progress), points, count, seed)
    rates = [float(problem.target[choice.members == k].mean()) for k in range(choice.number)]
    order = sorted(range(choice.number), key=lambda k: rates[k])
    centroids = choice.centroids[order]
    return Segmented(
        name_rows(pd.DataFrame(centroids, columns=columns)),
        [f"{rates[k]:.1%} positive" for k in order],
        _ranks(order)[choice.members],
        frame.reset_index(drop=True),
        columns,
        [in_words(name) for name in columns],
        points,
        centroids,
        np.zeros(0),
        np.zeros(0),
        choice,
    )


def _forced(choice: Choice, points: Points, count: int | None, seed: int) -> Choice:
    if count is None or count == choice.number:
        return choice
    centroids = kmeans(points, count, seed)
    tried = choice.tried.assign(chosen=choice.tried["segments"] == count)
    return Choice(count, centroids, nearest(points, centroids), tried)


def _ranks(order: list[int]) -> NDArray[np.int64]:
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks
