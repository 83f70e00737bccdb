"""`intent uplift` on topics: actions, events, and the lack of either."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from features.partition import partitions_of
from stream.cli import create_app
from stream.exceptions import SettingsError, TopicMismatch
from stream.settings import Settings
from tests.integration.topics import Record, environment, write

NOON = 1_760_000_000_000
HOUR = 3_600_000


def uplift(settings: Settings, *arguments: str) -> Any:
    return CliRunner(env=environment(settings)).invoke(create_app(), ["uplift", "--json", *arguments])


def record(customer: str, value: dict[str, object] | None, partitions: int) -> Record:
    body = None if value is None else json.dumps({"customer_id": customer, **value}).encode()
    return Record(customer.encode(), body, int(partitions_of([customer.encode()], partitions)[0]))


def test_topics_are_measured_and_a_missing_one_is_named(topics: Settings) -> None:
    nowhere = topics.model_copy(update={"actions_topic": "nowhere"})
    missing = uplift(nowhere)
    assert isinstance(missing.exception, TopicMismatch)
    assert str(missing.exception).startswith("Kafka has no topic nowhere")
    off = uplift(topics.model_copy(update={"actions_topic": ""}))
    assert isinstance(off.exception, SettingsError)
    assert "INTENT_ACTIONS_TOPIC is empty" in str(off.exception)

    customers = [f"c{at}" for at in range(200)]
    action = {
        "trigger": "rule_holds", "action": "remind", "purchase_intent": 0.1, "band": "high",
        "segment": {"id": 0, "name": "new"}, "decided_at": NOON, "experiment": "v1:0.5",
    }  # fmt: skip
    acted = [
        record(
            who, action | {"action_id": who, "arm": "holdout" if at % 2 else "treatment"}, topics.partitions
        )
        for at, who in enumerate(customers)
    ]
    erased = record("c0", None, topics.partitions)
    write(topics, topics.actions_topic, [*acted, *acted[:5], erased, Record(b"x", b"{broken")])
    bought = {"type": "purchase", "value": 10.0, "currency": "EUR", "event_time": NOON + HOUR}
    view = {"type": "view_item", "event_id": "end", "event_time": NOON + 5 * HOUR}
    first = {"type": "view_item", "event_id": "first", "event_time": NOON - HOUR}
    rows = [record(who, bought | {"event_id": f"e-{who}"}, topics.partitions) for who in customers[:100]]
    write(topics, topics.events_topic, [record("z", first, topics.partitions), *rows,
                                        record("z", view, topics.partitions)])  # fmt: skip

    found = json.loads(uplift(topics, "--window", "3h").stdout)
    assert found["customers"]["compared"] == 199  # one of 200 was erased
    assert found["shares"] == {"v1:0.5": 0.5}
    assert found["effects"]["conversion"]["treated"] == 99
    assert found["effects"]["conversion"]["mean_held_out"] == pytest.approx(0.5)
    assert found["effects"]["revenue"]["mean_held_out"] == pytest.approx(5.0)
    assert found["notes"] == ["1 record is no action and was left out."]
