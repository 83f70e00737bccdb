"""Traffic that is no customer's: a worker scores it apart, never acts on it, and writes none of it for the learner."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from features.log import LOG_SCHEMA
from features.vector import schema_hash
from offline.simulator.bots import kind_of, with_bots
from offline.simulator.shop import ShopParameters
from offline.simulator.simulation import simulate
from stream.learning.records.examples import decode_examples
from stream.learning.records.outcomes import decode_outcomes
from stream.logs.replay import replay
from tests.integration.outcome import (
    assert_same_scores,
    assert_same_states,
    expected,
    read_topic,
    scores_by_event,
    wanted_actions,
    with_policy,
)
from tests.integration.workers import Fleet, until

STAFF = 5


def shop_log(seed: int) -> pa.Table:
    """Return a log with machines, of which the shop knows some customers' events to be some, too."""
    people = simulate(ShopParameters.default(), customers=400, days=2, seed=seed % 2**31)
    # Four fast scrapers: one in fifty begins too late in the log, or reads too slowly, to be noticed.
    log = with_bots(people, 0.025, seed % 2**31).replace_schema_metadata(None)
    said = pc.ends_with(log["customer_id"], "7")
    at = LOG_SCHEMA.get_field_index("bot")
    return log.set_column(at, LOG_SCHEMA.field("bot"), pc.if_else(said, True, pa.scalar(None, pa.bool_())))


def test_flagged_traffic_is_scored_marked_and_nothing_else(fleet: Fleet, tmp_path: Path, seed: int) -> None:
    log = shop_log(seed)
    names = [name for name in log["customer_id"].unique().to_pylist() if kind_of(name) is None]
    staff = set([name for name in names if not name.endswith("7")][:STAFF])
    path = tmp_path / "staff.txt"
    path.write_text("\n".join(staff))
    settings = with_policy(fleet.settings).model_copy(update={"excluded_customers": path})
    fleet.settings = settings
    truth = expected(settings, log)
    worker = fleet.start()
    replay(settings, log)
    fleet.finish(worker)
    wanted = wanted_actions(settings, log)
    total = sum(map(len, wanted.values()))
    until(lambda: worker.metrics()["intent_actions_total"] == total, "the last actions are published")
    metrics = worker.metrics()
    assert worker.stop()[0] == 0
    scores = scores_by_event(read_topic(settings, settings.scores_topic))
    assert_same_states(settings, truth)
    assert_same_scores(scores, truth)
    flagged = {event: found[0] for event, found in scores.items() if "traffic" in found[0]}
    assert {found["customer_id"] for found in flagged.values() if found["traffic"] == "staff"} == staff
    assert {kind_of(found["customer_id"]) for found in flagged.values()} >= {"fast_scraper", None}
    assert {found["action"] for found in flagged.values()} == {"none"}
    assert not any(found["reasons"] for found in flagged.values())
    bots = sum(found["traffic"] == "bot" for found in flagged.values())
    assert metrics['intent_traffic_total{traffic="bot"}'] == bots > 0
    assert metrics['intent_traffic_total{traffic="staff"}'] == len(flagged) - bots > 0
    assert metrics['intent_traffic_total{traffic="customer"}'] == len(scores) - len(flagged)
    assert metrics["intent_excluded_customers"] == STAFF
    records = [one for one in read_topic(settings, settings.actions_topic) if one.value is not None]
    assert len(records) == total > 0
    assert not {one.key.decode() for one in records if one.key} & staff

    examples, bought = set(), 0
    for one in read_topic(settings, settings.examples_topic):
        found = decode_examples(one.value or b"", one.partition, schema_hash()).examples
        examples |= set() if found is None else set(found.event_id)
    for one in read_topic(settings, settings.outcomes_topic):
        bought += len(decode_outcomes(one.value or b"").outcomes.time)
    kinds = dict(zip(log["event_id"].to_pylist(), log["type"].to_pylist(), strict=True))
    views = {event for event in scores if kinds[event] == "view_item"}
    assert examples == views - flagged.keys()
    assert views & flagged.keys()
    assert bought == sum(kinds[event] == "purchase" for event in scores.keys() - flagged.keys())
