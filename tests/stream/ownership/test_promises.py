"""Timers and outboxes: what is promised by a save is published, once or more, with the same bytes, and nothing else is.

The job of these tests reminds everybody who was silent for `SILENCE`. A reminder carries the number of the decision
that made it, so two decisions about the same thing do not go unnoticed.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence

import pytest
from aiokafka.errors import KafkaConnectionError

from features.exceptions import StoreError
from features.store.customer_store import Due, DueRequest, Loaded, LoadRequest, Pending, Save, TimerChanges
from features.store.partition_record import PartitionRecord
from stream.kafka.batches import RecordBatch
from stream.ownership import loading, owner, timers
from stream.ownership.job import StateChanges
from tests.stream.fakes import Counted, Counting, FakeLog, Read, ScriptedStore, fold, record
from tests.stream.ownership.test_partitions import Worker, log_of, run, until

SILENCE = 5
_DUE = "session_start"  # where these states keep the moment of the timer


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(owner, "PAUSES", (0.001,))
    monkeypatch.setattr(owner, "IDLE_SECONDS", 0.02)
    monkeypatch.setattr("stream.ownership.parking.PARK_PAUSES", (0.005,))
    monkeypatch.setattr("stream.ownership.partitions.REJOIN_SECONDS", 0.0)
    return


class Reminding(Counting):
    """Reminds customers of whom nothing was heard for `SILENCE` of event time; the watermark is the event time."""

    decisions = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.published: list[tuple[int, bytes]] = []
        self.faults: list[Exception] = []
        self.hindered = asyncio.Event()
        self.hindered.set()
        self.tried = 0
        self.order: list[bytes] = []  # what it was asked to publish, and b"" for each round

    def read(self, batches: Sequence[RecordBatch], watermarks: Sequence[int]) -> Read:
        self.order.append(b"")
        read = super().read(batches, watermarks)
        reached = [
            batch.records[-1].timestamp if batch.records else watermark
            for batch, watermark in zip(batches, watermarks, strict=True)
        ]
        return read._replace(reached=reached)

    def score(self, read: Read, loaded: Sequence[Loaded]) -> Counted:
        changes = []
        for batch, reached, own, (states, _, due, *_) in zip(*read[:3], loaded, strict=True):
            watermark = reached
            customers = [*own, *due]
            before = states[_DUE].tolist()
            rows = {customer: at for at, customer in enumerate(customers)}
            reminded: list[tuple[int, str]] = []
            for one in batch.records:
                at = rows[one.key.decode()]
                if 0 < states[_DUE][at] <= watermark:
                    reminded.append((int(states[_DUE][at]), customers[at]))
                fold(states, customers, batch._replace(records=[one]))
                states[_DUE][at] = one.timestamp + SILENCE
                watermark = one.timestamp
            for customer, at in rows.items():
                if 0 < states[_DUE][at] <= watermark:
                    reminded.append((int(states[_DUE][at]), customer))
                    states[_DUE][at] = 0
            self.processed += [(batch.partition, one.offset) for one in batch.records]
            moments = states[_DUE].tolist()
            changed = [at for at, moment in enumerate(moments) if moment != before[at]]
            timers = TimerChanges([customers[at] for at in changed], [moments[at] for at in changed])
            lines = [f"{customer} {at} {next(self.decisions)}".encode() for at, customer in sorted(reminded)]
            changes.append(StateChanges(customers, states, watermark, (), timers, b"\n".join(lines)))
        return Counted(read.batches, changes)

    async def act(self, promised: Sequence[tuple[int, bytes]]) -> None:
        self.tried += 1
        self.order += [outbox for _, outbox in promised]
        await self.hindered.wait()
        if self.faults:
            raise self.faults.pop(0)
        self.published += [
            (partition, line) for partition, outbox in promised for line in outbox.split(b"\n")
        ]


def reminders(records: Sequence) -> set[tuple[str, int]]:  # type: ignore[type-arg]
    """Return whom to remind, and when, as one pass record by record gives them."""
    found, due = set(), dict[str, int]()
    for one in records:
        customer = one.key.decode()
        due[customer] = one.timestamp + SILENCE
        for other, moment in list(due.items()):
            if moment <= one.timestamp:
                found.add((other, moment))
                del due[other]
    return found


def by_reminder(*jobs: Reminding) -> dict[tuple[str, int], set[bytes]]:
    """Return the decisions by which each reminder was published."""
    found = defaultdict(set)
    for job in jobs:
        for _, line in job.published:
            customer, moment, decision = line.split()
            found[customer.decode(), int(moment)].add(decision)
    return found


def log_with_silences(seed: int = 0) -> FakeLog:
    """Return a log of one partition in which some customers are silent for long, and time leaps once."""
    log = log_of(length=80, seed=seed)
    for one in log.records[0]:
        object.__setattr__(one, "timestamp", one.offset + (40 if one.offset >= 50 else 0) + 1)
    return log


LOSSLESS = (
    [],
    ["no answer"],
    ["save", "no answer", "no answer", "save"],
    ["not reached"],
    ["save", "void", "void", "save", "void"],
    ["save"] * 6 + ["no answer", "void", "not reached", "save", "no answer"],
)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("script", LOSSLESS, ids=lambda script: ", ".join(script) or "all goes well")
@pytest.mark.parametrize("cache", [0, 2, 100])
def test_every_timer_comes_once_however_saves_end(script: list[str], cache: int, seed: int) -> None:
    async def scenario() -> None:
        job = Reminding()
        async with Worker(
            log_with_silences(seed), ScriptedStore(script), job, cache_customers=cache
        ) as worker:
            await until(lambda: worker.done and not worker.store.script)
            worker.assert_exact()
            found = by_reminder(job)
            assert set(found) == reminders(worker.log.records[0])
            assert len(found) > 10
            assert max(map(len, found.values())) == 1, "two decisions about the same"
            if not script:
                assert len(job.published) == len(found), "nothing is repeated without a reason"

    run(scenario)


@pytest.mark.parametrize(
    "script", [["save"] * 9 + ["fell back"], ["save"] * 9 + ["wiped"]], ids=["fell back", "wiped"]
)
def test_a_store_that_loses_its_last_moments_loses_no_reminder(script: list[str]) -> None:
    async def scenario() -> None:
        job = Reminding()
        async with Worker(log_with_silences(), ScriptedStore(script), job) as worker:
            await until(lambda: worker.done and not worker.store.script)
            worker.assert_exact()
            assert set(by_reminder(job)) == reminders(worker.log.records[0])

    run(scenario)


@pytest.mark.parametrize("script", LOSSLESS, ids=lambda script: ", ".join(script) or "all goes well")
@pytest.mark.parametrize("cache", [0, 100])
def test_a_leap_of_the_watermark_is_bounded_work_for_each_round(
    monkeypatch: pytest.MonkeyPatch, script: list[str], cache: int
) -> None:
    monkeypatch.setattr(timers, "MOST_DUE", 5)
    names = [f"c{number}" for number in range(50)]
    records = [record(0, offset, name) for offset, name in enumerate([*names, "c7", "c8", "c7"])]
    for one in records:
        object.__setattr__(one, "timestamp", 1 if one.offset < len(names) else 1_000 + one.offset)

    wanted = reminders(records)
    assert len(wanted) == len(names) - 1, "all but c7, who was back before the watermark leapt"

    async def scenario() -> None:
        job, store = Reminding(), CountingStore()
        store.script += script
        async with Worker(FakeLog({0: records}), store, job, cache_customers=cache) as worker:
            await until(lambda: worker.done and not store.script and set(by_reminder(job)) >= wanted)
            worker.assert_exact()
            found = by_reminder(job)
            assert set(found) == wanted
            assert max(map(len, found.values())) == 1, "two decisions about the same"
            assert max(map(len, store.due)) <= 5
            assert (
                max(len(save.customers) for save in store.saves if save.new.next_offset == len(records))
                <= 5 + 3
            )
            if not script:
                assert len(job.published) == len(found)
                assert (
                    sum(save.new == save.expected for save in store.saves if save.customers)
                    >= len(names) // 5 - 1
                )

    run(scenario)


def test_what_silent_events_have_left_is_silent_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timers, "MOST_DUE", 5)
    names = [f"c{number}" for number in range(30)]
    records = [record(0, offset, name) for offset, name in enumerate([*names, "c1", "c2"])]
    for one in records:
        object.__setattr__(one, "timestamp", 1 if one.offset < len(names) else 1_000 + one.offset)
    silent: list[tuple[int, bool]] = []

    class Listening(Reminding):
        def read(self, batches: Sequence[RecordBatch], watermarks: Sequence[int]) -> Read:
            silent.extend((batch.start, batch.silent) for batch in batches if not batch.records)
            return super().read(batches, watermarks)

    async def scenario() -> None:
        store = CountingStore()
        begun = PartitionRecord.beginning(0, 1, silent_until=len(names) + 1)
        store.claim(0, None, begun)
        async with Worker(FakeLog({0: records}), store, Listening()) as worker:
            await until(lambda: worker.done and len(silent) > 4)

    run(scenario)
    assert {quiet for start, quiet in silent if start == len(names) + 1} == {True}


def test_many_due_at_once_are_asked_for_and_loaded_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timers, "DUE_AT_ONCE", 7)
    monkeypatch.setattr(loading, "LOADED_AT_ONCE", 3)
    names = [f"c{number}" for number in range(50)]
    records = [record(0, offset, name) for offset, name in enumerate(names)]
    for one in records:
        object.__setattr__(one, "timestamp", 1)
    last = record(0, 50, "c0")
    object.__setattr__(last, "timestamp", 1_000)

    async def scenario() -> None:
        job, store = Reminding(), CountingStore()
        async with Worker(FakeLog({0: [*records, last]}), store, job, cache_customers=0) as worker:
            await until(lambda: worker.done)
            assert set(by_reminder(job)) == {(name, 6) for name in names[1:]}
            assert max(map(len, store.due)) == 7
            assert max(sum(len(one.customers) for one in loads) for loads in store.loads) <= 3

    run(scenario)


class CountingStore(ScriptedStore):
    """A store that takes note of what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.due: list[list[str]] = []
        self.loads: list[Sequence[LoadRequest]] = []
        self.saves: list[Save] = []
        self.asked_for_pending = 0

    def due_many(self, requests: Sequence[DueRequest]) -> list[Due]:
        found = super().due_many(requests)
        self.due += [one.customers for one in found]
        return found

    def load_many(self, loads: Sequence[LoadRequest]) -> list[Loaded]:
        self.loads.append(loads)
        return super().load_many(loads)

    def save_many(self, saves: Sequence[Save]) -> list[StoreError | None]:
        self.saves += saves
        return super().save_many(saves)

    def pending(self, partition: int, expected: PartitionRecord) -> Pending:
        self.asked_for_pending += 1
        return super().pending(partition, expected)


def test_a_job_without_timers_costs_no_question() -> None:
    async def scenario() -> None:
        store = CountingStore()
        async with Worker(log_of(), store) as worker:
            await until(lambda: worker.done)
        assert (store.due, store.asked_for_pending) == ([], 1)
        assert {(save.timers, save.outbox) for save in store.saves} == {(TimerChanges(), None)}

    run(scenario)


def test_the_store_is_asked_only_when_a_timer_may_be_due() -> None:
    records = [record(0, offset, f"c{offset % 3}") for offset in range(90)]  # nobody is silent

    async def scenario() -> None:
        store = CountingStore()
        async with Worker(FakeLog({0: records}), store, Reminding()) as worker:
            await until(lambda: worker.done)
        asked, rounds = len(store.due), len(store.saves)
        assert asked < rounds

    run(scenario)


def test_what_could_not_be_published_is_published_again_before_anything_else_is_saved() -> None:
    async def scenario() -> None:
        job, store = Reminding(), CountingStore()
        job.faults = [KafkaConnectionError("away")] * 1_000
        async with Worker(log_with_silences(), store, job) as worker:
            await until(lambda: len(job.faults) < 998)
            saves = len(store.saves)
            assert worker.ownership.progress() != {0: store.saves[-1].new.next_offset}, (
                "Kafka may not commit it"
            )
            assert not worker.ownership.ready
            await until(lambda: len(job.faults) < 995)
            assert (len(store.saves), job.published) == (saves, [])
            job.faults.clear()
            await until(lambda: worker.done)
        found = by_reminder(job)
        assert set(found) == reminders(worker.log.records[0])
        assert max(map(len, found.values())) == 1

    run(scenario)


def test_a_worker_that_ends_between_save_and_publication_leaves_it_to_the_next() -> None:
    async def scenario() -> None:
        log, store = log_with_silences(), CountingStore()
        killed, heir = Reminding(), Reminding()
        killed.hindered.clear()
        async with Worker(log, store, killed) as worker:
            await until(lambda: killed.tried == 1)
            promised = store.saves[-1].outbox
            await worker.ownership.release(within=0.0)
        assert promised
        assert not killed.published
        async with Worker(log, store, heir) as worker:
            await until(lambda: bool(heir.published))
            assert heir.order[0] == promised, "that comes before anything else"
            await until(lambda: worker.done)
            worker.assert_exact()
        assert set(by_reminder(heir)) == reminders(log.records[0])
        assert max(map(len, by_reminder(heir).values())) == 1

    run(scenario)


def test_what_was_not_saved_is_not_published() -> None:
    async def scenario() -> None:
        log, store, job = log_with_silences(), ScriptedStore(), Reminding()
        async with Worker(log, store, job) as worker:
            await until(lambda: bool(job.published))
            store.full = True
            before = list(job.published)
            await until(lambda: store.refused > 20)
            assert job.published[: len(before)] == before
            assert len(set(job.published)) - len(before) <= 3, "one batch may have been under way"
            await worker.ownership.release(within=0.0)
        decided = by_reminder(job)
        heir = Reminding()
        store.full = False
        async with Worker(log, store, heir) as worker:
            await until(lambda: worker.done)
        both = by_reminder(job, heir)
        assert set(both) == reminders(log.records[0])
        assert max(map(len, both.values())) == 1, "what the first decided and did not save was never seen"
        assert set(decided) < set(both)

    run(scenario)


def test_after_another_claim_both_owners_publish_the_same() -> None:
    async def scenario() -> None:
        log, store = log_with_silences(), CountingStore()
        slow, heir = Reminding(), Reminding()
        slow.hindered.clear()
        async with Worker(log, store, slow) as first:
            await until(lambda: slow.tried == 1)
            async with Worker(log, store, heir) as second:
                await until(lambda: second.done)
                slow.hindered.set()
                await until(lambda: bool(slow.published) and log.rejoined.is_set())
                second.assert_exact()
            assert first.ownership.progress() != {0: log.end(0)}
        both = by_reminder(slow, heir)
        assert set(by_reminder(heir)) == set(both) == reminders(log.records[0])
        assert max(map(len, both.values())) == 1

    run(scenario)


def test_timers_that_an_earlier_owner_has_set_come() -> None:
    async def scenario() -> None:
        log, store, heir = FakeLog({0: [record(0, 1, "ada")]}), ScriptedStore(), Reminding()
        async with Worker(log, store, Reminding()) as worker:
            await until(lambda: worker.done)
        log.records[0].append(record(0, 20, "grace"))
        async with Worker(log, store, heir) as worker:
            await until(lambda: worker.done)
        assert set(by_reminder(heir)) == {("ada", 1 + SILENCE)}

    run(scenario)


def test_the_next_save_deletes_an_outbox() -> None:
    async def scenario() -> None:
        store = CountingStore()
        names = ["ada"] * 12 + ["grace"] + ["ada"] * 30
        log = FakeLog({0: [record(0, offset, name) for offset, name in enumerate(names, 1)]})
        async with Worker(log, store, Reminding()) as worker:
            await until(lambda: worker.done)
        outboxes = [save.outbox for save in store.saves]
        told = next(at for at, outbox in enumerate(outboxes) if outbox)
        assert {*outboxes[told + 1 :]} == {b""}
        assert {*outboxes[:told]} == {None}, "where there never was one, none is deleted"

    run(scenario)


def test_an_old_outbox_that_a_store_brings_back_does_not_outlive_the_next_save() -> None:
    async def scenario() -> None:
        names = ["ada"] * 12 + ["grace"] + ["ada"] * 10
        log = FakeLog({0: [record(0, offset, name) for offset, name in enumerate(names, 1)]})
        store = ScriptedStore()
        async with Worker(log, store, Reminding()) as worker:
            await until(lambda: worker.done and not store._contents.outboxes.get(0, b"x"))
            store._contents.outboxes[0] = b"grace 18 0"  # as if the deletion had been lost
            log.records[0].append(record(0, 30, "ada"))
            log.wake()
            await until(lambda: worker.done)
            assert not store._contents.outboxes[0]

    run(scenario)


def test_an_outbox_that_was_published_is_not_repeated_for_ever() -> None:
    async def scenario() -> None:
        log, store, job, heir = log_with_silences(), CountingStore(), Reminding(), Reminding()
        last = log.records[0][-1]
        object.__setattr__(last, "timestamp", 10_000)  # so that the last save promises something
        async with Worker(log, store, job) as worker:
            await until(lambda: worker.done)
            assert store._contents.outboxes[0]
            await until(lambda: not store._contents.outboxes[0])
        async with Worker(log, store, heir) as worker:
            await until(lambda: worker.done)
        assert not heir.tried

    run(scenario)


def test_an_outbox_that_the_job_cannot_publish_parks_the_partition_and_is_tried_again() -> None:
    async def scenario() -> None:
        job = Reminding()
        job.faults = [ValueError("not of this version")] * 3
        async with Worker(log_with_silences(), ScriptedStore(), job) as worker:
            await until(lambda: worker.ownership.parked == [0])
            await until(lambda: worker.done)
            worker.assert_exact()
            assert not job.letters, "it is no record's fault"
        assert set(by_reminder(job)) == reminders(worker.log.records[0])

    run(scenario)


def test_an_earliest_moment_that_is_stored_is_known_after_a_claim() -> None:
    known = timers.Timers()
    assert not known.reached_by(2**60)
    known.begin(70)
    assert [known.reached_by(mark) for mark in (69, 70, 71)] == [False, True, True]
    known.saved(TimerChanges(["ada", "grace"], [0, 60]), None)
    assert known.reached_by(60)
    known.saved(TimerChanges(["ada"], [90]), 80)
    assert [known.reached_by(mark) for mark in (79, 80)] == [False, True]
    known.saved(TimerChanges(["ada"], [75]), 0)
    assert [known.reached_by(mark) for mark in (74, 75)] == [False, True]
    known.saved(TimerChanges(), 0)
    assert not known.reached_by(2**60)
