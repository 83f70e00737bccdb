"""By whom people are assigned to arms: the rule is one of sets, so no order of logins and records matters."""

from __future__ import annotations

from functools import reduce
from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from features.columns import ERASE, HAND_OVER, MERGE, from_events
from features.events import Event
from features.fold import NO_ASIDES, Asides, fold
from features.merge import merge
from features.state import DAY_MS, States, empty
from stream.decisions.assignees import Assigning, Came, Step, assigned_first
from stream.decisions.holdout import Assignment

CAMES = st.builds(Came, st.integers(1, 5), st.sampled_from(["a-1", "a-2", "ada", "grace"]))


@given(CAMES, CAMES, CAMES)
def test_the_rule_is_commutative_associative_and_idempotent(one: Came, two: Came, three: Came) -> None:
    assert assigned_first(one, two) == assigned_first(two, one)
    assert assigned_first(assigned_first(one, two), three) == assigned_first(one, assigned_first(two, three))
    assert assigned_first(one, one) == one == assigned_first(None, one)


def came(first: int) -> States:
    """Return the state of somebody who came at a time."""
    states = empty(1)
    event = Event(event_id=f"e{first}", type="view_item", customer_id="c", event_time=first)
    fold(states, np.zeros(1, np.int64), from_events([event], "EUR"), with_vectors=False)
    return states


def after_merges(states: dict[str, States], moves: list[tuple[str, str]], ttl_ms: int) -> dict[str, str]:
    """Hand states over one by one, each in a round of its own; return by whom everybody is assigned."""
    known: dict[str, str] = {}
    for source, target in moves:
        aside = Asides(states[source].copy(), np.array([0, 0]))
        before = int(states[target]["first_time"][0])
        states[target] = merge(states[target], aside.states, ttl_ms)
        states[source] = empty(1)
        first_times = np.array([[before, states[target]["first_time"][0]]])
        assigning = Assigning(known, [Step(0, source, HAND_OVER), Step(1, target, MERGE)])
        assigning.assignees([source, target], np.array([0, 1]), aside, first_times)
        known = assigning.now
    return known


@given(st.lists(st.integers(1, 6), min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_in_whatever_order_ids_turn_out_to_be_one_person_the_first_to_come_assigns(
    firsts: list[int], chance: Random
) -> None:
    names = [f"id-{number}" for number in range(len(firsts))]
    states = {name: came(first) for name, first in zip(names, firsts, strict=True)}
    wanted = reduce(
        assigned_first, [Came(first, name) for name, first in zip(names, firsts, strict=True)]
    ).assigned
    left, moves = list(names), []
    while len(left) > 1:
        source, target = chance.sample(left, 2)
        moves.append((source, target))
        left.remove(source)
    known = after_merges(states, moves, DAY_MS)
    assert known.get(left[0], left[0]) == wanted
    assert known.keys() <= set(left), "nothing is said of ids that were handed over"


def test_of_states_that_lie_further_apart_than_a_state_lives_the_later_one_assigns() -> None:
    states = {"a-1": came(10), "ada": came(10 + 2 * DAY_MS)}
    assert after_merges(states, [("a-1", "ada")], DAY_MS) == {}
    states = {"a-1": came(10 + 2 * DAY_MS), "ada": came(10)}
    assert after_merges(states, [("a-1", "ada")], DAY_MS) == {"ada": "a-1"}


def test_rows_before_a_merge_are_assigned_as_before_it() -> None:
    asides = Asides(came(10), np.array([-1, 0, -1, -1, -1]))
    first_times = np.array([[20, 10]])
    assigning = Assigning({}, [Step(1, "ada", MERGE, "a-1"), Step(3, "ada", ERASE)])
    found = assigning.assignees(["grace", "ada"], np.array([1, 1, 1, 1, 1]), asides, first_times)
    assert found is not None
    assert [found.of("ada", row) for row in range(5)] == ["ada", "a-1", "a-1", "ada", "ada"]
    assert (found.of("ada", None), assigning.now) == ("ada", {})
    assignment = Assignment("salt", "1", 0.5)
    rows = np.arange(5)
    wanted = assignment.arms([found.of("ada", row) for row in range(5)])
    assert found.arms(assignment, ["grace", "ada"], np.ones(5, np.int64), rows).tolist() == wanted.tolist()


def test_where_nobody_is_assigned_by_another_id_nothing_is_looked_up() -> None:
    slots, first_times = np.zeros(1, np.int64), np.zeros((0, 2), np.int64)
    assert Assigning({}).assignees(["ada"], slots, NO_ASIDES, first_times) is None
