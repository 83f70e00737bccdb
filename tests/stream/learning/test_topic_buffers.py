"""The learner's buffers: batches of both topics come in order and without gaps, whatever the transport does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from stream.exceptions import LogCut, OffsetOutsideLog, TopicRecreated
from stream.kafka.batches import RecordBatch
from stream.kafka.contract import Bounds
from stream.learning import topic_buffers
from stream.learning.learning import EXAMPLES, OUTCOMES, Source
from stream.learning.log_marks import LogMarks
from stream.learning.topic_buffers import TopicBuffers
from stream.ownership.owner import IDLE_SECONDS, LOG_CHECK_SECONDS
from tests.stream.records import record

TOPICS = {EXAMPLES: "shop.examples", OUTCOMES: "shop.outcomes"}
BEGINNING: dict[Source, int] = {(topic, number): -1 for topic in TOPICS for number in range(2)}


class Log:
    """A topic that holds offsets 5 to 100, and remembers where it was told to read on."""

    def __init__(self) -> None:
        self.seeks: list[tuple[int, int]] = []
        self.topic_id = b"id of the topic."
        self.epochs = {3: 50}
        self.positions: dict[int, int] = {}
        self.fails = False

    async def bounds(self, partition: int) -> Bounds:
        if self.fails:
            raise KafkaConnectionError
        return Bounds(5, 100, 2, self.topic_id)

    async def epoch_end(self, partition: int, epoch: int) -> int | None:
        return self.epochs.get(epoch)

    async def stamp_at(self, partition: int, offset: int) -> None:
        return None

    async def committed(self, partition: int) -> int | None:
        return None

    async def seek(self, partition: int, offset: int) -> int:
        self.seeks.append((partition, offset))
        return len(self.seeks)

    def position(self, partition: int) -> int | None:
        return self.positions.get(partition)

    def end(self, partition: int) -> int | None:
        return 100

    def wake(self) -> None:
        pass

    def rejoin(self) -> None:
        pass


class Scene:
    """Buffers whose partitions are all assigned."""

    def __init__(self) -> None:
        self.buffers = TopicBuffers(TOPICS, 2)
        self.logs = {topic: Log() for topic in TOPICS}
        for topic, buffer in self.buffers.topics.items():
            buffer.attach(self.logs[topic])
            buffer.assign([0, 1])

    def offer(self, topic: str, start: int, stop: int, partition: int = 0, epoch: int = -1) -> None:
        records = [record(at, b"", partition=partition) for at in range(start, stop)]
        self.buffers.topics[topic].offer(RecordBatch(partition, records, start, stop, epoch))

    async def next(self, assignment: int) -> list[tuple[str, int, list[int]]]:
        came = await self.buffers.next(assignment, 0.0)
        return [(topic, batch.partition, [one.offset for one in batch.records]) for topic, batch in came]


def play(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 5))


def test_reading_begins_when_all_partitions_of_both_topics_are_there() -> None:
    async def scenario() -> None:
        scene = Scene()
        assert scene.buffers.complete
        scene.buffers.topics[OUTCOMES].assign([0])
        assert not scene.buffers.complete
        opened = asyncio.create_task(scene.buffers.opened())
        await asyncio.sleep(0)
        assert not opened.done()
        scene.buffers.topics[OUTCOMES].assign([0, 1])
        assert scene.buffers.current(await opened)

    play(scenario())


def test_what_was_taken_is_not_taken_again_and_a_gap_is_read_again() -> None:
    async def scenario() -> None:
        scene = Scene()
        assignment = await scene.buffers.opened()
        await scene.buffers.begin(BEGINNING | {(EXAMPLES, 0): 40})
        assert scene.logs[EXAMPLES].seeks == [(0, 40), (1, 5)]
        scene.offer(EXAMPLES, 38, 43)
        assert await scene.next(assignment) == [(EXAMPLES, 0, [40, 41, 42])]
        scene.offer(EXAMPLES, 40, 43)
        assert await scene.next(assignment) == [], "all of it was taken"
        scene.offer(EXAMPLES, 50, 52)
        assert await scene.next(assignment) == [], "something is missing"
        assert scene.logs[EXAMPLES].seeks[-1] == (0, 43)
        scene.offer(EXAMPLES, 43, 45)
        scene.offer(EXAMPLES, 45, 46)
        scene.offer(OUTCOMES, 5, 6, partition=1)
        assert await scene.next(assignment) == [(EXAMPLES, 0, [43, 44, 45]), (OUTCOMES, 1, [5])]

    play(scenario())


def test_a_rebalance_drops_what_came_before_it() -> None:
    async def scenario() -> None:
        scene = Scene()
        assignment = await scene.buffers.opened()
        await scene.buffers.begin(BEGINNING)
        scene.buffers.want(frozenset({(EXAMPLES, 0)}))
        assert scene.buffers.topics[EXAMPLES].wants(0)
        scene.offer(EXAMPLES, 5, 7)
        assert not scene.buffers.topics[EXAMPLES].wants(0), "one batch at a time"
        await scene.buffers.topics[EXAMPLES].release()
        assert await scene.next(assignment) == []
        assert not scene.buffers.current(assignment)
        assert not scene.buffers.topics[EXAMPLES].wants(0)

    play(scenario())


@pytest.mark.parametrize("offset", [4, 101])
def test_a_cursor_outside_the_topic_is_refused_with_what_to_do(offset: int) -> None:
    async def scenario() -> None:
        scene = Scene()
        await scene.buffers.opened()
        with pytest.raises(
            OffsetOutsideLog, match=f"shop.outcomes holds offsets 5 to 100.*{offset}.*--start-over"
        ):
            await scene.buffers.begin(BEGINNING | {(OUTCOMES, 1): offset})

    play(scenario())


async def read_up_to_50(scene: Scene) -> LogMarks:
    """Read the examples' first partition up to offset 50, in epoch 3; return what a snapshot would keep."""
    assignment, marks = await scene.buffers.opened(), LogMarks(TOPICS, 2)
    await scene.buffers.begin(BEGINNING, marks)
    scene.offer(EXAMPLES, 5, 50, epoch=3)
    assert await scene.next(assignment) is not None
    return LogMarks.of(json.loads(json.dumps(marks.to_meta())), TOPICS, 2)


@pytest.mark.parametrize(
    ("topic_id", "epochs", "error"),
    [
        (b"another topic id", {3: 50}, TopicRecreated),
        (b"id of the topic.", {3: 49, 4: 100}, LogCut),
        (b"id of the topic.", {4: 100}, LogCut),
    ],
)
def test_a_cursor_of_another_log_is_refused_with_what_to_do(
    topic_id: bytes, epochs: dict[int, int], error: type[Exception]
) -> None:
    async def scenario() -> None:
        marks = await read_up_to_50(Scene())
        scene = Scene()
        await scene.buffers.opened()
        scene.logs[EXAMPLES].topic_id, scene.logs[EXAMPLES].epochs = topic_id, epochs
        with pytest.raises(error, match="shop.examples.*`intent learner --start-over`"):
            await scene.buffers.begin(BEGINNING | {(EXAMPLES, 0): 50}, marks)

    play(scenario())


def test_a_log_that_was_cut_while_it_is_read_is_noticed_by_the_new_leaders_epoch() -> None:
    async def scenario() -> None:
        scene = Scene()
        await read_up_to_50(scene)
        assignment = await scene.buffers.opened()
        scene.logs[EXAMPLES].epochs = {3: 50, 4: 60}
        scene.offer(EXAMPLES, 50, 60, epoch=4)
        assert await scene.next(assignment), "the new leader has everything"
        scene.logs[EXAMPLES].epochs = {3: 50, 4: 55, 5: 70}
        scene.offer(EXAMPLES, 60, 70, epoch=5)
        assert not await scene.next(assignment)
        assert isinstance(scene.buffers.refusal, LogCut)

    play(scenario())


class Clock:
    """Stands for `time`, and goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(topic_buffers, "time", made)
    return made


def test_what_was_fetched_but_never_came_is_read_again(clock: Clock) -> None:
    async def scenario() -> None:
        scene = Scene()
        assignment = await scene.buffers.opened()
        await scene.buffers.begin(BEGINNING)
        scene.buffers.want(frozenset({(EXAMPLES, 0), (OUTCOMES, 1)}))
        log = scene.logs[EXAMPLES]
        log.positions = {0: 9}
        seeks = list(log.seeks)
        for looks in (IDLE_SECONDS, IDLE_SECONDS / 2):
            clock.now += looks
            assert await scene.next(assignment) == []
            assert log.seeks == seeks, "it may be on its way"
        scene.offer(EXAMPLES, 5, 7)
        assert await scene.next(assignment) == [(EXAMPLES, 0, [5, 6])]
        clock.now += IDLE_SECONDS
        assert await scene.next(assignment) == [] and log.seeks == seeks
        clock.now += IDLE_SECONDS
        assert await scene.next(assignment) == []
        assert log.seeks == [*seeks, (0, 7)]

    play(scenario())


def test_a_topic_made_again_under_a_running_learner_is_noticed(clock: Clock) -> None:
    async def scenario() -> None:
        scene = Scene()
        assignment = await scene.buffers.opened()
        await scene.buffers.begin(BEGINNING)
        scene.logs[OUTCOMES].topic_id = b"another topic id"
        scene.offer(EXAMPLES, 5, 7)
        assert await scene.next(assignment), "not looked at yet"
        scene.logs[EXAMPLES].fails = True
        clock.now += LOG_CHECK_SECONDS
        scene.offer(EXAMPLES, 7, 8)
        assert await scene.next(assignment), "Kafka does not answer: that says nothing"
        scene.logs[EXAMPLES].fails = False
        clock.now += LOG_CHECK_SECONDS
        scene.offer(EXAMPLES, 8, 9)
        assert await scene.next(assignment) == []
        assert isinstance(scene.buffers.refusal, TopicRecreated)
        scene.offer(EXAMPLES, 9, 10)
        assert await scene.next(assignment) == [] and not scene.buffers.has((EXAMPLES, 0))

    play(scenario())


def test_a_snapshot_of_before_is_not_checked_once() -> None:
    async def scenario() -> None:
        scene, marks = Scene(), LogMarks.of(None, TOPICS, 2)
        await scene.buffers.opened()
        await scene.buffers.begin(BEGINNING | {(EXAMPLES, 0): 50}, marks)
        assert marks.to_meta()[EXAMPLES] == {"id": b"id of the topic.".hex(), "epochs": [-1, -1]}

    play(scenario())


def test_lag_counts_what_waits_in_kafka() -> None:
    async def scenario() -> None:
        scene = Scene()
        await scene.buffers.opened()
        await scene.buffers.begin(BEGINNING | {(EXAMPLES, 0): 40})
        assert scene.buffers.topics[EXAMPLES].lag() == {0: 60, 1: 95}

    play(scenario())
