"""Feeds the view from Kafka, once for all viewers of the process, while somebody looks and some minutes longer."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, NamedTuple, cast

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from features.decoding import Undecodable, decoded
from features.exceptions import StoreError
from features.store.partition_record import PartitionRecord
from features.store.redis_client import connect, store_errors
from stream.exceptions import ANSWER_SECONDS
from stream.kafka.broker import broker_errors
from stream.kafka.parsing import parse_leniently
from stream.messages.action import decode_action
from stream.messages.alert import Alert
from stream.messages.dead_letter import parse, parse_erasure
from stream.messages.score import Band, SegmentRef, decode_score
from stream.serving import problems
from stream.serving.live.masks import Masks
from stream.serving.live.shown import Answered
from stream.serving.live.view import WANTED, LiveView
from stream.settings import Settings

#: How far back the view begins, and at most so many scores.
BACK_MS: Final = 30 * 60_000
_MOST_BACK: Final = 100_000
# Dead letters of a day, and at most so many of a partition.
_LETTERS_BACK_MS: Final = 24 * 3_600_000
_MOST_LETTERS: Final = 2_000
_ALERTS_BACK: Final = 20
#: How long the reader goes on when nobody looks any more.
_LINGER_SECONDS: Final = 180.0
# The start of the reader, seen from somebody who waits for it; then the page shows what is there so far.
_OPEN_SECONDS: Final = 8.0
_CATCH_UP_SECONDS: Final = 4.0
#: Viewers of a process.
MOST_VIEWERS: Final = 200
_POLL_MS: Final = 250
# Taking so many records keeps the event loop for some milliseconds.
_AT_ONCE: Final = 300
_SECOND: Final = 1.0
# uvloop's timers count whole milliseconds: they may ring a little before their time.
_TIMER_SECONDS: Final = 0.01
_KEY_BYTES: Final = 32

Records = Callable[[Sequence[int]], Awaitable[dict[int, PartitionRecord | None]]]

_encode: Final = msgspec.json.Encoder().encode
_decode_alert: Final = msgspec.json.Decoder(Alert).decode


def mask_key(settings: Settings) -> bytes | None:
    """Return the key that masks ids, the same for all services of a deployment; ``None`` where none are masked.

    Raises
    ------
    StoreUnavailable
        Redis does not answer.
    """
    if not settings.serve_mask_ids:
        return None
    client = connect(settings.redis_url)
    name = f"{{{settings.redis_prefix}.page}}:mask-key"
    try:
        with store_errors(client):
            client.set(name, secrets.token_bytes(_KEY_BYTES), nx=True)
            return cast("bytes", client.get(name))
    finally:
        client.close()


class _Places(NamedTuple):
    """The partitions that are read, where each begins, and where it ended when the reader started."""

    starts: Mapping[TopicPartition, int]
    ends: Mapping[TopicPartition, int]
    events: Sequence[TopicPartition]
    begins: Mapping[TopicPartition, int]


class LiveReader:
    """Keeps a view, and shows it.

    Parameters
    ----------
    settings
        Where Kafka is.
    partitions
        Of the events topic.
    records
        Reads partitions' records: how far the states have come.
    masks
        How ids are shown.

    Attributes
    ----------
    viewers
        How many look.
    """

    def __init__(self, settings: Settings, partitions: int, records: Records, masks: Masks) -> None:
        self.viewers = 0
        self._settings = settings
        self._partitions = range(partitions)
        self._records = records
        self._masks = masks
        self._view = LiveView(masks, _wall_ms())
        self._wanted, self._opened, self._ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._looked_at = 0.0
        self._frames: dict[frozenset[Band], tuple[int, bytes]] = {}

    def end(self) -> None:
        """End all streams: the process ends."""
        self._ended.set()

    def segments(self) -> set[SegmentRef]:
        """Return the segments of the customers who are shown as active."""
        return self._view.segments()

    async def run(self) -> None:
        """Read whenever somebody looks, forever."""
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
                await self._read(consumer)
            finally:
                self._opened.clear()  # who comes from now on waits for the next view
                await consumer.stop()

    async def snapshot(self, wanted: frozenset[Band]) -> bytes:
        """Return what is shown now, as JSON."""
        async with self._looking():
            return self._frame(wanted)

    async def follow(self, wanted: frozenset[Band]) -> AsyncGenerator[bytes]:
        """Yield what is shown as server-sent events, one a second, until the process ends."""
        if self.viewers >= MOST_VIEWERS:
            raise problems.Unavailable(f"{self.viewers} pages are open: close some, or try again", 30)
        async with self._looking():
            yield b"retry: 3000\n\n"
            while not self._ended.is_set():
                yield b"event: live\ndata: %b\n\n" % self._frame(wanted)
                try:
                    async with asyncio.timeout(_SECOND - time.time() % _SECOND + _TIMER_SECONDS):
                        await self._ended.wait()
                except TimeoutError:
                    continue

    async def timeline(self, customer: str) -> bytes:
        """Return a customer's newest scores, as JSON.

        Raises
        ------
        NotFound
            Nothing was seen of this customer.
        """
        async with self._looking():
            found = self._view.timeline(customer, _wall_ms())
        if not found.points and not found.actions:
            raise problems.NotFound("no score of this customer was seen in the last minutes")
        return _encode(found)

    async def real(self, shown: str) -> str:
        """Return whose a shown id is; an id that is not masked stands for itself."""
        if not self._masks.masked(shown) or self._masks.real(shown) != shown:
            return self._masks.real(shown)
        async with self._looking():
            return self._view.real(shown)

    def shown(self, customer: str) -> str:
        """Return an id as it is shown."""
        return self._masks.shown(customer)

    @asynccontextmanager
    async def _looking(self) -> AsyncIterator[None]:
        self.viewers += 1
        self._wanted.set()
        try:
            async with asyncio.timeout(_OPEN_SECONDS) as limit:
                await self._opened.wait()
                limit.reschedule(None)
            yield
        except TimeoutError:
            if self._opened.is_set():
                raise
            raise problems.Unavailable("Kafka does not answer at this moment: try again") from None
        finally:
            self.viewers -= 1
            self._looked_at = time.monotonic()

    def _frame(self, wanted: frozenset[Band]) -> bytes:
        """Return the snapshot of this second; all viewers share it."""
        wall = _wall_ms()
        made = self._frames.get(wanted)
        if made is None or made[0] != wall // 1000:
            made = (wall // 1000, _encode(self._view.snapshot(wall, wanted)))
            self._frames[wanted] = made
        return made[1]

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        wall = _wall_ms()
        view = LiveView(self._masks, wall - BACK_MS)
        view.count_letters_since(wall - _LETTERS_BACK_MS)
        with broker_errors(self._settings.kafka):
            await consumer.start()
            places = await self._places(consumer, wall)
            consumer.assign(list(places.starts))
            for place, start in places.starts.items():
                consumer.seek(place, start)
        self._view, self._frames = view, {}
        began = self._looked_at = time.monotonic()
        measured, ends = int(time.time()), sum(places.ends[place] for place in places.events)
        while self.viewers or time.monotonic() - self._looked_at < _LINGER_SECONDS:
            with broker_errors(self._settings.kafka):
                fetched = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_AT_ONCE)
            for place, records in fetched.items():
                for record in records:
                    self._take(view, place.topic, record)
            view.caught_up = view.caught_up or await _caught_up(consumer, places)
            if view.caught_up or time.monotonic() - began > _CATCH_UP_SECONDS:
                self._opened.set()
            if int(time.time()) > measured:
                measured = int(time.time())
                ends = await self._measure(consumer, view, places, measured - 1, ends)
            await asyncio.sleep(0)
        self._wanted.clear()

    async def _places(self, consumer: AIOKafkaConsumer, wall: int) -> _Places:
        settings = self._settings
        cluster = await consumer._client.fetch_all_metadata()  # of topics that nothing is assigned of yet
        back = {
            settings.scores_topic: (wall - BACK_MS, _MOST_BACK // len(self._partitions)),
            settings.dead_letters_topic: (wall - _LETTERS_BACK_MS, _MOST_LETTERS),
            settings.alerts_topic: (0, _ALERTS_BACK),
        }
        if settings.actions_topic:
            back[settings.actions_topic] = (wall - BACK_MS, _MOST_BACK // len(self._partitions))
        since = {
            TopicPartition(topic, number): limits
            for topic, limits in back.items()
            for number in cluster.partitions_for_topic(topic) or ()
        }
        events = [TopicPartition(settings.events_topic, number) for number in self._partitions]
        ends = await consumer.end_offsets([*since, *events])
        found = await consumer.offsets_for_times({place: time_ms for place, (time_ms, _) in since.items()})
        starts = {}
        for place, (_, most) in since.items():
            at = found[place]
            starts[place] = max(ends[place] if at is None else at.offset, ends[place] - most)
        if settings.actions_topic:
            starts |= await self._as_late(consumer, starts, ends)
        return _Places(starts, ends, events, await consumer.beginning_offsets(events))

    async def _as_late(
        self,
        consumer: AIOKafkaConsumer,
        starts: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
    ) -> dict[TopicPartition, int]:
        """Return where actions begin if they begin with the scores.

        What a busy shop has scored is read from the newest scores on, which may be later than the actions. Of actions
        before that nobody would know what came of them.
        """
        scores = {place: at for place, at in starts.items() if place.topic == self._settings.scores_topic}
        first = {place: at for place, at in scores.items() if at < ends[place]}
        consumer.assign(list(first))
        for place, at in first.items():
            consumer.seek(place, at)
        moments: dict[int, int] = {}
        limit = time.monotonic() + _OPEN_SECONDS
        while len(moments) < len(first) and time.monotonic() < limit:
            for place, records in (await consumer.getmany(timeout_ms=_POLL_MS, max_records=_AT_ONCE)).items():
                moments[place.partition] = records[0].timestamp
                consumer.pause(place)
        wanted = {
            place: moments[place.partition]
            for place in starts
            if place.topic == self._settings.actions_topic and place.partition in moments
        }
        found = await consumer.offsets_for_times(wanted) if wanted else {}
        return {
            place: max(starts[place], ends[place] if at is None else at.offset) for place, at in found.items()
        }

    async def _measure(
        self, consumer: AIOKafkaConsumer, view: LiveView, places: _Places, second: int, before: int
    ) -> int:
        """Look how far the topic of events and the states have come; return the sum of the ends."""
        with broker_errors(self._settings.kafka):
            ends = await consumer.end_offsets(list(places.events))
        total: int = sum(ends.values())
        view.count_events(second, total - before)
        redis = view.answered.redis
        try:
            records = await self._records(self._partitions)
        except StoreError:
            view.forget_lag()
        else:
            redis = _wall_ms()
            view.measure_lag(
                {
                    place.partition: ends[place] - max(_next(records[place.partition]), places.begins[place])
                    for place in places.events
                }
            )
        view.answered = Answered(_wall_ms(), redis)
        return total

    def _take(self, view: LiveView, topic: str, record: ConsumerRecord) -> None:
        if topic == self._settings.dead_letters_topic:
            letter = None if parse_erasure(record) is not None else parse(record)
            if letter is not None:
                view.add_letter(letter.reason, letter.arrived_at)
            return
        if record.value is None:
            view.erase((record.key or b"").decode(errors="replace"))
            return
        try:
            if topic == self._settings.scores_topic:
                view.add_score(decoded(decode_score, record.value))
            elif topic == self._settings.alerts_topic:
                view.add_alert(decoded(_decode_alert, record.value))
            else:
                view.add_action(decoded(decode_action, record.value))
        except Undecodable:
            view.unreadable += 1


def _next(record: PartitionRecord | None) -> int:
    return 0 if record is None else record.next_offset


async def _caught_up(consumer: AIOKafkaConsumer, places: _Places) -> bool:
    """Whether all is read that was there at the start."""
    for place in places.starts:
        if await consumer.position(place) < places.ends[place]:
            return False
    return True


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


ALL: Final[frozenset[Band]] = frozenset(WANTED)
