"""Anonymous to known with real workers, a real Kafka and a real Redis: states are those of one id, whoever dies."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pyarrow as pa

from features.identity import HandOver, encode_identity
from features.log import read_log
from features.state import from_bytes, to_bytes
from stream.clients.emit import EventEmitter
from stream.decisions.holdout import ARMS
from stream.kafka.topics import create_topics
from stream.logs.archive import archive
from stream.logs.replay import replay
from stream.messages.action import decode_action
from stream.messages.dead_letter import parse
from stream.scoring.score_log import score_log
from stream.settings import Settings
from tests.integration.outcome import engine_for, read_topic, scores_by_event, stored_states
from tests.integration.settling import settled
from tests.integration.topics import Record, held, write
from tests.integration.workers import Fleet, until
from tests.simulation.logins import difference, of_known_ids

_POLICY = """
version: 1
bands: {medium: {enter: 0.0, leave: 0.0}}
holdout: {share: 0.5}
rules:
  - {name: back, trigger: win_back, after: 10m, action: come_back}
  - {name: filled, action: show, when: {cart_items: more than 0}}
"""
_TYPES = ("view_item", "search", "add_to_cart", "remove_from_cart", "purchase")


class Shop:
    """People who browse, log in on one or two devices, and go on."""

    def __init__(self, fleet: Fleet, seed: int, people: int = 60) -> None:
        self._fleet = fleet
        self._chance = random.Random(seed)
        self._number = 0
        self._clock = time.time_ns() // 1_000_000 - 3 * 3_600_000  # nothing is of the future
        self._known = {f"a-{seed}-{n}-{device}": f"c-{seed}-{n}" for n in range(people) for device in (0, 1)}

    @property
    def people(self) -> set[str]:
        return set(self._known.values())

    def fill_carts(self, emitter: EventEmitter) -> set[str]:
        """Have all customers buy what they have in the cart, and fill it again; return the ids of the events."""
        for kind in ("purchase", "add_to_cart"):
            for customer in sorted(self.people):
                self._clock += 1_000
                emitter.emit(
                    event_id=f"{kind}-{customer}", type=kind, event_time=self._clock, customer_id=customer,
                    item_id="i-0", price=5.0,
                )  # fmt: skip
        return {f"add_to_cart-{customer}" for customer in self.people}

    def emit(self, emitter: EventEmitter, count: int) -> None:
        chance = self._chance
        for _ in range(count):
            self._number += 1
            self._clock += chance.randint(0, 2_000)
            anonymous = chance.choice(list(self._known))
            kind, event_id = chance.random(), f"e-{self._number}"
            if kind < 0.15:
                emitter.identify(anonymous, self._known[anonymous], event_id=event_id, event_time=self._clock)
                continue
            emitter.emit(
                event_id=event_id, type=chance.choice(_TYPES), event_time=self._clock,
                customer_id=anonymous if kind < 0.6 else self._known[anonymous],
                item_id=f"i-{chance.randint(0, 9)}", price=float(chance.randint(1, 99)),
            )  # fmt: skip


def test_states_are_those_of_one_id_whoever_is_killed(fleet: Fleet, tmp_path: Path, seed: int) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(_POLICY)
    settings = fleet.settings.model_copy(update={"policy": policy})
    shop, alive = Shop(fleet, seed), [fleet.ready(settings=settings), fleet.start(settings=settings)]
    with EventEmitter(fleet.settings) as emitter:
        for _ in range(3):
            saved = fleet.saved()
            shop.emit(emitter, 1_500)
            emitter.flush()
            until(lambda saved=saved: fleet.saved() > saved + 200, "some events are saved", pause=0.003)  # type: ignore[misc]
            alive.pop(0).kill()
            alive.append(fleet.start(settings=settings))
        shop.emit(emitter, 300)
        emitter.flush()
        alive[-1].wait_ready()
        settled(fleet, alive[-1])
        at_last = shop.fill_carts(emitter)
        emitter.flush()
    settled(fleet, alive[-1])
    assert not read_topic(fleet.settings, fleet.settings.dead_letters_topic)
    topic = read_topic(fleet.settings, fleet.settings.events_topic)
    found = {customer: from_bytes([raw]) for customer, raw in stored_states(fleet.settings).items()}
    assert not difference(found, of_known_ids([topic]))
    handed = [record for record in topic if b'"type":"merge"' in (record.value or b"")]
    assert all(("intent_format", b"native") in record.headers for record in handed)
    scores = scores_by_event(read_topic(fleet.settings, fleet.settings.scores_topic))
    merged = [one for scores_of_event in scores.values() for one in scores_of_event if one.get("merged")]
    assert merged
    assert {one["customer_id"][0] for one in merged} == {"c"}
    assert {one["merged"][0] for one in merged} == {"a"}
    print(
        f"{len(topic)} records, {len(handed)} hand-overs, {len(handed) - len({r.value for r in handed})} of them twice"
    )
    assert_one_arm_each(settings, tmp_path / "log.parquet", at_last)


def assert_one_arm_each(settings: Settings, log: Path, at_last: set[str]) -> None:
    """Everybody is acted on in the arm of the id that came first, by the worker and in the archived log alike."""
    archive(settings, log)
    engine, table = engine_for(settings), read_log(log, identities=True)
    scored = score_log(table, engine, decide_by=[engine.rulebook])
    wanted = {action.action_id: action for action in scored.decided[0].actions}
    told = {
        action.action_id: action
        for record in read_topic(settings, settings.actions_topic)
        if (action := decode_action(record.value or b""))
    }
    assert {one.action_id: one.arm for one in told.values()} == {
        one.action_id: one.arm for one in wanted.values()
    }
    arms = {action.customer_id: action.arm for action in told.values() if action.event_id in at_last}
    assert len(arms) == len(at_last)
    first = first_ids(table)
    assigned = engine.rulebook.assignment.arms(list(first.values()))
    assert {one: arms[one] for one in first} == dict(zip(first, [ARMS[arm] for arm in assigned], strict=True))
    moved = int((engine.rulebook.assignment.arms(list(first)) != assigned).sum())
    assert moved > 0, "some would be in another arm by the id alone"
    print(
        f"{len(told)} actions; {moved} of {len(first)} people are in another arm than their own id would be"
    )


def first_ids(log: pa.Table) -> dict[str, str]:
    """Return the id under which each customer came first, but for those of whom the first event was handed on.

    That one counts as the customer's own, and may come before or behind another device's state.
    """
    found: dict[str, tuple[int, str, bool]] = {}
    linked: set[str] = set()
    rows = log.sort_by([("partition", "ascending"), ("offset", "ascending")])
    for row in rows.select(["type", "customer_id", "event_time", "identity"]).to_pylist():
        one, said = row["customer_id"], row["identity"]
        if row["type"] == "identify":
            linked.add(one)
        elif row["type"] in _TYPES and (said is not None or one not in linked):
            person = one if one[0] == "c" else "-".join(["c", *one.split("-")[1:-1]])
            came = (int(row["event_time"].timestamp() * 1000), one, said is not None)
            found[person] = min(found.get(person, came), came)
    return {person: one for person, (_, one, handed_on) in found.items() if not handed_on}


def test_an_erased_customer_takes_the_anonymous_ids_along(fleet: Fleet) -> None:
    worker = fleet.ready()
    with EventEmitter(fleet.settings) as emitter:
        for number, customer in enumerate(("a-1", "a-2", "ada", "grace")):
            emitter.emit(event_id=f"e-{number}", type="view_item", customer_id=customer)
        emitter.identify("a-1", "ada")
        emitter.identify("a-2", "ada")
        emitter.flush()
        settled(fleet, worker)
        assert set(stored_states(fleet.settings)) == {"ada", "grace"}
        emitter.erase("ada")
        settled(fleet, worker)
        assert set(stored_states(fleet.settings)) == {"grace"}
        emitter.emit(event_id="e-9", type="view_item", customer_id="a-1")
        emitter.flush()
        settled(fleet, worker)
    assert set(stored_states(fleet.settings)) == {"grace", "a-1"}, "nobody remembers whose it was"
    outcomes = {"linked": 2, "merged": 2}
    for outcome, number in outcomes.items():
        assert worker.metrics()[f'intent_identities_total{{outcome="{outcome}"}}'] == number
    tombstones = {
        record.key
        for record in read_topic(fleet.settings, fleet.settings.scores_topic)
        if record.value is None
    }
    assert tombstones == {b"a-1", b"a-2", b"ada"}


def test_with_a_key_workers_refuse_what_none_of_them_has_signed(fleet: Fleet, tmp_path: Path) -> None:
    key, log = tmp_path / "hand-over.key", tmp_path / "log.parquet"
    key.write_text(f"{'ab' * 32}\n")
    settings = fleet.settings.model_copy(update={"hand_over_key": key})
    worker = fleet.ready(settings=settings)
    with EventEmitter(settings) as emitter:
        emitter.emit(event_id="e-1", type="view_item", customer_id="a-1")
        emitter.emit(event_id="e-2", type="view_item", customer_id="grace")
        emitter.identify("a-1", "ada")
        emitter.flush()
        forged = HandOver(
            event_id="f-1", customer_id="grace", anonymous_id="mallory", event_time=time.time_ns() // 1_000_000,
            source=(0, 0, 0), path=["mallory"], type="merge", erase=True,
        )  # fmt: skip
        write(settings, settings.events_topic, [Record(b"grace", encode_identity(forged))])
        settled(fleet, worker)
    assert set(stored_states(settings)) == {"ada", "grace"}
    [letter] = [parse(record) for record in held(settings, settings.dead_letters_topic)]
    assert letter is not None
    assert (letter.key, letter.reason) == (b"grace", "bad_signature")
    assert worker.metrics()['intent_dead_letters_total{reason="bad_signature"}'] == 1
    assert worker.stop()[0] == 0

    assert archive(settings, log).refused == {"bad_signature": 1}
    states = stored_states(settings)
    scored = score_log(read_log(log, identities=True), engine_for(settings))
    assert dict(zip(scored.customers, to_bytes(scored.states), strict=True)) == states

    again = settings.model_copy(
        update={"topic_prefix": f"{settings.topic_prefix}again.", "redis_prefix": f"{settings.redis_prefix}-again",
                "group": f"{settings.group}-again"}
    )  # fmt: skip
    create_topics(again)
    with Fleet(again, tmp_path / "again") as other:
        worker = other.ready()
        replay(again, log)
        settled(other, worker)
        assert worker.stop()[0] == 0
    assert not held(again, again.dead_letters_topic), "workers have signed what they handed over again"
    assert stored_states(again) == states
