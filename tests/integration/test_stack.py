"""The fixtures for shops, over a real Kafka and a real Redis: short tests, none of which knows of another."""

from __future__ import annotations

from pathlib import Path

from kafka import KafkaConsumer
from redis import Redis

from stream.testing.servers import Services
from tests.integration.workers import until
from tests.stream.testing.test_plugin import shop_tests

EVENTS = """
NOON = 1_772_366_400_000

def visit(customer, *types):
    return [
        {"event_id": f"{customer}-{at}", "type": kind, "customer_id": customer, "event_time": NOON + at * 20_000,
         "item_id": "sku-1", "price": 20.0}
        for at, kind in enumerate(types)
    ]

ADA = visit("ada", "view_item", "add_to_cart", "begin_checkout")
"""

SHOP = (
    EVENTS
    + """
import os
import pytest
from stream import EventEmitter
from stream.settings import load_settings

@pytest.fixture(scope="session")
def intent_settings():
    return {"lateness": "1m"}

def test_a_replayed_log_gives_what_it_gives_in_memory(intent_replayed, intent_memory):
    found, wanted = intent_replayed(ADA), intent_memory.replay(ADA)
    assert [score.purchase_intent for score in found.scores["ada"]] == pytest.approx(
        [score.purchase_intent for score in wanted.scores["ada"]], abs=1e-6
    )
    assert dict(found.actions) == dict(wanted.actions) != {}

def test_logins_of_a_log_come_in_time(intent_replayed, intent_memory):
    def later(events, seconds):
        return [event | {"event_time": event["event_time"] + 1000 * seconds} for event in events]

    login = {"event_id": "l-1", "type": "identify", "anonymous_id": "a-1", "customer_id": "ada", "event_time": NOON}
    log = [*visit("a-1", "view_item", "add_to_cart", "begin_checkout"), *later([login], 60), *later(ADA, 70)]
    log += later(visit("bob", *["view_item"] * 90), 80)
    found, wanted = intent_replayed(log), intent_memory.replay(log)
    assert [score.merged for score in found.scores["ada"]] == ["a-1", None, None, None]
    assert [score.event_id for score in found.scores["ada"]] == ["l-1", "ada-0", "ada-1", "ada-2"]
    assert dict(found.actions) == dict(wanted.actions) != {}

def test_nothing_is_left_of_another_test(intent_replayed, intent_scores, intent_letters):
    intent_replayed([*visit("bob", "view_item"), '{"bad": ', *ADA])
    assert [len(intent_scores[name]) for name in ("ada", "bob", "eve")] == [3, 1, 0]
    assert [letter.reason for letter in intent_letters()] == ["not_json"]

def test_the_shops_own_code_finds_the_stack(intent_stack, intent_scores, intent_actions):
    assert load_settings().events_topic == intent_stack.settings.events_topic
    with EventEmitter() as shop:
        for event in ADA:
            shop.emit(**event)
        shop.emit(type="view_item", customer_id="a-1", item_id="sku-2")
        shop.identify("a-1", "eve")
    assert intent_scores["eve"][-1].merged == "a-1"
    assert intent_actions["ada"]
    intent_stack.emitter.erase("ada")
    assert "ada" not in intent_scores and "ada" not in intent_actions

def test_a_worker_that_has_died_is_told(intent_stack, intent_replayed):
    intent_stack._worker.kill()
    with pytest.raises(Exception, match="the worker ended with exit code -9"):
        intent_replayed(ADA)
"""
)


def test_a_shops_tests_are_green_and_leave_nothing_on_servers_that_go_on(
    services: Services, tmp_path: Path
) -> None:
    ended = shop_tests(
        tmp_path,
        SHOP,
        INTENT_SERVICES="external",
        INTENT_KAFKA=services.kafka,
        INTENT_REDIS=services.redis,
        INTENT_POLICY="nowhere.yaml",  # of the developer's shell
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "5 passed" in ended.stdout
    found = KafkaConsumer(bootstrap_servers=services.kafka)
    until(
        lambda: not [t for t in found.topics() if t.startswith("shop-test-")],
        "the broker has deleted all topics",
    )
    found.close()
    with Redis.from_url(services.redis) as client:
        assert not list(client.scan_iter(match="shop-test-*"))
