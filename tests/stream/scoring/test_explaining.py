"""The reasons of scores: they add up to the published log-odds, and repeat to the bit."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.bundle import Bundle
from features.explainer import TOLERANCE
from features.reasons import GROUPS, LEAST_EFFECT, MOST
from features.state import DAY_MS, empty
from features.vector import SEGMENT_AT, WIDTH, Vectors
from stream.learning.model.advisor import Advisor
from stream.learning.model.history import Version
from stream.learning.model.inputs import Inputs
from stream.learning.model.linear import LinearPredictor
from stream.messages.score import decode_score
from stream.scoring.encoding import encode_scores
from stream.scoring.engine import Engine, engine_of
from stream.scoring.explaining import Explaining
from stream.setting_values import ReasonBands
from stream.settings import load_settings
from tests.bundles import random_bundle, save_bundle
from tests.features.histories import MINUTE, random_columns

COUNT, CUSTOMERS = 400, 12
COLUMNS, SLOTS = random_columns(5, COUNT, CUSTOMERS, 3 * DAY_MS)
NAMES = [f"c{number}" for number in range(CUSTOMERS)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return random_bundle(tmp_path_factory.mktemp("bundle"))


def advisor_of(bundle: Bundle, blend: list[float], size: float, seed: int = 1) -> Advisor:
    """Return models with random weights of about ``size`` in all, one of which starts at the network's logit."""
    rng = np.random.default_rng(seed)
    inputs = len(Inputs(bundle).names)
    predictors = tuple(
        LinearPredictor(
            rng.normal(size=inputs),
            rng.uniform(0.3, 2, inputs),
            size * rng.normal(size=inputs) / np.sqrt(inputs),
            0.3,
            offset,
        )
        for offset in (1.0, 0.0)
    )
    return Advisor(bundle, 1, Version(predictors, np.array(blend), (1.1, -0.2)))


def engine_with(bundle: Bundle, reasons: ReasonBands) -> Engine:
    return Engine(bundle, lateness_ms=15 * MINUTE, ttl_ms=400 * DAY_MS, holdout=0.0, reasons=reasons)


def log_odds(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.log(probability / (1 - probability)))


def vectors_of(bundle: Bundle, seed: int, rows: int) -> Vectors:
    """Return vectors of all sizes, the reference customer among them, and one like it but for its segment."""
    assert bundle.explainer is not None
    rng = np.random.default_rng(seed)
    found = np.abs(rng.normal(size=(rows, WIDTH))) * 10 ** rng.uniform(-2, 7, size=(rows, WIDTH))
    found[:2] = bundle.explainer.reference.row
    found[1, SEGMENT_AT] = 3
    return found.astype(np.float32)


def segments_of(vectors: Vectors) -> NDArray[np.int64]:
    vectors[2:, SEGMENT_AT] = np.arange(len(vectors) - 2) % 4
    return vectors[:, SEGMENT_AT].astype(np.int64)


@pytest.mark.parametrize(
    "blend", [[0.3, 0.5, 0.2], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1e-9, 0.4, 0.6 - 1e-9]]
)
@pytest.mark.parametrize("size", [0.0, 1.0, 40.0])
def test_effects_sum_to_the_published_log_odds_less_the_references(
    bundle: Bundle, blend: list[float], size: float
) -> None:
    assert bundle.explainer is not None
    reference = bundle.explainer.reference
    vectors = vectors_of(bundle, 3, 500)
    segment = segments_of(vectors)
    logit, advisor = bundle.logits(vectors), advisor_of(bundle, blend, size)
    published = advisor.advise(vectors, logit, segment).probability
    base = advisor.advise(
        reference.row, bundle.logits(reference.row), np.array([reference.segment])
    ).probability
    effects = Explaining(bundle, "all").effects(vectors, logit, segment, advisor)
    wanted = log_odds(published) - log_odds(base)
    np.testing.assert_allclose(effects.sum(axis=1), wanted, atol=TOLERANCE, rtol=0)
    assert np.abs(wanted).max() > 0.3


def test_effects_sum_to_the_networks_log_odds_where_it_decides_alone(bundle: Bundle) -> None:
    assert bundle.explainer is not None
    vectors = vectors_of(bundle, 4, 500)
    said = bundle.score(vectors)
    effects = Explaining(bundle, "all").effects(vectors, said.logit, said.segment, None)
    wanted = log_odds(said.probability) - bundle.explainer.reference.log_odds
    np.testing.assert_allclose(effects.sum(axis=1), wanted, atol=TOLERANCE, rtol=0)


def test_a_linear_online_model_alone_has_its_terms_as_effects(bundle: Bundle) -> None:
    """One model that ignores the network, no bounds reached, and no calibration: weights times differences."""
    assert bundle.explainer is not None
    inputs = Inputs(bundle)
    weights = np.random.default_rng(0).normal(size=len(inputs.names)) / 100
    weights[:8] = 0.0
    model = LinearPredictor(np.zeros_like(weights), np.full_like(weights, 4.0), weights, -1.0, 0.0)
    advisor = Advisor(bundle, 1, Version((model,), np.array([0.0, 1.0]), (1.0, 0.0)))
    vectors = vectors_of(bundle, 5, 50)
    segment, logit = segments_of(vectors), bundle.logits(vectors)
    found = Explaining(bundle, "all").effects(vectors, logit, segment, advisor)
    rows = inputs.rows(vectors, logit, segment)
    terms = weights * np.clip(rows / 4.0, -8, 8)
    differences = (terms - terms[0])[:, 8:]
    np.testing.assert_allclose(found[:, :SEGMENT_AT], differences[:, :SEGMENT_AT], atol=1e-9)
    np.testing.assert_allclose(found[:, SEGMENT_AT], differences[:, SEGMENT_AT:].sum(axis=1), atol=1e-9)


@pytest.mark.parametrize(("bands", "lowest"), [("off", 3), ("high", 2), ("medium", 1), ("all", 0)])
def test_only_the_chosen_bands_carry_reasons(
    bundle: Bundle, tmp_path: Path, bands: ReasonBands, lowest: int
) -> None:
    said = engine_with(bundle, "off").score(COLUMNS, NAMES, SLOTS, empty(CUSTOMERS)).probability
    medium, high = np.quantile(said, [0.5, 0.8]).tolist()
    bundle = random_bundle(tmp_path, thresholds=(medium, high))
    scored = engine_with(bundle, bands).score(COLUMNS, NAMES, SLOTS, empty(CUSTOMERS))
    assert len(np.unique(scored.band)) == 3
    if bands == "off":
        assert scored.reasons is None
        return
    assert scored.reasons is not None
    for band, reasons in zip(scored.band.tolist(), scored.reasons, strict=True):
        assert bool(reasons) == (band >= lowest)
        effects = [abs(reason.effect) for reason in reasons]
        assert effects == sorted(effects, reverse=True)
        assert len(reasons) <= MOST
        assert min(effects, default=1.0) >= LEAST_EFFECT
        assert {reason.feature for reason in reasons} <= {group.key for group in GROUPS}


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, COUNT), max_size=6).map(sorted), learned=st.booleans())
def test_a_repeated_score_has_the_same_reasons_whatever_the_batch(
    bundle: Bundle, cuts: list[int], learned: bool
) -> None:
    engine = engine_with(bundle, "all")
    advisor = advisor_of(bundle, [0.3, 0.5, 0.2], 1.0) if learned else None
    whole = engine.score(COLUMNS, NAMES, SLOTS, empty(CUSTOMERS), advisor)
    states, found = empty(CUSTOMERS), []
    for start, stop in zip([0, *cuts], [*cuts, COUNT], strict=True):
        rows = np.arange(start, stop)
        found += engine.score(COLUMNS.take(rows), NAMES, SLOTS[rows], states, advisor).reasons or []
    assert msgspec.json.encode(found) == msgspec.json.encode(list(whole.reasons or []))


def test_reasons_stand_in_the_score(bundle: Bundle) -> None:
    scored = engine_with(bundle, "all").score(COLUMNS, NAMES, SLOTS, empty(CUSTOMERS))
    records = encode_scores(bundle, COLUMNS, scored, 0)
    assert scored.reasons is not None
    assert [decode_score(value).reasons for _, value in records] == list(scored.reasons)
    assert all(reason.text for reasons in scored.reasons for reason in reasons)


def test_an_old_bundle_scores_without_reasons_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = Bundle.load(save_bundle(tmp_path, reasons=False))
    engine = engine_of(load_settings(bundle=tmp_path), bundle)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "train again with `intent train`" in caplog.text
    scored = engine.score(COLUMNS, NAMES, SLOTS, empty(CUSTOMERS), advisor_of(bundle, [0.5, 0.5, 0.0], 1.0))
    assert scored.reasons is None
    assert decode_score(encode_scores(bundle, COLUMNS, scored, 0)[0][1]).reasons == []
