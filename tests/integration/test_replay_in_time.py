"""A replay at full speed with a real worker: what partitions tell each other comes in time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from features.identity import HandOver, encode_identity
from features.price_table import NO_PRICES, SaidPrice
from features.prices import PriceCopy, encode_price
from features.state import empty
from features.store.partition_record import PartitionRecord
from features.store.redis_store import RedisStore
from stream.logs.replay import replay
from stream.logs.workers import Progress, Workers
from stream.messages.action import Action, decode_action
from stream.ownership.promised import pack_outbox
from stream.scoring.score_log import score_log
from stream.settings import Settings
from tests.integration.outcome import engine_for, read_topic
from tests.integration.settling import settled
from tests.integration.shop_logs import talkative
from tests.integration.workers import Fleet

_POLICY = """
version: 1
caps: [2 per 30d]
rules:
  - {name: cheaper, trigger: price_dropped, action: tell}
  - {name: help, when: {band: [medium, high]}, action: help}
bands: {medium: {enter: 0.0, leave: 0.0}}
"""


#: Of another seed a price drop may be found at the next look: when a customer's prices are looked at depends on the
#: partition's watermark, and `score_log` puts all ids of a customer in one partition.
_SEED = 5


def of_people(actions: Iterable[Action]) -> Counter[tuple[str, str]]:
    return Counter((one.customer_id, one.rule) for one in actions)


def test_a_replay_at_full_speed_gives_the_actions_of_the_log(fleet: Fleet, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(_POLICY)
    fleet.settings = settings = fleet.settings.model_copy(update={"policy": policy})
    log = talkative(200, 1, _SEED)
    engine = engine_for(settings)
    truth = score_log(log, engine, partitions=settings.partitions, decide_by=[engine.rulebook])
    wanted = of_people(truth.decided[0].actions)
    worker, notes = fleet.ready(), list[str]()
    replay(settings, log, on_note=notes.append)
    settled(fleet, worker)
    assert notes == []
    records = read_topic(settings, settings.actions_topic)
    found = [decode_action(record.value) for record in records if record.value]
    drops = sum(action.trigger == "price_dropped" for action in found)
    print(f"{drops} price drops of {len(found)} actions, {sum(wanted.values())} are wanted")
    assert drops > 15
    assert of_people(found) == wanted
    assert worker.metrics()['intent_identities_total{outcome="merged"}'] > 20


_NOON = 1_772_366_400_000


def test_what_is_promised_has_arrived_when_the_other_partition_has_it(topics: Settings) -> None:
    login = HandOver(
        event_id="l", customer_id="ada", anonymous_id="a", event_time=_NOON, source=(0, 7, 0), path=["a"], type="merge"
    )  # fmt: skip
    copy = PriceCopy(
        event_id="p", item_id="tent", price=9.0, event_time=_NOON, source=(0, 8), type="price_copy"
    )
    sent, home = PartitionRecord.beginning(9, 3), PartitionRecord.beginning(3, 3)
    outbox = pack_outbox([], [(1, "ada", encode_identity(login)), (1, "tent", encode_price(copy))])
    with closing(RedisStore(topics.redis_url, topics.redis_prefix)) as store:

        async def looks() -> list[Progress]:
            async with Workers(topics, 3) as workers:
                assert not await workers.present()
                assert await workers.ends() == [0, 0, 0]
                found = [await workers.progress()]
                store.claim(0, None, sent)
                store.save(0, sent, sent, [], empty(0), outbox=outbox)
                found.append(await workers.progress())
                store.claim(1, None, home)
                found.append(await workers.progress())
                taken = home._replace(next_offset=4, taken=((0, 7, 0),))
                store.save(1, home, taken, [], empty(0))
                found.append(await workers.progress())
                prices = NO_PRICES.after([SaidPrice("tent", 9.0, _NOON, _NOON)]).stored
                store.save(1, taken, taken._replace(next_offset=5), [], empty(0), prices=prices)
                found.append(await workers.progress())
            return found

        found = asyncio.run(looks())
    assert [one.offsets for one in found] == [[0, 0, 0], [9, 0, 0], [9, 3, 0], [9, 4, 0], [9, 5, 0]]
    assert [one.arrived for one in found] == [True, False, False, False, True]
    assert found[-1].past([9, 5, 0]) and not found[-1].past([9, 6, 0])
