"""The learner's core."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from features import bundle as bundles
from features.bundle import Bundle
from features.reference import Reference
from features.vector import COLUMN_NAMES
from stream.learning.model.advisor import Advisor, scorer_part
from stream.learning.model.history import VERSIONS
from stream.learning.model.settings import LearningSettings
from stream.learning.model.snapshot import Snapshot, SnapshotError
from stream.learning.online_learner import OnlineLearner
from stream.learning.records.examples import Examples
from stream.messages.alert import Alert
from tests.bundles import random_bundle, random_network
from tests.stream.learning.lessons import START, batches, lesson, log_loss

SETTINGS = LearningSettings(half_lives=(24.0, 96.0), deviation=0.1)
HORIZON = 30 * 60_000
DELAY = HORIZON + 15 * 60_000


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Return a bundle whose reference is what `lesson` draws."""
    plain = random_bundle(Path(tmp_path_factory.mktemp("bundle")))
    reference = Reference.of(lesson(plain, 5_000, 9)[0].vectors)
    return Bundle(plain.manifest, plain.segmenter, plain.calibration, random_network(), reference)


def taught(learner: OnlineLearner, examples: Examples, labels: NDArray[np.uint8]) -> list[Alert]:
    return [alert for part in batches(len(examples)) for alert in learner.learn(examples[part], labels[part])]


@pytest.mark.parametrize("kind", ["newton", "river"])
def test_restoring_a_snapshot_at_any_point_changes_no_bit(bundle: Bundle, kind: str) -> None:
    settings = LearningSettings(model="newton" if kind == "newton" else "river")
    examples, labels = lesson(bundle, 5_000, 1, gap_ms=20_000)
    whole, parts = OnlineLearner(bundle, settings), OnlineLearner(bundle, settings)
    for part in batches(len(examples)):
        assert whole.learn(examples[part], labels[part]) == parts.learn(examples[part], labels[part])
        parts = OnlineLearner.restore(bundle, settings, Snapshot.from_bytes(parts.snapshot().to_bytes()))
    assert parts.snapshot().to_bytes() == whole.snapshot().to_bytes()


def test_before_anything_was_learned_the_network_decides_alone(bundle: Bundle) -> None:
    examples, _ = lesson(bundle, 100, 1)
    advisor = Advisor.of(OnlineLearner(bundle, SETTINGS).snapshot(), bundle)
    advice = advisor.advise(examples.vectors, examples.logit, examples.segment)
    network = bundle.calibration.probabilities(examples.logit)
    assert advisor.version == 0
    assert np.allclose(advice.probability, network, rtol=1e-12)


def test_what_is_published_becomes_better_than_the_network(bundle: Bundle) -> None:
    learner = OnlineLearner(bundle, SETTINGS)
    examples, labels = lesson(bundle, 20_000, 1)
    taught(learner, examples, labels)
    new, happened = lesson(bundle, 5_000, 2)
    advice = Advisor.of(learner.snapshot(), bundle).advise(new.vectors, new.logit, new.segment)
    network = bundle.calibration.probabilities(new.logit)
    assert log_loss(happened, advice.probability) < 0.6 * log_loss(happened, network)
    assert log_loss(happened, advice.online) < 0.6 * log_loss(happened, network)


def test_advice_on_a_row_depends_on_the_row_alone(bundle: Bundle) -> None:
    learner = OnlineLearner(bundle, SETTINGS)
    examples, labels = lesson(bundle, 3_000, 1)
    taught(learner, examples, labels)
    advisor = Advisor.of(learner.snapshot(), bundle)

    def advised(some: Examples) -> list[tuple[float, float]]:
        advice = advisor.advise(some.vectors, some.logit, some.segment)
        return list(zip(advice.online.tolist(), advice.probability.tolist(), strict=True))

    assert advised(examples[:500]) == [advised(examples[i : i + 1])[0] for i in range(500)]


def test_scorers_need_only_a_small_part_of_a_snapshot(bundle: Bundle) -> None:
    learner = OnlineLearner(bundle, SETTINGS)
    examples, labels = lesson(bundle, 3_000, 1)
    taught(learner, examples, labels)
    whole, part = learner.snapshot(), scorer_part(learner.snapshot())
    assert len(part.to_bytes()) < 30_000 < len(whole.to_bytes())
    advice = [
        Advisor.of(Snapshot.from_bytes(one.to_bytes()), bundle).advise(
            examples.vectors, examples.logit, examples.segment
        )
        for one in (whole, part)
    ]
    assert np.array_equal(advice[0].probability, advice[1].probability)


def test_an_example_is_judged_by_what_had_been_known_when_it_was_scored(bundle: Bundle) -> None:
    """Learning on, with labels as late as in life: the history must say what an advisor of that time said."""
    examples, labels = lesson(bundle, 4_000, 1, gap_ms=5_000)
    learner = OnlineLearner(bundle, SETTINGS)
    advisors = [(-(2**62), Advisor.of(learner.snapshot(), bundle))]
    judged = 0
    for part in batches(len(examples), 100):
        some = examples[part]
        learner.learn(some, labels[part])
        assert learner.published_history is not None
        for i in range(0, len(some), 10):
            as_of = int(some.as_of[i])
            live = [advisor for since, advisor in advisors if since <= as_of][-1]
            row = slice(i, i + 1)
            said = live.advise(some.vectors[row], some.logit[row], some.segment[row])
            assert said.probability[0] == learner.published_history.published[i]
            judged += live.version > 0
        advisors.append((int(some.as_of[-1]) + DELAY, Advisor.of(learner.snapshot(), bundle)))
    assert judged > 100


def test_labels_that_could_not_be_known_yet_do_not_count(bundle: Bundle) -> None:
    """All labels within one delay: nothing of them may show in what was published."""
    examples, labels = lesson(bundle, 2_000, 1, gap_ms=1_000)
    learner = OnlineLearner(bundle, SETTINGS)
    for part in batches(len(examples)):
        learner.learn(examples[part], labels[part])
        assert learner.published_history is not None
        assert np.array_equal(learner.published_history.published, learner.published_history.network)


def test_a_snapshot_stays_small_however_long_it_learns(bundle: Bundle) -> None:
    learner = OnlineLearner(bundle, SETTINGS)
    sizes = []
    for week in range(4):
        examples, labels = lesson(bundle, 3_000, week, start=START + week * 7 * 86_400_000, gap_ms=200_000)
        taught(learner, examples, labels)
        sizes.append(len(learner.snapshot().to_bytes()))
    assert sizes[3] < sizes[1] * 1.2 and sizes[3] < 2_000_000
    assert len(learner.snapshot().arrays["history/live_from"]) <= VERSIONS + 2


@pytest.mark.parametrize("kind", ["newton", "river"])
def test_poison_in_a_stream_does_not_last(bundle: Bundle, kind: str) -> None:
    settings = LearningSettings(model="newton" if kind == "newton" else "river", learning_rate=0.5)
    examples, labels = lesson(bundle, 10_000, 1)
    vectors, logit = examples.vectors.copy(), examples.logit.copy()
    segment, weight = examples.segment.copy(), examples.weight.copy()
    vectors[:3], vectors[3_000], vectors[3_001, :40] = np.nan, np.inf, 1e30
    logit[5:7], segment[3_002:3_010], weight[3_100:3_102] = np.nan, [-5, 99] * 4, [np.nan, np.inf]
    healthy, poisoned = OnlineLearner(bundle, settings), OnlineLearner(bundle, settings)
    taught(healthy, examples, labels)
    taught(
        poisoned,
        replace(examples, vectors=vectors, logit=logit, segment=segment, weight=weight),
        labels,
    )
    new, happened = lesson(bundle, 3_000, 2)
    losses = []
    for learner in (healthy, poisoned):
        advisor = Advisor.of(learner.snapshot(), bundle)
        p = advisor.advise(new.vectors, new.logit, new.segment).probability
        odd = advisor.advise(vectors[:10], logit[:10], segment[3_002:3_012]).probability
        assert ((p > 0) & (p < 1)).all() and ((odd > 0) & (odd < 1)).all()
        losses.append(log_loss(happened, p))
    assert abs(losses[1] - losses[0]) < 0.01
    assert all(np.isfinite(array).all() for name, array in poisoned.snapshot().arrays.items() if "/" in name)


def test_quality_counts_every_example_once(bundle: Bundle) -> None:
    learner = OnlineLearner(bundle, SETTINGS)
    examples, labels = lesson(bundle, 3_000, 1)
    taught(learner, examples, labels)
    figures = learner.quality.total.figures()
    assert list(figures) == ["network", "online", "blend"]
    assert figures["blend"].examples == 3_000
    assert figures["network"].prevalence == pytest.approx(labels.mean())


def test_a_change_of_behaviour_is_one_alert_that_says_since_when(bundle: Bundle) -> None:
    learner = OnlineLearner(bundle, LearningSettings())
    alerts: list[tuple[int, Alert]] = []
    hour = 3_600_000
    for number, shift in enumerate([2.5] * 3 + [0.0] * 3 + [2.5] * 3 + [0.0] * 2):
        start = START + number * 12 * hour
        examples, labels = lesson(bundle, 4_320, number, start=start, gap_ms=10_000, shift=shift)
        alerts += [(number, a) for a in taught(learner, examples, labels) if a.kind == "log_loss"]
    assert [number for number, _ in alerts] == [3, 9]  # at its beginning, and when it comes again
    for number, alert in alerts:
        assert abs(alert.since - (START + number * 12 * hour)) <= hour
        assert alert.since < alert.as_of and alert.drifted[0].value > 0.01


def test_a_population_that_changed_is_one_alert_with_its_columns(bundle: Bundle) -> None:
    learner = OnlineLearner(bundle, LearningSettings(windows=2))
    steady, steady_labels = lesson(bundle, 10_000, 1, gap_ms=2_000)
    other, other_labels = lesson(bundle, 10_000, 2, start=START + 20_000_000, gap_ms=2_000)
    vectors = other.vectors.copy()
    vectors[:, COLUMN_NAMES.index("gap_1")] *= 10
    assert [a for a in taught(learner, steady, steady_labels) if a.kind == "population"] == []
    alerts = taught(learner, replace(other, vectors=vectors), other_labels)
    (alert,) = [alert for alert in alerts if alert.kind == "population"]
    assert alert.drifted[0].name == "gap_1" and alert.drifted[0].value > 0.25
    assert START + 20_000_000 - HORIZON * 2 <= alert.since <= START + 20_000_000 + HORIZON * 2


def test_a_snapshot_of_another_bundle_or_of_other_settings_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    snapshot = OnlineLearner(bundle, SETTINGS).snapshot()
    other = random_bundle(tmp_path, seed=7)
    with pytest.raises(SnapshotError, match="bundle"):
        OnlineLearner.restore(other, SETTINGS, snapshot)
    with pytest.raises(SnapshotError, match="bundle"):
        Advisor.of(snapshot, other)
    with pytest.raises(SnapshotError, match="settings"):
        OnlineLearner.restore(bundle, LearningSettings(half_lives=(1.0,)), snapshot)


def test_a_bundle_keeps_its_reference(bundle: Bundle, tmp_path: Path) -> None:
    bundles.save(
        tmp_path, bundle.manifest, bundle.segmenter, bundle.calibration, random_network(), bundle.reference
    )
    assert Bundle.load(tmp_path).reference == bundle.reference
    bundles.save(tmp_path, bundle.manifest, bundle.segmenter, bundle.calibration, random_network())
    assert Bundle.load(tmp_path).reference is None
