"""Whatever a job fails on is found, record by record, and becomes a letter; everything else is scored as without it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    TopicAuthorizationFailedError,
)

from features.causes import cause
from features.exceptions import StoreUnavailable
from stream.kafka.batches import RecordBatch
from stream.ownership import poison
from stream.ownership.poison import IN_A_ROW, JOB_TRIES, Bisection
from tests.stream.fakes import Counted, FakeLog, ScriptedStore, record, truth
from tests.stream.ownership.test_partitions import Worker, _no_pauses, log_of, run, until  # noqa: F401


def healthy(log: FakeLog, poisoned: set[tuple[int, int]]) -> dict[int, dict[str, tuple[int, int]]]:
    """Return the counts that a log without the poisoned records leaves."""
    return {
        partition: truth([one for one in records if (partition, one.offset) not in poisoned])
        for partition, records in log.records.items()
    }


@pytest.mark.parametrize("seed", range(24))
def test_whichever_records_are_poison_all_others_are_scored_once_and_in_order(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poison, "IN_A_ROW", 1_000)
    chance = random.Random(seed)
    log = log_of(partitions=chance.choice([1, 3]), length=chance.choice([1, 7, 40]), seed=seed)
    share = chance.choice([0.02, 0.1, 0.5, 1.0])
    poisoned = {
        (partition, one.offset)
        for partition, records in log.records.items()
        for one in records
        if chance.random() < share
    }

    async def scenario() -> None:
        worker = Worker(log, ScriptedStore(), cache_customers=chance.choice([0, 100]))
        worker.job.poison = poisoned
        async with worker:
            await until(lambda: worker.done)
            assert {p: worker.store.counted(p) for p in log.records} == healthy(log, poisoned)
            assert sorted(letter[:2] for letter in worker.job.letters) == sorted(poisoned), "each once"
            for partition, records in log.records.items():
                folded = [offset for own, offset in worker.job.processed if own == partition]
                assert folded == [r.offset for r in records if (partition, r.offset) not in poisoned]
            assert worker.ownership.parked == []

    run(scenario)


@pytest.mark.parametrize("seed", range(6))
def test_poison_is_found_again_whatever_becomes_of_saves(seed: int) -> None:
    chance = random.Random(seed)
    outcomes = ["save", "no answer", "void", "not reached", "fell back"]
    script = ["save"] * 3 + [chance.choice(outcomes) for _ in range(20)]
    log = log_of(partitions=2, length=80, seed=seed)
    poisoned = {(p, one.offset) for p in log.records for one in log.records[p] if chance.random() < 0.1}

    async def scenario() -> None:
        worker = Worker(log, ScriptedStore(script))
        worker.job.poison = poisoned
        async with worker:
            await until(lambda: worker.done and not worker.store.script)
            await asyncio.sleep(0.05)
            await until(lambda: worker.done)
            assert {p: worker.store.counted(p) for p in log.records} == healthy(log, poisoned)
            assert {letter[:2] for letter in worker.job.letters} == poisoned, "each at least once"

    run(scenario)


def test_a_letter_says_what_was_raised() -> None:
    async def scenario() -> None:
        worker = Worker(log_of(), ScriptedStore())
        worker.job.poison = {(0, worker.log.records[0][3].offset)}
        async with worker:
            await until(lambda: worker.done)
            ((_, offset, detail),) = worker.job.letters
            assert (
                detail == f"failed {JOB_TRIES} times alone, last with ValueError: record {offset} is poison"
            )

    run(scenario)


@pytest.mark.parametrize(
    "error",
    [
        KafkaConnectionError(),
        TimeoutError(),
        OSError("disk"),
        MemoryError(),
        StoreUnavailable("away"),
        OutOfOrderSequenceNumber(),
        TopicAuthorizationFailedError("events"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_no_records_fault_makes_no_letters(error: Exception) -> None:
    async def scenario() -> None:
        worker = Worker(log_of(), ScriptedStore())
        worker.job.failures = [error] * 40
        async with worker:
            await until(lambda: worker.done)
            assert worker.job.letters == []
            worker.assert_exact()

    run(scenario)


def test_a_result_that_the_broker_refuses_for_its_size_is_traced_to_its_record() -> None:
    async def scenario() -> None:
        worker = Worker(log_of(), ScriptedStore())
        large = worker.log.records[0][11].offset

        async def publish(counted: Counted) -> None:
            for batch in counted.batches:
                if not batch.poison and large in [one.offset for one in batch.records]:
                    raise MessageSizeTooLargeError(large)

        worker.job.publish = publish  # type: ignore[method-assign]
        async with worker:
            await until(lambda: worker.done)
            assert [letter[:2] for letter in worker.job.letters] == [(0, large)]
            assert {0: worker.store.counted(0)} == healthy(worker.log, {(0, large)})

    run(scenario)


def test_a_job_that_fails_on_everything_writes_few_letters_and_then_parks() -> None:
    async def scenario() -> None:
        worker = Worker(log_of(), ScriptedStore())
        worker.job.poison = {(0, one.offset) for one in worker.log.records[0]}
        async with worker:
            await until(lambda: worker.ownership.parked == [0])
            await asyncio.sleep(0.1)  # some more tries
            assert len(worker.job.letters) == IN_A_ROW
            assert worker.ownership.progress()[0] == worker.log.records[0][IN_A_ROW].offset
            worker.job.poison = set()
            await until(lambda: worker.done)
            assert len(worker.job.processed) == len(worker.log.records[0]) - IN_A_ROW

    run(scenario)


def test_many_in_a_row_are_letters_while_other_partitions_are_scored() -> None:
    async def scenario() -> None:
        log = log_of(partitions=2, length=40)
        worker = Worker(log, ScriptedStore())
        worker.job.poison = {(0, one.offset) for one in log.records[0]}

        async def more() -> None:
            while not worker.done:
                await asyncio.sleep(0.002)
                log.records[1].append(record(1, log.records[1][-1].offset + 1))
                log.wake()

        async with worker:
            feeding = asyncio.create_task(more())
            await until(lambda: worker.ownership.progress().get(0) == log.end(0))
            feeding.cancel()
            assert len(worker.job.letters) == len(log.records[0]) > IN_A_ROW

    run(scenario)


@pytest.mark.parametrize("error", [TopicAuthorizationFailedError("events"), ValueError("odd")])
def test_a_partition_that_kafka_does_not_hand_over_is_parked_until_it_does(error: KafkaError) -> None:
    async def scenario() -> None:
        async with Worker(log_of(partitions=2), ScriptedStore()) as worker:
            await until(lambda: worker.done)
            for _ in range(3):
                worker.ownership.hinder(error, 1)
                await until(lambda: worker.ownership.parked == [1])
                assert f": {cause(error)}; " in worker.ownership.trouble
                await until(lambda: worker.ownership.parked == [])
            worker.log.records[1].append(record(1, 60))
            worker.log.wake()
            await until(lambda: worker.done and worker.ownership.ready)
            worker.assert_exact()

    run(scenario)


def test_the_log_says_once_that_a_partition_is_parked(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        worker = Worker(log_of(), ScriptedStore())
        worker.job.failures = [TopicAuthorizationFailedError("scores")] * 20
        async with worker:
            await until(lambda: worker.done)

    with caplog.at_level(logging.WARNING):
        run(scenario)
    told = [one.getMessage() for one in caplog.records if one.name == "stream.ownership.parking"]
    assert len(told) == 2
    assert "is parked at offset 0" in told[0]
    assert "intent partition skip" not in told[0], "no record is to blame"
    assert "goes on" in told[1]


# The search alone


def searched(poisoned: set[int], count: int) -> tuple[list[int], int]:
    """Return which of ``count`` records became letters, and how many trials that took."""
    search, at, letters, trials = Bisection("p"), 0, [], 0
    while at < count:
        trials += 1
        trial = search.trial(RecordBatch(0, [record(0, one) for one in range(at, count)], at, count))
        offsets = [one.offset for one in trial.records]
        if trial.poison or not poisoned & set(offsets):
            letters += offsets if trial.poison else []
            search.passed(trial)
            at = trial.stop
        else:
            assert search.failed(trial, ValueError("no"), scored=trials)
    return letters, trials


@pytest.mark.parametrize("at", [0, 1, 1999, 3998, 3999])
def test_one_record_of_thousands_is_found_in_a_few_trials(at: int) -> None:
    letters, trials = searched({at}, 4_000)
    assert letters == [at]
    assert trials <= 2 * JOB_TRIES + 2 * 12 + 3


def test_several_are_found_without_trying_the_whole_again_and_again() -> None:
    poisoned = {3, 4, 900, 1_000, 2_047, 3_999}
    letters, trials = searched(poisoned, 4_000)
    assert letters == sorted(poisoned)
    assert trials <= JOB_TRIES + len(poisoned) * (JOB_TRIES + 2 * 12 + 3)


def test_what_fails_only_together_makes_no_letter() -> None:
    search = Bisection("p")
    whole = RecordBatch(0, [record(0, one) for one in range(8)], 0, 8)
    for _ in range(JOB_TRIES):
        assert search.trial(whole) == whole
        assert search.failed(whole, ValueError("together"), 0)
    first = search.trial(whole)
    assert (first.start, first.stop) == (0, 4)
    search.passed(first)
    second = search.trial(whole.since(4))
    assert (second.start, second.stop) == (4, 6)
    search.passed(second)
    assert Counter(one.poison for one in (first, second)) == {"": 2}
