"""Writes scores, dead letters and what the learner needs, whole batches at a time, and awaits the broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from types import TracebackType
from typing import Any, Final, NamedTuple, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch

from features.text_column import TextColumn
from stream.exceptions import BrokerUnavailable
from stream.formats.contract import NATIVE
from stream.kafka.framing import CODECS, framed
from stream.kafka.keyed import ByteColumn, KeyedRecords
from stream.kafka.producing import BoundedProducer, Unacknowledged
from stream.kafka.signatures import HandOverKeys
from stream.messages.dead_letter import DeadLetter, Erasure
from stream.ownership.promised import HandOverRecord

# A produced batch. The broker takes 1 MiB (`message.max.bytes`); a score has about 400 bytes.
_BATCH_BYTES: Final = 1_000_000

# A batch of dead letters can hold one letter of `stream.messages.dead_letter.LETTER_BYTES`, and its headers.
_REQUEST_BYTES: Final = 4 * 1024 * 1024

# More than a record's headers, and the frame of a batch.
_FRAME_BYTES: Final = 1_024

_Record = tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]


class Output(NamedTuple):
    """What came of a batch of one partition.

    A score, or an action, of ``None`` is the tombstone of an erased customer; ``examples`` and ``outcomes`` are the
    learner's; ``erasures`` go to the dead letters; what is ``handed`` over, or told, goes to other
    partitions of the events.
    """

    partition: int
    scores: Sequence[tuple[str, bytes | None]] = ()
    letters: Sequence[DeadLetter] = ()
    examples: Sequence[bytes] = ()
    outcomes: Sequence[bytes] = ()
    erasures: Sequence[Erasure] = ()
    actions: Sequence[tuple[str, bytes | None]] = ()
    handed: Sequence[HandOverRecord] = ()


class Publishes(Protocol):
    """What a scorer needs of a publisher."""

    events_bytes: int

    def fits(self, record: HandOverRecord) -> bool:
        """See `Publisher.fits`."""
        ...

    async def publish(self, outputs: Sequence[Output]) -> None:
        """See `Publisher.publish`."""
        ...


class Publisher:
    """Publishes whole batches, by a producer whose waits are bounded (`stream.kafka.producing`).

    Parameters
    ----------
    brokers
        ``host:port``, separated by commas.
    scores, dead_letters, examples, outcomes, actions
        The topics; all have as many partitions as the events topic.
    events
        The events topic.
    security
        Further settings of aiokafka's clients.
    compression
        How batches are compressed: gzip, snappy, lz4 or zstd; ``None`` where they are not.
    hand_over_keys
        Sign what is handed over; ``None`` where nothing is signed.

    Attributes
    ----------
    events_bytes
        Bytes of a batch that the events topic takes, at most.
    """

    def __init__(
        self,
        brokers: str,
        *,
        scores: str,
        dead_letters: str,
        examples: str = "",
        outcomes: str = "",
        actions: str = "",
        events: str = "",
        security: dict[str, Any] | None = None,
        compression: str | None = None,
        hand_over_keys: HandOverKeys | None = None,
    ) -> None:
        self._scores = scores
        self._examples = examples
        self._outcomes = outcomes
        self._actions = actions
        self._events = events
        self._dead_letters = dead_letters
        self._brokers = brokers
        self._hand_over_keys = hand_over_keys
        self.events_bytes = _BATCH_BYTES
        self._codec = None if compression is None else CODECS[compression]
        self._producer = BoundedProducer(
            brokers,
            linger_ms=0,
            max_batch_size=_BATCH_BYTES,
            max_request_size=_REQUEST_BYTES,
            compression_type=compression,
            **(security or {}),
        )

    async def __aenter__(self) -> Publisher:
        try:
            await self.publish(())
        except Unacknowledged as error:
            raise BrokerUnavailable.at(self._brokers) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._producer.close()

    async def publish(self, outputs: Sequence[Output]) -> None:
        """Write what came of batches, in order, and wait for the acknowledgement of all of it.

        Raises
        ------
        Unacknowledged
            Kafka did not answer in time, or the producer broke; the next call takes a new one.
        KafkaError
            Kafka refuses these records.
        """
        async with self._producer.publication() as producer:
            acknowledgements: list[asyncio.Future[Any]] = []
            for output in outputs:
                letters = chain(
                    ((letter.key, letter.value, letter.headers) for letter in output.letters),
                    ((erasure.key, None, erasure.headers) for erasure in output.erasures),
                )
                at = output.partition
                for topic, keyed in ((self._scores, output.scores), (self._actions, output.actions)):
                    if keyed:
                        columns = keyed if isinstance(keyed, KeyedRecords) else KeyedRecords.of(keyed)
                        acknowledgements += await self._send_framed(
                            producer, topic, at, columns.keys, columns.values
                        )
                acknowledgements += await self._send(
                    producer, self._dead_letters, at, letters, _compressed_batch
                )
                for home, handed in self._by_partition(output.handed):
                    acknowledgements += await self._send(
                        producer, self._events, home, handed, self._events_batch
                    )
                for topic, values in ((self._examples, output.examples), (self._outcomes, output.outcomes)):
                    if values:
                        acknowledgements += await self._send_framed(
                            producer, topic, at, ByteColumn.nulls(len(values)), ByteColumn.of(values)
                        )
            await asyncio.gather(*acknowledgements)

    def fits(self, record: HandOverRecord) -> bool:
        """Whether the events topic takes a record that is handed over."""
        _, key, value = record
        if len(key) + len(value) + _FRAME_BYTES <= self.events_bytes:
            return True
        batch, (name, content, headers) = self._events_batch(), self._handed(key, value)
        batch.append(timestamp=0, key=name, value=content, headers=headers)
        return bool(batch.size() <= self.events_bytes)

    def _by_partition(self, handed: Sequence[HandOverRecord]) -> Iterator[tuple[int, list[_Record]]]:
        """Yield records for the events topic by their partition, in their order, signed and in our own form."""
        for home in sorted({partition for partition, _, _ in handed}):
            yield home, [self._handed(key, value) for partition, key, value in handed if partition == home]

    def _handed(self, customer: str, value: bytes) -> _Record:
        key, keys = customer.encode(), self._hand_over_keys
        return key, value, [NATIVE] if keys is None else [NATIVE, keys.header(key, value)]

    def _events_batch(self) -> BatchBuilder:
        return BatchBuilder(min(self.events_bytes, _BATCH_BYTES), 0)

    async def _send_framed(
        self,
        producer: AIOKafkaProducer,
        topic: str,
        partition: int,
        keys: TextColumn | ByteColumn,
        values: ByteColumn,
    ) -> list[asyncio.Future[Any]]:
        """Send records that have no headers."""
        batches = framed(keys, values, time.time_ns() // 1_000_000, _BATCH_BYTES, self._codec)
        return [await producer.send_batch(batch, topic, partition=partition) for batch in batches]

    async def _send(
        self,
        producer: AIOKafkaProducer,
        topic: str,
        partition: int,
        records: Iterable[_Record],
        new_batch: Callable[[], BatchBuilder],
    ) -> list[asyncio.Future[Any]]:
        sent: list[asyncio.Future[Any]] = []
        builder: BatchBuilder | None = None
        now = time.time_ns() // 1_000_000
        for key, value, headers in records:
            while True:
                if builder is None:
                    builder = new_batch()
                    append = builder.append
                if append(timestamp=now, key=key, value=value, headers=headers) is not None:
                    break
                sent.append(await producer.send_batch(builder, topic, partition=partition))
                builder = None
        if builder is not None:
            sent.append(await producer.send_batch(builder, topic, partition=partition))
        return sent


def _compressed_batch() -> BatchBuilder:
    """Return a batch for dead letters. What fills a batch of the events topic compressed fits here, too."""
    return BatchBuilder(_BATCH_BYTES, DefaultRecordBatch.CODEC_LZ4)
