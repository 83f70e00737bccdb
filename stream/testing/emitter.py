"""The shop's client without a broker: it checks events as the real one does, and hands them to a stack in memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from stream.clients.emit import EventEmitter
from stream.testing.events import SentRecord, record_of


class _Place(NamedTuple):
    partition: int
    offset: int


class _Written:
    """What kafka-python returns of a record, once it is written."""

    def __init__(self, offset: int) -> None:
        self._place = _Place(0, offset)

    def get(self, timeout: float) -> _Place:
        """Return where the record stands."""
        return self._place


class MemoryEmitter(EventEmitter):
    """An `EventEmitter` whose events go to a function; nothing can fail on the way.

    Parameters
    ----------
    topic
        What the topic is called.
    send
        Takes a record and returns its offset.
    clock
        Returns epoch milliseconds: the time of an event that is emitted by fields and names none.
    """

    def __init__(
        self,
        topic: str,
        send: Callable[[SentRecord], int],
        *,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.topic = topic
        self.partitions = 1
        self._to = send
        self._clock = clock

    def flush(self) -> None:
        """Do nothing: what was emitted is there."""

    def close(self) -> None:
        """Do nothing."""

    def _send(self, event_id: str, key: bytes, value: bytes | None) -> Any:
        record = SentRecord(key, None, self._clock()) if value is None else record_of(value)
        return _Written(self._to(record))
