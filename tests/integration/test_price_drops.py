"""Price drops with real workers, a real Kafka and a real Redis: told once, as the archived log says, whoever dies."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from features.log import iterate_log, read_log
from features.prices import PRICE, PRICE_COPY
from features.store.redis_store import RedisStore
from stream.clients.emit import EventEmitter
from stream.logs.archive import archive
from stream.logs.replay import replay
from stream.messages.action import Action, decode_action
from stream.scoring.score_log import score_log
from stream.settings import Settings
from tests.integration.outcome import assert_same_states, engine_for, read_topic
from tests.integration.settling import settled
from tests.integration.workers import PATIENCE, Fleet, until

_POLICY: Final = """
version: 1
caps: [2 per 1d]
rules:
  - {name: hurry, trigger: price_dropped, by: 40%, every: 30m, action: hurry}
  - {name: wished, trigger: price_dropped, of: wishlist, by: 20%, action: tell}
  - {name: cheaper, trigger: price_dropped, action: tell}
  - {name: left, trigger: cart_abandoned, action: remind}
"""
_ITEMS: Final = [f"i-{number}" for number in range(12)]
_TYPES: Final = (
    "view_item", "add_to_cart", "add_to_cart", "remove_from_cart", "purchase",
    "add_to_wishlist", "add_to_wishlist", "remove_from_wishlist",
)  # fmt: skip


class Shop:
    """Some people with carts and wish lists, and prices that go up and down."""

    def __init__(self, seed: int, people: int = 60) -> None:
        self._chance = random.Random(seed)
        self._number = 0
        self._clock = time.time_ns() // 1_000_000 - 3 * 86_400_000  # nothing is of the future
        self._people = [f"c-{seed}-{number}" for number in range(people)]

    def emit(self, emitter: EventEmitter, count: int) -> None:
        chance = self._chance
        for _ in range(count):
            self._number += 1
            self._clock += chance.randint(0, 60_000)
            item, event_id = chance.choice(_ITEMS), f"e-{self._number}"
            if chance.random() < 0.15:
                price = float(chance.randint(40, 110))
                emitter.price(item, price, event_id=event_id, event_time=self._clock)
                continue
            emitter.emit(
                event_id=event_id, type=chance.choice(_TYPES), customer_id=chance.choice(self._people),
                item_id=item, price=100.0, event_time=self._clock,
            )  # fmt: skip


def encoded(actions: list[Action]) -> set[bytes]:
    return {msgspec.json.encode(action) for action in actions}


def published(settings: Settings) -> list[bytes]:
    return [record.value or b"" for record in read_topic(settings, settings.actions_topic)]


def test_drops_are_told_as_the_archived_log_says_whoever_is_killed(
    fleet: Fleet, tmp_path: Path, seed: int
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(_POLICY)
    fleet.settings = settings = fleet.settings.model_copy(update={"policy": policy})
    shop, alive = Shop(seed), [fleet.ready(), fleet.start()]
    with EventEmitter(settings) as emitter:
        for _ in range(3):
            saved = fleet.saved()
            shop.emit(emitter, 900)
            emitter.flush()
            until(lambda saved=saved: fleet.saved() > saved + 150, "some events are saved", pause=0.003)  # type: ignore[misc]
            alive.pop(0).kill()
            alive.append(fleet.start())
        shop.emit(emitter, 300)
        emitter.flush()
    alive[-1].wait_ready()
    settled(fleet, alive[-1])
    assert not read_topic(settings, settings.dead_letters_topic)

    log = tmp_path / "log.parquet"
    report = archive(settings, log)
    table = read_log(log, identities=True)
    said = {kind: pc.sum(pc.equal(table["type"], kind)).as_py() or 0 for kind in (PRICE, PRICE_COPY)}
    assert report.prices == sum(said.values())
    assert said[PRICE_COPY] >= (settings.partitions - 1) * said[PRICE] > 300
    engine = engine_for(settings)
    scored = score_log(table, engine, decide_by=[engine.rulebook])
    wanted = encoded(list(scored.decided[0].actions))
    until(lambda: set(published(settings)) == wanted, "the last actions are published", seconds=PATIENCE)
    found = [decode_action(value) for value in wanted]
    drops = [action for action in found if action.trigger == "price_dropped"]
    assert len(drops) > 50
    assert {action.rule for action in drops} == {"hurry", "wished", "cheaper"}
    assert all(set(action.items) <= set(_ITEMS) and action.items for action in drops)
    assert_same_states(settings, scored)
    assert all(
        not pc.any(pc.is_in(piece["type"], pa.array([PRICE, PRICE_COPY]))).as_py()
        for piece in iterate_log(log)
    ), "whoever learns from a log never sees prices"
    values = published(settings)
    print(f"{len(drops)} drops of {len(values)} actions, {len(values) - len(set(values))} of them twice")
    for worker in alive:
        worker.stop()
    _assert_replayed(fleet, table, said[PRICE])


def _assert_replayed(fleet: Fleet, table: pa.Table, prices: int) -> None:
    """A replay sends each price once; workers would copy them again."""
    before = len(read_topic(fleet.settings, fleet.settings.events_topic))
    replay(fleet.settings, table)
    again = read_topic(fleet.settings, fleet.settings.events_topic)
    assert sum(b'"type":"price"' in (record.value or b"") for record in again) == 2 * prices
    events = table["identity"].null_count
    assert len(again) - before == events + prices


def test_prices_are_stored_in_every_partition_and_a_price_in_other_money_in_none(fleet: Fleet) -> None:
    worker = fleet.ready()
    settings = fleet.settings
    with EventEmitter(settings) as emitter:
        emitter.price("tent", 80.0)
        emitter.price("rope", 9.0, currency="eur")
        emitter.price("boot", 70.0, currency="USD")
        emitter.flush()
        settled(fleet, worker)
    store = RedisStore(settings.redis_url, settings.redis_prefix)
    try:
        for partition in range(settings.partitions):
            record = store.record(partition)
            assert record is not None
            assert set(store.pending(partition, record).prices.stored()) == {"tent", "rope"}
    finally:
        store.close()
    metrics = worker.metrics()
    assert metrics['intent_prices_total{outcome="new"}'] == 2 * settings.partitions
    assert metrics['intent_prices_total{outcome="foreign"}'] == 1
    assert not read_topic(settings, settings.dead_letters_topic)
