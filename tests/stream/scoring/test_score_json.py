"""Scores that a kernel writes: byte for byte what msgspec writes, which writes those that the kernel does not take."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.state import DAY_MS
from stream.messages.score import ReasonRef, Recommendation, decode_score
from stream.scoring.engine import Engine
from tests.bundles import random_bundle
from tests.features.histories import MINUTE
from tests.stream.scoring.any_scores import CLOCK, AnyScore, encoding_of

TEXTS = st.text(max_size=128) | st.text(st.characters(max_codepoint=127), max_size=128) | st.uuids().map(str)
PROBABILITIES = (
    st.floats(0, 1)
    | st.sampled_from([0.0, -0.0, 1.0, 1e-5, 1e-6, 1e-7, 5e-324, 2.0**-36, 0.5])
    | st.floats(-40, 0).map(math.exp)
)
TIMES = st.integers(0, 2**43) | st.integers(-(2**63), 2**63 - 1)
CODES = st.integers(0, 11)
REASONS = st.lists(st.builds(ReasonRef, TEXTS, PROBABILITIES, PROBABILITIES, TEXTS), max_size=3)
SCORES = st.builds(
    AnyScore,
    TEXTS,
    TEXTS,
    TIMES,
    TIMES,
    PROBABILITIES,
    PROBABILITIES,
    st.none() | PROBABILITIES,
    *[CODES] * 4,
    *[st.booleans()] * 4,
    reasons=st.just([]) | REASONS,
    recommended=st.none()
    | st.builds(Recommendation, TEXTS, TEXTS, st.lists(TEXTS), st.just("customer"), TEXTS),
    merged=st.none() | TEXTS,
)
ODD = {
    "quotes": AnyScore(event_id='say "no"'),
    "a backslash": AnyScore(customer="a\\b"),
    "a control character": AnyScore(customer="a\x1f"),
    "not ASCII": AnyScore(event_id="Bärbel"),
    "not ASCII, by one bit": AnyScore(event_id="\x80"),
    "a minus zero": AnyScore(probability=-0.0),
    "a tiny probability": AnyScore(network=5e-324),
    "a tiny probability, online": AnyScore(online=1e-12),
    "an event before 1970": AnyScore(time=-1),
    "a score as of before 1970": AnyScore(as_of=-(2**63)),
    "a merged customer": AnyScore(merged="a-1"),
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder: Path = tmp_path_factory.mktemp("bundle")
    return Engine(random_bundle(folder), lateness_ms=15 * MINUTE, ttl_ms=400 * DAY_MS, holdout=0.5)


@settings(max_examples=300, deadline=None)
@given(scores=st.lists(SCORES, max_size=8), as_columns=st.booleans())
def test_both_ways_write_the_same(engine: Engine, scores: list[AnyScore], as_columns: bool) -> None:
    encoding = encoding_of(engine, scores, as_columns)
    records = encoding.encoded()
    assert list(records.values) == encoding.each(np.arange(len(scores)))
    assert list(records.keys) == [score.customer for score in scores]


@pytest.mark.parametrize("odd", ODD)
def test_what_the_kernel_does_not_write_exactly_is_left_to_msgspec(engine: Engine, odd: str) -> None:
    encoding = encoding_of(engine, [AnyScore(), ODD[odd], AnyScore("ä"), AnyScore("e2")])
    written, others = encoding.written()
    assert others.tolist() == [1, 2]
    assert [decode_score(value).event_id for value in (written[0], written[3]) if value] == ["e", "e2"]
    assert list(encoding.encoded().values) == encoding.each(np.arange(4))


def test_what_shops_send_is_written_by_the_kernel(engine: Engine) -> None:
    """Whatever the kind of the score: a template that is cut in the wrong place would leave all of them to msgspec."""
    reasons = [ReasonRef('the "loyal"', 1.5, -0.25, "ü")]
    common = [
        AnyScore(
            "0f8fad5b",
            "~ !#[]^`\x7f"[:-1],
            probability=p,
            network=1e-10,
            online=online,
            reasons=why,
            traffic=n,
        )
        for p in (0.0, 1.0, 1e-5, 0.1, 1 / 3)
        for online in (None, 0.125)
        for n, why in enumerate((reasons, [], []))
    ]
    flags = [
        AnyScore(holdout=bool(n & 1), stale=bool(n & 2), purchase=bool(n & 4), canary=bool(n & 8))
        for n in range(16)
    ]
    offer = Recommendation("o", 'a "text"', ["ü"], "customer", "p")
    offers = [AnyScore(recommended=offer, stale=late, purchase=late, traffic=late) for late in (False, True)]
    encoding = encoding_of(engine, [*common, *flags, *offers])
    written, others = encoding.written()
    assert not len(others)
    assert list(written) == encoding.each(np.arange(len(written)))


def test_the_slow_way_writes_the_contract_field_by_field(engine: Engine) -> None:
    one = AnyScore(
        "e", "c", 1, 2, 0.5, 0.25, 0.75, 1, 2, 0, 1, True, False, True, False,
        [ReasonRef("f", 1, 2, "t")], Recommendation("o", "t", ["i"], "customer", "p"), "a-1",
    )  # fmt: skip
    [value] = encoding_of(engine, [one]).each(np.arange(1))
    segment, manifest = engine.bundle.segmenter.segments[2], engine.bundle.manifest
    assert msgspec.json.decode(value) == {
        "event_id": "e",
        "customer_id": "c",
        "event_time": 1,
        "scored_at": CLOCK,
        "purchase_intent": 0.5,
        "horizon_seconds": manifest.horizon_seconds,
        "as_of": 2,
        "network_score": 0.25,
        "online_score": 0.75,
        "band": "medium",
        "segment": {"id": segment.id, "name": segment.name},
        "reasons": [{"feature": "f", "value": 1.0, "effect": 2.0, "text": "t"}],
        "action": engine.rulebook.actions[0],
        "holdout": True,
        "model_version": manifest.version,
        "features_version": manifest.features_version,
        "recommendation": {
            "offer": "o",
            "text": "t",
            "items": ["i"],
            "source": "customer",
            "policy_version": "p",
        },
        "purchase": True,
        "traffic": "bot",
        "merged": "a-1",
    }
    [other] = encoding_of(engine, [one._replace(canary=True)]).each(np.arange(1))
    assert (decode_score(other).model_version, decode_score(other).online_score) == ("canary", None)
