"""What a worker logs: its own news, and of the libraries beneath it only what an operator can use."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Literal

# A broker that has just started makes its topic of offsets within seconds. Longer than this it is no start.
_START_SECONDS = 10.0

Form = Literal["text", "json"]

_LIBRARIES = ("faust", "mode", "aiokafka")
# How Faust and mode start and stop their parts, and a line for each claimed partition.
_TALKATIVE = ("stream.kafka.transport", "stream.kafka.fetching", "stream.ownership.owner")
_COORDINATOR = "aiokafka.consumer.group_coordinator"
# Say at each connection by SASL_PLAINTEXT that it is not encrypted, which whoever sets it knows.
_LOGINS = ("kafka.net.sasl.plain", "kafka.net.sasl.scram")
# Warns of steps that take a tenth of a second: on a busy machine any may.
_SELECTOR = "kafka.net.selector"

#: Every logger beneath the root whose level or filters `set_up` changes, for the whole process.
CONFIGURED = ("stream", *_LIBRARIES, *_TALKATIVE, _COORDINATOR, *_LOGINS, _SELECTOR)


def set_up(*, verbose: bool, form: Form = "text") -> None:
    """Log to standard error; ``verbose`` also lets Faust and the Kafka client speak, and every partition."""
    from stream.running import outages

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for handler in logging.getLogger().handlers:
        if form == "json":
            handler.setFormatter(JsonFormatter())
        for outage in (outages.KAFKA, outages.REDIS, outages.COLLECTOR):
            if not verbose and outage not in handler.filters:
                handler.addFilter(outage)
    if form == "json":
        sys.excepthook = _log_crash
        threading.excepthook = _log_thread_crash
    for name in ("", *_LIBRARIES) if verbose else ("stream",):
        logging.getLogger(name).setLevel(logging.INFO)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.WARNING)
    logging.getLogger(_SELECTOR).setLevel(logging.WARNING if verbose else logging.ERROR)
    if not verbose:
        for passes in (CoordinatorStarting(), is_no_rebalance):
            logging.getLogger(_COORDINATOR).addFilter(passes)
        for name in _LOGINS:
            logging.getLogger(name).addFilter(is_no_clear_login)


@contextmanager
def errors_logged(*, form: Form) -> Iterator[None]:
    """Log an error that ends the process, where every line has to be a JSON object."""
    from features.exceptions import IntentError

    try:
        yield
    except IntentError as error:
        if form == "text":
            raise
        logging.getLogger(__name__).error("%s", error)
        raise SystemExit(error.exit_code) from None


class JsonFormatter(logging.Formatter):
    """A JSON object per line: ``time`` (RFC 3339, UTC), ``level``, ``logger``, ``message``, perhaps ``exception``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def _log_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger("stream").critical("crashed: %r", error, exc_info=(kind, error, trace))


def _log_thread_crash(crash: threading.ExceptHookArgs) -> None:
    if crash.exc_value is not None:
        _log_crash(crash.exc_type, crash.exc_value, crash.exc_traceback)


def is_no_rebalance(record: logging.LogRecord) -> bool:
    """Return whether to log what aiokafka's coordinator says: that the group rebalances is no warning.

    It does whenever a worker comes or goes. What comes of it, the worker says itself ("owns 6 partitions").
    """
    return not str(record.msg).endswith("because it is rebalancing")


def is_no_clear_login(record: logging.LogRecord) -> bool:
    """Return whether to log what a client says of a login; `intent doctor` warns of passwords that anybody can read."""
    return not str(record.msg).endswith(("in the clear", "in the clear during Sasl Authentication"))


class CoordinatorStarting:
    """A log filter without aiokafka's complaints that the group has no coordinator yet.

    On a new broker the first consumer group makes Kafka create its topic of offsets; until then aiokafka logs
    an error every 0.1 s, and all is well. Complaints that go on for ten seconds pass: the broker is in trouble.
    """

    def __init__(self) -> None:
        self._first = self._last = float("-inf")

    def __call__(self, record: logging.LogRecord) -> bool:
        """Return whether to log ``record``."""
        from aiokafka.errors import GroupCoordinatorNotAvailableError

        args = record.args if isinstance(record.args, tuple) else ()
        if not any(isinstance(arg, GroupCoordinatorNotAvailableError) for arg in args):
            return True
        if record.created - self._last > _START_SECONDS:
            self._first = record.created
        self._last = record.created
        return record.created - self._first > _START_SECONDS
