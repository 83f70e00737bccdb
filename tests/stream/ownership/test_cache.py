from __future__ import annotations

import random

import numpy as np
import pytest

from features import state
from features.state import States
from stream.ownership.cache import StateCache


def states(*counts: int) -> States:
    rows = state.empty(len(counts))
    rows["events"] = counts
    return rows


def test_it_returns_what_was_put_and_where_nothing_is_known() -> None:
    cache = StateCache(4)
    cache.put(["ada", "grace"], states(1, 2))
    found, missing = cache.get(["grace", "joan", "ada"])
    assert found["events"].tolist() == [2, 0, 1]
    assert missing.tolist() == [1]


def test_changing_a_state_does_not_change_the_cache() -> None:
    cache = StateCache(4)
    rows = states(1)
    cache.put(["ada"], rows)
    rows["events"] = 9
    cache.get(["ada"])[0]["events"] = 9
    assert cache.get(["ada"])[0]["events"].tolist() == [1]


def test_dropping_forgets_everything() -> None:
    cache = StateCache(4)
    cache.put(["ada"], states(1))
    cache.drop()
    assert cache.get(["ada"])[1].tolist() == [0]
    assert len(cache) == 0


def test_customers_who_come_once_do_not_push_out_those_who_come_often() -> None:
    cache = StateCache(100)
    often = [f"often{number}" for number in range(50)]
    cache.put(often, states(*range(1, 51)))
    for visit in range(100):
        cache.get(often)
        cache.put([f"once{visit}-{number}" for number in range(10)], states(*[1] * 10))
    assert cache.get(often)[1].tolist() == []


@pytest.mark.parametrize("capacity", [0, 1, 7, 64])
@pytest.mark.parametrize("seed", range(5))
def test_it_never_returns_another_state_than_the_last_one_put(capacity: int, seed: int) -> None:
    chance = random.Random(seed)
    cache, truth = StateCache(capacity), {}
    for step in range(1, 300):
        customers = [f"c{number}" for number in chance.sample(range(40), chance.randrange(30))]
        found, missing = cache.get(customers)
        known = np.setdiff1d(np.arange(len(customers)), missing)
        assert [truth[customers[at]] for at in known] == found["events"][known].tolist()
        changed = customers[: chance.randrange(len(customers) + 1)]
        truth |= dict.fromkeys(changed, step)
        cache.put(changed, states(*[step] * len(changed)))
        assert len(cache) <= capacity
