"""Who is who in a log in which people log in: whose each event is, what goes from one id to another, and the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.calendar import Zone
from features.columns import HAND_OVER, MERGE, EventColumns, OtherRow
from features.families import BoughtRun, FamilyOutcomes, LinkRun, bought_as_others
from features.fold import NO_ASIDES, Asides
from features.labels import NEGATIVE, POSITIVE, UNKNOWN, LabelStart, horizon_labels, label_starts
from features.logins import Logins, Move, follow
from features.state import empty

_END_OF_TIME = int(np.iinfo(np.int64).max)


class Events(NamedTuple):
    """The events of a log, or of some of its customers, in its order.

    Attributes
    ----------
    rows
        Positions in the log, rising.
    customers
        Of each the position of its id in ``names``.
    names
        The ids.
    times, partitions
        Of each event.
    handed
        Which of them were handed on to their ids.
    """

    rows: NDArray[np.int64]
    customers: NDArray[np.int64]
    names: Sequence[str]
    times: NDArray[np.int64]
    partitions: NDArray[np.int64]
    handed: NDArray[np.bool_]

    @classmethod
    def of_log(cls, log: pa.Table) -> Self:
        """Return the events of a log, which come with its logins (`features.logins.split_logins`)."""
        encoded = pc.fill_null(log["customer_id"].combine_chunks(), "").dictionary_encode()
        partitions = log["partition"].cast(pa.int64())
        return cls(
            np.arange(len(log)),
            encoded.indices.to_numpy().astype(np.int64),
            encoded.dictionary.to_pylist(),
            log["event_time"].cast(pa.int64()).to_numpy(),
            np.zeros(len(log), np.int64) if partitions.null_count else partitions.to_numpy(),
            pc.is_valid(log["identity"]).to_numpy(),
        )


class People:
    """Whose events are.

    Parameters
    ----------
    events, logins
        Of everybody in the log, or of whole families.
    moments
        When each login counts (`features.logins.Logins.moments`).

    Attributes
    ----------
    names
        All ids; those of the events come first.
    owners
        For each event the position of the id that has what is known of it at that moment.
    elsewhere
        Which events count where they were handed on to, and not here.
    persons
        For each id the position of the one that stands for its family; its own where it never logs in.
    first_rows
        For each id the first row of its person.
    moves
        What goes from one id to another; ``sources`` and ``targets`` are positions of ids.
    """

    def __init__(self, events: Events, logins: Logins, moments: NDArray[np.int64]) -> None:
        self._events = events
        positions = {name: at for at, name in enumerate(events.names)}
        for name in (*logins.anonymous, *logins.customer):
            positions.setdefault(name, len(positions))
        self.names = list(positions)
        log_in = np.zeros(len(self.names), np.bool_)
        log_in[[positions[name] for name in logins.anonymous]] = True
        at = np.flatnonzero(log_in[events.customers])
        found = follow(
            logins, moments, events.rows[at].tolist(), [self.names[i] for i in events.customers[at].tolist()]
        )
        self.moves = found.moves
        self.sources, self.targets = (
            np.array([positions[name] for name in ids], np.int64)
            for ids in ([move.source for move in found.moves], [move.target for move in found.moves])
        )
        self.owners, self.elsewhere = events.customers.copy(), np.zeros(len(events.rows), np.bool_)
        self._paths = {
            int(events.rows.searchsorted(row)): [positions[name] for name in path]
            for row, path in found.paths.items()
        }
        self.owners[list(self._paths)] = [path[-1] for path in self._paths.values()]
        self.elsewhere[list(self._paths)] = logins.handed is not None
        self._joins = [
            (join.partition, positions[join.anonymous], positions[join.other], join.time)
            for join in found.joins
        ]
        self.persons = np.arange(len(self.names))
        related = np.unique(np.array([pair for join in self._joins for pair in join[1:3]], np.int64)).tolist()
        self.persons[related] = [positions[found.families.of(self.names[one])] for one in related]
        first = np.full(len(self.names), _END_OF_TIME)
        np.minimum.at(first, self.persons[events.customers], events.rows)
        self.first_rows = first[self.persons]
        self._homes = [
            (number, positions[name])
            for name, number in zip(logins.anonymous, logins.partition.tolist(), strict=True)
        ]

    @property
    def numbers(self) -> NDArray[np.int64]:
        """For each id the number of its person, in the order in which persons appear."""
        return np.unique(self.first_rows, return_inverse=True)[1].astype(np.int64)

    def ends(self, watermarks: Mapping[int, int]) -> NDArray[np.int64]:
        """Return for each event how far what its person does is known: the lowest watermark of their partitions."""
        ends = np.full(len(self.names), _END_OF_TIME)
        for number, watermark in watermarks.items():
            own = self.persons[self._events.customers[self._events.partitions == number]]
            ends[own] = np.minimum(ends[own], watermark)
        for number, one in self._homes:
            if number in watermarks:
                ends[self.persons[one]] = min(int(ends[self.persons[one]]), watermarks[number])
        return ends[self.persons[self._events.customers]]

    def outcomes(
        self, bought: NDArray[np.intp], own: NDArray[np.bool_], staff: NDArray[np.bool_]
    ) -> FamilyOutcomes:
        """Return what is known of people with several ids.

        Parameters
        ----------
        bought
            The events that are a customer's purchases.
        own
            Which of all events are accepted purchases that no machine says are its own: what is handed on is known
            no better.
        staff
            Which ids are of the shop's own people.
        """
        times = self._events.times
        handed = [
            (one, int(times[at]))
            for at, path in self._paths.items()
            if own[at] and not self._events.handed[at] and not staff[[path[0], path[-1]]].any()
            for one in path
        ]
        runs = [
            _links(number, [join for join in self._joins if join[0] == number])
            for number in sorted({join[0] for join in self._joins})
        ]
        return FamilyOutcomes(
            runs,
            [_bought(self.owners[bought], times[bought])],
            [_bought(*np.array(handed, np.int64).T)] if handed else [],
        )


def family_labels(  # noqa: PLR0917  (the rule)
    people: People,
    events: NDArray[np.intp],
    as_of: NDArray[np.int64],
    times: NDArray[np.int64],
    bought: NDArray[np.bool_],
    outcomes: FamilyOutcomes,
    ends: NDArray[np.int64] | int,
    horizon_ms: int,
    start: LabelStart,
    zone: Zone,
) -> NDArray[np.int8]:
    """Label events as `features.labels.horizon_labels` does, across the ids of each person.

    Parameters
    ----------
    events
        Positions of the events, in order of arrival.
    as_of, times, bought
        As of when each is, when it happened, and whether it is a customer's purchase.
    outcomes
        See `People.outcomes`.
    ends
        How far what each one's person does is known.
    """
    owners = people.owners[events]
    labels = horizon_labels(
        owners,
        as_of,
        np.where(bought, times, -1),
        horizon_ms=horizon_ms,
        start=start,
        zone=zone,
        end=_END_OF_TIME,
    )
    rows = np.flatnonzero(labels == NEGATIVE)
    moments = as_of[rows]
    starts = label_starts(moments, start, zone)
    found = bought_as_others(_ids(owners[rows]), moments, starts, moments + horizon_ms, outcomes)
    labels[rows[found]] = POSITIVE
    labels[as_of + horizon_ms > ends] = UNKNOWN
    return labels


class Steps(NamedTuple):
    """What is folded one after the other: an event, by its position, or a part of a move (-1 for the other).

    A move is two steps: one hands the state over, the next one merges it.
    """

    event: NDArray[np.int64]
    move: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        order: NDArray[np.int64],
        keys: tuple[NDArray[np.int64], NDArray[np.int64]],
        moves: tuple[NDArray[np.int64], NDArray[np.int64]],
    ) -> Steps:
        """Return the steps of events, and of moves between them.

        Parameters
        ----------
        order
            Positions of the events in the order in which they are folded.
        keys
            By what that is, of each of them: the first key, and the row.
        moves
            The same of moves, which come before the events of their row.
        """
        if not len(moves[0]):
            return cls(order, np.full(len(order), -1))
        number = np.repeat(np.arange(len(moves[0])), 2)
        first, row = (
            np.concatenate([np.repeat(ours, 2), theirs]) for ours, theirs in zip(moves, keys, strict=True)
        )
        sequence = np.lexsort((row, first))  # stable: moves stand before events, and in their order
        event = np.concatenate([np.full(len(number), -1), order])[sequence]
        return cls(event, np.concatenate([number, np.full(len(order), -1)])[sequence])

    def pieces(self, size: int) -> list[slice]:
        """Return the steps in pieces of about that size; none ends within a move."""
        cuts = [0]
        while cuts[-1] < len(self.event):
            cut = min(cuts[-1] + size, len(self.event))
            if cut < len(self.event) and self.move[cut] >= 0 and self.move[cut] == self.move[cut - 1]:
                cut += 1
            cuts.append(cut)
        return [slice(low, high) for low, high in zip(cuts, cuts[1:], strict=False)]


def with_moves(
    columns: EventColumns, slots: NDArray[np.int64], steps: Steps, people: People
) -> tuple[EventColumns, NDArray[np.int64], Asides]:
    """Return the columns and slots of a piece's events with its moves among them, and the states that move.

    Parameters
    ----------
    columns, slots
        Of the events alone.
    steps
        The piece.
    """
    at = np.flatnonzero(steps.move >= 0)
    if not len(at):
        return columns, slots, NO_ASIDES
    numbers = steps.move[at]
    merges = np.zeros(len(at), np.bool_)
    merges[1:] = numbers[1:] == numbers[:-1]
    rows = [
        _row(people.moves[one], merged) for one, merged in zip(numbers.tolist(), merges.tolist(), strict=True)
    ]
    places = at - np.arange(len(at))
    theirs = np.where(merges, people.targets[numbers], people.sources[numbers])
    asides = np.full(len(steps.event), -1, np.int64)
    asides[at] = np.cumsum(~merges) - 1
    return (
        columns.with_rows(places.tolist(), rows),
        np.insert(slots, places, theirs),
        Asides(empty(int(np.count_nonzero(~merges))), asides),
    )


def _row(move: Move, merged: bool) -> OtherRow:
    if merged:
        return OtherRow(move.target, MERGE, "", move.time)
    return OtherRow(move.source, HAND_OVER, "", move.time)


def _ids(positions: NDArray[np.int64]) -> NDArray[np.uint64]:
    return positions.astype(np.uint64)


def _bought(ids: NDArray[np.int64], times: NDArray[np.int64]) -> BoughtRun:
    order = np.lexsort((times, ids))
    return BoughtRun(_ids(ids[order]), times[order])


def _links(partition: int, joins: Sequence[tuple[int, int, int, int]]) -> LinkRun:
    _, anonymous, other, time = np.array(joins, np.int64).T
    place = np.tile(np.arange(len(joins)), 2)
    ids, others = np.concatenate([anonymous, other]), np.concatenate([other, anonymous])
    times, first = np.tile(time, 2), np.repeat([True, False], len(joins))
    order = np.lexsort((place, times, ids))
    return LinkRun(partition, _ids(ids[order]), times[order], place[order], _ids(others[order]), first[order])
