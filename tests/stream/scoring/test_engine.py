"""The engine: however events are cut into batches, states and scores are the same to the bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.bundle import Bundle, BundleScores
from features.columns import from_events
from features.state import DAY_MS, States, empty
from features.vector import Vectors
from stream.scoring.engine import Engine, NoProbability, Scored, slots_of
from tests.bundles import random_bundle
from tests.features.histories import HOUR, MINUTE, MONDAY, SECOND, event, random_columns

COUNT, CUSTOMERS = 400, 12
COLUMNS, SLOTS = random_columns(5, COUNT, CUSTOMERS, 3 * DAY_MS)
NAMES = [f"c{number}" for number in range(CUSTOMERS)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return random_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def engine(bundle: Bundle) -> Engine:
    return Engine(bundle, lateness_ms=15 * MINUTE, ttl_ms=400 * DAY_MS, holdout=0.2)


def score(engine: Engine, cuts: list[int]) -> tuple[States, list[Scored]]:
    """Score the events in batches that end at ``cuts``."""
    states, batches = empty(CUSTOMERS), []
    for start, stop in zip([0, *cuts], [*cuts, COUNT], strict=True):
        rows = np.arange(start, stop)
        batches.append(engine.score(COLUMNS.take(rows), NAMES, SLOTS[rows], states))
    return states, batches


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, COUNT), max_size=8).map(sorted))
def test_batches_may_be_cut_anywhere(engine: Engine, cuts: list[int]) -> None:
    whole_states, [whole] = score(engine, [])
    states, batches = score(engine, cuts)
    assert states.tobytes() == whole_states.tobytes()
    for name in ("as_of", "segment", "network", "probability", "band", "action", "holdout"):
        pieces = np.concatenate([getattr(batch, name) for batch in batches])
        assert pieces.tobytes() == getattr(whole, name).tobytes(), name


def test_states_alone_are_scored_as_their_last_events_were(engine: Engine) -> None:
    explained = replace(engine, reasons="all")
    states, [whole] = score(explained, [])
    last = [int(np.flatnonzero(SLOTS[whole.rows] == slot)[-1]) for slot in range(CUSTOMERS)]
    alone = explained.score_states(states, NAMES)
    names = (
        "as_of",
        "segment",
        "vectors",
        "logit",
        "network",
        "probability",
        "band",
        "action",
        "holdout",
        "held",
    )
    for name in (*names, "traffic", "carts"):
        assert getattr(alone, name).tobytes() == getattr(whole, name)[last].tobytes(), name
    assert alone.reasons is not None and whole.reasons is not None
    assert [alone.reasons[slot] for slot in range(CUSTOMERS)] == [whole.reasons[at] for at in last]
    assert any(alone.reasons[slot] for slot in range(CUSTOMERS))


def test_a_repeated_event_is_counted_once_and_has_no_second_score(engine: Engine) -> None:
    columns = from_events([event(1, 0), event(2, SECOND), event(1, 0), event(3, MINUTE)], "EUR")
    states = empty(1)
    scored = engine.score(columns, ["anna"], np.zeros(4, np.int64), states)
    assert scored.rows.tolist() == [0, 1, 3]
    assert (scored.duplicates, states["events"][0]) == (1, 3)


def test_a_score_refers_to_the_latest_event_of_the_customer(engine: Engine) -> None:
    columns = from_events([event(1, 0), event(2, 10 * MINUTE), event(3, 5 * MINUTE)], "EUR")
    scored = engine.score(columns, ["anna"], np.zeros(3, np.int64), empty(1))
    assert (scored.as_of - MONDAY).tolist() == [0, 10 * MINUTE, 10 * MINUTE]


def test_a_silent_state_counts_as_empty(bundle: Bundle) -> None:
    engine = Engine(bundle, lateness_ms=15 * MINUTE, ttl_ms=HOUR, holdout=0.0)
    columns = from_events([event(1, 0), event(2, HOUR), event(3, 2 * HOUR + 1)], "EUR")
    states = empty(1)
    scored = engine.score(columns, ["anna"], np.zeros(3, np.int64), states)
    assert states["events"][0] == 1
    assert states["first_time"][0] == MONDAY + 2 * HOUR + 1
    assert len(scored.rows) == 3


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -0.1, 1.1])
def test_what_is_no_probability_is_no_score(
    engine: Engine, wrong: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = Bundle.score

    def score(bundle: Bundle, vectors: Vectors) -> BundleScores:
        said = inner(bundle, vectors)
        said.probability[1] = wrong
        return said

    monkeypatch.setattr(Bundle, "score", score)
    columns = from_events([event(1, 0), event(1, 0), event(2, SECOND)], "EUR")
    with pytest.raises(NoProbability, match=rf"says {wrong} of event '{columns.event_ids[2]}'"):
        engine.score(columns, ["anna"], np.zeros(3, np.int64), empty(1))


def test_bands_follow_the_thresholds_of_the_bundle(engine: Engine) -> None:
    _, [scored] = score(engine, [])
    thresholds = engine.bundle.manifest.band_thresholds
    expected = (scored.probability >= thresholds["medium"]).astype(int) + (
        scored.probability >= thresholds["high"]
    )
    assert scored.band.tolist() == expected.tolist()
    assert len(set(expected.tolist())) > 1


def test_held_out_customers_get_no_action(engine: Engine) -> None:
    _, [scored] = score(engine, [])
    assert scored.holdout.any()
    assert not scored.action[scored.holdout].any()
    assert scored.action[~scored.holdout].any()
    by_customer = {
        (int(slot), bool(held)) for slot, held in zip(SLOTS[scored.rows], scored.holdout, strict=True)
    }
    assert len(by_customer) == len(set(SLOTS.tolist())), "a customer is held out always or never"


def test_a_batch_without_events_scores_nothing(engine: Engine) -> None:
    scored = engine.score(from_events([], "EUR"), [], np.zeros(0, np.int64), empty(0))
    assert (len(scored.rows), len(scored.probability), scored.duplicates) == (0, 0, 0)


def test_slots_name_the_position_of_every_events_customer() -> None:
    customers, slots = slots_of(["b", "a", "b", "c", "a"])
    assert customers == ["b", "a", "c"]
    assert slots.tolist() == [0, 1, 0, 2, 1]
    assert slots_of([])[1].dtype == np.int64


def test_a_warm_up_changes_nothing(engine: Engine) -> None:
    before = score(engine, [])[0].tobytes()
    engine.warm_up()
    assert score(engine, [])[0].tobytes() == before
