"""An outage of a server in the log: a line when it begins, one a minute, one when it is over.

While no broker answers, aiokafka logs a hundred lines a second, from many loggers. While Redis is away, each
partition and each work in the background says so, and OpenTelemetry does at every try to reach its collector.
`Outages` is a filter for log handlers that lets the first of these lines pass, counts the others, and is told by
`answered` that the server is back.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from features.durations import duration_short
from features.exceptions import StoreUnavailable

logger = logging.getLogger(__name__)

_LIBRARIES: Final = ("aiokafka", "faust", "mode")
_CLIENTS: Final = (*_LIBRARIES, "stream.kafka")
_REMIND_SECONDS: Final = 60.0

# One client may complain about one broker while another broker answers: an outage is over when nobody has
# complained for so long. Longer than the pauses between two tries.
_QUIET_SECONDS: Final = 5.0
# A part of a cluster may be away while the others answer: who needs it complains once a try, which may take 4.5 s.
_REDIS_QUIET_SECONDS: Final = 10.0


class Outages:
    """Tells the outages of a server.

    Parameters
    ----------
    server
        Its name, for messages.
    concerns
        Whether a record that is logged as a warning or worse complains about this server.
    clock
        Returns seconds since any fixed moment.
    quiet_seconds
        For how long nobody has complained when an outage is over.

    Attributes
    ----------
    ending
        Whether the process ends: then no complaint of a library passes any more.
    """

    def __init__(
        self,
        server: str,
        concerns: Callable[[logging.LogRecord], bool],
        clock: Callable[[], float] = time.monotonic,
        quiet_seconds: float = _QUIET_SECONDS,
    ) -> None:
        self.ending = False
        self._server = server
        self._concerns = concerns
        self._clock = clock
        self._quiet_seconds = quiet_seconds
        self._began = 0.0
        self._last = 0.0
        self._back = 0.0
        self._told = 0.0
        self._left_out = 0
        self._lasts = False
        self._certain = False  # an error of the server was told, not only a client's worry

    def __call__(self, record: logging.LogRecord) -> bool:
        """Return whether to log ``record``."""
        if record.levelno < logging.WARNING or not self._concerns(record):
            return True
        if self.ending:
            return not record.name.startswith(_LIBRARIES)
        now = self._clock()
        if self._lasts and now - self._last > _REMIND_SECONDS:
            self._lasts = False  # nobody has said that it was over, but it was
        self._last = now
        if not self._lasts:
            self._lasts, self._began, self._told, self._left_out = True, now, now, 0
            self._certain = _tells_an_outage(record)
            return True
        self._left_out += 1
        self._certain |= _tells_an_outage(record)
        if now - self._told < _REMIND_SECONDS:
            return False
        self._told = now
        since = duration_short(1000 * (now - self._began))
        record.msg = (
            f"trouble with {self._server} for {since}, {self._left_out} lines left out, "
            f"the last: {record.getMessage()}"
        )
        record.args, record.exc_info, record.exc_text = None, None, None
        return True

    def answered(self) -> None:
        """Say that the server has answered. Costs nothing while no outage lasts."""
        if not self._lasts:
            return
        now = self._clock()
        if self._back < self._last:
            self._back = now  # the first answer since the last complaint
        if now - self._last >= self._quiet_seconds:
            self._lasts = False
            if self._left_out or self._certain:
                length = duration_short(1000 * (self._back - self._began))
                rest = f", {self._left_out} lines left out" if self._left_out else ""
                logger.warning("%s answers again after %s%s", self._server, length, rest)


def passes(error: object) -> bool:
    """Whether an error is an outage of a server, which is waited out."""
    return isinstance(error, StoreUnavailable) or _is_of_kafka(error)


def _is_of_kafka(error: object) -> bool:
    return isinstance(error, Exception) and bool(getattr(error, "retriable", False))


def _args(record: logging.LogRecord) -> tuple[object, ...]:
    return record.args if isinstance(record.args, tuple) else ()


def _tells_an_outage(record: logging.LogRecord) -> bool:
    return any(map(passes, _args(record)))


def of_kafka(record: logging.LogRecord) -> bool:
    """Whether a record is of a client of Kafka, or tells an error of Kafka's that passes."""
    return record.name.startswith(_CLIENTS) or any(map(_is_of_kafka, _args(record)))


def of_redis(record: logging.LogRecord) -> bool:
    """Whether a record tells that Redis has not answered."""
    return any(isinstance(arg, StoreUnavailable) for arg in _args(record))


def of_collector(record: logging.LogRecord) -> bool:
    """Whether a record is of what sends spans."""
    return record.name.startswith("opentelemetry")


#: The outages of this process.
KAFKA: Final = Outages("Kafka", of_kafka)
REDIS: Final = Outages("Redis", of_redis, quiet_seconds=_REDIS_QUIET_SECONDS)
COLLECTOR: Final = Outages("the collector of spans", of_collector)
