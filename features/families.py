"""One person under several ids: which ids count together for an example, and what was bought under them.

A link says that an anonymous id is a customer's (`features.identity`), and when that came out. For an example as of t,
those ids are one person's that links of the time from t to ``t + horizon`` join: both ways, and over other ids. Older
links need not be looked at. What an id does once it is linked is told under both ids, and a link is no older than any
event of its partition that came before it, so what was bought before an older link was bought before t.

Only times and ids decide, so the order in which anything came to be known does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compiled import kernel
from features.identity import MOST_STEPS

#: Links of one id that are followed for an example: of more, the first in time.
MOST_KIN: Final = 64


class LinkRun(NamedTuple):
    """Links of one partition, each of them twice, once by either id: in the order of id, time and offset.

    Attributes
    ----------
    partition
        Where the anonymous ids belong.
    id, other
        Of the two that are linked.
    time
        When that came out, epoch ms.
    offset
        Of the record that says so.
    anonymous
        Whether ``id`` is the anonymous one.
    """

    partition: int
    id: NDArray[np.uint64]
    time: NDArray[np.int64]
    offset: NDArray[np.int64]
    other: NDArray[np.uint64]
    anonymous: NDArray[np.bool_]


class BoughtRun(NamedTuple):
    """Purchases, in the order of id and time."""

    id: NDArray[np.uint64]
    time: NDArray[np.int64]


class Kin(NamedTuple):
    """Ids that count for examples, beside the examples' own: the position of the example, and the id."""

    row: NDArray[np.intp]
    id: NDArray[np.uint64]


#: Says of links whether they were undone by the end of each example's horizon: partition, anonymous ids, ends, offsets.
Undone = Callable[[int, NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]]


class _Found(NamedTuple):
    """Links that lead on: from whose id of which example, to which other one, and what decides which are the first."""

    row: NDArray[np.intp]
    id: NDArray[np.uint64]
    other: NDArray[np.uint64]
    time: NDArray[np.int64]
    partition: NDArray[np.int64]
    offset: NDArray[np.int64]
    undone: NDArray[np.bool_]


class FamilyOutcomes(NamedTuple):
    """What is known of people with several ids: links, purchases, and purchases under linked ids, by either id."""

    links: Sequence[LinkRun]
    purchases: Sequence[BoughtRun]
    handed_on: Sequence[BoughtRun]


def bought_as_others(
    ids: NDArray[np.uint64],
    as_of: NDArray[np.int64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    outcomes: FamilyOutcomes,
    undone: Undone | None = None,
) -> NDArray[np.bool_]:
    """Return for each example whether its person purchased under another id than its own, or under a linked one.

    Parameters
    ----------
    ids, as_of
        Of the examples: whose, and as of when.
    starts, ends
        A purchase counts after the start and up to the end (epoch ms).
    undone
        Which links were undone by an erasure; none by default.
    """
    found = np.zeros(len(ids), np.bool_)
    rows = np.flatnonzero(concerned(ids, [*outcomes.links, *outcomes.handed_on]))
    if len(rows):
        own = Kin(np.arange(len(rows)), ids[rows])
        starts, ends = starts[rows], ends[rows]
        others = kin(own.id, as_of[rows], ends, outcomes.links, undone)
        everybody = Kin(*(np.concatenate(pair) for pair in zip(own, others, strict=True)))
        found[rows] = bought(others, starts, ends, outcomes.purchases)
        found[rows] |= bought(everybody, starts, ends, outcomes.handed_on)
    return found


def concerned(ids: NDArray[np.uint64], runs: Sequence[LinkRun | BoughtRun]) -> NDArray[np.bool_]:
    """Return which ids are in any of these runs."""
    found = np.zeros(len(ids), np.bool_)
    for run in runs:
        _contained(ids, run.id, found)
    return found


def kin(
    ids: NDArray[np.uint64],
    as_of: NDArray[np.int64],
    ends: NDArray[np.int64],
    links: Sequence[LinkRun],
    undone: Undone | None = None,
) -> Kin:
    """Return the other ids of the person of each example.

    Parameters
    ----------
    ids, as_of, ends
        Of the examples: whose, as of when, and when their horizons end (epoch ms).
    links
        All that are known, in any number of runs.
    undone
        Which of them were undone by an erasure; none by default.
    """
    at = Kin(np.arange(len(ids)), ids)
    everybody = at
    for _ in range(MOST_STEPS if links else 0):
        found = [_led_on(at, as_of, ends, run, undone) for run in links]
        at = _new(_first(found), everybody)
        if not len(at.row):
            break
        everybody = Kin(np.concatenate([everybody.row, at.row]), np.concatenate([everybody.id, at.id]))
    return Kin(everybody.row[len(ids) :], everybody.id[len(ids) :])


def bought(
    people: Kin, starts: NDArray[np.int64], ends: NDArray[np.int64], runs: Sequence[BoughtRun]
) -> NDArray[np.bool_]:
    """Return for each example whether any of these ids purchased after its start and up to its end."""
    found = np.zeros(len(people.row), np.bool_)
    for run in runs:
        _purchased(people.id, starts[people.row], ends[people.row], run.id, run.time, found)
    each = np.zeros(len(starts), np.bool_)
    each[people.row[found]] = True
    return each


def _led_on(
    at: Kin, as_of: NDArray[np.int64], ends: NDArray[np.int64], run: LinkRun, undone: Undone | None
) -> _Found:
    """Return the first links of each id in a run that fall into its example's horizon."""
    low, high = np.empty(len(at.row), np.int64), np.empty(len(at.row), np.int64)
    _spans(at.id, as_of[at.row], ends[at.row], run.id, run.time, low, high)
    counts = high - low
    of = np.repeat(np.arange(len(at.row)), counts)
    links = np.repeat(low - np.cumsum(counts) + counts, counts) + np.arange(len(of))
    rows, ids, other, offset = at.row[of], at.id[of], run.other[links], run.offset[links]
    gone = np.zeros(len(of), np.bool_)
    if undone is not None and len(of):
        gone = undone(run.partition, np.where(run.anonymous[links], ids, other), ends[rows], offset)
    return _Found(rows, ids, other, run.time[links], np.full(len(of), run.partition), offset, gone)


def _first(found: Sequence[_Found]) -> Kin:
    """Return where the first `MOST_KIN` links of each id lead to, but for those that were undone."""
    every = _Found._make(np.concatenate(column) for column in zip(*found, strict=True))
    order = np.lexsort((every.offset, every.partition, every.time, every.id, every.row))
    every = _Found._make(column[order] for column in every)
    rows, ids = every.row, every.id
    begins = np.ones(len(rows), np.bool_)
    begins[1:] = (rows[1:] != rows[:-1]) | (ids[1:] != ids[:-1])
    starts = np.flatnonzero(begins)
    rank = np.arange(len(rows)) - np.repeat(starts, np.diff(np.append(starts, len(rows))))
    kept = (rank < MOST_KIN) & ~every.undone
    return Kin(rows[kept], every.other[kept])


def _new(found: Kin, known: Kin) -> Kin:
    """Return each pair once that is not known."""
    rows, ids = np.concatenate([known.row, found.row]), np.concatenate([known.id, found.id])
    order = np.lexsort((ids, rows))  # stable: what is known comes first
    again = np.zeros(len(order), np.bool_)
    again[1:] = (np.diff(rows[order]) == 0) & (ids[order][1:] == ids[order][:-1])
    new = order[~again & (order >= len(known.row))]
    return Kin(rows[new], ids[new])


@kernel
def _from(ids: NDArray[np.uint64], times: NDArray[np.int64], one: int, time: int) -> int:  # pragma: no cover
    """Return the position of an id's first row at a time or later."""
    low, high = 0, len(ids)
    while low < high:
        middle = (low + high) // 2
        if ids[middle] < one or (ids[middle] == one and times[middle] < time):
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def _contained(
    ids: NDArray[np.uint64], among: NDArray[np.uint64], found: NDArray[np.bool_]
) -> None:  # pragma: no cover
    for i in range(len(ids)):
        if not found[i]:
            at = np.searchsorted(among, ids[i])
            found[i] = at < len(among) and among[at] == ids[i]


@kernel
def _spans(
    ids: NDArray[np.uint64],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    among: NDArray[np.uint64],
    times: NDArray[np.int64],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
) -> None:  # pragma: no cover
    for i in range(len(ids)):
        low[i] = high[i] = _from(among, times, ids[i], first[i])
        while (
            high[i] < len(among)
            and high[i] - low[i] < MOST_KIN
            and among[high[i]] == ids[i]
            and times[high[i]] <= last[i]
        ):
            high[i] += 1


@kernel
def _purchased(
    ids: NDArray[np.uint64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    buyers: NDArray[np.uint64],
    times: NDArray[np.int64],
    found: NDArray[np.bool_],
) -> None:  # pragma: no cover
    for i in range(len(ids)):
        if not found[i]:
            at = _from(buyers, times, ids[i], starts[i] + 1)
            found[i] = at < len(buyers) and buyers[at] == ids[i] and times[at] <= ends[i]
