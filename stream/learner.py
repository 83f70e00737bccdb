"""The learner: a Faust app that labels examples once it is known what happened, and learns from them.

One learns at a time: a lease in Redis admits it, others stand by. A snapshot holds what was learned and how far both
topics were read, and is saved in one guarded transaction: whatever is killed when, learning goes on from the last one
as if nothing had happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from tempfile import TemporaryDirectory
from typing import Any, Final, ParamSpec, TypeVar

import msgspec
from aiokafka.errors import KafkaError

from features.bundle import Bundle
from features.causes import cause
from features.exceptions import StoreError
from stream.exceptions import BrokerUnavailable
from stream.health import health_app, serve_health
from stream.kafka.batches import RecordBatch
from stream.kafka.broker import check_topics
from stream.kafka.producing import BoundedProducer
from stream.kafka.transport import BatchedApp, serve
from stream.learning.learned_bundle import LearnedBundle
from stream.learning.learning import EXAMPLES, OUTCOMES, Learning, Refused, Source
from stream.learning.metrics import LearnerMetrics
from stream.learning.model.settings import LearningSettings
from stream.learning.model.snapshot import Snapshot
from stream.learning.report import Report, decode_report
from stream.learning.snapshot_store import Lease, LeaseLost, SnapshotStore
from stream.learning.topic_buffers import TopicBuffers
from stream.learning.vigilance import Vigilance
from stream.messages.alert import Alert
from stream.messages.dead_letter import dead_letter
from stream.running import ending, outages
from stream.settings import Settings
from stream.tracing.trace import Tracing, tracing_of

logger = logging.getLogger(__name__)

# A learner that gives no sign of life for so long is taken for dead. Longer than an outage of Redis that is over at
# once, and about the time after which Kafka's group gives a dead member's partitions away.
LEASE_SECONDS: Final = 10.0
_RENEW_SECONDS: Final = 2.0

# How often a learner that stands by looks.
_STAND_BY_SECONDS: Final = 0.5

# How often a learner that was admitted while Kafka is away tries again.
_OUTAGE_SECONDS: Final = 2.0

# Where nothing is learned (all examples are another bundle's, say) only the cursors move on. They are saved too, but
# after so many intervals: a restart must never ask for records that have expired.
_UNLEARNED_INTERVALS: Final = 6

# At the end of the log records come one by one; what comes within this time is taken in one step. Labels are as late
# as the horizon anyway.
_PACE_SECONDS: Final = 0.1

# A letter holds a whole record, which the broker lets have 1 MiB, and its headers.
_REQUEST_BYTES: Final = 4 << 20

# How often to look for a stop, a lost lease and the time to save while no records come.
_POLL_SECONDS: Final = 0.5

_BETWEEN: Final = "stopping, or standing by again"
_UNASSIGNED: Final = "waiting for the consumer group to assign the partitions"

P = ParamSpec("P")
T = TypeVar("T")

_encode = msgspec.json.Encoder().encode


class Learner:
    """Learns for as long as it has the lease.

    Parameters
    ----------
    settings
        Where everything is.
    bundle
        Whose examples are learned.
    store
        Where snapshots and the lease are.
    partitions
        Partition count of the topics.
    shelf
        Says when to go on with another bundle; ``None`` where that takes a restart.
    tracing
        Chooses the batches whose learning is traced.

    Attributes
    ----------
    learning
        What learns; ``None`` while it stands by.
    buffers
        What was fetched of both topics; ``None`` while it stands by.
    report
        The live figures of the last snapshot.
    """

    def __init__(
        self,
        settings: Settings,
        bundle: Bundle,
        store: SnapshotStore,
        partitions: int,
        shelf: LearnedBundle | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.learning: Learning | None = None
        self.buffers: TopicBuffers | None = None
        self.report: Report | None = None
        self._trouble = "starting"
        self._settings = settings
        self._bundle = bundle
        self._shelf = shelf
        self._store = store
        self._tracing = tracing or Tracing()
        self._partitions = partitions
        self._topics = {EXAMPLES: settings.examples_topic, OUTCOMES: settings.outcomes_topic}
        self._how = learning_settings(settings)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="learner")
        self._vigilance = Vigilance(bundle.manifest.horizon_seconds + settings.lateness.total_seconds())
        self._saved_at = 0.0
        self._saved_version = 0
        self._names: tuple[str, ...] = ()  # of what workers use, as it was saved last or may have been
        self._set_back = False
        self._step: asyncio.Future[None] | None = None

    @property
    def trouble(self) -> str:
        """Why it does not learn, or stand by, as it should; empty where it does."""
        if self._trouble or self.buffers is None or self.learning is None:
            return self._trouble
        return self._vigilance.trouble(self.buffers)

    @property
    def ready(self) -> bool:
        """Whether it learns or stands by as it should."""
        return not self.trouble

    @property
    def refusal(self) -> str | None:
        """Why the live bundle of the shelf is not taken, empty if it is; ``None`` where there is no shelf."""
        return None if self._shelf is None else self._shelf.refusal

    async def run(self, stop: asyncio.Event, *, start_over: bool = False) -> None:
        """Stand by, learn, and stand by again, until stopped.

        Parameters
        ----------
        start_over
            Forget what has been learned, and read both topics from their beginnings.
        """
        outage = False
        while not stop.is_set():
            lease = await self._admitted(stop)
            if lease is None:
                return
            logger.log(
                logging.DEBUG if outage else logging.INFO, "admitted as the learner, epoch %s", lease.epoch
            )
            try:
                if start_over and not await self._forget(lease):
                    continue
                start_over = False
                await self._session(lease, stop)
                outage = False
            except LeaseLost as loss:
                logger.warning("lost the lease: %s; standing by", loss)
            except BrokerUnavailable as error:  # it answered at the start: an outage, which is waited out
                logger.log(logging.DEBUG if outage else logging.WARNING, "%s; trying again", error)
                outage = True
                await _pause(stop, _OUTAGE_SECONDS)
            finally:
                self._trouble, self.learning, self.buffers = _BETWEEN, None, None

    def close(self) -> None:
        """Release the thread; what it is at comes to its end."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _admitted(self, stop: asyncio.Event) -> Lease | None:
        """Wait for the lease; ``None`` when stopped."""
        while not stop.is_set():
            try:
                lease = await asyncio.to_thread(self._store.acquire, LEASE_SECONDS)
            except StoreError as error:
                self._trouble = str(error)
            else:
                if lease is not None:
                    return lease
                self._trouble = ""  # standing by is what it has to do
            await _pause(stop, _STAND_BY_SECONDS)
        return None

    async def _forget(self, lease: Lease) -> bool:
        """Forget what has been learned; return whether it is: Redis may be away for a while."""
        try:
            await self._call(self._store.forget, lease)
        except StoreError as error:
            logger.warning("starting over: %s", error)
            return False
        return True

    async def _session(self, lease: Lease, stop: asyncio.Event) -> None:
        """Learn until stopped, or until the lease is lost."""
        settings = self._settings
        names = self._topics
        self._trouble = _UNASSIGNED
        self.buffers = buffers = TopicBuffers(names, self._partitions)
        by_name = {names[topic]: buffer for topic, buffer in buffers.topics.items()}
        over = asyncio.Event()
        with TemporaryDirectory(prefix="intent-") as scratch:
            app = BatchedApp(
                settings.kafka,
                settings.learner_group,
                settings.examples_topic,
                by_name[settings.examples_topic],
                also={settings.outcomes_topic: by_name[settings.outcomes_topic]},
                security=settings.aiokafka_security(),
                linger=settings.linger / 1000,
                datadir=scratch,
            )
            work = asyncio.create_task(self._work(lease, buffers), name="learning")
            stopped = asyncio.create_task(stop.wait())
            serving = asyncio.create_task(serve(app, over), name="serving")
            try:
                done, _ = await asyncio.wait({work, stopped, serving}, return_when=asyncio.FIRST_COMPLETED)
                for error in (task.exception() for task in done):
                    if error is not None and not isinstance(error, LeaseLost | BrokerUnavailable):
                        ending.begin(error)
            finally:
                stopped.cancel()
                work.cancel()
                over.set()
                ended: list[Any] = [*await asyncio.gather(work, serving, return_exceptions=True)]
                if self._step is not None:
                    [failure] = await asyncio.gather(self._step, return_exceptions=True)
                    if isinstance(failure, StoreError | KafkaError):  # the snapshot says where to go on
                        logger.warning("leaving: the last step failed: %s", failure)
                    else:
                        ended.append(failure)
        await self._leave(lease)
        for end in ended:
            if isinstance(end, Exception):
                raise end

    async def _leave(self, lease: Lease) -> None:
        """Save once more, unless learning failed half-way, and let another learner take over at once."""
        try:
            failed = self._step is not None and self._step.exception() is not None
            if self.learning is not None and not failed:
                await self._save(lease, self.learning)
            await self._call(self._store.release, lease)
        except (StoreError, LeaseLost) as error:
            logger.warning("leaving: %s", error)

    async def _work(self, lease: Lease, buffers: TopicBuffers) -> None:
        producer = BoundedProducer(
            self._settings.kafka,
            max_request_size=_REQUEST_BYTES,
            compression_type=self._settings.compression_type,
            **self._settings.aiokafka_security(),
        )
        renewed = asyncio.create_task(self._renew(lease), name="renewing the lease")
        try:
            while True:
                assignment = await self._first(buffers.opened(), renewed)
                try:
                    learning = await self._begin(lease, buffers)
                    self._vigilance.begin()
                    self._trouble = ""
                    await self._first(self._learn(assignment, lease, buffers, learning, producer), renewed)
                    self._trouble = _UNASSIGNED
                except (StoreError, KafkaError) as error:  # the snapshot says where to go on
                    self._trouble = cause(error)
                    logger.warning("beginning again from the last snapshot: %s", self._trouble)
                    await asyncio.sleep(_POLL_SECONDS)
        finally:
            renewed.cancel()
            await producer.close()

    async def _begin(self, lease: Lease, buffers: TopicBuffers) -> Learning:
        """Go on from the newest snapshot."""
        self.learning = None  # its last step may have failed half-way: whoever leaves now must not save it
        learning = await self._call(self._load, lease)
        self._step = None
        self._names, self._set_back = (await self._call(self._store.version),), False
        sources: list[Source] = [
            (topic, number) for topic in buffers.topics for number in range(self._partitions)
        ]
        await buffers.begin({source: learning.next(source) for source in sources}, learning.marks)
        self.learning = learning
        self._saved_version = learning.online.version
        return learning

    async def _learn(
        self,
        assignment: int,
        lease: Lease,
        buffers: TopicBuffers,
        learning: Learning,
        producer: BoundedProducer,
    ) -> None:
        """Learn what comes, until the partitions are assigned again, or all of another bundle's examples follow."""
        buffers.want(await self._call(learning.wanted))
        unsaved = False
        while buffers.current(assignment):
            came = await buffers.next(assignment, _POLL_SECONDS)
            if came:
                unsaved = True
                self._step = asyncio.ensure_future(self._take(learning, came, producer))
                await asyncio.shield(self._step)
                buffers.want(await self._call(learning.wanted))
            self._vigilance.look(learning.status, buffers)
            if self._shelf is not None and self._shelf.left(learning) and await self._save(lease, learning):
                self._shelf.leave(learning)
                return
            if (unsaved or self._set_back) and self._due(learning):
                unsaved = not await self._save(lease, learning)
            if came and buffers.at_end(came):
                await asyncio.sleep(_PACE_SECONDS)

    async def _take(
        self, learning: Learning, came: list[tuple[str, RecordBatch]], producer: BoundedProducer
    ) -> None:
        topics = self._topics
        with self._tracing.begin("intent.learn", ((topics[topic], batch) for topic, batch in came)) as trace:
            trace.step("learn")
            taken = await self._call(learning.take_many, came)
            trace.note(taken)
            trace.step("publish")
            await self._publish(producer, taken.alerts)
            await self._bury(producer, taken.refused)

    async def _bury(self, producer: BoundedProducer, refused: Sequence[Refused]) -> None:
        """Write the letters of records that cannot be read; after a crash one may be written again."""
        names = self._topics
        for topic, partition, record, rejection in refused:
            letter = dead_letter(record, names[topic], partition, rejection, arrived_at=record.timestamp)
            logger.warning("%s-%s, offset %s: %s", names[topic], partition, record.offset, rejection.detail)
            async with producer.publication() as kafka:
                await kafka.send_and_wait(
                    self._settings.dead_letters_topic,
                    key=letter.key,
                    value=letter.value,
                    headers=letter.headers,
                )

    def _due(self, learning: Learning) -> bool:
        """Whether to save what is not saved: what workers use has changed, or nothing was learned for long."""
        interval = self._settings.snapshot_interval.total_seconds()
        changed = self._set_back or learning.online.version != self._saved_version
        return time.monotonic() - self._saved_at >= interval * (1 if changed else _UNLEARNED_INTERVALS)

    async def _publish(self, producer: BoundedProducer, alerts: Sequence[Alert]) -> None:
        """Write alerts; after a crash one may be written again, and is then equal to the first."""
        if alerts:
            async with producer.publication() as kafka:
                for alert in alerts:
                    await kafka.send_and_wait(
                        self._settings.alerts_topic, key=alert.kind.encode(), value=_encode(alert)
                    )

    def _load(self, lease: Lease) -> Learning:
        stored = self._store.snapshot()
        if self._shelf is not None:
            self._bundle = self._shelf.going_on(stored)
        if stored is None:
            return Learning.begin(self._bundle, self._how, self._partitions)
        version, before, former = self._bundle.manifest.version, Snapshot.from_bytes(stored), None
        if (other := str(before.meta.get("bundle"))) != version:
            former = self._store.former(version)
            self._store.keep(lease, other)
            if former is not None:
                logger.info("going on with what was learned for bundle %s before %s", version, other)
        return Learning.resume(self._bundle, self._how, self._partitions, stored, former)

    async def _save(self, lease: Lease, learning: Learning) -> bool:
        """Save a snapshot; return whether it is saved: Redis may be away for a while."""
        saved, version = await self._call(learning.saved), learning.online.version
        self.report = decode_report(saved.quality)
        self._saved_at = time.monotonic()
        self._names = (*self._names[-1:], saved.version)
        try:
            await self._call(self._store.save, lease, saved, LEASE_SECONDS)
        except StoreError as error:
            logger.warning("saving a snapshot: %s", error)
            self._vigilance.unsaved = f"the snapshot was not saved: {error}"
            return False
        outages.REDIS.answered()
        self._saved_version = version
        self._names, self._set_back = (saved.version,), False
        self._vigilance.unsaved = ""
        if self.buffers is not None:
            for topic, buffer in self.buffers.topics.items():
                buffer.saved = {number: max(learning.next((topic, number)), 0) for number in buffer.expected}
        return True

    async def _renew(self, lease: Lease) -> None:
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            try:
                await asyncio.to_thread(self._store.renew, lease, LEASE_SECONDS)
                await self._look_back()
            except StoreError as error:
                logger.warning("renewing the lease: %s", error)
                self._vigilance.unsaved = f"the lease was not renewed: {error}"
            else:
                outages.REDIS.answered()
                if self._vigilance.unsaved.startswith("the lease"):
                    self._vigilance.unsaved = ""

    async def _look_back(self) -> None:
        """Have it saved again where Redis has lost the last save: what is learned next may be long in coming."""
        if self.learning is None or self._set_back:
            return
        names = self._names
        found = await asyncio.to_thread(self._store.version)
        if names == self._names and found not in names:  # no save has begun or ended in between
            logger.warning("Redis was set back behind the last snapshot: it is saved again")
            self._set_back = True

    async def _first(self, work: Any, renewed: asyncio.Task[None]) -> Any:
        """Await ``work``, unless the lease is lost before."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, renewed}, return_when=asyncio.FIRST_COMPLETED)
            if renewed.done():
                renewed.result()
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call in the thread that learns."""
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, lambda: function(*args, **kwargs)
        )


def learning_settings(settings: Settings) -> LearningSettings:
    """Return how to learn."""
    return LearningSettings(model=settings.online_model, lateness_seconds=settings.lateness.total_seconds())


async def learn(settings: Settings, *, start_over: bool = False, stop: asyncio.Event | None = None) -> None:
    """Learn until ``stop`` is set.

    Parameters
    ----------
    start_over
        Forget what has been learned, and read both topics from their beginnings.
    stop
        See `stream.running.ending.run`, which sets it when a signal comes.

    Raises
    ------
    IntentError
        The learner cannot start, or cannot go on.
    """
    bundle = Bundle.load(settings.bundle, key=settings.bundle_key)
    shelf = LearnedBundle.of(settings, bundle)
    stop = stop or asyncio.Event()
    async with AsyncExitStack() as stack:
        learner = await ending.unless(stop, _start(settings, bundle, shelf, stack))
        if learner is not None:
            await learner.run(stop, start_over=start_over)


async def _start(
    settings: Settings, bundle: Bundle, shelf: LearnedBundle | None, stack: AsyncExitStack
) -> Learner:
    """Check what the learner needs, and serve its health; nothing is read before it runs."""
    tracing = tracing_of(settings, "intent-learner")
    stack.push_async_callback(tracing.close)
    store = SnapshotStore(settings.redis_url, settings.redis_prefix)
    stack.callback(store.close)
    await asyncio.to_thread(store.ping)
    partitions = await check_topics(settings, [settings.examples_topic, settings.outcomes_topic])
    await check_topics(settings, [settings.alerts_topic])
    await check_topics(settings, [settings.dead_letters_topic])
    learner = Learner(settings, bundle, store, partitions, shelf, tracing)
    stack.callback(learner.close)
    port = await stack.enter_async_context(
        serve_health(
            health_app(learner, LearnerMetrics(learner).registry), settings.http_host, settings.http_port
        )
    )
    logger.info("bundle %s; health and metrics on port %s", bundle.manifest.version, port)
    return learner


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
