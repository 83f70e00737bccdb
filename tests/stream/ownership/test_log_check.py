"""Whether a record fits the log, and how states that do not fit are built again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest

from features.store.log_mark import UNKNOWN_TOPIC, LogMark
from features.store.partition_record import NO_WATERMARK, RESTORING, PartitionRecord
from stream.exceptions import LogCut, OwnershipError, RestoreUnfinished, StoreLost, TopicRecreated
from stream.ownership import owner
from stream.ownership.log_check import LogCheck
from stream.ownership.rebuilding import Rebuilding
from tests.stream.fakes import FakeLog, ScriptedStore, record
from tests.stream.ownership.test_partitions import Worker, log_of, run, until

ID = FakeLog({}).topic_id or b""


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(owner, "PAUSES", (0.001,))
    monkeypatch.setattr(owner, "IDLE_SECONDS", 0.02)
    return


def log(length: int = 100) -> FakeLog:
    """A log whose record at an offset was appended at that time; epoch 4 ends at 60, epoch 6 at the end."""
    made = FakeLog({0: [record(0, offset) for offset in range(length)]})
    made.epochs = {4: 60, 6: length}
    return made


def recorded(offset: int = 60, **others: object) -> PartitionRecord:
    """The record of a partition of `log` that was read up to ``offset``."""
    made = PartitionRecord(
        3, b"somebody's token", offset, NO_WATERMARK, 1, ID, 4, offset - 1, offset - 1, incarnation=9
    )
    return made._replace(**others)  # type: ignore[arg-type]


def checked(found: PartitionRecord | None, log: FakeLog, *, rebuild: bool = False) -> PartitionRecord:
    async def check() -> PartitionRecord:
        return await LogCheck("events", 0, log, rebuild=rebuild).record(found, await log.bounds(0))

    return asyncio.run(check())


@pytest.mark.parametrize(
    "found",
    [
        recorded(),
        recorded(100, leader_epoch=6),
        recorded(70, leader_epoch=-1),
        recorded(60, last_offset=-1, last_time=-1),
        recorded(60, leader_epoch=-1, last_offset=-1, last_time=-1, topic_id=UNKNOWN_TOPIC),  # of version 1
    ],
)
def test_a_record_that_fits_is_gone_on_from_and_learns_the_topics_id(found: PartitionRecord) -> None:
    assert checked(found, log()) == found._replace(topic_id=ID)


@pytest.mark.parametrize(
    ("found", "error", "says", "silent"),
    [
        (recorded(topic_id=b"another topic id"), TopicRecreated, "the topic was created again", 0),
        (recorded(70), LogCut, "ends that epoch at offset 60", 60),
        (recorded(70, leader_epoch=5), LogCut, "does not know that epoch", 0),
        (recorded(60, last_time=58), LogCut, "at offset 59 and came at 1970-", 0),
        (recorded(RESTORING), RestoreUnfinished, "`intent restore`", 0),
    ],
)
def test_a_record_of_another_log_is_refused_with_the_ways_on_or_built_again(
    found: PartitionRecord, error: type[OwnershipError], says: str, silent: int
) -> None:
    with pytest.raises(error) as refusal:
        checked(found, log())
    text = str(refusal.value)
    for words in (says, "`intent worker --rebuild`", "`intent restore", "INTENT_REDIS_PREFIX"):
        assert words in text
    assert "\n" not in text
    again = checked(found, log(), rebuild=True)
    assert (again.epoch, again.next_offset, again.watermark) == (3, 0, NO_WATERMARK)
    assert again.incarnation not in (0, 9)
    assert again.silent_until == silent
    assert again.topic_id == ID


def test_a_record_that_fits_is_not_built_again() -> None:
    assert checked(recorded(), log(), rebuild=True) == recorded()


@pytest.mark.parametrize(("commit", "silent"), [(40, 40), (0, 0), (None, 100), (900, 100)])
def test_without_a_record_rebuilding_is_silent_up_to_what_was_scored(commit: int | None, silent: int) -> None:
    lost = log()
    lost.commits = {} if commit is None else {0: commit}
    again = checked(None, lost, rebuild=True)
    assert (again.next_offset, again.silent_until) == (0, silent)
    assert again.incarnation != 0


def silent(until: int = 90, **others: object) -> PartitionRecord:
    """The record of a partition of `log` that was rebuilt up to 50, and is silent up to ``until``, in epoch 6."""
    mark = LogMark(until, ID, 6, until - 1, until - 1)
    return recorded(50).silenced(mark)._replace(**others)  # type: ignore[arg-type]


def test_a_silence_says_in_which_log_it_is() -> None:
    assert checked(silent(), log(), rebuild=True) == silent(), "nothing was changed"
    unmarked = silent(silent_epoch=-1, silent_offset=-1, silent_time=-1)
    assert checked(unmarked, log()) == silent(), "a record of version 2 learns it"
    lost = log()
    lost.commits = {0: 40}
    assert checked(None, lost, rebuild=True).scored == LogMark(40, ID, 4, 39, 39)


def test_a_silence_ends_where_the_log_was_cut() -> None:
    cut = log()
    cut.epochs = {4: 60, 6: 70, 7: 100}
    shorter = checked(silent(), cut)
    assert (shorter.next_offset, shorter.incarnation) == (50, 9), "the states are right"
    assert shorter.scored == LogMark(70, ID, 6, 69, 69)


@pytest.mark.parametrize(
    ("found", "scored"),
    [(silent(silent_time=5), 0), (silent(80, silent_epoch=3), 20)],
    ids=["stamp", "epoch"],
)
def test_events_that_were_wrongly_taken_for_scored_are_a_reason_to_refuse(
    found: PartitionRecord, scored: int
) -> None:
    changed = log()
    changed.epochs = {3: 20, 4: 60, 6: 100}
    with pytest.raises(LogCut, match="`intent worker --rebuild`"):
        checked(found, changed)
    assert checked(found, changed, rebuild=True).silent_until == scored


@pytest.mark.parametrize(
    ("mark", "scored"),
    [
        (LogMark(40, ID, 4, 39, 39), 40),
        (LogMark(80, ID, 6, 79, 79), 80),  # of a rebuilding that was lost as well
        (LogMark(40, b"another topic id", 4, 39, 39), 0),
        (LogMark(70, ID, 4, 69, 69), 60),
        (LogMark(40, ID, 4, 39, 5), 0),
    ],
)
def test_a_commit_says_in_which_log_events_were_scored(mark: LogMark, scored: int) -> None:
    lost = log()
    lost.commits, lost.metadata = {0: 40}, mark.to_text()
    with pytest.raises(StoreLost):
        checked(None, lost)
    assert checked(None, lost, rebuild=True).silent_until == scored


def test_a_partition_that_was_never_read_begins_with_empty_states_and_is_not_silent() -> None:
    first = checked(None, log())
    assert (first.next_offset, first.silent_until, first.topic_id) == (0, 0, ID)
    assert first.incarnation != 0, "whatever lies in the store without a record does not count"


def test_a_broker_too_old_is_not_asked_in_vain(caplog: pytest.LogCaptureFixture) -> None:
    old = log()
    old.topic_id = None
    with caplog.at_level(logging.WARNING):
        assert checked(recorded(70), old) == recorded(70)
    assert "cannot be checked" in caplog.text


def test_a_log_that_was_cut_under_a_running_owner_is_noticed_by_the_new_leaders_epoch() -> None:
    async def scenario() -> None:
        cut = log_of()
        cut.epochs, cut.epoch = {1: 60}, 1
        async with Worker(cut, ScriptedStore()) as worker:
            await until(lambda: worker.done)
            seen = len(worker.job.processed)
            cut.records[0] += [record(0, offset) for offset in range(60, 80)]
            cut.epochs, cut.epoch = {1: 40, 2: 80}, 2
            cut.wake()
            await asyncio.wait_for(worker.ownership.refused.wait(), 10)
            assert isinstance(worker.ownership.refusal, LogCut)
            assert len(worker.job.processed) == seen, "nothing of the new leader's was counted"

    run(scenario)


def test_a_new_leader_that_has_everything_is_followed() -> None:
    async def scenario() -> None:
        grown = log_of()
        grown.epochs, grown.epoch = {1: 60}, 1
        async with Worker(grown, ScriptedStore()) as worker:
            await until(lambda: worker.done)
            grown.records[0] += [record(0, offset) for offset in range(60, 80)]
            grown.epochs, grown.epoch = {1: 60, 2: 80}, 2
            grown.wake()
            await until(lambda: worker.done)
            worker.assert_exact()
            stored = worker.store.record(0)
            assert stored is not None
            assert (stored.leader_epoch, stored.last_offset, stored.last_time) == (2, 79, 79)

    run(scenario)


def test_a_topic_made_again_under_a_running_owner_is_noticed_before_its_next_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        made_again = log_of()
        async with Worker(made_again, ScriptedStore()) as worker:
            await until(lambda: worker.done)
            seen = len(worker.job.processed)
            monkeypatch.setattr(owner, "LOG_CHECK_SECONDS", 0.0)  # as after a silence
            made_again.records[0] += [record(0, offset) for offset in range(60, 80)]
            made_again.topic_id = b"another topic id"
            made_again.wake()
            await asyncio.wait_for(worker.ownership.refused.wait(), 10)
            assert isinstance(worker.ownership.refusal, TopicRecreated)
            assert len(worker.job.processed) == seen

    run(scenario)


def test_states_that_survived_their_record_are_not_counted_twice_by_a_silent_rebuilding() -> None:
    async def scenario() -> None:
        lost, store = log_of(), ScriptedStore()
        async with Worker(lost, store) as worker:
            await until(lambda: worker.done)
        del store._contents.records[0]
        lost.commits = {0: 41}
        async with Worker(lost, store, rebuild=True) as worker:
            await until(lambda: worker.done)
            worker.assert_exact()
            assert worker.ownership.ready
            offsets = {one.offset for one in lost.records[0]}
            assert worker.job.silent == {offset for offset in offsets if offset < 41}

    run(scenario)


@pytest.mark.parametrize("commit", [17, 41])
def test_a_rebuilding_that_was_broken_off_stays_silent(commit: int) -> None:
    async def scenario() -> None:
        lost, store = log_of(), ScriptedStore()
        lost.commits = {0: commit}
        worker = Worker(lost, store, rebuild=True)
        stuck = asyncio.Event()
        inner = worker.job.publish

        async def breaks(counted: object) -> None:
            if len(worker.job.processed) > 5:
                stuck.set()
                await asyncio.sleep(3600)
            await inner(counted)  # type: ignore[arg-type]

        worker.job.publish = breaks  # type: ignore[method-assign,assignment]
        async with worker:
            await stuck.wait()
            assert worker.ownership.trouble.startswith("rebuilding partition 0: ")
            await worker.ownership.release(0.01)
        broken = store.record(0)
        assert broken is not None
        assert 0 < broken.next_offset < commit
        async with Worker(lost, store) as worker:  # without the option: the record knows
            await until(lambda: worker.done)
            worker.assert_exact()
            assert (
                max(worker.job.silent)
                < commit
                <= min(offset for _, offset in worker.job.processed if offset not in worker.job.silent)
            )
        after = store.record(0)
        assert after is not None
        assert after.incarnation == broken.incarnation

    run(scenario)


def test_progress_is_told_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    telling = Rebuilding("events", 3, clock=lambda: now)
    began = PartitionRecord.beginning(100, 12, silent_until=200)
    with caplog.at_level(logging.WARNING):
        telling.begin(began, 100)
        telling.reached(began._replace(next_offset=120))
        assert not caplog.records
        now = 6.0
        telling.reached(began._replace(next_offset=140))
        assert "rebuilt 40 of 100 offsets" in caplog.text
        assert telling.trouble == "rebuilding partition 3: 40%"
        telling.reached(began._replace(next_offset=200))
        assert telling.trouble == ""
        assert "up to offset 200" in caplog.text
