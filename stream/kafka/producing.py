"""A producer whose waits are bounded, and that is made anew when it is broken.

aiokafka's idempotent producer never lets a batch expire, and flushes for ever while the broker is away. Once a batch
was refused, the numbers of all that follow it are out of order, for good. So each publication has a limit, and after
one that failed the producer is abandoned, with what it still holds: the caller publishes again, by a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnsupportedVersionError,
)

from features.causes import cause
from stream.kafka.requests import join_once

logger = logging.getLogger(__name__)

# The broker acknowledges within milliseconds; after this long a publication counts as failed and is done again.
ANSWER_SECONDS: Final = 15.0

# Part of `stream.running.ending.END_SECONDS`. What is not acknowledged then is published again after the next start.
CLOSE_SECONDS: Final = 2.0

# These say something about the records, or need a person; everything else says something about the broker or the
# producer, and passes.
_REFUSALS: Final = (
    InvalidTopicError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnsupportedVersionError,
)


class Unacknowledged(KafkaError):  # type: ignore[misc]
    """The broker has not acknowledged a publication; whether it was written is unknown. To be tried again."""

    retriable = True

    def __str__(self) -> str:
        return str(self.args[0])


class BoundedProducer:
    """An idempotent producer for publications of several batches.

    Parameters
    ----------
    brokers
        ``host:port``, separated by commas.
    seconds
        Limit of a publication.
    options
        Further arguments of aiokafka's producer.

    Attributes
    ----------
    made
        How many producers there have been.
    answered_at
        When a publication was last acknowledged, seconds of `time.monotonic`.
    """

    def __init__(self, brokers: str, *, seconds: float = ANSWER_SECONDS, **options: Any) -> None:
        self.made = 0
        self.answered_at = time.monotonic()
        self._options = {"bootstrap_servers": brokers, "enable_idempotence": True, **options}
        self._options.setdefault("request_timeout_ms", int(seconds * 1000))
        self._brokers = brokers
        self._seconds = seconds
        self._current: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    @asynccontextmanager
    async def publication(self) -> AsyncIterator[AIOKafkaProducer]:
        """Give the producer for one publication, whose acknowledgements are to be awaited within the block.

        Raises
        ------
        Unacknowledged
            Not everything was acknowledged in time, or the producer broke.
        KafkaError
            The broker refuses these records.
        """
        producer: AIOKafkaProducer | None = None
        try:
            async with asyncio.timeout(self._seconds):
                producer = await self._started()
                yield producer
        except TimeoutError:
            await self._abandon(producer)
            raise Unacknowledged(
                f"Kafka at {self._brokers} has acknowledged nothing for {self._seconds:.0f} s"
            ) from None
        except _REFUSALS:
            await self._abandon(producer)  # the numbers of what follows would be out of order
            raise
        except KafkaError as error:
            await self._abandon(producer)
            raise Unacknowledged(
                f"Kafka at {self._brokers} did not take what was published: {cause(error)}"
            ) from error
        self.answered_at = time.monotonic()

    async def close(self) -> None:
        """End the producer: at once if nothing is under way, otherwise after a short wait."""
        producer, self._current = self._current, None
        if producer is None:
            return
        stopping = asyncio.ensure_future(producer.stop())
        await asyncio.wait({stopping}, timeout=CLOSE_SECONDS)
        if not stopping.done():
            stopping.cancel()
            await _cut(producer)
        elif not stopping.cancelled() and stopping.exception() is not None:
            logger.debug("closing the producer: %r", stopping.exception())

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._current is None:
                join_once()
                producer = AIOKafkaProducer(**self._options)
                self.made += 1
                try:
                    await producer.start()
                except BaseException:
                    await _cut(producer)
                    raise
                self._current = producer
            return self._current

    async def _abandon(self, producer: AIOKafkaProducer | None) -> None:
        if producer is None or producer is not self._current:
            return  # another publication has done it
        self._current = None
        await _cut(producer)


async def _cut(producer: AIOKafkaProducer) -> None:
    """End a producer without what it still holds: what is cancelled here is never sent."""
    producer._closed = True
    sending = producer._sender.sender_task
    if sending is not None:
        sending.remove_done_callback(producer._sender._fail_all)
        sending.cancel()
    # With the connections what is under way fails, and the sender, which awaits it, ends.
    closing: list[asyncio.Future[Any]] = [asyncio.ensure_future(producer.client.close())]
    if sending is not None:
        closing.append(sending)
    done, _ = await asyncio.wait(closing, timeout=CLOSE_SECONDS)
    for one in done:
        with contextlib.suppress(asyncio.CancelledError):
            one.exception()  # of no interest any more
    accumulator = producer._message_accumulator
    # One that was tried before and waits again takes itself from those that are pending once it is done with.
    accumulator._pending_batches.update(*accumulator._batches.values())
    for batch in list(accumulator._pending_batches):
        if not batch.future.done():
            batch.future.set_exception(Unacknowledged("the producer of this batch was abandoned"))
            batch.future.exception()  # whoever awaits it gets it; nobody has to
