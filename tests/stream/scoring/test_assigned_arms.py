"""The arm of the experiment follows the person: after a login it is that of the id that came first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from features.links import Link
from features.state import DAY_MS
from stream.decisions.following import PolicyInForce
from stream.decisions.holdout import ARMS
from stream.decisions.policy_file import parse_policy
from stream.decisions.rulebook import Rulebook
from stream.logs.archive import FirstPass, take_events
from stream.messages.action import Action, decode_action
from stream.scoring import scored_partition
from stream.scoring.engine import Engine
from stream.scoring.score_log import score_log
from tests.bundles import random_bundle
from tests.stream.scoring.identity_bench import MINUTE, Shop, archived, happening, login
from tests.stream.scoring.test_linking import IDS, holder

_POLICY = """
version: 1
bands: {medium: {enter: 0.0, leave: 0.0}}
holdout: {share: 0.4, managed: 0.3}
rules:
  - {name: over, trigger: win_back, after: 3m, action: remind}
  - {name: cart, action: show, when: {cart_items: more than 0}}
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder: Path = tmp_path_factory.mktemp("bundle")
    engine = Engine(random_bundle(folder), lateness_ms=DAY_MS, ttl_ms=400 * DAY_MS, holdout=0.0)
    rulebook = Rulebook.of(parse_policy(_POLICY), engine.bundle, 0.0)
    return replace(engine, policy=PolicyInForce(rulebook))


def arm(engine: Engine, name: str) -> str:
    return ARMS[engine.rulebook.assignment.arms([name])[0]]


def named(engine: Engine, start: str, wanted: str) -> str:
    """Return an id that by itself is assigned to an arm."""
    return next(name for n in range(1_000) if arm(engine, name := f"{start}{n}") == wanted)


def actions(shop: Shop) -> list[Action]:
    return [decode_action(value) for _, value in shop.actions if value is not None]


def story_of(chance: Random) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return what happens, in its order, and who is linked to whom: everybody comes once before the first login."""
    links = {
        one: chance.choice([other for other in IDS if other != one]) for one in IDS if chance.random() < 0.7
    }
    first = [happening(900 + at, one, at) for at, one in enumerate(chance.sample(IDS, len(IDS)))]
    then = [happening(number, chance.choice(IDS), chance.randint(10, 300)) for number in range(30)]
    then += [
        login(10 * number + again, anonymous, customer, chance.randint(10, 300))
        for number, (anonymous, customer) in enumerate(links.items())
        for again in range(chance.choice((1, 1, 3)))
    ]
    return first + sorted(then, key=lambda one: one["event_time"]), links


def wanted_assigned(story: list[dict[str, Any]], links: dict[str, str]) -> dict[str, str]:
    """Return for each id that has a state in the end by whom it is assigned."""
    firsts = [fields["customer_id"] for fields in story[: len(IDS)]]
    return {
        one: next(name for name in firsts if holder(name, links) == one)
        for one in {holder(name, links) for name in IDS}
    }


@pytest.mark.parametrize("seed", range(40))
def test_in_any_interleaving_and_partitioning_the_first_id_assigns(engine: Engine, seed: int) -> None:
    chance = Random(seed)
    shop = Shop(engine, partitions=chance.randint(1, 4))
    story, links = story_of(chance)
    for fields in story:
        shop.emit(fields)
        if chance.random() < 0.2:
            shop.run(chance, most=5)
    shop.run(chance, most=5)
    wanted = wanted_assigned(story, links)
    assert {one: shop.link(one).assigned or one for one in shop.states} == wanted, f"seed {seed}: {links}"
    empty = [one for one in shop.links if one not in shop.states and shop.link(one).assigned]
    assert not empty, "an id whose state was handed over says nothing"


@pytest.mark.parametrize("seed", range(10))
def test_a_log_of_a_shop_s_own_says_the_same_in_pieces_too(
    engine: Engine, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = Random(seed)
    story, links = story_of(chance)
    shop = Shop(engine, partitions=1)
    for fields in story:
        shop.emit(fields)
    wanted = wanted_assigned(story, links)
    last = {one: happening(2000 + at, one, 400) for at, one in enumerate(wanted)}
    for fields in last.values():
        shop.emit(fields)
    own = take_events(FirstPass(partitions=1), 0, list(shop.logs[0]), None).replace_schema_metadata(None)
    whole = score_log(own, engine, decide_by=[engine.rulebook])
    held = {row["event_id"]: row["holdout"] for row in whole.scores.to_pylist()}
    for one, fields in last.items():
        assert held[fields["event_id"]] == (arm(engine, wanted[one]) == "holdout")
    monkeypatch.setattr(scored_partition, "CHUNK", 7)
    pieces = score_log(own, engine, decide_by=[engine.rulebook], partitions=3)
    assert pieces.scores.to_pylist() == whole.scores.to_pylist()
    assert {a.action_id: a.arm for a in pieces.decided[0].actions} == {
        a.action_id: a.arm for a in whole.decided[0].actions
    }


def test_a_visitor_who_is_held_out_stays_held_out_as_a_customer(engine: Engine) -> None:
    anonymous, known = named(engine, "a", "holdout"), named(engine, "c", "treatment")
    shop = Shop(replace(engine, lateness_ms=MINUTE), partitions=1)
    for fields in (
        happening(1, anonymous, 0, "add_to_cart", price=5.0),
        login(1, anonymous, known, 1),
        happening(2, known, 2, "purchase", value=5.0),
        happening(3, anonymous, 3, "add_to_cart", price=5.0),
    ):
        shop.emit(fields)
        shop.run()
    for fields in (happening(4, "grace", 500), happening(5, known, 501)):  # the timer of before comes between
        shop.emit(fields)
    shop.run()
    of_both = [one for one in actions(shop) if one.customer_id != "grace"]
    assert {(one.customer_id, one.arm) for one in of_both} == {
        (anonymous, "holdout"),
        (known, "holdout"),
    }
    assert {(one.trigger, one.customer_id) for one in of_both} == {
        ("rule_holds", anonymous),
        ("rule_holds", known),
        ("win_back", known),
    }
    assert {one.holdout for one in shop.scores if one.customer_id != "grace"} == {True}


def test_a_customer_from_before_keeps_the_arm_on_a_new_device(engine: Engine) -> None:
    anonymous, known = named(engine, "a", "holdout"), named(engine, "c", "treatment")
    shop = Shop(engine)
    for fields in (
        happening(1, known, 0, "add_to_cart", price=5.0),
        happening(2, anonymous, 5, "add_to_cart", price=5.0),
        login(1, anonymous, known, 6),
    ):
        shop.emit(fields)
    shop.run()
    shop.emit(happening(3, known, 7, "purchase", value=5.0))
    shop.emit(happening(4, anonymous, 8, "add_to_cart", price=5.0))
    shop.run()
    assert [one.arm for one in actions(shop) if one.customer_id == known] == ["treatment", "treatment"]
    assert shop.link(known).assigned == ""


def test_customers_on_one_device_keep_their_own_arms(engine: Engine) -> None:
    shop = Shop(engine)
    for fields in (
        happening(1, "ada", 0),
        happening(2, "grace", 1),
        login(1, "a1", "ada", 2),
        login(2, "a1", "grace", 3),
        happening(3, "a1", 4),
        happening(4, "grace", 5),
    ):
        shop.emit(fields)
        shop.run()
    assert {one: shop.link(one).assigned for one in ("a1", "ada", "grace")} == dict.fromkeys(
        ("a1", "ada", "grace"), ""
    )


def test_of_an_erased_person_no_id_is_left_that_assigned(engine: Engine) -> None:
    shop = Shop(engine)
    for fields in (happening(1, "a1", 0), login(1, "a1", "a2", 1), login(2, "a2", "ada", 2)):
        shop.emit(fields)
        shop.run()
    assert shop.link("ada").assigned == "a1", "over an id that never did anything itself"
    shop.append(shop.home("ada"), "ada", None)
    shop.run()
    assert not shop.links
    shop.emit(happening(2, "ada", 9))
    shop.run()
    assert shop.scores[-1].holdout == (arm(engine, "ada") == "holdout")


def test_a_customer_who_keeps_coming_keeps_the_arm_for_longer_than_a_state_lives(engine: Engine) -> None:
    shop = Shop(replace(engine, ttl_ms=DAY_MS))
    for fields in (happening(1, "a1", 0), login(1, "a1", "ada", 1)):
        shop.emit(fields)
    shop.run()
    for number in range(12):
        shop.emit(happening(10 + number, "ada", 1_000 * (number + 1)))
        shop.run()
        assert shop.link("ada").assigned == "a1"
        assert shop.link("ada").time >= shop.states["ada"]["last_time"][0]
    shop.emit(happening(30, "ada", 40_000))
    shop.run()
    assert shop.link("ada") == Link(), "nobody was there for longer than a state lives: this is somebody new"
    assert shop.scores[-1].holdout == (arm(engine, "ada") == "holdout")


@pytest.mark.parametrize("seed", range(5))
def test_the_archived_log_gives_the_arms_of_the_stream(engine: Engine, seed: int) -> None:
    chance = Random(seed)
    shop = Shop(engine)
    story, _ = story_of(chance)
    for fields in story:
        shop.emit(fields)
        if chance.random() < 0.2:
            shop.run(chance, most=5)
    shop.run(chance, most=5)
    scored = score_log(archived(shop), engine, decide_by=[engine.rulebook])
    told = {(one.event_id, one.customer_id, one.holdout) for one in shop.scores}
    rows = scored.scores.select(["event_id", "customer_id", "holdout"]).to_pylist()
    assert {tuple(row.values()) for row in rows} == told
    found = {one.action_id: one.arm for one in scored.decided[0].actions}
    same = [one for one in actions(shop) if one.action_id in found]
    assert {one.action_id: one.arm for one in same} == {one.action_id: found[one.action_id] for one in same}
