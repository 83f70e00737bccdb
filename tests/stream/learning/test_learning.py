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
from stream.learning.learning import EXAMPLES, OUTCOMES, TOPICS, Learning, PartitionsDiffer, Refused
from stream.learning.model.settings import LearningSettings
from stream.learning.online_learner import OnlineLearner
from stream.learning.report import decode_report
from tests.bundles import random_bundle
from tests.stream.learning.histories import Happening, Source, examples_of, records, sources, truth
from tests.stream.records import record

PARTITIONS = 2
Topics = dict[tuple[str, int], list[bytes]]
HOW = LearningSettings()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return random_bundle(tmp_path_factory.mktemp("bundle"))


def topics_of(bundle: Bundle, events: int, seed: int) -> dict[tuple[str, int], list[bytes]]:
    chance = random.Random(seed)
    topics: dict[tuple[str, int], list[bytes]] = {}
    for source in sources(chance, PARTITIONS, events, least=30, closes=1, logins=2.0):
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


def cut(made: list[Source], chance: random.Random, largest: int, bundle: Bundle) -> Topics:
    """Return both topics, written by workers whose batches have up to so many events."""
    topics: Topics = {(topic, source.partition): [] for topic in TOPICS for source in made}
    for source in made:
        low = 0
        while low < len(source.happenings):
            high = min(low + chance.randint(1, largest), len(source.happenings))
            both = records(source, low, high, bundle=bundle.manifest.version, features=schema_hash())
            for topic, some in zip(TOPICS, both, strict=True):
                topics[topic, source.partition] += some
            low = high
    return topics


def read_on(learning: Learning, topics: Topics, chance: random.Random, steps: int | None = None) -> bool:
    """Take what is wanted, some records of some partitions at a time; return whether nothing is left."""
    while steps is None or steps > 0:
        came = []
        for source in sorted(learning.wanted()):
            topic, partition = source
            at = max(learning.next(source), 0)
            some = topics[source][at : at + chance.choice((1, 3, 50))]
            if some:
                made = [record(at + i, value, None, partition=partition) for i, value in enumerate(some)]
                came.append((topic, RecordBatch(partition, made, at, at + len(some))))
        if not came:
            return True
        learning.take_many(chance.sample(came, chance.randint(1, len(came))))
        steps = None if steps is None else steps - 1
    return False


@pytest.mark.parametrize("logins", [0.0, 3.0])
@pytest.mark.parametrize("largest", [1, 7, 4000])
def test_the_weights_are_those_of_the_mini_batches_of_the_whole_history(
    bundle: Bundle, seed: int, largest: int, logins: float
) -> None:
    """Single records, small ones and full batches, with restarts at any point: the same to the bit."""
    chance = random.Random(seed)
    made = sources(chance, PARTITIONS, 600, least=30, logins=logins)
    plain = OnlineLearner(bundle, HOW)
    for places, labels in truth(made):
        rows = [one for place in places for one in made[place[1]].happenings if one.offset == place[2]]
        examples = examples_of(rows, 0)
        plain.learn(examples, np.array(labels, np.uint8))
    topics = cut(made, chance, largest, bundle)
    learning = Learning.begin(bundle, HOW, PARTITIONS)
    patience = 3
    while not read_on(learning, topics, chance, patience := 2 * patience):
        stored = learning.saved().snapshot
        read_on(learning, topics, chance, chance.randint(0, 5))  # and is killed before it has saved this
        learning = Learning.resume(bundle, HOW, PARTITIONS, stored)
    assert plain.version > 0
    assert learning.online.snapshot().to_bytes() == plain.snapshot().to_bytes()
    assert learning.waiting.waiting == 0


STRAYS = [
    None,
    b"",
    b"hello",
    b"PIex",
    b"PIoc\x09\x00\x00\x00\x00\x00",
    b"PIex\x01\x00\xff\xff\xff\xff" + bytes(40),
]


def test_strays_are_left_out_and_told(bundle: Bundle, seed: int) -> None:
    chance = random.Random(seed)
    made = sources(chance, PARTITIONS, 200)
    clean = cut(made, chance, 20, bundle)
    strayed: Topics = {}
    for source, values in clean.items():
        odd = [*STRAYS, values[0][:-1], values[0][:30]]
        strayed[source] = list(values)
        for value in odd:
            strayed[source].insert(chance.randrange(len(strayed[source])), value)  # type: ignore[arg-type]
    learnings = [Learning.begin(bundle, HOW, PARTITIONS) for _ in range(2)]
    assert read_on(learnings[0], clean, chance)
    refused: list[Refused] = []
    while came := [
        (source[0], RecordBatch(source[1], [record(at, value, None, partition=source[1])], at, at + 1))
        for source in sorted(learnings[1].wanted())
        if (at := max(learnings[1].next(source), 0)) < len(strayed[source])
        for value in [strayed[source][at]]
    ]:
        refused += learnings[1].take_many(came).refused
    counts = learnings[1].status.bad
    assert learnings[1].saved().scorers == learnings[0].saved().scorers
    assert counts == {topic: sum(one.topic == topic for one in refused) for topic in TOPICS}
    assert {(one.topic, str(one.rejection.reason)) for one in refused} == {
        (EXAMPLES, "bad_example"),
        (OUTCOMES, "bad_outcome"),
    }
    assert all(strayed[one.topic, one.partition][one.record.offset] == one.record.value for one in refused)
    good = {source: set(values) for source, values in clean.items()}
    passed = {source: values[: max(learnings[1].next(source), 0)] for source, values in strayed.items()}
    assert sum(counts.values()) == sum(
        value not in good[source] for source, values in passed.items() for value in values
    )  # what no outcome makes final is not read on, strays among it neither
    assert passed[OUTCOMES, 0] and sum(counts.values()) > PARTITIONS * (len(STRAYS) + 2)


def test_what_a_new_bundles_workers_wrote_before_the_learner_changed_is_learned(
    bundle: Bundle, tmp_path: Path, seed: int
) -> None:
    """Workers change one by one, the learner last: each example is learned by the learner of its bundle."""
    other = random_bundle(tmp_path, seed=7)
    chance = random.Random(seed)
    made = sources(chance, PARTITIONS, 300, least=60)
    topics: Topics = {(topic, source.partition): [] for topic in TOPICS for source in made}
    for source in made:
        middle = chance.randint(0, len(source.happenings) - 30)  # both bundles have examples
        for low, high, by in ((0, middle, bundle), (middle, len(source.happenings), other)):
            for at in range(low, high, 5):
                both = records(
                    source, at, min(at + 5, high), bundle=by.manifest.version, features=schema_hash()
                )
                for topic, some in zip(TOPICS, both, strict=True):
                    topics[topic, source.partition] += some
    former = Learning.begin(bundle, HOW, PARTITIONS)
    assert not former.waiting.left_for(other.manifest.version)
    assert read_on(former, topics, chance)
    assert former.waiting.left_for(other.manifest.version)
    assert not former.waiting.left_for("another")
    stored = former.saved().snapshot
    later = Learning.resume(other, HOW, PARTITIONS, stored)
    assert read_on(later, topics, chance)
    fresh = Learning.begin(other, HOW, PARTITIONS)
    assert read_on(fresh, topics, chance)
    assert later.status.examples == fresh.status.examples
    assert later.saved().scorers == fresh.saved().scorers
    everything = sum(len(labels) for _, labels in truth(made))
    assert former.status.examples + later.status.examples == everything
    again = Learning.resume(other, HOW, PARTITIONS, later.saved().snapshot)
    assert read_on(again, topics, chance) and again.status.examples == 0


def test_an_erasure_cancels_what_waits_in_many_pages(bundle: Bundle) -> None:
    """Customer a is erased while 2,000 examples wait, every second one of them theirs."""
    base, count = 10**12, 2_000
    happenings = [
        Happening(at, "example", "ab"[at % 2], base + at * 100, base + at * 100) for at in range(count)
    ]
    happenings += [Happening(count, "erasure", "a", 0, 0), Happening(count + 1, "close", "", 0, 0)]
    quiet = Source(1, [Happening(0, "close", "", 0, 0)])
    for largest in (1, 4000):
        topics = cut([Source(0, happenings), quiet], random.Random(1), largest, bundle)
        learning = Learning.begin(bundle, HOW, PARTITIONS)
        assert read_on(learning, topics, random.Random(2))
        assert (learning.status.examples, learning.status.dropped["cancelled"]) == (1_000, 1_000)
        assert learning.status.waiting == 0


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
