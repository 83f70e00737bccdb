"""An outage is a line when it begins, one a minute, and one when it is over."""

from __future__ import annotations

import logging

import pytest
from aiokafka.errors import NotLeaderForPartitionError, TopicAuthorizationFailedError

from features.exceptions import StoreConflict, StoreUnavailable
from stream.running.outages import Outages, of_kafka, of_redis


class Log:
    """A log that one filter watches over, and a clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.outages = Outages("Kafka", of_kafka, lambda: self.now)
        self.redis = Outages("Redis", of_redis, lambda: self.now)

    def complain(self, seconds: int, per_second: int = 64, name: str = "aiokafka.conn") -> list[str]:
        """Return what passes of complaints over some time."""
        passed = []
        for number in range(seconds * per_second):
            record = logging.LogRecord(name, logging.ERROR, "", 0, "no connection, %s", (number,), None)
            if self.outages(record):
                passed.append(record.getMessage())
            self.now += 1 / per_second
        return passed


@pytest.fixture
def log() -> Log:
    return Log()


def test_three_minutes_without_a_broker_are_a_handful_of_lines(
    log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    passed = log.complain(seconds=185)
    assert passed[0] == "no connection, 0"
    assert [line.split(",")[0] for line in passed[1:]] == [
        f"trouble with Kafka for {n} min" for n in (1, 2, 3)
    ]
    log.outages.answered()
    assert not caplog.records, "another broker may have answered"
    log.now += 6
    log.outages.answered()
    assert [record.getMessage() for record in caplog.records] == [
        "Kafka answers again after 3 min 5 s, 11839 lines left out"
    ]
    assert log.complain(1)[0] == "no connection, 0", "the next outage"


def test_an_outage_of_redis_is_told_once_for_all_that_need_it(
    log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    """Four minutes: twelve partitions complain at their first failure, and work in the background every 5 s."""
    passed = []
    error = StoreUnavailable("Redis at localhost:6379 failed (refused): start it, or set INTENT_REDIS")
    sources = [("stream.ownership.owner", f"partition {number}: %s") for number in range(12)]
    for _ in range(48):
        for name, text in (
            *sources,
            ("stream.scoring.idleness", "declaring partitions idle: %s; trying again"),
        ):
            record = logging.LogRecord(name, logging.WARNING, "", 0, text, (error,), None)
            if log.outages(record) and log.redis(record):
                passed.append(record.getMessage())
        sources = []
        log.now += 5
    assert passed[0] == f"partition 0: {error}"
    assert [line.split(",")[0] for line in passed[1:]] == [
        f"trouble with Redis for {n} min" for n in (1, 2, 3)
    ]
    log.redis.answered()
    log.now += 6
    log.redis.answered()
    [said] = [record.getMessage() for record in caplog.records]
    assert said == "Redis answers again after 4 min, 59 lines left out"


@pytest.mark.parametrize("error", [StoreUnavailable("Redis is away"), "rebalancing"])
def test_an_outage_of_one_line_is_told_to_be_over_and_a_clients_worry_is_not(
    log: Log, caplog: pytest.LogCaptureFixture, error: object
) -> None:
    record = logging.LogRecord("aiokafka", logging.WARNING, "", 0, "trouble: %s", (error,), None)
    server = log.redis if isinstance(error, StoreUnavailable) else log.outages
    assert server(record)
    log.now += 1
    server.answered()
    log.now += 6
    server.answered()
    said = [line.getMessage() for line in caplog.records]
    assert said == (["Redis answers again after 1 s"] if isinstance(error, StoreUnavailable) else [])


@pytest.mark.parametrize(
    ("error", "once"),
    [
        (NotLeaderForPartitionError(), True),
        (TopicAuthorizationFailedError("scores"), False),
        (StoreConflict("another token"), False),
    ],
)
def test_only_errors_that_pass_are_left_out_of_our_own_lines(log: Log, error: Exception, once: bool) -> None:
    record = logging.LogRecord("stream.ownership.owner", logging.WARNING, "", 0, "%s", (error,), None)
    passed = [log.outages(record) and log.redis(record) for _ in range(3)]
    assert passed == [True, not once, not once]


def test_one_complaint_is_no_outage(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    assert len(log.complain(1, per_second=1)) == 1
    log.now += 6
    log.outages.answered()
    assert not caplog.records


def test_our_own_lines_pass_always(log: Log) -> None:
    assert len(log.complain(1, 10, name="stream.ownership.owner")) == 10


def test_libraries_say_nothing_while_the_process_ends(log: Log) -> None:
    log.outages.ending = True
    assert not log.complain(1, 10)
    assert log.complain(1, 1, name="stream.kafka.transport")
