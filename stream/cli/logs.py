"""What a worker logs: its own news, and of the libraries beneath it only what an operator can use."""

from __future__ import annotations

import logging

# A broker that has just started makes its topic of offsets within seconds. Longer than this it is no start.
_START_SECONDS = 10.0


def set_up(*, verbose: bool) -> None:
    """Log to standard error; ``verbose`` also lets Faust and the Kafka client speak, and every partition."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in ("", "faust", "mode", "aiokafka") if verbose else ("stream",):
        logging.getLogger(name).setLevel(logging.INFO)
    # How Faust and mode start and stop their parts, and a line for each claimed partition.
    for name in ("stream.kafka.transport", "stream.kafka.fetching", "stream.ownership.owner"):
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.WARNING)
    if not verbose:
        logging.getLogger("aiokafka.consumer.group_coordinator").addFilter(CoordinatorStarting())


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
