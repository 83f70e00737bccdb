"""A replay at full speed with a real worker: what partitions tell each other comes in time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from stream.logs.replay import replay
from stream.messages.action import Action, decode_action
from stream.scoring.score_log import score_log
from tests.integration.outcome import engine_for, read_topic
from tests.integration.shop_logs import talkative
from tests.integration.test_identities import settled
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
