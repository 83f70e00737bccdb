"""A shop that emits at a steady rate through every outage, and now and then what no shop should emit."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from typing import Final

from kafka import KafkaProducer

from stream.kafka.records import CLOSE, CONTROL
from stream.logs.rows import encode_rows
from stream.settings import Settings
from tests.integration.shop_logs import repeated, shuffled, simulated
from tests.malformed import MALFORMED

_EVENTS_PER_CUSTOMER: Final = 9
_HOSTILE: Final = 0.01  # share of records that must become dead letters
_ERASED: Final = 0.0005
_FOR_EVER_MS: Final = 3_600_000
_TICK_SECONDS: Final = 0.05


class Shop:
    """Emits in a thread of its own.

    Parameters
    ----------
    settings
        Where Kafka is, and how many partitions there are.
    seed
        Decides what is emitted.
    events
        How many events, at most.
    rate
        Events per second.

    Attributes
    ----------
    emitted
        Records that were handed to the producer so far.
    """

    def __init__(self, settings: Settings, seed: int, events: int, rate: float) -> None:
        self.emitted = 0
        self._settings = settings
        self._chance = random.Random(seed)
        self._rate = rate
        log = simulated(max(events // _EVENTS_PER_CUSTOMER, 100), 3, seed)
        log, _ = repeated(shuffled(log, settings.lateness_ms * 11 // 10, seed), 0.01, seed)
        self._log = log.slice(0, events)
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="shop", daemon=True)

    def start(self) -> None:
        """Begin to emit."""
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether all is emitted."""
        return not self._thread.is_alive()

    def finish(self) -> None:
        """Emit no more, close every partition, and wait for the acknowledgement of everything."""
        self._stop.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._emit()
        except Exception as error:
            self._error = error

    def _emit(self) -> None:
        topic, partitions = self._settings.events_topic, self._settings.partitions
        producer = KafkaProducer(
            bootstrap_servers=self._settings.kafka,
            acks="all",
            linger_ms=5,
            enable_idempotence=True,
            delivery_timeout_ms=_FOR_EVER_MS,
            max_block_ms=_FOR_EVER_MS,
        )
        began = time.monotonic()
        for key, value, partition in self._records(partitions):
            producer.send(topic, key=key, value=value, partition=partition)
            self.emitted += 1
            while self.emitted > self._rate * (time.monotonic() - began) and not self._stop.is_set():
                time.sleep(_TICK_SECONDS)
            if self._stop.is_set():
                break
        for partition in range(partitions):
            producer.send(topic, key=None, value=b"", headers=[(CONTROL, CLOSE)], partition=partition)
        producer.flush(timeout=_FOR_EVER_MS / 1000)
        producer.close()

    def _records(self, partitions: int) -> Iterator[tuple[bytes | None, bytes | None, int]]:
        encoded = encode_rows(self._log, partitions)
        for key, value, partition in zip(
            encoded.keys, encoded.values, encoded.partition.tolist(), strict=True
        ):
            yield key, value, partition
            if self._chance.random() < _HOSTILE:
                hostile = self._chance.choice(MALFORMED)
                yield hostile.key, hostile.value, partition
            if self._chance.random() < _ERASED:
                yield key, None, partition
