"""Segments as they were found: who belongs to which, what they are called, and how another moment is divided."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.counts import counted
from offline.chapters.segments.clustering import Choice, Members, Points, choose, kmeans, nearest
from offline.chapters.segments.history import DAY, facts_of, history_at, segment_columns, words_of
from offline.chapters.segments.names import name_clusters, name_rows, typical
from offline.chapters.segments.rules import Bounds, Rule, bounds_of, rules
from offline.exceptions import TrainingError
from offline.preparation import preparation
from offline.problems.problem import Problem
from offline.progress import OnProgress
from offline.views.log_view import LogView

_MISSING_MARK = "missingindicator_"
_MOMENT = pd.Timedelta(seconds=1)  # after the last event, so that it is known, too


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
        The columns that segments are compared by, and what people call them.
    points, centroids
        The same on the standardised scale, and the means of the segments there.
    """

    names: list[str]
    descriptions: list[str]
    members: Members
    frame: pd.DataFrame
    columns: list[str]
    words: list[str]
    points: Points
    centroids: Points

    @property
    def count(self) -> int:
        """How many segments there are."""
        return len(self.names)

    def sizes(self) -> NDArray[np.int64]:
        """Return how many rows every segment has."""
        return np.bincount(self.members, minlength=self.count)

    def at(self, view: LogView, moment: pd.Timestamp) -> pd.Series:
        """Return the segment of every customer known before a moment; -1 where it is none of these."""
        raise TrainingError("only customers of a log are divided at other moments")


@dataclass(frozen=True)
class Clusters(Segmented):
    """Segments that were found by K-means.

    Attributes
    ----------
    choice
        How the number of segments was chosen.
    """

    choice: Choice


@dataclass(frozen=True)
class Groups(Segmented):
    """Segments by the rules of `offline.chapters.segments.rules`: their names are true of every member at any time.

    Attributes
    ----------
    bounds
        What the rules' words mean in this shop.
    """

    bounds: Bounds

    def at(self, view: LogView, moment: pd.Timestamp) -> pd.Series:
        """Return the segment of customers known before a moment, by the same rules; -1 where it is none of these."""
        then = history_at(view, moment)
        numbers = {name: at for at, name in enumerate(self.names)}
        found = np.full(len(then), -1, np.int64)
        for rule in _rules(view, then, self.bounds, moment):
            found[rule.holds] = numbers.get(rule.name, -1)
        return pd.Series(found, then.index)


def group_customers(view: LogView) -> Groups:
    """Divide the customers of a log by rules on their last order, number of orders, and money spent.

    Raises
    ------
    TrainingError
        There are no customers.
    """
    moment = view.last + _MOMENT
    frame = history_at(view, moment)
    if not len(frame):
        raise TrainingError(
            "the log has no customers to divide: all orders were taken back, or there are none"
        )
    bounds = bounds_of(view, frame)
    kept = [rule for rule in _rules(view, frame, bounds, moment) if rule.holds.any()]
    members = np.full(len(frame), -1, np.int64)
    for at, rule in enumerate(kept):
        members[rule.holds] = at
    columns = [name for name in segment_columns(view) if frame[name].nunique() > 1] or [
        segment_columns(view)[0]
    ]
    points = _standardised(frame, columns)
    return Groups(
        [rule.name for rule in kept],
        [rule.definition for rule in kept],
        members,
        frame,
        columns,
        words_of(view, columns),
        points,
        np.stack([points[members == at].mean(axis=0) for at in range(len(kept))]),
        bounds,
    )


def _rules(view: LogView, frame: pd.DataFrame, bounds: Bounds, moment: pd.Timestamp) -> list[Rule]:
    watched = (moment - view.first) / DAY
    return rules(frame, bounds, watched=watched, browsing=view.browsing, currency=view.currency)


def _standardised(frame: pd.DataFrame, columns: list[str]) -> Points:
    """Return logarithms on one scale; what is not known (money in another currency) lies in the middle."""
    logs = np.log1p(frame[columns].to_numpy())
    points = (logs - np.nanmean(logs, axis=0)) / np.maximum(np.nanstd(logs, axis=0), 1e-12)
    return np.asarray(np.nan_to_num(points))


def segment_customers(
    view: LogView,
    groups: Groups,
    *,
    count: int | None = None,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Clusters:
    """Divide the customers of a log into clusters by what is known about them at its end.

    Parameters
    ----------
    groups
        The same customers by rules: clusters are named after the group that holds most of them.
    count
        Number of segments; by default chosen by `offline.chapters.segments.clustering.choose`.

    Raises
    ------
    TrainingError
        There are too few customers, or all are alike.
    """
    frame = groups.frame
    columns = [name for name in segment_columns(view) if frame[name].nunique() > 1]
    if not columns:
        raise TrainingError(
            f"the log has {counted(len(frame), 'customer')}, all alike: there is nothing to divide"
        )
    points = _standardised(frame, columns)
    choice = _forced(choose(points, seed=seed, on_progress=on_progress), points, count, seed)
    value = [facts_of(frame[choice.members == k]).value for k in range(choice.number)]
    order = sorted(range(choice.number), key=lambda k: value[k])
    parts = [choice.members == k for k in order]
    of = np.array(groups.names, object)[groups.members]
    return Clusters(
        name_clusters([frame[part] for part in parts], [of[part] for part in parts], view),
        [typical(frame[part], view) for part in parts],
        _ranks(order)[choice.members],
        frame,
        columns,
        words_of(view, columns),
        points,
        choice.centroids[order],
        choice,
    )


def segment_rows(
    problem: Problem, *, count: int | None = None, seed: int = 0, on_progress: OnProgress | None = None
) -> Clusters:
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
    members = _ranks(order)[choice.members]
    return Clusters(
        name_rows(points, members, columns, frame),
        [f"{rates[k]:.1%} with {problem.target_name}" for k in order],
        members,
        frame.reset_index(drop=True),
        columns,
        list(columns),
        points,
        choice.centroids[order],
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
