"""Whose examples are learned where bundles stand on a shelf."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import msgspec
import pytest

from features.bundle import Bundle
from features.shelf import FollowedSlots, Slots, write_slots
from features.vector import schema_hash
from stream.learning.learned_bundle import LearnedBundle
from stream.learning.learning import TOPICS, Learning
from stream.settings import Settings
from tests.bundles import save_bundle
from tests.stream.learning.histories import Happening, Source, records
from tests.stream.learning.test_learning import HOW, Topics, read_on

OLD, NEW = "random-6", "random-7"
BASE = 10**12


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Return a shelf on which the old bundle is live."""
    for seed in (6, 7):
        save_bundle(tmp_path / f"random-{seed}", seed=seed)
    write_slots(tmp_path, Slots(live=OLD))
    return tmp_path


def following(shelf: Path) -> LearnedBundle:
    found = LearnedBundle.of(Settings(_env_file=None, bundle=shelf), Bundle.load(shelf))
    assert found is not None
    return found


def topics(*scored_by: str) -> Topics:
    """Return the topics of one partition in which each bundle scored ten examples, one after the other."""
    count = 10 * len(scored_by)
    happenings = [Happening(at, "example", "a", BASE + at * 1_000, BASE + at * 1_000) for at in range(count)]
    source = Source(0, [*happenings, Happening(count, "close", "", 0, 0)])
    made: Topics = {(topic, 0): [] for topic in TOPICS}
    for at, bundle in enumerate(scored_by):
        stop = len(source.happenings) if at == len(scored_by) - 1 else 10 * at + 10
        both = records(source, 10 * at, stop, bundle=bundle, features=schema_hash())
        for topic, some in zip(TOPICS, both, strict=True):
            made[topic, 0] += some
    return made


def blocks(*scored_by: str) -> Topics:
    """Return topics of one partition in which each bundle scored ten examples, whose labels are then known."""
    happenings = []
    for at in range(11 * len(scored_by)):
        time = BASE + at * 1_000
        happenings.append(
            Happening(at, *(("close", "", 0, 0) if at % 11 == 10 else ("example", "a", time, time)))
        )
    made: Topics = {(topic, 0): [] for topic in TOPICS}
    for at, bundle in enumerate(scored_by):
        both = records(Source(0, happenings), 11 * at, 11 * at + 11, bundle=bundle, features=schema_hash())
        for topic, some in zip(TOPICS, both, strict=True):
            made[topic, 0] += some
    return made


def version(bundle: Bundle) -> str:
    return bundle.manifest.version


def test_a_bundle_is_left_once_all_its_examples_are_learned_and_another_one_is_live(shelf: Path) -> None:
    followed = following(shelf)
    learning = Learning.begin(followed.going_on(None), HOW, 1)
    assert not followed.left(learning)
    write_slots(shelf, Slots(live=NEW))
    assert not followed.left(learning), "examples of the old one may still come"
    assert read_on(learning, topics(OLD, NEW), random.Random(1))
    assert learning.status.examples == 10
    assert followed.left(learning)
    followed.leave(learning)
    stored = learning.saved().snapshot
    later = Learning.resume(followed.going_on(stored), HOW, 1, stored)
    assert version(later.bundle) == NEW
    assert read_on(later, topics(OLD, NEW), random.Random(1))
    assert later.status.examples == 10
    assert not followed.left(later)


def test_a_learner_that_begins_again_in_between_goes_on_with_the_old_bundle(shelf: Path) -> None:
    learning = Learning.begin(following(shelf).going_on(None), HOW, 1)
    assert read_on(learning, topics(OLD), random.Random(1))
    stored = learning.saved().snapshot
    write_slots(shelf, Slots(live=NEW))
    again = following(shelf)
    assert version(again.going_on(stored)) == OLD
    assert version(again.going_on(None)) == NEW


def test_without_the_old_bundle_the_learner_begins_with_the_live_one(
    shelf: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stored = Learning.begin(following(shelf).going_on(None), HOW, 1).saved().snapshot
    write_slots(shelf, Slots(live=NEW))
    shutil.rmtree(shelf / OLD)
    assert version(following(shelf).going_on(stored)) == NEW
    assert "examples of bundle random-6 that wait are not learned" in caplog.text


def test_a_live_bundle_that_cannot_be_loaded_is_told_once_and_tried_again(
    shelf: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = [0.0]
    slots = FollowedSlots.of(shelf, None)
    assert slots is not None
    followed = LearnedBundle(slots, Bundle.load(shelf), None, lambda: clock[0])
    learning = Learning.begin(followed.going_on(None), HOW, 1)
    assert read_on(learning, topics(OLD, NEW), random.Random(1))
    network = shelf / NEW / "network.onnx"
    whole = network.read_bytes()
    network.write_bytes(b"nonsense")
    write_slots(shelf, Slots(live=NEW))
    assert not followed.left(learning)
    assert "network.onnx" in followed.refusal
    clock[0] += 11
    assert not followed.left(learning)
    assert caplog.text.count("bundle random-6 goes on being learned") == 1
    network.write_bytes(whole)
    assert not followed.left(learning), "it is tried again after a while"
    clock[0] += 11
    assert followed.left(learning)
    assert not followed.refusal


def test_a_refusal_is_over_when_the_shelf_goes_back(shelf: Path) -> None:
    followed = following(shelf)
    learning = Learning.begin(followed.going_on(None), HOW, 1)
    assert read_on(learning, topics(OLD, NEW), random.Random(1))
    (shelf / NEW / "network.onnx").write_bytes(b"nonsense")
    write_slots(shelf, Slots(live=NEW))
    assert not followed.left(learning)
    assert followed.refusal
    write_slots(shelf, Slots(live=OLD))
    assert not followed.left(learning)
    assert not followed.refusal


def test_a_bundle_that_is_gone_back_to_goes_on_where_it_was(shelf: Path) -> None:
    """Its model is to the bit the one that nothing else would have come between."""
    old, new = (Bundle.load(shelf / one) for one in (OLD, NEW))
    first = Learning.begin(old, HOW, 1)
    assert read_on(first, blocks(OLD, NEW), random.Random(1))
    left = first.saved().snapshot
    between = Learning.resume(new, HOW, 1, left)
    assert read_on(between, blocks(OLD, NEW, OLD), random.Random(1))
    assert between.status.examples == 10
    stored = between.saved().snapshot
    back = Learning.resume(old, HOW, 1, stored, left)
    assert read_on(back, blocks(OLD, NEW, OLD), random.Random(1))
    assert back.status.examples == 10
    alone = Learning.begin(old, HOW, 1)
    assert read_on(alone, blocks(OLD, NEW, OLD), random.Random(1))
    assert alone.status.examples == 20
    assert back.online.snapshot().to_bytes() == alone.online.snapshot().to_bytes()
    assert back.saved().scorers == alone.saved().scorers


def test_what_a_bundle_has_learned_before_counts_once_when_it_is_gone_back_to(shelf: Path) -> None:
    old, new = (Bundle.load(shelf / one) for one in (OLD, NEW))
    mixed = blocks(OLD, NEW, OLD, NEW)  # workers change one by one
    first = Learning.begin(old, HOW, 1)
    assert read_on(first, mixed, random.Random(1))
    assert first.status.examples == 20
    left = first.saved().snapshot
    between = Learning.resume(new, HOW, 1, left)
    assert read_on(between, mixed, random.Random(1))
    stored = between.saved().snapshot
    back = Learning.resume(old, HOW, 1, stored, left)
    assert read_on(back, mixed, random.Random(1))
    assert (back.status.examples, back.status.dropped["repeated"]) == (0, 10)
    untrained = Learning.resume(old, HOW, 1, stored)
    assert read_on(untrained, mixed, random.Random(1))
    assert untrained.status.examples == 10


def test_a_former_snapshot_that_cannot_be_used_is_told_and_the_bundle_begins_untrained(
    shelf: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = (Bundle.load(shelf / one) for one in (OLD, NEW))
    other = msgspec.structs.replace(HOW, blend_rate=HOW.blend_rate * 2)
    left = Learning.begin(old, other, 1).saved().snapshot
    stored = Learning.begin(new, HOW, 1).saved().snapshot
    for former, said in ((left, "the snapshot was learned with"), (left[:-1], "damaged"), (stored, NEW)):
        found = Learning.resume(old, HOW, 1, stored, former)
        assert found.online.snapshot().to_bytes() == Learning.begin(old, HOW, 1).online.snapshot().to_bytes()
        assert f"what was learned for bundle {OLD} is not used" in caplog.text
        assert said in caplog.text
        caplog.clear()
