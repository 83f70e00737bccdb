"""Anonymous to known: what partitions hand to each other makes the states that one known id would have had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest

from features.columns import from_events
from features.events import EVENT_TYPES, Event
from features.exceptions import UnreadableState
from features.fold import fold
from features.identity import MOST_STEPS
from features.state import DAY_MS, STATE, States, empty
from stream.decisions.following import PolicyInForce
from stream.decisions.memory import memories_of
from stream.decisions.policy_file import parse_policy
from stream.decisions.rulebook import Rulebook
from stream.scoring.engine import Engine
from tests.bundles import random_bundle
from tests.stream.records import NOW
from tests.stream.scoring.identity_bench import MINUTE, Shop, assert_counted_alike, happening, login

IDS = ("a1", "a2", "a3", "b1", "b2", "ada", "grace")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder: Path = tmp_path_factory.mktemp("bundle")
    return Engine(random_bundle(folder), lateness_ms=DAY_MS, ttl_ms=400 * DAY_MS, holdout=0.0)


@pytest.fixture
def shop(engine: Engine) -> Shop:
    return Shop(engine)


def of(happenings: Sequence[dict[str, Any]]) -> States:
    """Return the state of one customer who did all this."""
    states = empty(1)
    events = [msgspec.convert(one, Event) for one in happenings]
    fold(states, np.zeros(len(events), np.int64), from_events(events, "EUR"), with_vectors=False)
    return states


def holder(customer: str, links: Mapping[str, str]) -> str:
    """Return where what is known of an id comes to rest: the end of its links, or the least id of a circle."""
    path = [customer]
    while path[-1] in links and links[path[-1]] not in path:
        path.append(links[path[-1]])
    end = path[-1]
    return end if end not in links else min(path[path.index(links[end]) :])


@pytest.mark.parametrize("seed", range(60))
def test_any_interleaving_and_partitioning_gives_the_state_of_the_merged_log(
    engine: Engine, seed: int
) -> None:
    chance = Random(seed)
    shop = Shop(engine, partitions=chance.randint(1, 4))
    links = {
        one: chance.choice([other for other in IDS if other != one]) for one in IDS if chance.random() < 0.7
    }
    story: list[dict[str, Any]] = [
        happening(
            number, chance.choice(IDS), chance.randint(0, 300), chance.choice(EVENT_TYPES),
            price=float(chance.randint(1, 9)), item_id=chance.choice(["i1", "i2"]),
        )
        for number in range(40)
    ]  # fmt: skip
    logins = [
        login(10 * number + again, anonymous, customer, chance.randint(0, 300))
        for number, (anonymous, customer) in enumerate(links.items())
        for again in range(chance.choice((1, 1, 3)))
    ]
    for fields in sorted(story + logins, key=lambda one: one["event_time"]):
        shop.emit(fields)
        if chance.random() < 0.2:
            shop.run(chance, most=5)
    shop.run(chance, most=5)
    wanted = {one: [e for e in story if holder(e["customer_id"], links) == one] for one in IDS}
    assert set(shop.states) == {one for one, events in wanted.items() if events}, f"seed {seed}: {links}"
    for one, state in shop.states.items():
        in_order = sorted(wanted[one], key=lambda event: event["event_time"])
        assert_counted_alike(state, of(in_order))


def test_somebody_who_browses_and_then_logs_in_has_the_state_of_one_id(shop: Shop) -> None:
    before = [
        happening(1, "a1", 0, item_id="i1"),
        happening(2, "a1", 2, "add_to_cart", item_id="i1", price=9.0),
    ]
    after = [happening(3, "ada", 6, "begin_checkout"), happening(4, "ada", 9, item_id="i2")]
    for fields in (*before, login(1, "a1", "ada", 5)):
        shop.emit(fields)
    shop.run()
    for fields in after:
        shop.emit(fields)
    shop.run()
    assert set(shop.states) == {"ada"}
    whole = of([*before, *after])
    for name in [name for name in STATE.names or () if name != "memory"]:
        np.testing.assert_allclose(shop.states["ada"][name], whole[name], rtol=1e-12, err_msg=name)


def test_a_login_that_a_silent_rebuilding_comes_to_first_hands_over(shop: Shop) -> None:
    for fields in (happening(1, "a1", 0), login(1, "a1", "ada", 5)):
        shop.emit(fields)
    shop.silent = True
    shop.run()
    assert shop.counts() == {"ada": 1}, "nobody took it before"
    assert not shop.scores


def test_a_repeated_login_changes_nothing(shop: Shop) -> None:
    for fields in (happening(1, "a1", 0), login(1, "a1", "ada", 1), login(2, "a1", "ada", 2)):
        shop.emit(fields)
    shop.run()
    assert shop.counts() == {"ada": 1}


def test_two_customers_who_log_in_on_one_device_are_never_merged(shop: Shop) -> None:
    for fields in (
        happening(1, "a1", 0), happening(2, "ada", 0), happening(3, "grace", 0),
        login(1, "a1", "ada", 1), happening(4, "a1", 2), login(2, "a1", "grace", 3), happening(5, "a1", 4),
        login(3, "a1", "ada", 5), happening(6, "a1", 6),
    ):  # fmt: skip
        shop.emit(fields)
    shop.run()
    assert shop.counts() == {"ada": 3, "grace": 1, "a1": 2}
    assert shop.link("a1").shared


def test_what_happens_under_a_linked_id_is_scored_under_the_customer_once(shop: Shop) -> None:
    for fields in (
        happening(1, "a1", 0),
        login(1, "a1", "ada", 1),
        happening(2, "a1", 2),
        happening(2, "a1", 2),
    ):
        shop.emit(fields)
    shop.run(Random(5))
    assert [(s.event_id, s.customer_id, s.merged) for s in shop.scores] == [
        ("e1", "a1", None), ("l1", "ada", "a1"), ("e2", "ada", None),
    ]  # fmt: skip
    assert shop.counts() == {"ada": 2}


def test_a_login_of_somebody_who_did_nothing_scores_nobody(shop: Shop) -> None:
    shop.emit(login(1, "a1", "ada", 1))
    shop.run()
    assert not shop.scores
    assert not shop.states
    assert shop.link("ada").members == ("a1",)


@pytest.mark.parametrize("erased", ["a1", "a2", "ada"])
def test_an_erasure_reaches_everybody_who_is_linked(shop: Shop, erased: str) -> None:
    for fields in (
        happening(1, "a1", 0), happening(2, "a2", 0), happening(3, "ada", 0), happening(4, "grace", 0),
        login(1, "a1", "a2", 1), login(2, "a2", "ada", 2),
    ):  # fmt: skip
        shop.emit(fields)
    shop.run()
    assert shop.counts() == {"ada": 3, "grace": 1}
    shop.append(shop.home(erased), erased, None)
    shop.run()
    assert shop.counts() == {"grace": 1}
    assert set(shop.tombstones) == {"a1", "a2", "ada"}
    assert not shop.links
    shop.emit(happening(5, "a1", 3))
    shop.run()
    assert shop.counts() == {"grace": 1, "a1": 1}, "a new id from then on"


def test_a_link_that_is_damaged_is_told(shop: Shop) -> None:
    shop.emit(login(1, "a1", "ada", 0))
    shop.run()
    shop.links["a1"] = shop.links["a1"][:-1] + b"?"
    shop.emit(happening(1, "a1", 1))
    with pytest.raises(UnreadableState, match="damaged"):
        shop.run()


def test_a_way_that_is_too_long_ends_where_it_is(engine: Engine) -> None:
    shop = Shop(engine)
    ids = [f"n{number:02}" for number in range(MOST_STEPS + 5)]
    for number, (one, other) in enumerate(zip(ids, ids[1:], strict=False)):
        shop.emit(login(number, one, other, 0))
    shop.run()
    shop.emit(happening(1, ids[0], 1))
    shop.run()
    assert shop.counts() == {ids[MOST_STEPS]: 1}


def test_a_state_that_has_lived_too_long_is_not_handed_over(engine: Engine) -> None:
    shop = Shop(engine, partitions=1)
    shop.emit(happening(1, "a1", 0))
    shop.run()
    shop.emit(happening(2, "grace", 401 * 24 * 60))
    shop.emit(login(1, "a1", "ada", 401 * 24 * 60))
    shop.run()
    assert shop.counts() == {"grace": 1}, "whether it was swept before makes no difference"


def test_a_merge_moves_no_watermark_and_is_never_late(shop: Shop) -> None:
    assert shop.home("a1") != shop.home("grace")
    shop.emit(happening(1, "a1", 0))
    shop.run()
    other = next(one for one in ("grace", "ada", "joan") if shop.home(one) != shop.home("a1"))
    shop.emit(happening(2, other, 10_000))
    shop.run()
    shop.emit(login(1, "a1", other, 1))
    shop.emit(happening(3, "a1", 2))
    shop.run()
    assert shop.counts() == {other: 3}, "a day of lateness, and it came a week late"
    assert not [letter for output in shop.outputs for letter in output.letters]


VIEW = happening(1, "a1", 0)
HANDED: dict[str, Any] = {"type": "merge", "source": [0, 0, 0], "path": ["a1"]}


@pytest.mark.parametrize(
    ("fields", "key", "partition", "reason"),
    [
        ({"anonymous_id": "ada"}, "ada", None, "invalid_field"),
        ({}, "ada", None, "key_mismatch"),
        ({}, "a1", 1, "wrong_partition"),
        ({"event_time": NOW + 6 * MINUTE}, "a1", None, "future"),
        ({"customer_id": 7}, "a1", None, "invalid_field"),
        (HANDED | {"state": "AAAA"}, "ada", None, "invalid_field"),
        (HANDED | {"source": [9, 0, 0]}, "ada", None, "invalid_field"),
        (HANDED | {"source": [0, 2**63, 0]}, "ada", None, "invalid_field"),
        (HANDED | {"source": [0, 0, -1]}, "ada", None, "negative"),
        (HANDED | {"path": []}, "ada", None, "invalid_field"),
        (HANDED | {"event_id": ""}, "ada", None, "invalid_field"),
        (HANDED | {"event": VIEW, "erase": True}, "ada", None, "invalid_field"),
        (HANDED | {"event": VIEW | {"event_time": "0001-01-01T00:00:00Z"}}, "ada", None, "invalid_field"),
        (HANDED | {"event": VIEW | {"event_id": "x\u0001"}}, "ada", None, "invalid_field"),
    ],
)
def test_what_is_no_identity_becomes_a_dead_letter(
    shop: Shop, fields: dict[str, Any], key: str, partition: int | None, reason: str
) -> None:
    value = msgspec.json.encode(login(1, "a1", "ada", 0) | fields)
    at = shop.home(key) if partition is None else (shop.home(key) + partition) % shop.partitions
    shop.append(at, key, value)
    shop.run()
    [letter] = [letter for output in shop.outputs for letter in output.letters]
    assert dict(letter.headers)["reason"] == reason.encode()
    assert not shop.links


def test_caps_count_what_was_sent_under_either_id(engine: Engine) -> None:
    policy = parse_policy(
        "version: 1\nbands: {medium: {enter: 0.0, leave: 0.0}}\ncaps: [2 per 3h]\n"
        "rules:\n  - {name: cart, action: remind, when: {cart_items: more than 0}}\n"
    )
    shop = Shop(replace(engine, policy=PolicyInForce(Rulebook.of(policy, engine.bundle, 0.0))))
    for number, one in enumerate(("a1", "ada")):
        shop.emit(happening(10 * number, one, number, "add_to_cart", price=5.0))
        shop.emit(happening(10 * number + 1, one, 10 + number, "purchase", value=5.0))
    shop.run()
    assert len(shop.actions) == 2
    shop.emit(login(1, "a1", "ada", 30))
    shop.run()
    assert np.count_nonzero(memories_of(shop.states["ada"])["sent_times"]) == 2
    shop.emit(happening(30, "ada", 40, "add_to_cart", price=5.0))
    shop.run()
    assert len(shop.actions) == 2, "the cap is used up by both"
    shop.emit(happening(31, "grace", 41, "add_to_cart", price=5.0))
    shop.run()
    assert len(shop.actions) == 3, "it is not for others"
