"""What a person changes by hand, while no worker runs and while one does."""

from __future__ import annotations

import asyncio
import logging

import pytest

from features.exceptions import IntentError, StoreConflict
from features.store.memory_store import MemoryStore
from features.store.partition_record import NO_WATERMARK, PartitionRecord
from stream.ownership.interventions import Extent, reset_watermark, skip
from tests.stream.fakes import Counted, ScriptedStore, truth
from tests.stream.ownership.test_partitions import Worker, _no_pauses, log_of, run, until  # noqa: F401

HOLDS = Extent(5, 60)
NOON = 1_772_366_400_000


def stored(store: MemoryStore, offset: int = 10, watermark: int = NOON) -> PartitionRecord:
    record = PartitionRecord(4, bytes(16), offset, watermark, 3)
    store.claim(0, None, record)
    return record


def test_a_skip_moves_the_offset_and_fences_whoever_owned_the_partition(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = MemoryStore()
    before = stored(store)
    with caplog.at_level(logging.WARNING):
        change = skip(store, 0, 12, HOLDS, "corrupt on disk")
    assert change.before == before
    assert change.after == store.record(0)
    assert change.after._replace(token=before.token) == before._replace(epoch=5, next_offset=12)
    assert change.after.token != before.token
    assert caplog.messages == ["partition 0: skipped 2 offsets, offsets 10 to 11: corrupt on disk"]
    with pytest.raises(StoreConflict):
        store.save(0, before, before._replace(next_offset=11), [], store.load(0, []))


@pytest.mark.parametrize(
    ("to", "said"),
    [
        (10, "goes on at offset 10, which is not before 10"),
        (9, "not before 9"),
        (61, "holds offsets 5 to 60, and 61 lies outside"),
    ],
)
def test_a_skip_back_or_out_of_the_topic_is_refused(to: int, said: str) -> None:
    store = MemoryStore()
    before = stored(store)
    with pytest.raises(IntentError, match=said):
        skip(store, 0, to, HOLDS, "why")
    assert store.record(0) == before


def test_a_skip_over_what_has_expired_goes_to_the_beginning_at_least() -> None:
    store = MemoryStore()
    stored(store, offset=2)
    with pytest.raises(IntentError, match="lies outside"):
        skip(store, 0, 4, HOLDS, "expired")
    assert skip(store, 0, 5, HOLDS, "expired").after.next_offset == 5


def test_a_watermark_only_goes_back() -> None:
    store = MemoryStore()
    before = stored(store)
    for to in (NOON, NOON + 1):
        with pytest.raises(IntentError, match="2026-03-01T12:00:00Z, which is not after"):
            reset_watermark(store, 0, to, "bad clock")
    assert store.record(0) == before
    after = reset_watermark(store, 0, NOON - 1, "bad clock").after
    assert after == store.record(0)
    assert after._replace(token=before.token) == before._replace(epoch=5, watermark=NOON - 1)


def test_a_time_that_nobody_gave_is_in_no_message() -> None:
    store = MemoryStore()
    store.claim(0, None, PartitionRecord(1, bytes(16), 10, NOON, 1))
    with pytest.raises(
        IntentError, match="events that arrived on time may leave it: nothing is to do"
    ) as said:
        reset_watermark(store, 0, NOON + 1, "why", given=False)
    assert "12:00:00.001" not in str(said.value)


def test_without_a_record_or_a_watermark_nothing_is_changed() -> None:
    store = MemoryStore()
    with pytest.raises(IntentError, match="no record of partition 0"):
        skip(store, 0, 12, HOLDS, "why")
    assert store.record(0) is None
    stored(store, watermark=NO_WATERMARK)
    with pytest.raises(IntentError, match="no watermark yet, because it has accepted no event"):
        reset_watermark(store, 0, NOON, "why")


class Busy(MemoryStore):
    """A store in which a worker saves between reading and writing, some times."""

    def __init__(self, saves: int) -> None:
        super().__init__()
        self.saves = saves

    def claim(self, partition: int, found: PartitionRecord | None, new: PartitionRecord) -> None:
        if found is not None and self.saves:
            self.saves -= 1
            super().claim(partition, found, found._replace(next_offset=found.next_offset + 1))
        super().claim(partition, found, new)


def test_a_change_meets_a_gap_between_the_saves_of_a_worker() -> None:
    store = Busy(saves=5)
    stored(store)
    assert skip(store, 0, 20, HOLDS, "why").before.next_offset == 15
    store.saves = 5
    with pytest.raises(IntentError, match="which is not before 22"):
        skip(store, 0, 22, HOLDS, "why")  # the worker was quicker


class Unanswered(MemoryStore):
    """A store whose first answer to a claim by hand is lost."""

    def claim(self, partition: int, found: PartitionRecord | None, new: PartitionRecord) -> None:
        super().claim(partition, found, new)
        if found is not None and found.epoch == 4:
            raise StoreConflict("the connection broke")


def test_a_change_whose_answer_was_lost_is_not_made_twice() -> None:
    store = Unanswered()
    before = stored(store)
    change = skip(store, 0, 12, HOLDS, "why")
    assert (change.before, change.after.epoch, change.after.next_offset) == (before, 5, 12)


@pytest.mark.parametrize("parked", [True, False])
def test_a_worker_goes_on_from_where_the_skip_leads(parked: bool) -> None:
    async def scenario() -> None:
        worker = Worker(log_of(partitions=2), ScriptedStore())
        records = worker.log.records[0]
        bad, to = records[7].offset, records[12].offset

        async def publish(counted: Counted) -> None:
            for batch in counted.batches:
                if parked and batch.partition == 0 and bad in [one.offset for one in batch.records]:
                    raise ValueError("not even a letter")

        worker.job.publish = publish  # type: ignore[method-assign]
        async with worker:
            if parked:
                await until(lambda: worker.ownership.parked == [0])
                assert f"`intent partition skip 0 --to {bad + 1} --reason TEXT`" in worker.ownership.trouble
                skip(worker.store, 0, to, Extent(0, 60), "test")
            else:
                await until(lambda: worker.done)
                reset_watermark(worker.store, 0, 3, "test")
            await asyncio.wait_for(worker.log.rejoined.wait(), 10)
            await worker.ownership.release()
            worker.ownership.assign([0, 1])
            await until(lambda: worker.done and worker.ownership.ready)
            assert worker.ownership.parked == []
            left = [one for one in records if not parked or not bad <= one.offset < to]
            assert worker.store.counted(0) == truth(left)
            assert worker.store.counted(1) == truth(worker.log.records[1])

    run(scenario)
