"""The canary: which customers get its scores, and what stands in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from features.bundle import Bundle, BundleScores
from features.state import DAY_MS, empty
from features.vector import Vectors
from stream.learning.model.advisor import Advisor
from stream.learning.online_learner import OnlineLearner
from stream.messages.score import Score, decode_score
from stream.scoring.canary import CanaryBundle
from stream.scoring.encoding import encode_scores
from stream.scoring.engine import Engine, Scored
from tests.bundles import random_bundle
from tests.features.histories import MINUTE, random_columns
from tests.stream.learning.lessons import batches, lesson
from tests.stream.learning.test_online_learner import SETTINGS

COUNT, CUSTOMERS = 400, 40
COLUMNS, SLOTS = random_columns(5, COUNT, CUSTOMERS, 3 * DAY_MS)
NAMES = [f"c{number}" for number in range(CUSTOMERS)]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle]:
    """Return a live bundle and a canary, whose band high begins elsewhere."""
    folder: Path = tmp_path_factory.mktemp("bundles")
    return random_bundle(folder / "live"), random_bundle(folder / "canary", seed=7, thresholds=(0.4, 0.55))


@pytest.fixture(scope="module")
def engine(bundles: tuple[Bundle, Bundle]) -> Engine:
    live, other = bundles
    return Engine(
        live, lateness_ms=15 * MINUTE, ttl_ms=400 * DAY_MS, holdout=0.2, reasons="all",
        canary=CanaryBundle(other, 0.3, "salt"),
    )  # fmt: skip


def score(engine: Engine, advisor: Advisor | None = None) -> Scored:
    return engine.score(COLUMNS, NAMES, SLOTS, empty(CUSTOMERS), advisor)


def published(engine: Engine, scored: Scored) -> list[Score]:
    return [decode_score(value) for _, value in encode_scores(engine.bundle, COLUMNS, scored, 1)]


def test_a_customer_always_meets_the_same_bundle_and_a_larger_share_keeps_those_of_a_smaller(
    bundles: tuple[Bundle, Bundle],
) -> None:
    names = [f"customer {number}" for number in range(20_000)]
    has = {share: CanaryBundle(bundles[1], share, "salt").has(names) for share in (0.05, 0.3, 0.9)}
    for share, taken in has.items():
        assert taken.mean() == pytest.approx(share, abs=0.012)
    assert not (has[0.05] & ~has[0.3]).any()
    other = CanaryBundle(bundles[1], 0.3, "another salt").has(names)
    assert (other & has[0.3]).mean() == pytest.approx(0.09, abs=0.012)


def test_the_scores_of_its_customers_are_those_of_the_canary(
    engine: Engine, bundles: tuple[Bundle, Bundle]
) -> None:
    """All but the segment; the scores of the others are as they would be without it."""
    live, other = bundles
    mixed = published(engine, score(engine))
    alone = published(engine, score(replace(engine, canary=None)))
    theirs = published(
        replace(engine, bundle=other), score(replace(engine, bundle=other, canary=None, policy=None))
    )
    taken = engine.canary.has(NAMES) if engine.canary else np.zeros(0)
    assert 0 < taken.sum() < CUSTOMERS
    assert {one.model_version for one in mixed} == {live.manifest.version, other.manifest.version}
    for one, before, own in zip(mixed, alone, theirs, strict=True):
        if not taken[NAMES.index(one.customer_id)]:
            assert one == before
            continue
        assert one.model_version == other.manifest.version
        assert (one.purchase_intent, one.network_score, one.band) == (
            own.purchase_intent, own.network_score, own.band,
        )  # fmt: skip
        assert one.reasons == own.reasons
        assert one.segment == before.segment
        assert (one.event_id, one.as_of, one.holdout) == (before.event_id, before.as_of, before.holdout)


def test_actions_follow_the_scores_that_are_published(engine: Engine) -> None:
    """The default policy acts on bands: a customer of the canary is treated by the canary's."""
    mixed, alone = score(engine), score(replace(engine, canary=None))
    same = mixed.band == alone.band
    assert not same.all()
    np.testing.assert_array_equal(mixed.action[same], alone.action[same])
    assert (mixed.action[~same] != alone.action[~same]).any()


def test_what_the_learner_learns_is_the_live_bundle_of_all_customers(engine: Engine) -> None:
    mixed, alone = score(engine), score(replace(engine, canary=None))
    for name in ("logit", "segment", "vectors", "as_of"):
        np.testing.assert_array_equal(getattr(mixed, name), getattr(alone, name))


def test_what_was_learned_for_the_live_bundle_is_not_blended_into_the_canary(engine: Engine) -> None:
    learner = OnlineLearner(engine.bundle, SETTINGS)
    examples, labels = lesson(engine.bundle, 2_000, seed=1)
    for rows in batches(len(labels)):
        learner.learn(examples[rows], labels[rows])
    advisor = Advisor.of(learner.snapshot(), engine.bundle)
    assert engine.canary is not None
    for one in published(engine, score(engine, advisor)):
        if one.model_version == engine.canary.version:
            assert one.online_score is None
            assert one.purchase_intent == one.network_score
        else:
            assert one.online_score is not None


def test_where_a_canary_says_what_is_no_probability_the_live_score_stands(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = published(engine, score(replace(engine, canary=None)))
    inner = Bundle.score

    def wrong(bundle: Bundle, vectors: Vectors) -> BundleScores:
        said = inner(bundle, vectors)
        if engine.canary is not None and bundle is engine.canary.bundle:
            said.probability[::2] = np.nan
        return said

    monkeypatch.setattr(Bundle, "score", wrong)
    assert published(engine, score(engine)) == alone
