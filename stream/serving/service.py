"""The service as a process: what it needs at the start, what runs while it answers, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Final

import uvicorn

from features.store.state_reader import StateReader
from stream.health import listening
from stream.kafka.broker import check_topics
from stream.messages.action import decode_action
from stream.messages.score import decode_score
from stream.running.background import Background
from stream.running.ending import unless
from stream.scoring.deciding import warm_up
from stream.scoring.in_force import InForce, Served
from stream.serving.answers import segments_of
from stream.serving.app import Parts, create_app
from stream.serving.connection import Connection
from stream.serving.events import EventSink
from stream.serving.feed import Feed
from stream.serving.gate import Gate
from stream.serving.keys import check_asker, keys_of
from stream.serving.live.masks import Masks
from stream.serving.live.reader import LiveReader, mask_key
from stream.serving.lookups import Lookups
from stream.serving.metrics import ServiceMetrics
from stream.serving.quality import Insight
from stream.serving.readiness import ServiceReadiness
from stream.serving.what_if import WhatIf
from stream.settings import Settings

logger = logging.getLogger(__name__)

# Bounds the wait for requests under way; part of `stream.running.ending.END_SECONDS`.
_CLOSE_SECONDS: Final = 5
# A connection that says nothing between two requests.
_KEEP_ALIVE_SECONDS: Final = 30
_MOST_CONNECTIONS: Final = 2_000
# While a pass computes in the event loop, the thread that asks Redis may take over after so long (5 ms by default).
_SWITCH_SECONDS: Final = 0.001


async def serve(settings: Settings, listener: socket.socket, stop: asyncio.Event) -> None:
    """Answer requests that come on ``listener`` until ``stop`` is set.

    Raises
    ------
    IntentError
        The service cannot start.
    """
    background = Background()
    in_force = InForce(settings, background)
    async with AsyncExitStack() as stack:
        app = await unless(stop, _start(in_force, background, settings, stack))
        if app is None:
            return
        async with _answering(app, listener):
            logger.info(
                "bundle %s; answers on http://%s:%s",
                in_force.engine.bundle.manifest.version, *listener.getsockname()[:2],
            )  # fmt: skip
            await stop.wait()
            app.end()


class _Application:
    """The gate, and what ends with it."""

    def __init__(self, gate: Gate, feeds: tuple[Feed | LiveReader, ...]) -> None:
        self.gate = gate
        self._feeds = feeds

    def end(self) -> None:
        """End what would never end by itself."""
        for feed in self._feeds:
            feed.end()


async def _start(
    in_force: InForce, background: Background, settings: Settings, stack: AsyncExitStack
) -> _Application:
    keys = keys_of(settings)
    if keys is not None:
        await stack.enter_async_context(background.beside("following the file of keys", keys.run))
    reader = StateReader(settings.redis_url, settings.redis_prefix)
    stack.push_async_callback(reader.close)
    topics = [settings.events_topic, settings.scores_topic, settings.dead_letters_topic]
    if settings.actions_topic:
        topics.append(settings.actions_topic)
    await reader.records([0])
    partitions = await check_topics(settings, topics)
    warm_up(in_force.engine)
    sys.setswitchinterval(_SWITCH_SECONDS)

    served = Served(partitions)
    lookups = Lookups(reader, served, settings.state_ttl_ms)
    stack.callback(lookups.close)
    await stack.enter_async_context(in_force)
    await in_force.begin(served)
    await stack.enter_async_context(background.beside("following the shelf of bundles", in_force.run))
    events = EventSink(settings, served, lookups)
    stack.push_async_callback(events.close)
    insight = Insight(settings)
    stack.callback(insight.close)
    feeds = [Feed(settings, settings.scores_topic, partitions, "score", decode_score)]
    if settings.actions_topic:
        feeds.append(Feed(settings, settings.actions_topic, partitions, "action", decode_action))
    for feed in feeds:
        await stack.enter_async_context(background.beside(f"reading {feed.topic}", feed.run))
    masks = Masks(await asyncio.to_thread(mask_key, settings))
    live = LiveReader(settings, partitions, lookups.records, masks)
    await stack.enter_async_context(background.beside("reading for the live page", live.run))
    parts = Parts(
        lookups=lookups,
        what_if=WhatIf(lookups, served, settings),
        events=events,
        scores=feeds[0],
        actions=feeds[1] if len(feeds) > 1 else None,
        live=live,
        insight=insight,
        readiness=ServiceReadiness(lambda: lookups.answered_at, lambda: lookups.records([0]), background),
        metrics=ServiceMetrics(),
        partitions=partitions,
        form=settings.format,
        segments=lambda: segments_of(served.models.engine),
    )
    return _Application(create_app(parts, keys), (*feeds, live))


def listen(settings: Settings) -> socket.socket:
    """Return the socket on which requests come.

    Raises
    ------
    ServiceError
        The port is taken.
    SettingsError
        Others could ask without a key.
    """
    host, port = settings.serve_host, settings.serve_port
    check_asker(settings)
    return listening(host, port, "INTENT_SERVE_PORT", backlog=_MOST_CONNECTIONS)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `stream.running.ending`."""
        yield


@contextlib.asynccontextmanager
async def _answering(app: _Application, listener: socket.socket) -> AsyncIterator[None]:
    config = uvicorn.Config(
        app.gate, http=Connection, ws="none", lifespan="off", log_level="error", access_log=False,
        server_header=False, timeout_keep_alive=_KEEP_ALIVE_SECONDS, limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=_CLOSE_SECONDS, proxy_headers=False,
    )  # fmt: skip
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await asyncio.wait({serving}, timeout=_CLOSE_SECONDS + 1)
