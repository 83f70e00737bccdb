"""An outage is a line when it begins, one a minute, and one when it is over."""

from __future__ import annotations

import logging

import pytest

from stream.running.outages import Outages


class Log:
    """A log that one filter watches over, and a clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.outages = Outages(lambda: self.now)

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
