"""Look-ups: what the stream said of customers last, made anew of their states in Redis.

Whatever asks within one pass is answered by the next: one round trip to Redis, and one pass through the engine. So the
price of a look-up falls as more of them come, and a busy service is not slower than an idle one for long.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.exceptions import StoreUnavailable, UnreadableState
from features.identity import MOST_STEPS
from features.links import Link
from features.partition import partitions_of
from features.state import States, joined
from features.store.partition_record import NO_WATERMARK, PartitionRecord
from features.store.state_reader import StateReader
from stream.messages.score import Recommendation
from stream.scoring.engine import NoProbability, Scored
from stream.scoring.in_force import Served
from stream.scoring.scorer import Models
from stream.serving.answers import Customer, Missing, Place, customers_of

#: Customers of one pass: it keeps the event loop for some milliseconds, and other requests wait meanwhile.
PASS: Final = 128

Found = Customer | Missing


class Known(NamedTuple):
    """What Redis says of a customer.

    Attributes
    ----------
    customer
        The customer; not the one that was asked for, where a login has linked that id to another.
    record
        Of the customer's partition.
    states
        The state, an array of one; of somebody unknown an empty one.
    items
        The stored items, ``None`` for none.
    fault
        What is wrong with the state; empty where nothing is.
    assigned
        By which id the customer is assigned to an arm of the experiment; empty for the own one.
    """

    customer: str
    place: Place
    record: PartitionRecord | None
    states: States
    items: bytes | None
    fault: str = ""
    assigned: str = ""

    @property
    def alive(self) -> bool:
        """Whether there is a state."""
        return bool(self.states["events"][0])


@dataclass(slots=True)
class _Asked:
    customers: Sequence[str]
    features: bool
    answer: asyncio.Future[list[Found]]
    found: list[Found] = field(default_factory=list)


class Lookups:
    """Answers about customers.

    Parameters
    ----------
    reader
        Reads states.
    served
        What they are scored with.
    ttl_ms
        A state that was silent for longer counts as none.

    Attributes
    ----------
    passes, answered
        How many passes there were, and how many customers they were about.
    answered_at
        When Redis last answered, seconds of `time.monotonic`.
    """

    def __init__(self, reader: StateReader, served: Served, ttl_ms: int) -> None:
        self.passes = self.answered = 0
        self.answered_at = 0.0
        self._reader = reader
        self._served = served
        self._ttl_ms = ttl_ms
        self._waiting: deque[tuple[_Asked, str]] = deque()
        self._pass: asyncio.Task[None] | None = None

    def close(self) -> None:
        """Answer nobody any more."""
        if self._pass is not None:
            self._pass.cancel()

    async def look(self, customers: Sequence[str], *, features: bool = True) -> list[Found]:
        """Return what is known of customers, in their order.

        Raises
        ------
        StoreUnavailable
            Redis does not answer.
        """
        asked = _Asked(customers, features, asyncio.get_running_loop().create_future())
        self._waiting.extend((asked, customer) for customer in customers)
        if self._pass is None or self._pass.done():
            self._pass = asyncio.create_task(self._answer_all(), name="look-ups")
        return await asked.answer

    async def known(self, customers: Sequence[str]) -> list[Known]:
        """Return what Redis says of customers, in their order; who was linked to another is that one."""
        found: dict[str, Known] = {}
        linked: dict[str, str] = {}
        wanted = list(dict.fromkeys(customers))
        for _ in range(MOST_STEPS):
            linked |= await self._read(wanted, found)
            wanted = list(dict.fromkeys(one for one in linked.values() if one not in found))
            if not wanted:
                break
        self.answered_at = time.monotonic()
        return [found[end_of(one, linked, found)] for one in customers]

    async def records(self, partitions: Sequence[int]) -> dict[int, PartitionRecord | None]:
        """Return the records of partitions."""
        found = await self._reader.records(partitions)
        self.answered_at = time.monotonic()
        return dict(zip(partitions, found, strict=True))

    async def _answer_all(self) -> None:
        """Answer until nobody waits."""
        while self._waiting:
            taken = [self._waiting.popleft() for _ in range(min(PASS, len(self._waiting)))]
            taken = [one for one in taken if not one[0].answer.done()]  # whose request has ended meanwhile
            if not taken:
                continue
            try:
                known = await self.known([customer for _, customer in taken])
                answers = self._answers(known, [asked.features for asked, _ in taken])
            except Exception as error:
                for asked, _ in taken:
                    if not asked.answer.done():
                        asked.answer.set_exception(error)
                continue
            self.passes += 1
            self.answered += len(taken)
            for (asked, customer), answer in zip(taken, answers, strict=True):
                asked.found.append(answer or Missing(customer, "unknown"))
                if len(asked.found) == len(asked.customers) and not asked.answer.done():
                    asked.answer.set_result(asked.found)

    def _answers(self, known: Sequence[Known], features: Sequence[bool]) -> list[Found | None]:
        """Return the answers, ``None`` about somebody unknown."""
        found: list[Found | None] = [
            Missing(one.customer, "unreadable") if one.fault else None for one in known
        ]
        alive = [at for at, one in enumerate(known) if one.alive]
        if alive:
            answers = self.described([known[at] for at in alive], [features[at] for at in alive])
            for at, answer in zip(alive, answers, strict=True):
                found[at] = answer
        return found

    def described(self, known: Sequence[Known], features: Sequence[bool]) -> list[Found]:
        """Return the answers about customers who have a state."""
        models = self._served.models
        states = joined([one.states for one in known])
        customers = [one.customer for one in known]
        advisor = None if models.newest is None else models.newest.current
        try:
            assigned = [one.assigned or one.customer for one in known]
            scored = models.engine.score_states(states, customers, advisor, assigned)
        except NoProbability:
            if len(known) == 1:
                return [Missing(customers[0], "unreadable")]
            return [self.described([one], [own])[0] for one, own in zip(known, features, strict=True)]
        return list(
            customers_of(
                models.engine,
                scored,
                customers,
                [one.place for one in known],
                recommended(models, scored, np.arange(len(known)), [one.items for one in known]),
                features=features,
            )
        )

    async def _read(self, customers: Sequence[str], found: dict[str, Known]) -> dict[str, str]:
        """Read the states of some customers; return to whom ids among them are linked."""
        homes = partitions_of([one.encode() for one in customers], self._served.partitions).tolist()
        wanted: dict[int, list[str]] = {}
        for customer, home in zip(customers, homes, strict=True):
            wanted.setdefault(home, []).append(customer)
        linked = {}
        for partition, read in (await self._reader.read(wanted)).items():
            self._check(partition, read.record)
            record = read.record
            for at, customer in enumerate(wanted[partition]):
                states, fault = read.states[at : at + 1], read.faults.get(at, "")
                raw = read.links[at]
                try:
                    link = Link() if raw is None else Link.from_bytes(raw)
                except UnreadableState as error:
                    link, fault = Link(), str(error)
                if self._expired(record, link.time):
                    link = Link()
                if link.customer:
                    linked[customer] = link.customer
                if states["events"][0] and self._expired(record, int(states["last_time"][0])):
                    states = states.copy()
                    states["events"] = 0
                place = Place(partition, 0 if record is None else max(record.next_offset, 0))
                found[customer] = Known(customer, place, record, states, read.items[at], fault, link.assigned)
        return linked

    def _expired(self, record: PartitionRecord | None, time: int) -> bool:
        """Whether what was used last at this time is forgotten, whether it is swept already or not."""
        return (
            record is not None and record.watermark != NO_WATERMARK and time < record.watermark - self._ttl_ms
        )

    def _check(self, partition: int, record: PartitionRecord | None) -> None:
        if record is not None and record.partitions != self._served.partitions:
            raise StoreUnavailable(
                f"the states of partition {partition} were written for {record.partitions} partitions, the events "
                f"topic had {self._served.partitions} when the service started: start it again"
            )


def end_of(customer: str, linked: Mapping[str, str], known: Container[str]) -> str:
    """Return whose an id is by the links of logins; in a circle the least id has all (`stream.scoring.linking`).

    Examples
    --------
    >>> end_of("a", {"a": "b", "b": "c"}, "abc"), end_of("a", {"a": "c", "c": "b", "b": "c"}, "abc")
    ('c', 'b')
    """
    way = [customer]
    while (following := linked.get(way[-1], "")) and following in known:
        if following in way:
            return min(way[way.index(following) :])
        way.append(following)
    return way[-1]


def recommended(
    models: Models, scored: Scored, slots: NDArray[np.int64], items: Sequence[bytes | None]
) -> list[Recommendation | None]:
    """Return what is recommended with each score.

    Parameters
    ----------
    slots
        For each event of the batch the position of its customer.
    items
        Of each customer the stored ones.
    """
    recommender = None if models.recommending is None else models.recommending.current
    if recommender is None:
        return [None] * len(scored.rows)
    return recommender.recommend(scored, slots, items).each
