"""Who is held out, and who stays where they are when a share changes."""

from __future__ import annotations

import numpy as np
import pytest
from xxhash import xxh3_64_intdigest

from stream.decisions.holdout import ARMS, DEFAULT_SALT, HOLDOUT, MANAGED, TREATMENT, Assignment, held_out

CUSTOMERS = [f"customer-{number}" for number in range(20_000)]


def arms(holdout: float, managed: float = 0.0, salt: str = DEFAULT_SALT) -> np.ndarray:
    return Assignment(salt, "1", holdout, managed).arms(CUSTOMERS)


def test_the_share_of_customers_that_is_held_out_is_the_one_asked_for() -> None:
    share = held_out(CUSTOMERS, 0.05).mean()
    assert share == pytest.approx(0.05, abs=0.005)  # three standard deviations: 0.0046


def test_the_same_customers_are_always_held_out() -> None:
    few, many = held_out(CUSTOMERS, 0.05), held_out(CUSTOMERS, 0.2)
    assert held_out(CUSTOMERS[::-1], 0.05)[::-1].tolist() == few.tolist()
    assert many[few].all(), "a larger share only adds customers"


def test_the_default_salt_holds_out_the_customers_of_before() -> None:
    before = [
        xxh3_64_intdigest(b"purchase-intent holdout\0" + c.encode()) < int(0.1 * 2**64) for c in CUSTOMERS
    ]
    assert held_out(CUSTOMERS, 0.1).tolist() == before


def test_nobody_and_everybody_can_be_held_out() -> None:
    assert not held_out(CUSTOMERS, 0.0).any()
    assert held_out(CUSTOMERS, 1.0).all()


def test_only_those_between_the_old_border_and_the_new_one_change_arms() -> None:
    before, after = arms(0.1, 0.2), arms(0.15, 0.3)
    assert (after[before == HOLDOUT] == HOLDOUT).all()
    assert (after[before == MANAGED] == MANAGED).all()
    moved = before != after
    assert (before[moved] == TREATMENT).all()
    assert moved.mean() == pytest.approx(0.15, abs=0.01)


def test_another_salt_draws_other_people() -> None:
    one, other = arms(0.5) == HOLDOUT, arms(0.5, salt="spring") == HOLDOUT
    assert (one == other).mean() == pytest.approx(0.5, abs=0.02)


def test_the_name_of_an_experiment_changes_with_all_that_it_stands_for() -> None:
    names = {
        Assignment(*of).name
        for of in [("a", "1", 0.1), ("b", "1", 0.1), ("a", "2", 0.1), ("a", "1", 0.2), ("a", "1", 0.1, 0.1)]
    }
    assert len(names) == 5


@pytest.mark.parametrize(
    ("holdout", "managed"), [(0.05, 0.0), (0.05, 0.1), (1.0, 0.0), (0.00005, 0.25), (0.0, 0.0)]
)
def test_the_name_of_an_experiment_tells_its_shares(holdout: float, managed: float) -> None:
    name = Assignment("salt", "spring-0.3", holdout, managed).name
    assert Assignment.shares_of_name(name) == (holdout, managed)


def test_arms_have_a_name_each() -> None:
    assert ARMS == ("treatment", "holdout", "customer_managed")
