"""Who is who in a round: what is handed to other customers, what is merged, and what links change.

A pure step between the loaded links of a round and the fold. It follows from the log of a partition alone, record by
record, so a replay takes it again, and makes the same hand-overs:

- the first `Identify` of an id links it, and hands its state over; one that names the same customer again does nothing;
  one that names another makes the id *shared*: from then on nothing is handed on;
- an event of a linked id is handed on, also one that tells this login itself;
- a hand-over that has come to a linked id goes on to the next one. Where the way is a circle, the least of its ids
  keeps what came, and where it is too long, the last one does;
- whoever is erased takes along those to whom and from whom something was handed.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from msgspec.structs import replace as replace_link
from numpy.typing import NDArray

from features.columns import ERASE, HAND_OVER, MERGE, PASS
from features.events import MIN_TIME_MS, Event, epoch_ms
from features.fold import Asides
from features.identity import MOST_STEPS, HandOver, Identify, encode_identity
from features.links import Link
from features.partition import partitions_of
from features.state import States, empty, from_bytes, joined, to_bytes
from features.store.customer_store import LinkChanges, Loaded
from stream.decisions.assignees import Assigning, Step
from stream.decisions.watermarks import Watermarks
from stream.scoring.batch import Batch, RecordStatus

logger = logging.getLogger(__name__)

#: What becomes of identities, for metrics.
OUTCOMES: Final = ("linked", "known", "shared", "merged", "handed_on", "repeated", "kept", "undelivered")

#: A link is written anew when it was used this part of a state's life after it was written last.
_REFRESH: Final = 8

#: What partitions have handed over: of each, offset and number of the last one taken.
Taken = Mapping[int, tuple[int, int]]


@dataclass(slots=True)
class PartLinks:
    """What the links of one partition batch make of it.

    Attributes
    ----------
    changed
        Links that change, by customer; ``None`` removes one.
    taken
        The last hand-over taken of each partition.
    handed
        What is handed over, and for a state its position among the asides (-1: there is none).
    """

    taken: dict[int, tuple[int, int]]
    changed: dict[str, Link | None] = field(default_factory=dict)
    handed: list[tuple[HandOver, int]] = field(default_factory=list)


@dataclass(slots=True)
class Linked:
    """A round whose links were followed.

    Attributes
    ----------
    batch
        With the types and the statuses that rows have now.
    asides
        States that are handed over (filled by the fold) or merged.
    parts
        By partition batch.
    assigning
        Finds by which ids people are assigned to arms, once the round is folded.
    counts
        How often there was each of `OUTCOMES`.
    """

    batch: Batch
    asides: Asides
    parts: Sequence[PartLinks]
    assigning: Assigning
    counts: Counter[str] = field(default_factory=Counter)

    def changes(self, part: int) -> LinkChanges:
        """Return what is to be saved of the links of a partition batch that was folded."""
        assigned = self.assigning.now
        stored = {
            customer: None
            if link is None
            else replace_link(link, assigned=assigned.get(customer, "")).to_bytes()
            for customer, link in self.parts[part].changed.items()
        }
        return LinkChanges(stored, self.parts[part].taken)

    def merged(self, rows: NDArray[np.intp]) -> list[str | None]:
        """Return for each of these rows of the batch whose state it has merged, ``None`` where it has not."""
        types = self.batch.columns.type[rows].tolist()
        return [
            self.batch.identities[int(self.batch.rows[row])].anonymous_id if kind == MERGE else None
            for row, kind in zip(rows.tolist(), types, strict=True)
        ]

    def passed_on(self) -> Iterator[tuple[int, HandOver]]:
        """Yield each row of the batch of which something is handed over or on, but for erasures, and what that is."""
        batch = self.batch
        for part, rows in zip(self.parts, batch.split(batch.rows), strict=True):
            offsets = batch.offset[batch.rows[rows]]
            for one, _ in part.handed:
                if not one.erase:
                    yield rows.start + int(np.searchsorted(offsets, one.source[1])), one

    def handed(self, part: int, partitions: int) -> list[tuple[int, str, bytes]]:
        """Return what is handed over by a partition batch as records: partition, key and value."""
        found = self.parts[part].handed
        wanted = [at for _, at in found if at >= 0]
        raw = dict(zip(wanted, to_bytes(self.asides.states[wanted]), strict=True))
        alive = self.asides.states["events"] > 0
        homes = partitions_of([one.customer_id.encode() for one, _ in found], partitions).tolist()
        return [
            (
                home,
                one.customer_id,
                encode_identity(self._with_state(one, at, raw[at]) if at >= 0 and alive[at] else one),
            )
            for (one, at), home in zip(found, homes, strict=True)
        ]

    def _with_state(self, handed: HandOver, at: int, raw: bytes) -> HandOver:
        """Return a hand-over with the state at a position of the asides, and by whom that is assigned."""
        assigned = self.assigning.given.get(at, handed.assigned)
        return replace_link(handed, state=raw, assigned=None if assigned == handed.anonymous_id else assigned)


def linked(
    batch: Batch, loaded: Sequence[Loaded], taken: Sequence[Taken], lateness_ms: int, ttl_ms: int
) -> Linked | None:
    """Follow the links of a round; ``None`` where nobody is linked, and nobody is to be.

    Parameters
    ----------
    loaded
        With the stored links of the customers.
    taken
        Of each partition batch what was taken before it.
    lateness_ms, ttl_ms
        How late an event may be, and how long states and links live.
    """
    if not batch.identities and not any(link for part in loaded for link in part.links):
        return None
    following = _Following(batch, lateness_ms, ttl_ms)
    parts = [
        following.part(at, rows, found, dict(last))
        for at, (rows, found, last) in enumerate(zip(batch.split(batch.rows), loaded, taken, strict=True))
    ]
    return following.linked(parts)


class _Following:
    """Follows the links of one round, and collects what becomes of its rows."""

    def __init__(self, batch: Batch, lateness_ms: int, ttl_ms: int) -> None:
        self.batch = batch
        self.lateness_ms = lateness_ms
        self.ttl_ms = ttl_ms
        self.types: dict[int, int] = {}
        self.times: dict[int, int] = {}
        self.asides: list[States] = []
        self.aside_at = np.full(len(batch.rows), -1, np.int64)
        self.counts: Counter[str] = Counter()
        self.assigned: dict[str, str] = {}
        self.steps: list[Step] = []

    def aside(self, row: int, state: States) -> int:
        """Put a state beside those of the batch; return its position."""
        self.asides.append(state)
        self.aside_at[row] = len(self.asides) - 1
        return len(self.asides) - 1

    def part(self, at: int, rows: slice, found: Loaded, taken: dict[int, tuple[int, int]]) -> PartLinks:
        """Follow the links of a partition batch."""
        batch = self.batch
        own = batch.customers[batch.customer_slices[at]]
        stored = {
            one: Link.from_bytes(raw)
            for one, raw in zip([*own, *found.due], found.links, strict=False)
            if raw is not None
        }
        self.assigned |= {one: link.assigned for one, link in stored.items() if link.assigned}
        links = stored if not found.due else {one: stored[one] for one in own if one in stored}
        part = PartLinks(taken)
        for row, now in self._concerned(at, rows, links):
            _Row(self, part, links, row, now).follow()
        return part

    def _concerned(self, at: int, rows: slice, links: Mapping[str, Link]) -> list[tuple[int, int]]:
        """Return the rows that links may concern, each with the latest event time so far."""
        batch = self.batch
        records = batch.rows[rows].tolist()
        names = {
            batch.columns.customers[rows.start + row]
            for row, record in enumerate(records)
            if record in batch.identities
        } | links.keys()
        mine = batch.customer_slices[at]
        slots = [slot for slot in range(mine.start, mine.stop) if batch.customers[slot] in names]
        times, still = batch.columns.time[rows], batch.still[rows]
        marks = Watermarks.of(times, [batch.watermarks_before[at]], self.lateness_ms, still=still)
        latest = marks.after + self.lateness_ms
        concerned = np.flatnonzero(np.isin(batch.slots[rows], slots)).tolist()
        return [(rows.start + row, int(latest[row])) for row in concerned]

    def linked(self, parts: Sequence[PartLinks]) -> Linked:
        """Return the round with what rows are now."""
        batch = self.batch
        columns = batch.columns.with_types(list(self.types), list(self.types.values()))
        times = columns.time.copy()
        times[list(self.times)] = list(self.times.values())
        status = batch.status.copy()
        passed = batch.rows[[row for row, kind in self.types.items() if kind == PASS]]
        status[passed[status[passed] == RecordStatus.ERASE]] = RecordStatus.MERGE  # erased before
        asides = Asides(joined([empty(0), *self.asides]), self.aside_at)
        batch = replace(batch, columns=replace(columns, time=times), status=status)
        return Linked(batch, asides, parts, Assigning(self.assigned, self.steps), self.counts)


class _Row:
    """One record of an id that links concern."""

    def __init__(
        self, following: _Following, part: PartLinks, links: dict[str, Link], row: int, now: int
    ) -> None:
        self._all = following
        self._part = part
        self._links = links
        self._row = row
        self._now = now
        batch = following.batch
        self._record = int(batch.rows[row])
        self._id = batch.columns.customers[row]
        link = links.get(self._id, Link())
        self._link = link
        if now - link.time > following.ttl_ms:
            self._link = Link()
            if link.assigned:
                self._change(None)
                self._step(ERASE)
        self._source = (int(batch.partition[self._record]), int(batch.offset[self._record]))
        self._handed = 0

    def follow(self) -> None:
        """Do what the record asks for."""
        batch = self._all.batch
        identity = batch.identities.get(self._record)
        if isinstance(identity, Identify):
            self._identify(identity)
            if self._is_event and self._link.customer:
                self._hand_on_event()
        elif isinstance(identity, HandOver):
            self._take(identity)
        elif batch.columns.type[self._row] == ERASE:
            self._erase(self._id, [])
        elif self._link.customer:
            self._hand_on_event()
        elif self._link.members:
            self._used(self._now)

    def _identify(self, said: Identify) -> None:
        link, time = self._link, self._moment(epoch_ms(said.event_time))
        if link.shared:
            self._count("shared")
        elif link.customer == said.customer_id:
            self._count("known")
            self._used(time)
        elif link.customer:
            self._count("shared")
            self._change(replace_link(link, customer="", shared=True, time=time, since=time))
            logger.info(
                "partition %s: an id is shared by two customers: nothing is merged any more", self._source[0]
            )
        else:
            self._count("linked")
            self._change(replace_link(link, customer=said.customer_id, time=time, since=time))
            self._become(HAND_OVER)
            self._all.times[self._row] = time
            at = self._all.aside(self._row, empty(1))
            self._step(HAND_OVER)
            self._hand(said.customer_id, self._id, [self._id], said.event_id, time, state=at)

    def _take(self, came: HandOver) -> None:
        partition, *place = came.source
        if tuple(place) <= self._part.taken.get(partition, (-1, -1)):
            self._count("repeated")
            self._become(PASS)
            return
        self._part.taken[partition] = (place[0], place[1])
        if came.erase:
            self._erase(came.anonymous_id, came.path)
            return
        time = self._moment(came.event_time)
        if came.event is None or came.path[-1] not in self._link.members:  # its login may lie before the log
            self._change(self._link.with_member(came.path[-1], time))
        else:
            self._used(time)
        following = self._next(came.path)
        if following:
            self._count("handed_on")
            self._become(PASS)
            way = [*came.path, self._id]
            at = -1 if came.state is None else self._all.aside(self._row, from_bytes([came.state]))
            self._hand(
                following, came.anonymous_id, way, came.event_id, came.event_time, state=at, event=came.event,
                assigned=came.assigned,
            )  # fmt: skip
        elif came.event is None:
            self._count("merged")
            if came.state is not None:
                self._all.aside(self._row, from_bytes([came.state]))
                self._step(MERGE, came.assigned or came.anonymous_id)

    def _next(self, path: Sequence[str]) -> str:
        """Return to whom something is handed on that has come by a path, empty where it stays."""
        following = self._link.customer
        if not following:
            return ""
        if following in path:
            circle = [*path[path.index(following) :], self._id]
            goes_on = self._id != min(circle) and len(path) < 2 * MOST_STEPS
        else:
            goes_on = len(path) < MOST_STEPS
        if not goes_on:
            self._count("kept")
        return following if goes_on else ""

    def _erase(self, origin: str, path: Sequence[str]) -> None:
        """Take along whoever is linked, unless the erasure comes from there; the id is a new one from here on."""
        link = self._link
        self._change(None)
        self._step(ERASE)
        way = [*path, self._id]
        if len(way) > 2 * MOST_STEPS:
            return
        for other in dict.fromkeys([link.customer, *link.members]):
            if other and other not in way:
                time = max(self._now, MIN_TIME_MS)
                self._hand(other, origin, way, "", time, erase=True)

    @property
    def _is_event(self) -> bool:
        return bool(self._all.batch.columns.type[self._row] < PASS)

    def _hand_on_event(self) -> None:
        batch = self._all.batch
        self._count("handed_on")
        if self._row not in self._all.types:  # it tells no login, or one that was known
            self._become(PASS)
        event = batch.event_at(self._record)
        time = epoch_ms(event.event_time)
        self._used(self._moment(time))
        self._hand(self._link.customer, self._id, [self._id], event.event_id, time, event=event)

    def _hand(  # noqa: PLR0917  (what a hand-over says)
        self,
        customer: str,
        origin: str,
        path: list[str],
        event_id: str,
        time: int,
        *,
        state: int = -1,
        event: Event | None = None,
        erase: bool = False,
        assigned: str | None = None,
    ) -> None:
        partition, offset = self._source
        handed = HandOver(
            event_id=event_id,
            customer_id=customer,
            anonymous_id=origin,
            event_time=time,
            source=(partition, offset, self._handed),
            path=path,
            type="merge",
            event=event,
            erase=erase,
            assigned=assigned,
        )
        self._handed += 1
        self._part.handed.append((handed, state))

    def _moment(self, time: int) -> int:
        """Return when a hand-over counts: at its own time, or at that of the partition's newest event."""
        moment = max(time, self._now)
        if not self._is_event:
            self._all.times[self._row] = moment
        return moment

    def _used(self, time: int) -> None:
        """Have a link live on, now and then; that of whom others hand on to is to outlive the state."""
        link, some = self._link, self._all.ttl_ms // _REFRESH
        if link.members and not link.customer:
            if time > link.time:
                self._change(replace_link(link, time=time + some))
        elif link.time and time - link.time > some:
            self._change(replace_link(link, time=time))

    def _step(self, kind: int, handed: str = "") -> None:
        self._all.steps.append(Step(self._row, self._id, kind, handed))

    def _become(self, kind: int) -> None:
        self._all.types[self._row] = kind

    def _change(self, link: Link | None) -> None:
        if link is None:
            if self._links.pop(self._id, None) is None:
                return
        else:
            self._link = self._links[self._id] = link
        self._part.changed[self._id] = link

    def _count(self, outcome: str) -> None:
        self._all.counts[outcome] += 1
