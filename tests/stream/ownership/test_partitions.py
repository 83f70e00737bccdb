"""Rule by rule what an owner does, against a log and a store in memory that fail as told."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from features.exceptions import IntentError, SchemaMismatch
from features.store.customer_store import Loaded, Swept
from features.store.partition_record import NO_WATERMARK, PartitionRecord
from features.watermark import MAX_AHEAD_MS
from stream.exceptions import OffsetOutsideLog, PartitionsChanged, StoreLost, TopicMismatch
from stream.kafka.batches import RecordBatch
from stream.kafka.contract import HELD_SECONDS, STALL_SECONDS
from stream.ownership import owner, poison
from stream.ownership.partitions import Ownership
from tests.stream.fakes import Counted, Counting, FakeLog, Read, ScriptedStore, record, truth

CUSTOMERS = ["ada", "grace", "joan", "mary", "hedy"]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(owner, "PAUSES", (0.001,))
    monkeypatch.setattr("stream.ownership.parking.PARK_PAUSES", (0.005,))
    monkeypatch.setattr(owner, "IDLE_SECONDS", 0.02)
    monkeypatch.setattr("stream.ownership.partitions.REJOIN_SECONDS", 0.0)
    return


def log_of(partitions: int = 1, length: int = 60, seed: int = 0) -> FakeLog:
    chance = random.Random(seed)
    return FakeLog(
        {
            partition: [
                record(partition, offset, chance.choice(CUSTOMERS))
                for offset in range(length)
                if chance.random() < 0.9 or offset == length - 1  # holes
            ]
            for partition in range(partitions)
        }
    )


class Worker:
    """A worker on a log in memory."""

    def __init__(
        self, log: FakeLog, store: ScriptedStore, job: Counting | None = None, **options: object
    ) -> None:
        self.log, self.store, self.job = log, store, job or Counting()
        self.ownership = Ownership(store, self.job, topic="events", batch_max=5, **options)  # type: ignore[arg-type]
        self.ownership.attach(log)

    async def __aenter__(self) -> Worker:
        self.ownership.assign(self.log.records)
        self._feed = asyncio.create_task(self.log.feed(self.ownership))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.ownership.release()
        self._feed.cancel()
        self.ownership.close()

    @property
    def done(self) -> bool:
        return self.ownership.progress() == {p: self.log.end(p) for p in self.log.records}

    def assert_exact(self) -> None:
        assert {p: self.store.counted(p) for p in self.log.records} == {
            p: truth(records) for p, records in self.log.records.items()
        }


async def until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not fact():
            await asyncio.sleep(0.001)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(scenario())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "script",
    [
        [],
        ["no answer"],
        ["save", "no answer", "no answer", "save"],
        ["not reached"],
        ["save", "void", "void", "save", "void"],
        ["save", "save", "save", "fell back"],
        ["save", "save", "fell back", "save", "save", "fell back", "fell back"],
        ["save", "save", "no answer", "fell back", "void", "not reached", "save", "no answer"],
        ["save", "wiped"],
    ],
    ids=lambda script: ", ".join(script) or "all goes well",
)
@pytest.mark.parametrize("cache", [0, 2, 100])
def test_every_event_is_counted_once_and_in_order_however_saves_end(script: list[str], cache: int) -> None:
    async def scenario() -> None:
        async with Worker(log_of(), ScriptedStore(script), cache_customers=cache) as worker:
            await until(lambda: worker.done and not worker.store.script)
            worker.assert_exact()
            assert {offset for _, offset in worker.job.processed} == {r.offset for r in worker.log.records[0]}
            assert worker.ownership.ready
            assert worker.ownership.lag() == {0: 0}

    run(scenario)


def test_a_store_that_answers_and_takes_nothing_has_no_score_published_again_and_again() -> None:
    async def scenario() -> None:
        store = ScriptedStore()
        async with Worker(log_of(), store) as worker:
            await until(lambda: bool(worker.job.processed))
            store.full = True
            await until(lambda: store.refused > 30)
            assert not worker.ownership.ready
            assert max(Counter(worker.job.processed).values()) == 1
            store.full = False
            await until(lambda: worker.done)
            worker.assert_exact()
            assert max(Counter(worker.job.processed).values()) <= 2

    run(scenario)


def test_a_saved_but_unanswered_batch_is_not_processed_again() -> None:
    async def scenario() -> None:
        async with Worker(log_of(), ScriptedStore(["save", "no answer"])) as worker:
            await until(lambda: worker.done)
            assert len(worker.job.processed) == len(worker.log.records[0])

    run(scenario)


def test_a_fenced_owner_drops_its_batch_and_rejoins_the_group() -> None:
    async def scenario() -> None:
        async with Worker(log_of(), ScriptedStore(["save", "fenced"])) as worker:
            await asyncio.wait_for(worker.log.rejoined.wait(), 10)
            found = worker.store.record(0)
            assert found is not None
            assert found.token.startswith(b"another")
            assert not worker.ownership.wants(0)
            assert sum(count for count, _ in worker.store.counted(0).values()) < len(worker.job.processed)
            await worker.ownership.release()
            worker.ownership.assign([0])  # the group gives the partition back
            await until(lambda: worker.done)
            worker.assert_exact()

    run(scenario)


@pytest.mark.parametrize("lost", [{0}, {3, 9}, {55}, {57, 58, 59}])
def test_a_batch_that_was_fetched_but_never_came_is_read_again(lost: set[int]) -> None:
    async def scenario() -> None:
        log = log_of()
        log.lose = set(lost)
        async with Worker(log, ScriptedStore()) as worker:
            await until(lambda: worker.done)
            worker.assert_exact()

    run(scenario)


def test_a_batch_of_before_a_seek_is_dropped_although_its_offsets_fit() -> None:
    """As that of a topic that was deleted before it was claimed anew."""

    async def scenario() -> None:
        log = log_of(length=5)
        ownership = Worker(log, ScriptedStore()).ownership
        ownership.assign([0])
        await until(lambda: ownership.wants(0))
        ownership.offer(RecordBatch(0, log.records[0], 0, 5, seek=log.sought[0] - 1))
        assert ownership.wants(0)
        ownership.offer(RecordBatch(0, log.records[0][:3], 0, 3, seek=log.sought[0]))
        await until(lambda: ownership.progress() == {0: 3})
        await ownership.release()

    run(scenario)


def test_a_batch_of_before_a_seek_is_not_counted_again() -> None:
    async def scenario() -> None:
        async with Worker(log_of(), ScriptedStore()) as worker:
            await until(lambda: worker.done)
            seen = len(worker.job.processed)
            for start in (0, 30, 56):
                records = [one for one in worker.log.records[0] if start <= one.offset]
                worker.ownership.offer(owner.RecordBatch(0, records, start, 60, seek=worker.log.sought[0]))
            await asyncio.sleep(0.05)
            assert len(worker.job.processed) == seen
            worker.assert_exact()

    run(scenario)


@pytest.mark.parametrize("error", [KafkaConnectionError(), TimeoutError(), OSError()])
def test_an_outage_is_waited_out_however_long(error: Exception) -> None:
    async def scenario() -> None:
        worker = Worker(log_of(), ScriptedStore())
        worker.job.failures = [error] * 30
        async with worker:
            await until(lambda: worker.done)
            worker.assert_exact()
            assert worker.ownership.refusal is None

    run(scenario)


def test_before_there_is_a_log_nothing_is_behind() -> None:
    early = Ownership(ScriptedStore(), Counting(), topic="events", batch_max=5)
    assert (early.lag(), early.stable_lag()) == ({}, {})
    assert not early.ready
    early.close()


def test_a_store_that_is_away_makes_the_worker_unready_and_loses_nothing() -> None:
    async def scenario() -> None:
        store = ScriptedStore()
        store.away = 10**6
        async with Worker(log_of(), store) as worker:
            await until(lambda: "nobody there" in worker.ownership.trouble)
            assert not worker.ownership.ready
            store.away = 0
            await until(lambda: worker.done)
            worker.assert_exact()
            store.away = 10**6  # an idle owner notices too
            await until(lambda: not worker.ownership.ready)
            store.away = 0
            await until(lambda: worker.ownership.ready)

    run(scenario)


def test_a_job_that_fails_a_few_times_is_run_again() -> None:
    async def scenario() -> None:
        worker = Worker(log_of(), ScriptedStore())
        worker.job.failures = [ZeroDivisionError("oh")] * (poison.JOB_TRIES - 1)
        async with worker:
            await until(lambda: worker.done)
            worker.assert_exact()

    run(scenario)


def test_states_of_another_layout_end_the_worker_with_one_line() -> None:
    async def scenario() -> None:
        worker = Worker(log_of(), ScriptedStore())
        worker.job.failures = [SchemaMismatch("older")]
        async with worker:
            await asyncio.wait_for(worker.ownership.refused.wait(), 10)
            assert isinstance(worker.ownership.refusal, SchemaMismatch)
            assert str(worker.ownership.refusal) == "older"
            assert not worker.ownership.ready

    run(scenario)


def recorded(offset: int, partitions: int = 1) -> PartitionRecord:
    return PartitionRecord(4, bytes(16), offset, NO_WATERMARK, partitions)


@pytest.mark.parametrize(
    ("found", "commit", "earliest", "refusal"),
    [
        (None, 12, 0, StoreLost),
        (recorded(10, partitions=2), 10, 0, PartitionsChanged),
        (recorded(61), 10, 0, OffsetOutsideLog),
        (recorded(10), 10, 11, OffsetOutsideLog),
    ],
)
def test_a_record_that_does_not_fit_the_log_is_refused(
    found: PartitionRecord | None, commit: int, earliest: int, refusal: type[IntentError]
) -> None:
    async def scenario() -> None:
        log, store = log_of(), ScriptedStore()
        log.commits, log.earliest = {0: commit}, earliest
        if found:
            store.claim(0, None, found)
        async with Worker(log, store) as worker:
            await asyncio.wait_for(worker.ownership.refused.wait(), 10)
            assert isinstance(worker.ownership.refusal, refusal)
            assert "`intent worker --rebuild`" in str(worker.ownership.refusal)
            assert worker.job.processed == []
        assert store.record(0) == found

    run(scenario)


@pytest.mark.parametrize(
    ("found", "commit", "earliest", "first"),
    [
        (None, None, 0, 0),
        (None, 0, 0, 0),
        (None, None, 7, 7),
        (recorded(10), None, 0, 10),
        (recorded(60), 3, 60, None),
    ],
)
def test_reading_starts_at_the_record_or_else_at_the_earliest(
    found: PartitionRecord | None, commit: int | None, earliest: int, first: int | None
) -> None:
    async def scenario() -> None:
        log, store = FakeLog({0: [record(0, offset) for offset in range(60)]}), ScriptedStore()
        log.earliest, log.commits = earliest, {} if commit is None else {0: commit}
        if found:
            store.claim(0, None, found)
        async with Worker(log, store) as worker:
            await until(lambda: worker.done)
            assert [offset for _, offset in worker.job.processed][:1] == ([] if first is None else [first])
            now = store.record(0)
            assert now is not None
            assert now.epoch == (found.epoch if found else 0) + 1

    run(scenario)


def test_rebuilding_starts_at_the_earliest_although_kafka_has_a_commit() -> None:
    async def scenario() -> None:
        log = log_of()
        log.commits = {0: 30}
        async with Worker(log, ScriptedStore(), rebuild=True) as worker:
            await until(lambda: worker.done)
            worker.assert_exact()

    run(scenario)


def test_rounds_overlap_and_batches_of_one_partition_do_not() -> None:
    async def scenario() -> None:
        worker = Worker(log_of(partitions=4), ScriptedStore(), at_once=2)
        running: list[int] = []
        most = company = 0
        inner = worker.job.read

        def begins(batches: Sequence[RecordBatch], watermarks: Sequence[int]) -> Read:
            nonlocal most, company
            own = [batch.partition for batch in batches]
            assert not set(own) & set(running)
            running.extend(own)
            most, company = max(most, len(running)), max(company, len(own))
            return inner(batches, watermarks)

        async def ends(counted: Counted) -> None:
            await asyncio.sleep(0.002)
            for batch in counted.batches:
                running.remove(batch.partition)

        worker.job.read = begins  # type: ignore[method-assign]
        worker.job.publish = ends  # type: ignore[method-assign]
        async with worker:
            await until(lambda: worker.done)
            worker.assert_exact()
        assert most > company, "rounds overlapped"

    run(scenario)


def test_small_batches_of_several_partitions_make_one_round() -> None:
    async def scenario() -> None:
        worker = Worker(log_of(partitions=4, length=1), ScriptedStore())
        sizes: list[int] = []
        inner = worker.job.read

        def watched(batches: Sequence[RecordBatch], watermarks: Sequence[int]) -> Read:
            sizes.append(len(batches))
            return inner(batches, watermarks)

        worker.job.read = watched  # type: ignore[method-assign]
        async with worker:
            await until(lambda: worker.done)
            worker.assert_exact()
        assert max(sizes) > 1

    run(scenario)


def test_a_partition_that_cannot_go_on_is_parked_alone_and_goes_on_by_itself() -> None:
    async def scenario() -> None:
        worker = Worker(log_of(partitions=4), ScriptedStore())
        inner = worker.job.read
        broken = True

        def breaks(batches: Sequence[RecordBatch], watermarks: Sequence[int]) -> Read:
            if broken and any(batch.partition == 2 for batch in batches):
                raise ValueError("no")
            return inner(batches, watermarks)

        worker.job.read = breaks  # type: ignore[method-assign]
        async with worker:
            await until(lambda: worker.ownership.parked == [2])
            await until(lambda: all(worker.ownership.progress()[p] == worker.log.end(p) for p in (0, 1, 3)))
            assert worker.ownership.refusal is None
            assert not worker.ownership.ready
            stands = worker.ownership.progress()[2]
            assert f"partition 2 of events is parked at offset {stands}" in worker.ownership.trouble
            assert "at offset 0: no;" in worker.ownership.trouble
            assert worker.job.letters == [], "not even letters could be written"
            broken = False
            await until(lambda: worker.done)
            await until(lambda: worker.ownership.ready)
            assert worker.ownership.parked == []
            worker.assert_exact()

    run(scenario)


def test_what_waits_is_bounded_while_the_job_does_not_get_on() -> None:
    async def scenario() -> None:
        worker = Worker(log_of(length=5_000), ScriptedStore())
        go = asyncio.Event()

        async def waits(counted: Counted) -> None:
            await go.wait()

        worker.job.publish = waits  # type: ignore[method-assign]
        async with worker:
            await until(lambda: bool(worker.log.positions.get(0)))
            await asyncio.sleep(0.05)
            assert worker.log.positions[0] < 30
            go.set()
            await until(lambda: worker.done)
            worker.assert_exact()

    run(scenario)


@pytest.mark.parametrize(("limit", "finished"), [(5.0, True), (0.01, False)])
def test_a_release_finishes_the_batch_under_way_and_drops_one_that_takes_too_long(
    limit: float, finished: bool
) -> None:
    async def scenario() -> None:
        worker = Worker(log_of(), ScriptedStore())
        started, stopped, inner = asyncio.Event(), asyncio.Event(), worker.job.publish

        async def slow(counted: Counted) -> None:
            started.set()
            try:
                await asyncio.sleep(0.1)
            except asyncio.CancelledError:
                stopped.set()
                raise

        worker.job.publish = slow  # type: ignore[method-assign]
        async with worker:
            await started.wait()
            await worker.ownership.release(limit)
            if not finished:
                await asyncio.wait_for(stopped.wait(), 5)  # nobody waits for what it would publish
            at = worker.ownership.progress()[0]
            assert (at > 0) == finished
            stored = worker.store.record(0)
            assert stored is not None
            assert stored.next_offset == at
            worker.job.publish = inner  # type: ignore[method-assign]
            worker.ownership.assign([0])
            await until(lambda: worker.done)
            worker.assert_exact()

    run(scenario)


def sweep_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "SWEEP_SECONDS", 0.0)
    monkeypatch.setattr(owner, "SWEEP_REST", 0.0)


def test_expired_states_are_swept_by_their_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep_all_the_time(monkeypatch)

    async def scenario() -> None:
        records = [record(0, offset, "old" if offset < 5 else "new") for offset in range(60)]
        async with Worker(FakeLog({0: records}), ScriptedStore(), state_ttl_ms=20) as worker:
            await until(lambda: worker.store.customers(0) == ["new"])
            await until(lambda: worker.done)
            assert worker.store.counted(0)["new"][0] == 55

    run(scenario)


def test_a_sweep_that_has_come_round_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "SWEEP_SECONDS", 0.0)
    steps = []

    class Noted(ScriptedStore):
        def sweep(self, *args: Any, **options: Any) -> Swept:
            steps.append(super().sweep(*args, **options))
            return steps[-1]

    async def scenario() -> None:
        records = [record(0, offset, f"c{offset}") for offset in range(60)]
        async with Worker(FakeLog({0: records}), Noted(), state_ttl_ms=1_000_000) as worker:
            await until(lambda: worker.done)
            await until(lambda: steps)
            await asyncio.sleep(0.1)  # several looks round
        assert [step.ended for step in steps] == [True]

    run(scenario)


def test_no_watermark_ahead_of_the_brokers_clock_expires_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep_all_the_time(monkeypatch)

    async def scenario() -> None:
        log = FakeLog({0: [record(0, offset, "old" if offset < 5 else "new") for offset in range(60)]})
        store = ScriptedStore()
        async with Worker(log, store, state_ttl_ms=20) as worker:
            inner = worker.job.score

            def from_the_future(read: Read, loaded: Sequence[Loaded]) -> Counted:
                counted = inner(read, loaded)
                return counted._replace(changes=[one._replace(watermark=10**12) for one in counted.changes])

            worker.job.score = from_the_future  # type: ignore[method-assign]
            await until(lambda: worker.done)
            await asyncio.sleep(0.1)  # several looks round
            assert store.customers(0) == ["new", "old"]
        async with Worker(log, store, state_ttl_ms=20) as another:
            await until(lambda: another.ownership.ready)
            await asyncio.sleep(0.1)
            assert store.customers(0) == ["new", "old"]

    run(scenario)


def test_no_watermark_ahead_of_the_wall_clock_expires_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the records say: their times, up to 59, lie ahead of this machine's clock."""
    sweep_all_the_time(monkeypatch)

    async def scenario() -> None:
        log = FakeLog({0: [record(0, offset, "old" if offset < 5 else "new") for offset in range(60)]})
        time_now = 4
        async with Worker(log, ScriptedStore(), state_ttl_ms=20, now=lambda: time_now) as worker:
            await until(lambda: worker.done)
            await asyncio.sleep(0.1)  # several looks round
            assert worker.store.customers(0) == ["new", "old"]
            time_now = 60
            await until(lambda: worker.store.customers(0) == ["new"])

    run(scenario)


def test_a_watermark_that_cannot_be_right_shows() -> None:
    async def scenario() -> None:
        ahead = -MAX_AHEAD_MS
        async with Worker(log_of(), ScriptedStore(), now=lambda: ahead + 59) as worker:
            await until(lambda: worker.done)
            assert worker.ownership.ready
            ahead -= 1
            assert not worker.ownership.ready
            assert "partition reset-watermark 0" in worker.ownership.trouble

    run(scenario)


def test_a_topic_that_is_gone_shows(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        log = log_of()
        async with Worker(log, ScriptedStore()) as worker:
            await until(lambda: worker.done)
            log.there = False
            assert not worker.ownership.ready
            assert (
                worker.ownership.trouble == "Kafka has no topic events: create it with `intent topics create`"
            )
            await worker.ownership.release()
            worker.ownership.assign([])
            assert worker.ownership.trouble in caplog.text
            log.there = True
            assert worker.ownership.ready, "others have all partitions"

    run(scenario)


def test_a_transaction_that_stays_open_shows() -> None:
    async def scenario() -> None:
        async with Worker(log_of(), ScriptedStore()) as worker:
            await until(lambda: worker.done)
            worker.log.held = HELD_SECONDS - 1
            assert worker.ownership.ready
            worker.log.held = HELD_SECONDS + 1
            assert "partition 0: events wait behind a transaction" in worker.ownership.trouble

    run(scenario)


def test_records_of_a_topic_with_producers_times_end_the_worker_before_they_are_counted() -> None:
    async def scenario() -> None:
        log = log_of()
        log.of_producers = log.created = True
        async with Worker(log, ScriptedStore()) as worker:
            await asyncio.wait_for(worker.ownership.refused.wait(), 10)
            assert isinstance(worker.ownership.refusal, TopicMismatch)
            assert not worker.job.processed
            assert worker.store.customers(0) == []

    run(scenario)


@pytest.mark.parametrize("seed", range(8))
def test_random_failures_on_several_partitions_change_no_count(seed: int) -> None:
    async def scenario() -> None:
        chance = random.Random(seed)
        outcomes = ["save", "save", "save", "no answer", "void", "not reached", "fell back"]
        script = ["save"] * 6 + [chance.choice(outcomes) for _ in range(60)]
        log = log_of(partitions=3, length=300, seed=seed)
        log.lose = {chance.randrange(300) for _ in range(20)}
        async with Worker(log, ScriptedStore(script), cache_customers=6) as worker:
            worker.job.failures = []
            await until(lambda: worker.done and not worker.store.script)
            await asyncio.sleep(0.05)
            await until(lambda: worker.done)
            worker.assert_exact()

    run(scenario)


def test_readiness_is_the_age_of_the_last_answers() -> None:
    async def scenario() -> None:
        async with Worker(log_of(), ScriptedStore()) as worker:
            await until(lambda: worker.done and worker.ownership.ready)
            owner = worker.ownership._owners[0]
            owner.fetching_since -= 100  # it has owned the partition for long
            worker.log.silence = STALL_SECONDS - 1
            assert worker.ownership.ready
            worker.log.silence = STALL_SECONDS + 1
            assert not worker.ownership.ready
            assert worker.ownership.trouble == "partition 0: Kafka has answered no fetch for 11 s"
            owner.fetching_since = time.monotonic()
            assert worker.ownership.trouble == (
                "the consumer group's coordinator has answered no heartbeat for 11 s"
            )

    run(scenario)


def test_a_publication_without_an_answer_makes_the_worker_unready() -> None:
    async def scenario() -> None:
        async with Worker(log_of(), ScriptedStore()) as worker:
            await until(lambda: worker.done and worker.ownership.ready)
            with worker.ownership.rounds.steps.round([0]) as step:
                step("publish")
                steps = worker.ownership.rounds.steps
                steps.under_way[0] = step._now = steps.under_way[0]._replace(since=time.monotonic() - 12)
                assert worker.ownership.trouble == "partition 0: Kafka has not acknowledged scores for 12 s"
            assert worker.ownership.ready

    run(scenario)


def test_partitions_given_away_have_no_lag_and_no_watermark() -> None:
    async def scenario() -> None:
        async with Worker(log_of(2), ScriptedStore()) as worker:
            await until(lambda: worker.done)
            assert set(worker.ownership.lag()) == set(worker.ownership.watermarks()) == {0, 1}
            await worker.ownership.release()
            assert (
                worker.ownership.lag() == worker.ownership.stable_lag() == worker.ownership.watermarks() == {}
            )

    run(scenario)


def test_the_log_is_woken_where_all_that_waited_had_been_read_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A fetch from before a seek may fill the backlog; nobody hands over more until there is room again."""
    monkeypatch.setattr(owner, "IDLE_SECONDS", 60.0)

    async def scenario() -> None:
        log = FakeLog({0: [record(0, offset) for offset in range(20)]})
        ownership = Worker(log, ScriptedStore()).ownership
        ownership.assign([0])
        await until(lambda: ownership.wants(0))
        woken: list[bool] = []
        monkeypatch.setattr(log, "wake", lambda: woken.append(ownership.wants(0)))
        for stop in (7, 5):
            ownership.offer(RecordBatch(0, log.records[0][:stop], 0, stop, seek=log.sought[0]))
        await until(lambda: woken == [True])
        assert ownership.progress() == {0: 7}
        await ownership.release()
        ownership.close()

    run(scenario)
