"""With a real Kafka, a real Redis and a worker."""

from pathlib import Path

from shop import Tracking
from stream import EventEmitter

LOG = Path(__file__).parent / "events.jsonl"


def test_who_begins_the_checkout_gets_help(intent_replayed):
    found = intent_replayed(LOG)
    assert found.letters == []
    assert found.scores["c-17"][-1].band == "high"
    assert [action.action for action in found.actions["c-17"]] == ["remind_of_cart", "assist_checkout"]


def test_what_the_shop_emits_is_scored(intent_scores):
    with EventEmitter() as emitter:  # finds the servers of the test by itself
        Tracking(emitter).viewed("ada", "sku-1", 19.9)
    assert len(intent_scores["ada"]) == 1
