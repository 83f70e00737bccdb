"""The worker: a Faust app that scores events, from start to a clean stop.

It refuses to start, with one line, on a bundle of other features, on a broker or a Redis that does not answer, and
on topics whose partition counts differ.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from tempfile import TemporaryDirectory
from typing import Final

from features.durations import duration_ms
from features.identity import HAND_OVER_BYTES
from features.store.redis_store import RedisStore
from stream.formats.registry import format_of
from stream.health import AllReady, health_app, serve_health
from stream.kafka.broker import check_topics
from stream.kafka.signatures import HandOverKeys
from stream.kafka.topics import EventsTopic, check_events, check_retention
from stream.kafka.transport import BatchedApp, serve
from stream.ownership.partitions import Ownership
from stream.running.background import Background
from stream.running.ending import unless
from stream.scoring.deciding import warm_up
from stream.scoring.encoding import warm_up_encoding
from stream.scoring.engine import Engine
from stream.scoring.handing_over import not_writable
from stream.scoring.idleness import Idleness
from stream.scoring.in_force import InForce
from stream.scoring.intake import warm_up_intake
from stream.scoring.metrics import ScorerMetrics
from stream.scoring.publisher import Publisher
from stream.scoring.scorer import Scorer
from stream.settings import Settings
from stream.tracing.trace import tracing_of

logger = logging.getLogger(__name__)

# A batch of 4,000 events makes tens of thousands of objects that all die together and hold no cycles. By Python's
# default (700) the collector runs a hundred times a batch, and time and again over the whole heap.
_COLLECT_EVERY: Final = 50_000


async def work(settings: Settings, *, rebuild: bool = False, stop: asyncio.Event | None = None) -> None:
    """Score events until ``stop`` is set.

    Parameters
    ----------
    rebuild
        Build the states again from the topic where Redis has lost them, or where they do not fit the topic, instead of
        refusing.
    stop
        See `stream.running.ending.run`, which sets it when a signal comes.

    Raises
    ------
    IntentError
        The worker cannot start, or cannot go on.
    """
    background = Background()
    in_force = InForce(settings, background)
    stop = stop or asyncio.Event()
    async with AsyncExitStack() as stack:  # closes what was opened, the last first
        app = await unless(stop, _start(in_force, background, settings, stack, rebuild=rebuild))
        if app is not None:
            await serve(app, stop)


async def _start(
    in_force: InForce, background: Background, settings: Settings, stack: AsyncExitStack, *, rebuild: bool
) -> BatchedApp:
    """Check what the worker needs, and put its parts together; nothing is read before the app is served."""
    engine = in_force.engine
    tracing = tracing_of(settings, "intent-worker")
    stack.push_async_callback(tracing.close)
    store = RedisStore(settings.redis_url, settings.redis_prefix)
    stack.callback(store.close)
    horizon = timedelta(seconds=engine.bundle.manifest.horizon_seconds)
    partitions, events = await _check(settings, store, horizon)
    warm_up(engine)
    warm_up_intake(engine)
    warm_up_encoding(engine)
    _collect_seldom()

    scorer = await _scorer(engine, partitions, settings, stack)
    scorer.publisher.events_bytes = events.batch_bytes
    scorer.ask_events = partial(asyncio.to_thread, check_events, settings)
    await stack.enter_async_context(in_force)
    await in_force.begin(scorer)
    await stack.enter_async_context(background.beside("following the shelf of bundles", in_force.run))
    scorer.metrics.observe_models(scorer)
    scorer.metrics.observe_bundles(in_force)
    ownership = Ownership(
        store,
        scorer,
        topic=settings.events_topic,
        batch_max=settings.batch_max,
        cache_customers=settings.cache_customers,
        state_ttl_ms=settings.state_ttl_ms,
        rebuild=rebuild,
        begin_trace=lambda batches: tracing.begin(
            "intent.round", ((settings.events_topic, batch) for batch in batches)
        ),
    )
    scorer.recount = ownership.partition_count
    readiness = AllReady(ownership, background)
    scorer.metrics.observe(ownership, readiness)
    if settings.learning:
        idleness = Idleness(
            ownership,
            store,
            in_force,
            scorer.publisher,
            partitions=partitions,
            seconds=settings.idle.total_seconds(),
        )
        await stack.enter_async_context(background.beside("declaring idle partitions", idleness.run))
    health = health_app(readiness, scorer.metrics.registry)
    port = await stack.enter_async_context(serve_health(health, settings.http_host, settings.http_port))
    await asyncio.to_thread(
        store.check_keeping
    )  # warnings stand beside what the worker does, not before what it lacks
    model, policy = engine.bundle.manifest.version, engine.rulebook.version
    logger.info("model %s, policy %s; health and metrics on port %s", model, policy, port)
    return BatchedApp(
        settings.kafka,
        settings.group,
        settings.events_topic,
        ownership,
        security=settings.aiokafka_security(),
        instance=settings.group_instance,
        session=settings.session_timeout.total_seconds(),
        linger=settings.linger / 1000,
        datadir=stack.enter_context(TemporaryDirectory(prefix="intent-")),  # Faust wants one; it stays empty
    )


def _collect_seldom() -> None:
    gc.collect()
    gc.freeze()  # modules, models and compiled code stay until the end: never look at them again
    gc.set_threshold(_COLLECT_EVERY, 20, 100)


async def _scorer(engine: Engine, partitions: int, settings: Settings, stack: AsyncExitStack) -> Scorer:
    """Return the scorer; what belongs to its bundle comes with `InForce.begin`."""
    keys = HandOverKeys.of(settings.hand_over_key)
    publisher = await stack.enter_async_context(_publisher(settings, keys))
    metrics = ScorerMetrics(engine.bundle.manifest.version)
    scorer = Scorer(
        engine,
        publisher,
        metrics,
        settings.events_topic,
        partitions,
        decoding=settings.decoding,
        form=format_of(settings.format),
        acting=bool(settings.actions_topic),
        hand_over_keys=keys,
    )
    if settings.max_score_age is not None:
        scorer.max_age_ms = duration_ms(settings.max_score_age)
    return scorer


def _publisher(settings: Settings, keys: HandOverKeys | None) -> Publisher:
    return Publisher(
        settings.kafka,
        scores=settings.scores_topic,
        dead_letters=settings.dead_letters_topic,
        examples=settings.examples_topic,
        outcomes=settings.outcomes_topic,
        actions=settings.actions_topic,
        events=settings.events_topic,
        security=settings.aiokafka_security(),
        compression=settings.compression_type,
        hand_over_keys=keys,
    )


async def _check(settings: Settings, store: RedisStore, horizon: timedelta) -> tuple[int, EventsTopic]:
    await asyncio.to_thread(store.ping)
    topics = [settings.events_topic, settings.scores_topic, settings.dead_letters_topic]
    if settings.actions_topic:
        topics.append(settings.actions_topic)
    if settings.learning:
        topics += [settings.examples_topic, settings.outcomes_topic]
    partitions = await check_topics(settings, topics)
    events = await asyncio.to_thread(check_events, settings)
    if settings.learning:
        await asyncio.to_thread(check_retention, settings, horizon)
    if not events.writable:
        logger.warning("%s", not_writable(settings.events_topic))
    if events.batch_bytes < HAND_OVER_BYTES:
        logger.warning(
            "%s takes batches of %s bytes: what is handed to other partitions, and is larger, becomes a dead letter; "
            "set max.message.bytes to %s or more",
            settings.events_topic, events.batch_bytes, HAND_OVER_BYTES,
        )  # fmt: skip
    return partitions, events
