"""Rule 3 holds in every state that the model can reach, and each planted flaw breaks it."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.simulation.exploration import Search, explore
from tests.simulation.ownership_model import (
    Flaw,
    Limits,
    World,
    beginning,
    follow,
    successors,
    violation,
)


class Scenario(NamedTuple):
    """Where a search starts, how far it goes, and what may happen on the way."""

    limits: Limits
    depth: int
    records: int = 2
    saved: int = 0  # by worker 1, who has claimed the partition: either has to come first

    def start(self) -> World:
        claimed = beginning(self.limits._replace(claims=self.limits.claims + 1), records=self.records)
        world = follow(claimed, "worker 1 claims from offset 0")
        for offset in range(self.saved):
            world = follow(
                world,
                f"worker 1 fetches offset {offset}",
                f"worker 1 takes 1 from offset {offset}",
                "worker 1 publishes",
                f"worker 1 saves up to offset {offset + 1}",
            )
        return world

    def explore(self, flaw: Flaw | None = None) -> Search:
        """Search with the rules of the protocol, or with a ``flaw`` in them."""
        return explore(self.start(), lambda world: successors(world, flaw), violation, depth=self.depth)


WIDE = {
    "Redis loses writes, answers and workers are lost": (
        Scenario(Limits(claims=2, crashes=1, fall_backs=2, lost_answers=1), depth=12, records=3),
        60_000,
    ),
    "the same around an erasure": (
        Scenario(Limits(claims=2, crashes=1, fall_backs=2, lost_answers=1), depth=10, records=4, saved=2),
        15_000,
    ),
    "Kafka is set back, the topic is made again, states are rebuilt": (
        Scenario(
            Limits(claims=1, fall_backs=1, lost_answers=1, set_backs=1, remakes=1, rebuilds=2, appends=1),
            depth=8,
            records=3,
            saved=2,
        ),
        70_000,
    ),
}

REMADE = Scenario(Limits(claims=1, remakes=1), depth=6, saved=1)
SET_BACK = Scenario(Limits(claims=1, set_backs=1), depth=6, saved=1)
FALLEN_BACK = Scenario(Limits(fall_backs=1), depth=10)
REBUILT = Scenario(Limits(claims=1, set_backs=1, rebuilds=1), depth=7, saved=2)
PLAIN = Scenario(Limits(lost_answers=1), depth=6)

NARROW = {
    Flaw.CACHE_KEPT_AFTER_FALL_BACK: FALLEN_BACK,
    Flaw.CACHE_KEPT_ON_CLAIM: Scenario(Limits(claims=2, fall_backs=1), depth=12),
    Flaw.CACHE_KEPT_ON_ERASURE: Scenario(Limits(), depth=8, records=4, saved=2),
    Flaw.GUARD_WITHOUT_TOKEN: Scenario(Limits(claims=2, crashes=1, fall_backs=1), depth=8, saved=1),
    Flaw.GUARD_WITHOUT_OFFSET: FALLEN_BACK,
    Flaw.GUARD_BY_EPOCH: FALLEN_BACK,
    Flaw.UNGUARDED_LOAD: Scenario(Limits(claims=1, fall_backs=2), depth=11),
    Flaw.SAVE_IN_TWO: PLAIN,
    Flaw.SAVE_BEFORE_PUBLISHING: PLAIN,
    Flaw.UNANSWERED_AGAIN: PLAIN,
    Flaw.NO_TOPIC_ID: REMADE,
    Flaw.TOPIC_ID_ON_CLAIM_ONLY: REMADE,
    Flaw.NO_LEADER_EPOCH: SET_BACK,
    Flaw.LEADER_EPOCH_ON_CLAIM_ONLY: SET_BACK,
    Flaw.MERGED_EPOCHS: Scenario(Limits(set_backs=1), depth=6, records=3),
    Flaw.OLD_INCARNATION: REBUILT,
    Flaw.SILENCE_FORGOTTEN: REBUILT,
    Flaw.SILENT_IN_ANY_LOG: Scenario(Limits(set_backs=2, rebuilds=1), depth=7, saved=2),
    Flaw.SILENT_TO_THE_END: REBUILT,
}


@pytest.mark.parametrize("name", WIDE)
def test_rule_3_holds_in_every_state_that_can_be_reached(name: str) -> None:
    scenario, at_least = WIDE[name]
    search = scenario.explore()
    print(f"{name}: {search}")
    assert not search.violation, search
    assert search.depth == scenario.depth, search
    assert search.states >= at_least, search


def test_every_flaw_has_a_scenario() -> None:
    assert set(NARROW) == set(Flaw)


@pytest.mark.parametrize("flaw", Flaw, ids=lambda flaw: flaw.name.lower())
def test_a_flaw_is_found_and_nothing_is_without_it(flaw: Flaw) -> None:
    scenario = NARROW[flaw]
    sound, search = scenario.explore(), scenario.explore(flaw)
    print(f"{flaw.value}: {search}")
    assert not sound.violation, sound
    assert search.violation, f"{flaw.value}: not found in {search.states} states"
    assert len(search.path) == search.depth


def told_of_another_log(world: World) -> str:
    """Return what was published, and so may be saved, of a log that lost what the states were made from."""
    before = world.lost_logs[-1] if world.lost_logs else world.log
    if world.log[:2] == before[:2]:
        return ""
    others = world.published.intersection(world.log).difference(before)
    return f"published {sorted(others)}" if others else ""


@pytest.mark.parametrize("change", [Limits(set_backs=1), Limits(remakes=1)], ids=["set back", "made again"])
def test_nobody_goes_on_in_another_log_until_an_operator_rebuilds(change: Limits) -> None:
    limits = change._replace(claims=2, crashes=1, lost_answers=1, appends=1)
    start = Scenario(limits, depth=0, records=3, saved=2).start()
    refused = explore(start, successors, told_of_another_log, depth=8)
    assert not refused.violation, refused
    assert refused.states > 1_000, refused

    told = start._replace(left=start.left._replace(rebuilds=1))
    rebuilt = explore(told, successors, told_of_another_log, depth=8)
    assert any(action.endswith("rebuilds") for action in rebuilt.path), rebuilt


def test_a_rebuilding_is_silent_about_what_was_scored_and_tells_the_rest() -> None:
    scenario = Scenario(Limits(claims=1, set_backs=1, rebuilds=1), depth=0, records=3, saved=3)
    world = follow(scenario.start(), "Kafka keeps 2 events, and has 1 others then", "worker 2 rebuilds")
    scored = world.published
    for offset in range(3):
        assert world.published == scored
        world = follow(
            world,
            f"worker 2 fetches offset {offset}",
            f"worker 2 takes 1 from offset {offset}",
            "worker 2 publishes",
            f"worker 2 saves up to offset {offset + 1}",
        )
    assert world.published - scored == {world.log[2]}
    assert not violation(world)


def test_a_silence_ends_where_its_log_was_set_back_again() -> None:
    search = Scenario(Limits(claims=2, set_backs=2, rebuilds=2), depth=10, saved=2).explore()
    assert not search.violation, search
    assert search.states > 2_000, search
