"""The learner's core without Kafka and Redis: it resumes to the bit, and says clearly when it cannot."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from features.bundle import Bundle
from features.exceptions import IntentError
from features.vector import schema_hash
from stream.kafka.batches import RecordBatch
from stream.learning.learning import EXAMPLES, OUTCOMES, TOPICS, Learning, PartitionsDiffer
from stream.learning.model.settings import LearningSettings
from stream.learning.report import decode_report
from tests.bundles import random_bundle
from tests.stream.learning.histories import records, sources
from tests.stream.records import record

PARTITIONS = 2
HOW = LearningSettings()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return random_bundle(tmp_path_factory.mktemp("bundle"))


def topics_of(bundle: Bundle, events: int, seed: int) -> dict[tuple[str, int], list[bytes]]:
    chance = random.Random(seed)
    topics: dict[tuple[str, int], list[bytes]] = {}
    for source in sources(chance, PARTITIONS, events, closes=1):
        rows = len(source.happenings)
        cuts = sorted({0, rows, *chance.sample(range(rows + 1), min(rows, 12))})
        for low, high in zip(cuts, cuts[1:], strict=False):
            both = records(source, low, high, bundle=bundle.manifest.version, features=schema_hash())
            for topic, made in zip(TOPICS, both, strict=True):
                topics.setdefault((topic, source.partition), []).extend(made)
    return topics


def run(learning: Learning, topics: dict[tuple[str, int], list[bytes]], steps: int | None = None) -> bool:
    """Read on, one record at a time; return whether there is nothing left to read."""
    while steps is None or steps > 0:
        offered = [
            source
            for source in sorted(learning.wanted())
            if max(learning.next(source), 0) < len(topics[source])
        ]
        if not offered:
            return True
        topic, partition = source = offered[0]
        at = max(learning.next(source), 0)
        one = record(at, topics[source][at], None, partition=partition)
        learning.take(topic, RecordBatch(partition, [one], at, at + 1))
        steps = None if steps is None else steps - 1
    return False


def test_a_learner_that_is_resumed_again_and_again_learns_the_same(bundle: Bundle, seed: int) -> None:
    topics = topics_of(bundle, 300, seed)
    whole = Learning.begin(bundle, HOW, PARTITIONS)
    assert run(whole, topics)
    assert whole.status.mini_batches > 0
    chance = random.Random(seed)
    learning = Learning.begin(bundle, HOW, PARTITIONS)
    patience = 3  # grows, since whoever is killed early again and again gets nowhere
    while not run(learning, topics, chance.randint(1, patience := patience + 1)):
        stored = learning.saved().snapshot
        run(learning, topics, chance.randint(0, 5))  # and is killed before it has saved this
        learning = Learning.resume(bundle, HOW, PARTITIONS, stored)
    assert learning.saved().scorers == whole.saved().scorers
    assert learning.saved().version == whole.saved().version
    assert learning.saved().quality == whole.saved().quality
    assert learning.online.snapshot().to_bytes() == whole.online.snapshot().to_bytes()


def test_a_hole_in_a_topic_is_passed(bundle: Bundle) -> None:
    learning = Learning.begin(bundle, HOW, PARTITIONS)
    learning.take(OUTCOMES, RecordBatch(1, [], 0, 7))
    learning.take(EXAMPLES, RecordBatch(0, [], 0, 3))
    assert [learning.next(source) for source in ((OUTCOMES, 1), (EXAMPLES, 0), (EXAMPLES, 1))] == [7, 3, -1]


def test_the_figures_count_every_example_that_was_learned(bundle: Bundle, seed: int) -> None:
    learning = Learning.begin(bundle, HOW, PARTITIONS)
    topics = topics_of(bundle, 200, seed)
    run(learning, topics)
    report = decode_report(learning.saved().quality)
    weighted = sum(window.figures["blend"].examples for window in report.windows)
    if learning.status.examples:
        assert report.total["blend"].examples == pytest.approx(weighted)
        assert report.mini_batches == learning.status.mini_batches
        assert 0 <= report.total["network"].prevalence <= 1


def test_another_partition_count_is_refused(bundle: Bundle) -> None:
    stored = Learning.begin(bundle, HOW, PARTITIONS).saved().snapshot
    with pytest.raises(PartitionsDiffer, match="have 3 partitions, but had 2 .*--start-over"):
        Learning.resume(bundle, HOW, 3, stored)


def test_other_settings_are_refused(bundle: Bundle) -> None:
    stored = Learning.begin(bundle, HOW, PARTITIONS).saved().snapshot
    with pytest.raises(IntentError, match="settings"):
        Learning.resume(bundle, LearningSettings(model="river"), PARTITIONS, stored)


def test_a_new_bundle_begins_untrained_where_the_old_one_stopped(
    bundle: Bundle, tmp_path: Path, seed: int
) -> None:
    topics = topics_of(bundle, 200, seed)
    former = Learning.begin(bundle, HOW, PARTITIONS)
    run(former, topics)
    other = random_bundle(tmp_path, seed=7)
    learning = Learning.resume(other, HOW, PARTITIONS, former.saved().snapshot)
    assert learning.online.version == 0
    assert [learning.next(source) for source in topics] == [former.next(source) for source in topics]
    assert np.isfinite(list(learning.online.snapshot().arrays["now/blend"])).all()
