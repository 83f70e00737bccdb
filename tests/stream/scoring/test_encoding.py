"""The scored topic: every field as the contract says, tombstones in their places."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from features.bundle import BANDS, Bundle
from features.columns import ERASE, EventColumns, OtherRow, from_events
from features.state import DAY_MS, empty
from features.vector import schema_hash
from stream.messages.score import Recommendation, Score, decode_score
from stream.scoring.encoding import encode_scores, with_tombstones
from stream.scoring.engine import Engine, Scored, slots_of
from tests.bundles import SEGMENTS, random_bundle
from tests.features.histories import MINUTE, MONDAY, SECOND, event

CLOCK = 1_800_000_000_123


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder: Path = tmp_path_factory.mktemp("bundle")
    return Engine(random_bundle(folder), lateness_ms=15 * MINUTE, ttl_ms=400 * DAY_MS, holdout=0.5)


def scored(engine: Engine, columns: EventColumns) -> Scored:
    customers, slots = slots_of(list(columns.customers))
    return engine.score(columns, customers, slots, empty(len(customers)))


def three(engine: Engine) -> tuple[Bundle, EventColumns, Scored]:
    """Return three events, the second a repetition of the first."""
    events = [event(1, 0), event(1, 0), event(2, SECOND, customer="Bärbel")]
    columns = from_events(events, "EUR")
    return engine.bundle, columns, scored(engine, columns)


def test_a_score_carries_what_the_engine_said(engine: Engine) -> None:
    bundle, columns, said = three(engine)
    records = encode_scores(bundle, columns, said, CLOCK)
    assert [customer for customer, _ in records] == ["anna", "Bärbel"]
    for at, (customer, value) in enumerate(records):
        score = decode_score(value)
        assert score == Score(
            event_id=f"e{at + 1}",
            customer_id=customer,
            event_time=MONDAY + at * SECOND,
            scored_at=CLOCK,
            purchase_intent=float(said.probability[at]),
            horizon_seconds=1800.0,
            as_of=int(said.as_of[at]),
            network_score=float(said.network[at]),
            online_score=None,
            band=BANDS[said.band[at]],
            segment=score.segment,
            reasons=[],
            action=said.rulebook.actions[said.action[at]],
            holdout=bool(said.holdout[at]),
            model_version=bundle.manifest.version,
            features_version=schema_hash(),
        )
        assert (score.segment.id, score.segment.name) == (said.segment[at], SEGMENTS[said.segment[at]])


def test_only_the_score_of_a_purchase_says_so(engine: Engine) -> None:
    columns = from_events([event(1, 0), event(2, SECOND, "purchase"), event(3, 2 * SECOND)], "EUR")
    records = encode_scores(engine.bundle, columns, scored(engine, columns), CLOCK)
    assert [decode_score(value).purchase for _, value in records] == [False, True, False]
    assert [b'purchase":' in value for _, value in records] == [False, True, False]


def test_a_probability_survives_the_text_to_the_last_bit(engine: Engine) -> None:
    bundle, columns, said = three(engine)
    values = [json.loads(value) for _, value in encode_scores(bundle, columns, said, CLOCK)]
    assert [value["purchase_intent"] for value in values] == said.probability.tolist()


def test_a_recommendation_is_written_where_there_is_one_and_else_not_at_all(engine: Engine) -> None:
    one = Recommendation("win_back", "Come back", ["i1", "ü"], "customer", "p1", ["ü"])
    plain = encode_scores(*three(engine), CLOCK)
    [(_, first), (_, second)] = encode_scores(*three(engine), CLOCK, [one, None])
    assert decode_score(first).recommendation == one
    assert second == plain[1][1]
    assert b"recommendation" not in second
    fields = json.loads(first)
    assert fields.pop("recommendation") == {
        "offer": "win_back", "text": "Come back", "items": ["i1", "ü"], "source": "customer",
        "policy_version": "p1", "new_items": ["ü"],
    }  # fmt: skip
    assert fields == json.loads(plain[0][1]), "the score itself does not depend on it"


def test_equal_scores_have_equal_bytes(engine: Engine) -> None:
    assert list(encode_scores(*three(engine), CLOCK)) == list(encode_scores(*three(engine), CLOCK))


def test_a_score_that_breaks_the_contract_is_not_read(engine: Engine) -> None:
    [(_, value), _] = encode_scores(*three(engine), CLOCK)
    fields = json.loads(value)
    for name, wrong in (("purchase_intent", 1.5), ("band", "extreme"), ("action", 5), ("as_of", None)):
        with pytest.raises(msgspec.ValidationError, match=name):
            decode_score(json.dumps(fields | {name: wrong}).encode())


def test_tombstones_stand_where_the_erasures_stood(engine: Engine) -> None:
    events = [event(n, n * SECOND, customer=c) for n, c in enumerate(("anna", "bert", "anna", "anna"))]
    repeated = events[3]
    columns = from_events([*events, repeated], "EUR").with_rows(
        [0, 1, 3, 5], [OtherRow(customer) for customer in ("bert", "anna", "bert", "anna")]
    )
    said = scored(engine, columns)
    records = with_tombstones(
        encode_scores(engine.bundle, columns, said, CLOCK), columns, said, columns.type == ERASE
    )
    story = [(customer, value and decode_score(value).event_id) for customer, value in records]
    assert story == [
        ("bert", None), ("anna", "e0"), ("anna", None), ("bert", "e1"), ("anna", "e2"), ("bert", None),
        ("anna", "e3"), ("anna", None),
    ]  # fmt: skip


def test_without_erasures_there_are_no_tombstones(engine: Engine) -> None:
    bundle, columns, said = three(engine)
    scores = encode_scores(bundle, columns, said, CLOCK)
    assert list(with_tombstones(scores, columns, said, columns.type == ERASE)) == list(scores)


def test_a_batch_without_scores_has_no_records(engine: Engine) -> None:
    columns = from_events([], "EUR")
    assert not encode_scores(engine.bundle, columns, scored(engine, columns), CLOCK)
