"""Scores and actions as they come: one reader of the topic for the whole process, which runs while somebody follows.

Whoever follows has a position in each partition, which goes out with every event as its id. Who comes back with it
gets what lies between from Kafka, and then goes on with what the process reads: nothing is left out, nothing comes
twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from features.decoding import Undecodable, decoded
from stream.exceptions import ANSWER_SECONDS
from stream.kafka.broker import broker_errors
from stream.kafka.parsing import parse_leniently
from stream.kafka.reading import TopicReader
from stream.messages.action import Action
from stream.messages.score import Score, SegmentRef, is_segment
from stream.serving import problems
from stream.serving.ring import Entry, Ring
from stream.settings import Settings

logger = logging.getLogger(__name__)

#: A comment goes out after so long without an event, so that proxies, and the client, see that the stream lives.
HEARTBEAT_SECONDS: Final = 15.0
#: How long the reader goes on when nobody follows any more.
_LINGER_SECONDS: Final = 30.0
# The start of the reader, seen from a client who waits for it.
_OPEN_SECONDS: Final = 8.0
#: Streams of a process.
MOST_STREAMS: Final = 200
# Clients who are brought up to date by readers of their own, at a time.
_CATCHING_UP: Final = 4
_AT_ONCE: Final = 500
_DIGITS: Final = 18  # of an offset; more are none
_POLL_MS: Final = 500


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages a client wants; of each kind all where nothing is named.

    Attributes
    ----------
    bands, actions, customers
        Of the message.
    segments
        By number, or part of the name.
    all_traffic
        Also scores of machines and of the shop's own people.
    """

    bands: frozenset[str] = frozenset()
    segments: tuple[str, ...] = ()
    actions: frozenset[str] = frozenset()
    customers: frozenset[str] = frozenset()
    all_traffic: bool = False

    def has(self, entry: Entry) -> bool:
        """Whether an entry is wanted; an erasure is, unless other customers are named."""
        if self.customers and entry.customer not in self.customers:
            return False
        message = entry.message
        if message is None:
            return True
        if isinstance(message, Score) and message.traffic is not None and not self.all_traffic:
            return False
        if self.bands and message.band not in self.bands:
            return False
        if self.actions and message.action not in self.actions:
            return False
        return not self.segments or any(is_segment(message.segment, one) for one in self.segments)


class Feed:
    """One topic, for all who follow it.

    Parameters
    ----------
    settings
        Where Kafka is.
    topic, partitions, event
        The topic, how many partitions it has, and what an event of it is called.
    decode
        Reads a value.

    Attributes
    ----------
    unreadable
        Records that are no messages, and were passed over.
    followers
        How many follow.
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        partitions: int,
        event: str,
        decode: Callable[[bytes], Score | Action],
    ) -> None:
        self.unreadable = 0
        self.followers = 0
        self.topic = topic
        self._settings = settings
        self._partitions = partitions
        self._event = event
        self._decode = decode
        self._ring = Ring()
        self._positions: list[int] = []
        self._wanted = asyncio.Event()
        self._opened = asyncio.Event()
        self._ended = False
        self._catching_up = asyncio.Semaphore(_CATCHING_UP)

    def end(self) -> None:
        """End all streams: the process ends."""
        self._ended = True
        self._ring.tell()

    def segments(self) -> set[SegmentRef]:
        """Return the segments of the messages that are held, of which some may be of a bundle of before."""
        return {entry.message.segment for entry in self._ring if entry.message is not None}

    async def run(self) -> None:
        """Read whenever somebody follows, forever."""
        while True:
            await self._wanted.wait()
            parse_leniently()
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self._settings.kafka,
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="latest",
                isolation_level="read_committed",
                request_timeout_ms=int(ANSWER_SECONDS * 1000),
                **self._settings.aiokafka_security(),
            )
            try:
                await self._start(consumer)
                await self._read(consumer)
                self._opened.clear()  # who comes from now on waits for the next reader
                self._ring.clear()
                self._positions = []
            finally:
                await consumer.stop()

    async def follow(
        self, wanted: Wanted, positions: Sequence[int] | None, *, from_start: bool = False
    ) -> AsyncGenerator[bytes]:
        """Yield pieces of an event stream for one client, until it is too slow or the process ends.

        Parameters
        ----------
        positions
            Where to go on, of each partition; ``None``: with what comes from now on.
        from_start
            Begin with the oldest message.
        """
        if self.followers >= MOST_STREAMS:
            raise problems.Unavailable(f"{self.followers} streams are open: close some, or try again", 30)
        self.followers += 1
        self._wanted.set()
        try:
            await self._open()
            yield b"retry: 3000\n\n"
            at = _Follower(self._event, wanted, list(self._positions))
            number = self._ring.following
            if positions is not None or from_start:
                at.positions = [0] * len(self._positions) if positions is None else list(positions)
                async for piece in self._caught_up(at, from_start=from_start):
                    yield piece
                number = at.number
            async for piece in self._followed(at, number):
                yield piece
        finally:
            self.followers -= 1
            if not self.followers:
                self._wanted.clear()

    async def _open(self) -> None:
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                await self._opened.wait()
        except TimeoutError:
            raise problems.Unavailable(
                f"Kafka does not give {self.topic} at this moment: try again"
            ) from None

    async def _start(self, consumer: AIOKafkaConsumer) -> None:
        with broker_errors(self._settings.kafka):
            await consumer.start()
            places = [TopicPartition(self.topic, number) for number in range(self._partitions)]
            consumer.assign(places)
            if not self._positions:
                ends = await consumer.end_offsets(places)
                self._positions = [ends[place] for place in places]
            for place, position in zip(places, self._positions, strict=True):
                consumer.seek(place, position)
        self._opened.set()

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        """Read until nobody has followed for a while."""
        loop = asyncio.get_running_loop()
        alone_since = loop.time()
        while self.followers or loop.time() - alone_since < _LINGER_SECONDS:
            with broker_errors(self._settings.kafka):
                fetched = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_AT_ONCE)
            for place, records in fetched.items():
                for record in records:
                    self._positions[place.partition] = record.offset + 1
                    entry = self._entry(record)
                    if entry is not None:
                        self._ring.add(entry)
            if fetched:
                self._ring.tell()
                await asyncio.sleep(0)
            if self.followers:
                alone_since = loop.time()

    def _entry(self, record: ConsumerRecord) -> Entry | None:
        customer = (record.key or b"").decode(errors="replace")
        if record.value is None:
            return Entry(record.partition, record.offset, customer, None, None)
        try:
            message = decoded(self._decode, record.value)
        except Undecodable:
            self.unreadable += 1
            return None
        return Entry(record.partition, record.offset, customer, record.value, message)

    async def _caught_up(self, at: _Follower, *, from_start: bool) -> AsyncIterator[bytes]:
        """Yield what lies between the positions of a client and the ring."""
        async with self._catching_up:
            while True:
                at.number = self._ring.following
                async with TopicReader(self._settings, self.topic) as reader:
                    yield at.begun(reader.begins, reader.ends, gaps=not from_start)
                    async for _, records in reader.read(dict(enumerate(at.positions))):
                        for start in range(0, len(records), _AT_ONCE):
                            piece = records[start : start + _AT_ONCE]
                            entries = (self._entry(record) for record in piece)
                            yield at.frames([one for one in entries if one is not None])
                    for partition, end in reader.ends.items():
                        at.positions[partition] = max(at.positions[partition], end)
                if at.number >= self._ring.first:
                    return
                from_start = False

    async def _followed(self, at: _Follower, number: int) -> AsyncIterator[bytes]:
        """Yield what the ring has from a number on."""
        while not self._ended:
            if number < self._ring.first:
                yield at.event("dropped", {"detail": "the client is too slow: come back with Last-Event-ID"})
                return
            entries = self._ring.since(number, _AT_ONCE)
            number += len(entries)
            piece = at.frames(entries)
            if not piece and not entries and not await self._ring.wait(number, HEARTBEAT_SECONDS):
                piece = at.heartbeat()
            if piece:
                yield piece


class _Follower:
    """Where one client is."""

    def __init__(self, event: str, wanted: Wanted, positions: list[int]) -> None:
        self.positions = positions
        self.number = 0
        self._event = event.encode()
        self._wanted = wanted

    def begun(self, begins: dict[int, int], ends: dict[int, int], *, gaps: bool) -> bytes:
        """Move positions that the log does not have into it; tell of each that messages are missing."""
        told = b""
        for partition, position in enumerate(self.positions):
            place = min(max(position, begins[partition]), ends[partition])
            if place != position:
                self.positions[partition] = place
                if gaps:
                    told += self.event("gap", {"partition": partition, "from": position, "to": place})
        return told

    def frames(self, entries: Sequence[Entry]) -> bytes:
        """Return the events that new ones among these entries are for the client."""
        parts = []
        for entry in entries:
            if entry.offset < self.positions[entry.partition]:
                continue
            self.positions[entry.partition] = entry.offset + 1
            if not self._wanted.has(entry):
                continue
            name, data = self._event, entry.raw
            if data is None:
                name, data = b"erased", msgspec.json.encode({"customer_id": entry.customer})
            parts.append(b"id: %b\nevent: %b\ndata: %b\n\n" % (self._id(), name, data))
        return b"".join(parts)

    def event(self, name: str, data: dict[str, Any]) -> bytes:
        """Return an event that is no message."""
        return b"id: %b\nevent: %b\ndata: %b\n\n" % (self._id(), name.encode(), msgspec.json.encode(data))

    def heartbeat(self) -> bytes:
        """Return a comment; the id moves on over messages that were not wanted."""
        return b": alive\nid: %b\n\n" % self._id()

    def _id(self) -> bytes:
        return ".".join(map(str, self.positions)).encode()


def positions_of(text: str, partitions: int) -> list[int]:
    """Return the positions that an event's id holds.

    Raises
    ------
    BadRequest
        It is no id of this feed.

    Examples
    --------
    >>> positions_of("17.0.4", 3)
    [17, 0, 4]
    """
    parts = text.split(".")
    if len(parts) != partitions or not all(
        part.isascii() and part.isdigit() and len(part) <= _DIGITS for part in parts
    ):
        raise problems.BadRequest(
            f"the Last-Event-ID {text[:100]!r} is none of this stream, which has {partitions} partitions: leave it out"
        )
    return [int(part) for part in parts]
