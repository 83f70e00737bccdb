"""Arrivals of records with their producer's time: bounded by the log alone, in whatever pieces it is read."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import ConsumerRecord

from stream.exceptions import TopicMismatch
from stream.kafka.batches import NEVER, RecordBatch
from stream.ownership.arrivals import Arrivals, ArrivalUnknown
from tests.stream.fakes import FakeLog

NOW = 1_000
FUTURE = 9_999
CREATED, APPENDED = 0, 1


def record(offset: int, time: int, kind: int) -> ConsumerRecord[bytes, bytes]:
    return ConsumerRecord("events", 0, offset, time, kind, b"ada", b"1", None, 3, 1, ())


# Kinds and times: set right, then set wrong for a while, then set right again.
RECORDS = [
    record(0, 100, APPENDED),
    record(1, 110, CREATED),
    record(2, FUTURE, CREATED),
    record(3, 130, APPENDED),
    record(4, 140, APPENDED),
    record(5, 120, CREATED),
    record(6, 160, APPENDED),
]
BOUNDS = [NEVER, 130, 130, NEVER, NEVER, 160, NEVER]


def log_of(records: list[ConsumerRecord[bytes, bytes]]) -> FakeLog:
    return FakeLog({0: records})


def taken(arrivals: Arrivals, records: list[ConsumerRecord[bytes, bytes]], size: int) -> list[int]:
    """Return the bound of each record, read in batches of ``size``."""

    async def take() -> list[int]:
        found = []
        for start in range(0, len(records), size):
            own = records[start : start + size]
            left = RecordBatch(0, own, own[0].offset, own[-1].offset + 1, created=True)
            while left.records:
                part = await arrivals.bounded(left)
                found += [part.clock] * len(part.records)
                left = left.since(part.stop)
        return found

    return asyncio.run(take())


@pytest.mark.parametrize("size", range(1, 8))
def test_the_next_record_with_the_brokers_time_bounds_those_before_it(size: int) -> None:
    arrivals = Arrivals(0, log_of(RECORDS), lambda: NOW)
    assert taken(arrivals, RECORDS, size) == BOUNDS


@pytest.mark.parametrize("now", [NOW, 10 * FUTURE])
def test_a_replay_in_a_later_year_comes_to_the_same(now: int) -> None:
    assert taken(Arrivals(0, log_of(RECORDS), lambda: now), RECORDS, 3) == BOUNDS


def test_without_a_next_one_a_time_that_is_past_counts() -> None:
    own = [record(0, 100, APPENDED), record(1, NOW, CREATED)]
    assert taken(Arrivals(0, log_of(own), lambda: NOW), own, 2) == [NEVER, NEVER]


def test_without_a_next_one_a_time_to_come_waits_for_one() -> None:
    own = [record(0, 100, CREATED), record(1, FUTURE, CREATED)]
    log = log_of(own)
    arrivals = Arrivals(0, log, lambda: NOW)
    with pytest.raises(
        ArrivalUnknown, match="offset 1 has the time 1970-01-01T00:00:09.*still to come"
    ) as told:
        taken(arrivals, own, 2)
    assert told.value.behind == 2
    log.records[0] = [*own, record(2, 150, APPENDED)]
    assert taken(arrivals, own, 2) == [150, 150]


def test_a_topic_that_is_still_set_so_is_refused() -> None:
    log = log_of(RECORDS)
    log.of_producers = True
    with pytest.raises(TopicMismatch, match="--add-config message.timestamp.type=LogAppendTime"):
        taken(Arrivals(0, log, lambda: NOW), RECORDS[1:], 1)


def test_a_batch_with_the_brokers_time_is_left_as_it_is() -> None:
    log = log_of(RECORDS)
    log.of_producers = True  # nobody is to ask
    batch = RecordBatch(0, RECORDS[:1], 0, 1)
    assert asyncio.run(Arrivals(0, log, lambda: NOW).bounded(batch)) is batch
