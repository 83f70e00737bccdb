"""Replay: a log into Kafka, at full speed (`stream.logs.lead`) or paced by event time (`stream.logs.pacing`).

Every event goes to its customer's partition, in the log's order, with its arrival in a header, so that the
worker judges it as it would have then. The producer is idempotent: what it repeats is written once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from aiokafka import AIOKafkaProducer

from features.log import ERASED, conform, log_metadata, log_rows
from features.sorted_log import iterate_in_order
from stream.formats.contract import NATIVE
from stream.kafka.broker import broker_errors, partition_count
from stream.kafka.records import ARRIVED_AT, CLOSE, CONTROL
from stream.logs.lead import Lead
from stream.logs.pacing import Clock, Pace, WallClock, parse_speed
from stream.logs.rows import OF_SHOPS, Encoded, check_partitions, encode_rows
from stream.logs.windows import Windows
from stream.logs.workers import Workers
from stream.setting_values import NATIVE_NAME
from stream.settings import Settings

# Events encoded at a time. Bounds memory (about 1 kB an event), and how long a paced replay looks ahead.
_CHUNK: Final = 20_000

# A produced batch; the broker takes 1 MiB (`message.max.bytes`), the largest event 64 KiB.
_BATCH_BYTES: Final = 500_000

# Batches on their way. With their size this bounds memory, and it keeps all partitions busy.
_IN_FLIGHT: Final = 24


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What a replay did.

    Attributes
    ----------
    events
        Events sent and acknowledged.
    erased
        Rows of erased customers, of which nothing is left to send.
    seconds, events_per_second
        How long it took, from the first event to the last acknowledgement.
    partitions
        Events by partition.
    """

    events: int
    erased: int
    seconds: float
    partitions: dict[int, int] = field(default_factory=dict)

    @property
    def events_per_second(self) -> float:
        """Events by seconds."""
        return self.events / self.seconds if self.seconds > 0 else 0.0


def replay(
    settings: Settings,
    log: str | Path | pa.Table,
    *,
    speed: str = "max",
    clock: Clock | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    on_time: Callable[[int], None] | None = None,
    on_note: Callable[[str], object] = lambda text: None,
    close: bool = False,
) -> ReplayReport:
    """Send a log's events to the events topic.

    At full speed the replay waits wherever the next events depend on what workers hand over, such as after a login.

    Parameters
    ----------
    log
        A file, whose rows are put in order of arrival (`features.log_order`), or a table in the log's schema, which is
        sent as it is.
    speed
        ``max``, ``real``, or a multiple of real time such as ``60x``.
    clock
        Paces the replay.
    on_progress
        Called with rows sent and rows in all.
    on_time
        Called with the event time that the replay has come to, epoch ms.
    on_note
        Called with a sentence where the rows of a file were not in order, or where workers are not waited for.
    close
        End every partition with a control record: what waits for its label gets it, as if time had passed.

    Raises
    ------
    LogError
        The log cannot be read, or it names other partitions for its customers than the topic has.
    BrokerError
        Kafka does not answer, or did not take an event.
    """
    return asyncio.run(
        replay_async(
            settings,
            log,
            speed=speed,
            clock=clock,
            on_progress=on_progress,
            on_time=on_time,
            on_note=on_note,
            close=close,
        )
    )


async def replay_async(
    settings: Settings,
    log: str | Path | pa.Table,
    *,
    speed: str = "max",
    clock: Clock | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    on_time: Callable[[int], None] | None = None,
    on_note: Callable[[str], object] = lambda text: None,
    close: bool = False,
) -> ReplayReport:
    """See `replay`; within a running event loop."""
    factor = parse_speed(speed)
    metadata, rows, tables = _opened(log, on_note)
    async with _Sender(settings) as sender, _lead(settings, sender, on_note) as lead:
        check_named = metadata.get("partitions") == str(sender.partitions)
        pace = lead if factor is None else Pace(factor, clock or WallClock())
        erased = done = 0

        def tell(before: int, sent: int, time_ms: int) -> None:
            if on_time is not None:
                on_time(time_ms)
            if on_progress is not None:
                on_progress(before + sent, rows)

        for table in tables:
            erased += pc.sum(pc.equal(table["type"], ERASED)).as_py() or 0
            # What workers handed over, or told each other, they will hand over and tell again.
            own = pc.or_(pc.is_null(table["identity"]), pc.is_in(table["type"], pa.array(OF_SHOPS)))
            alive = table.filter(pc.and_(own, pc.not_equal(table["type"], ERASED)))
            encoded = encode_rows(alive, sender.partitions)
            if check_named:
                check_partitions(alive, encoded.partition, done)
            await pace.send(sender, encoded, partial(tell, done))
            if len(table):
                tell(done, len(table), pc.max(table["event_time"].cast(pa.int64())).as_py())
            done += len(table)
        await sender.finish()
        if close:
            if factor is None:
                await lead.finish(sender)
            await sender.close()
    return ReplayReport(sum(sender.sent.values()), erased, sender.seconds, dict(sorted(sender.sent.items())))


def send_records(settings: Settings, encoded: Encoded) -> None:
    """Send records to the events topic, each to the partition that it names, and wait until the broker has them.

    What workers hand over because of them comes in time, as in a replay.

    Raises
    ------
    BrokerError
        Kafka does not answer, or did not take a record.
    """

    async def send() -> None:
        async with _Sender(settings) as sender, _lead(settings, sender) as lead:
            await lead.send(sender, encoded)
            await sender.finish()

    asyncio.run(send())


@asynccontextmanager
async def _lead(
    settings: Settings, sender: _Sender, on_note: Callable[[str], object] = lambda text: None
) -> AsyncIterator[Lead]:
    """Keep the workers' hand-overs in time for what is sent in the block."""
    async with AsyncExitStack() as opened:

        async def find() -> Workers:
            return await opened.enter_async_context(Workers(settings, sender.partitions))

        yield Lead(Windows(sender.partitions, settings.lateness_ms), find, WallClock(), on_note)


def _opened(
    log: str | Path | pa.Table, on_note: Callable[[str], object]
) -> tuple[dict[str, str], int, Iterator[pa.Table]]:
    """Return the log's metadata, how many rows it has, and the rows, piece by piece."""
    if not isinstance(log, pa.Table):
        return log_metadata(log), log_rows(log), iterate_in_order(log, _CHUNK, on_note)
    raw = log.schema.metadata or {}
    metadata = {
        k.decode().removeprefix("intent."): v.decode() for k, v in raw.items() if k.startswith(b"intent.")
    }
    table = conform(log)
    return metadata, len(table), (table.slice(start, _CHUNK) for start in range(0, len(table), _CHUNK))


class _Sender:
    """An idempotent producer of whole batches, one partition after the other in the order of the log."""

    def __init__(self, settings: Settings) -> None:
        self.partitions = 0
        self.sent: dict[int, int] = {}
        self.seconds = 0.0
        self._settings = settings
        self._topic = settings.events_topic
        self._flying: set[asyncio.Future[Any]] = set()
        self._producer: AIOKafkaProducer | None = None
        self._began = 0.0
        # The topic has another form, and a log has ours.
        self._form = [] if settings.format == NATIVE_NAME else [NATIVE]

    async def __aenter__(self) -> _Sender:
        self.partitions = await partition_count(self._settings, self._topic)
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._settings.kafka,
            client_id="intent-replay",
            acks="all",
            enable_idempotence=True,
            max_batch_size=_BATCH_BYTES,
            max_request_size=2 * _BATCH_BYTES,
            compression_type=self._settings.compression_type,
            **self._settings.aiokafka_security(),
        )
        with broker_errors(self._settings.kafka):
            await self._producer.start()
        self._began = time.perf_counter()
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        assert self._producer is not None
        await self._producer.stop()

    async def send(self, encoded: Encoded, start: int, stop: int) -> None:
        """Send the rows from ``start`` to ``stop``, and wait only where too much is on its way."""
        assert self._producer is not None
        part = encoded.partition[start:stop]
        order = np.argsort(part, kind="stable")
        numbers, begins = np.unique(part[order], return_index=True)
        bounds = [*begins.tolist(), len(order)]
        for number, low, high in zip(numbers.tolist(), bounds, bounds[1:], strict=False):
            rows = (order[low:high] + start).tolist()
            builder = self._producer.create_batch()
            for row in rows:
                headers = [(ARRIVED_AT, encoded.arrivals[row]), *self._form]
                while (
                    builder.append(
                        timestamp=None, key=encoded.keys[row], value=encoded.values[row], headers=headers
                    )
                    is None
                ):
                    await self._launch(builder, number)
                    builder = self._producer.create_batch()
            await self._launch(builder, number)
            self.sent[number] = self.sent.get(number, 0) + len(rows)

    async def flush(self) -> None:
        """Wait for all acknowledgements."""
        while self._flying:
            await self._land()

    async def finish(self) -> None:
        """Wait for all acknowledgements, and take the time."""
        await self.flush()
        self.seconds = time.perf_counter() - self._began

    async def close(self) -> None:
        """End every partition with a control record, and wait for the acknowledgements."""
        assert self._producer is not None
        for number in range(self.partitions):
            builder = self._producer.create_batch()
            builder.append(timestamp=None, key=None, value=b"", headers=[(CONTROL, CLOSE)])
            await self._launch(builder, number)
        await self.flush()

    async def _launch(self, builder: Any, number: int) -> None:
        assert self._producer is not None
        while len(self._flying) >= _IN_FLIGHT:
            await self._land()
        with broker_errors(self._settings.kafka):
            self._flying.add(await self._producer.send_batch(builder, self._topic, partition=number))

    async def _land(self) -> None:
        done, self._flying = await asyncio.wait(self._flying, return_when=asyncio.FIRST_COMPLETED)
        with broker_errors(self._settings.kafka):
            for future in done:
                future.result()
