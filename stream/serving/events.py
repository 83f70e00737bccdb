"""Events and erasures over HTTP: checked as the worker checks them, and then in Kafka.

What is sent twice is known by its event id: for some minutes here, so that a client that got no answer may simply send
again, and for good by the customer's state, which drops an event that it has just folded.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Sequence
from typing import Final, cast

from aiokafka.errors import KafkaError

from features.events import MAX_ID, check_identifiers
from features.exceptions import StoreError
from features.partition import partitions_of
from features.refusals import RejectedEvent
from features.store.redis_client import connect, store_errors
from stream.formats.contract import NATIVE, Format
from stream.kafka.producing import BoundedProducer
from stream.scoring.in_force import Served
from stream.serving import problems
from stream.serving.answers import Erasure, EventOutcome
from stream.serving.checking import Candidate, candidates_of, check
from stream.serving.lookups import Lookups
from stream.setting_values import NATIVE_NAME
from stream.settings import Settings

logger = logging.getLogger(__name__)

#: How long an event id is remembered here. Clients repeat within seconds; 10,000 events a second take 600 MB of Redis
#: at this.
REMEMBERED_SECONDS: Final = 600
# Under the time limit of an answer (`stream.serving.gate.ANSWER_SECONDS`).
_PUBLISH_SECONDS: Final = 8.0
_BATCH_BYTES: Final = 1_000_000

_Place = tuple[int, int]


class Recent:
    """Event ids that were taken lately, in Redis: hashes of them, and where the events stand.

    Parameters
    ----------
    url, prefix
        As for the states.
    """

    def __init__(self, url: str, prefix: str) -> None:
        self._redis = connect(url)
        self._prefix = prefix

    def close(self) -> None:
        """Close all connections."""
        self._redis.close()

    def places(self, events: Sequence[Candidate]) -> list[_Place | None]:
        """Return where events stand that were taken lately, ``None`` for others."""
        pipeline = self._redis.pipeline(transaction=False)
        for one in events:
            pipeline.get(self._key(one))
        with store_errors(self._redis):
            found = cast("list[bytes | None]", pipeline.execute())
        return [None if raw is None else _place(raw) for raw in found]

    def remember(self, events: Sequence[Candidate], places: Sequence[_Place]) -> None:
        """Remember events that are in Kafka."""
        pipeline = self._redis.pipeline(transaction=False)
        for one, (partition, offset) in zip(events, places, strict=True):
            pipeline.set(self._key(one), b"%d:%d" % (partition, offset), ex=REMEMBERED_SECONDS)
        with store_errors(self._redis):
            pipeline.execute()

    def _key(self, event: Candidate) -> str:
        name = hashlib.blake2b(f"{event.key}\0{event.event_id}".encode(), digest_size=16).hexdigest()
        return f"{{{self._prefix}.serve.{name[:3]}}}:{name}"


def _place(raw: bytes) -> _Place | None:
    partition, _, offset = raw.partition(b":")
    return (int(partition), int(offset)) if partition.isdigit() and offset.isdigit() else None


class EventSink:
    """Takes events for Kafka.

    Parameters
    ----------
    settings
        Where Kafka and Redis are, and how events are decoded.
    served
        Says in which currency, and how late events may be.
    lookups
        Ask where partitions stand.
    """

    def __init__(self, settings: Settings, served: Served, lookups: Lookups) -> None:
        self._settings = settings
        self._served = served
        self._lookups = lookups
        self._recent = Recent(settings.redis_url, settings.redis_prefix)
        self._producer = BoundedProducer(
            settings.kafka,
            seconds=_PUBLISH_SECONDS,
            linger_ms=1,
            max_batch_size=_BATCH_BYTES,
            compression_type=settings.compression_type,
            **settings.aiokafka_security(),
        )

    @property
    def answered_at(self) -> float:
        """When Kafka last took something, seconds of `time.monotonic`."""
        return self._producer.answered_at

    async def close(self) -> None:
        """End the producer."""
        await self._producer.close()
        self._recent.close()

    async def take(self, messages: Sequence[bytes], form: Format | None, now_ms: int) -> list[EventOutcome]:
        """Take the events of messages; return what became of each, in order.

        Raises
        ------
        Unavailable
            Kafka did not take them in time: to be sent again, which repeats nothing.
        """
        decoding, partitions = self._settings.decoding, self._served.partitions
        found = candidates_of(messages, form, decoding, partitions, now_ms)
        marks = await self._watermarks(sorted({one.partition for one in found if one.wanted}))
        engine = self._served.models.engine
        check(found, marks, engine, decoding, partitions=partitions, now_ms=now_ms)
        wanted = [one for one in found if one.wanted]
        first, repeats = _distinct(wanted)
        before = await self._places(first)
        fresh = [one for one, place in zip(first, before, strict=True) if place is None]
        written = await self._publish([(one.partition, one.key, one.value) for one in fresh])
        await self._remember(fresh, written)
        known = {id(one): place for one, place in zip(first, before, strict=True) if place is not None}
        new = dict(zip(map(id, fresh), written, strict=True))
        places = known | new
        return [_outcome(one, places.get(id(repeats.get(id(one), one))), id(one) in new) for one in found]

    async def erase(self, customer: str) -> Erasure:
        """Ask for a customer to be erased.

        Raises
        ------
        Unavailable
            Kafka did not take the request in time.
        """
        home = int(partitions_of([customer.encode()], self._served.partitions)[0])
        [(partition, offset)] = await self._publish([(home, customer, None)])
        return Erasure(partition, offset)

    async def _publish(self, records: Sequence[tuple[int, str, bytes | None]]) -> list[_Place]:
        if not records:
            return []
        headers = [] if self._settings.format == NATIVE_NAME else [NATIVE]
        topic = self._settings.events_topic
        try:
            async with self._producer.publication() as producer:
                sent = [
                    await producer.send(topic, value, customer.encode(), partition=home, headers=headers)
                    for home, customer, value in records
                ]
                written = [await one for one in sent]
        except KafkaError as error:
            logger.warning("events were not taken: %s", error)
            raise problems.Unavailable(
                "Kafka did not confirm the events: send them again, those that it has are not counted twice"
            ) from None
        return [(one.partition, one.offset) for one in written]

    async def _watermarks(self, partitions: Sequence[int]) -> dict[int, int]:
        """Return the watermarks that are known; without Redis none is, and the worker judges alone."""
        if not partitions:
            return {}
        try:
            found = await self._lookups.records(partitions)
        except StoreError as error:
            logger.warning("whether events are late is not known: %s", error)
            return {}
        return {partition: record.watermark for partition, record in found.items() if record is not None}

    async def _places(self, events: Sequence[Candidate]) -> list[_Place | None]:
        try:
            return await asyncio.to_thread(self._recent.places, events) if events else []
        except StoreError as error:
            logger.warning("whether events come again is not known: %s", error)
            return [None] * len(events)

    async def _remember(self, events: Sequence[Candidate], places: Sequence[_Place]) -> None:
        try:
            if events:
                await asyncio.to_thread(self._recent.remember, events, places)
        except StoreError as error:
            logger.warning("events are taken, and not remembered: %s", error)


def check_customer(customer: str) -> str:
    """Return an id of a customer.

    Raises
    ------
    Unprocessable
        It is none.
    """
    try:
        customer.encode()
        check_identifiers([customer])
    except (RejectedEvent, UnicodeEncodeError):
        raise problems.Unprocessable("the customer id has characters that an id cannot have") from None
    if not 0 < len(customer) <= MAX_ID:
        raise problems.Unprocessable(
            f"the customer id has {len(customer):,} characters: 1 to {MAX_ID} are one"
        )
    return customer


def _distinct(events: Sequence[Candidate]) -> tuple[list[Candidate], dict[int, Candidate]]:
    """Return the first events of each id, and for those that come again the first one."""
    first: dict[tuple[str, str], Candidate] = {}
    again = {}
    for one in events:
        former = first.setdefault((one.key, one.event_id), one)
        if former is not one:
            again[id(one)] = former
    return list(first.values()), again


def _outcome(one: Candidate, place: _Place | None, new: bool) -> EventOutcome:
    event_id = one.event_id or None
    if one.rejection is not None:
        reason, detail = str(one.rejection.reason), one.rejection.detail
        return EventOutcome(one.index, "refused", event_id, reason=reason, detail=detail)
    if one.ignored or place is None:
        return EventOutcome(one.index, "ignored", event_id)
    return EventOutcome(one.index, "accepted" if new else "repeated", event_id, *place)


def now_ms() -> int:
    """Return the time of day, epoch ms."""
    return time.time_ns() // 1_000_000
