"""Idle partitions: who is declared idle, when, and up to which event time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from features.bundle import Bundle
from features.store.memory_store import MemoryStore
from features.store.partition_record import NO_WATERMARK, PartitionRecord
from stream.learning.records.examples import decode_examples
from stream.learning.records.outcomes import decode_outcomes
from stream.scoring.idleness import Idleness
from stream.scoring.publisher import Output
from stream.scoring.recorder import Recorder
from stream.scoring.sampling import Sampling
from tests.bundles import random_bundle


class Half:
    """Owns partitions 0 and 1 of three."""

    def __init__(self) -> None:
        self.offsets = {0: 7, 1: 20}
        self.lags = {0: 0, 1: 0}

    def progress(self) -> dict[int, int]:
        return self.offsets

    def lag(self) -> dict[int, int]:
        return self.lags


class Scene:
    """Three partitions, a clock, and what is written."""

    def __init__(self, bundle: Bundle) -> None:
        self.now = 0.0
        self.outputs: list[Output] = []
        self.half, self.store = Half(), MemoryStore()
        for number, watermark in enumerate((1_000, NO_WATERMARK, 5_000)):
            self.claim(number, watermark)
        self.idleness = Idleness(
            self.half,  # type: ignore[arg-type]
            self.store,
            Recorder(bundle, Sampling([], {}), 0),
            self,  # type: ignore[arg-type]
            partitions=3,
            seconds=60,
            clock=lambda: self.now,
        )

    def claim(self, number: int, watermark: int) -> None:
        self.store.claim(number, self.store.record(number), PartitionRecord(1, bytes(16), 0, watermark, 3))

    async def publish(self, outputs: Sequence[Output]) -> None:
        self.outputs += outputs

    def look(self, now: float) -> dict[int, tuple[int, int, int]]:
        """Return start, stop and watermark of what is declared, by partition; both topics say the same."""
        self.now = now
        self.outputs.clear()
        asyncio.run(self.idleness.look())
        found = {}
        for output in self.outputs:
            [examples], [outcomes] = output.examples, output.outcomes
            head = decode_outcomes(outcomes).header
            assert decode_examples(examples, output.partition, head.features).header == head
            assert not output.scores
            assert not output.letters
            found[output.partition] = (head.start, head.stop, head.watermark)
        return found


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(random_bundle(tmp_path))


def test_a_partition_at_the_logs_end_is_declared_idle_with_the_event_time_of_the_others(scene: Scene) -> None:
    assert scene.look(0) == {}
    assert scene.look(59) == {}
    assert scene.look(60) == {0: (7, 7, 5_000), 1: (20, 20, 5_000)}
    assert scene.look(65) == {}, "nothing new to say"
    scene.claim(2, 9_000)
    assert scene.look(70) == {0: (7, 7, 9_000), 1: (20, 20, 9_000)}


def test_a_partition_that_lags_or_gets_on_is_not_idle(scene: Scene) -> None:
    scene.half.lags[0] = 3
    scene.look(0)
    scene.half.offsets[1] = 21
    assert scene.look(60) == {}
    scene.half.lags[0] = 0
    assert scene.look(119) == {}
    assert scene.look(120) == {0: (7, 7, 5_000), 1: (21, 21, 5_000)}


def test_the_partition_that_is_furthest_has_nobody_to_follow(scene: Scene) -> None:
    scene.claim(0, 8_000)
    scene.look(0)
    assert scene.look(60) == {1: (20, 20, 8_000)}
