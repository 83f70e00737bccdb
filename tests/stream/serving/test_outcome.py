from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from offline.uplift.effects import effect_sequence
from stream.messages.action import Action
from stream.messages.score import SegmentRef
from stream.serving.live.outcome import Arms, Outcomes, difference, share_of

WINDOW = 30 * 60_000


def action(customer: str, arm: Any = "treatment", at: int = 1_000, experiment: str = "1-aaaa-0.5") -> Action:
    segment = SegmentRef(0, "Visitors")
    return Action(
        f"{customer}-{at}", customer, "rule_holds", "r", "offer", 0.2, "high", segment, at, at, at + 1, arm, experiment,
        "p", "b",
    )  # fmt: skip


def followed(*actions: Action) -> Outcomes:
    outcomes = Outcomes()
    outcomes.use_window(WINDOW)
    for one in actions:
        outcomes.act(one)
    return outcomes


def test_a_customer_counts_once_the_window_has_closed_with_what_was_bought_within_it() -> None:
    outcomes = followed(action("a"), action("b"), action("c", "holdout"), action("d", at=5_000))
    outcomes.buy("a", 1_000 + WINDOW)
    outcomes.buy("b", 1_001 + WINDOW)
    outcomes.buy("c", 1_000)
    found = outcomes.at(1_000 + WINDOW)
    assert (found.treatment.customers, found.treatment.buyers, found.open) == (2, 1, 1)
    assert (found.holdout.customers, found.holdout.buyers) == (1, 0)


def test_only_the_first_action_of_a_customer_is_compared_and_the_shops_own_ones_are_not() -> None:
    outcomes = followed(action("a"), action("a", at=900_000), action("m", "customer_managed"))
    found = outcomes.at(10 * WINDOW)
    assert (found.treatment.customers, found.holdout.customers, found.open) == (1, 0, 0)


def test_a_purchase_that_is_read_before_its_action_or_after_the_window_has_closed_counts() -> None:
    outcomes = Outcomes()
    outcomes.buy("a", 2_000)
    outcomes.act(action("a"))
    outcomes.use_window(WINDOW)
    outcomes.act(action("b"))
    assert outcomes.at(10 * WINDOW).treatment.buyers == 1
    outcomes.buy("b", 3_000)
    assert outcomes.at(10 * WINDOW).treatment.buyers == 2


def test_over_a_login_the_first_action_is_compared_and_what_either_id_buys_counts() -> None:
    outcomes = followed(action("a", "holdout"), action("ada", at=2_000), action("b"))
    outcomes.merge("a", "ada")
    outcomes.merge("b", "bob")
    outcomes.merge("bob", "b2")
    outcomes.merge("a", "ada")  # repeated after a crash
    outcomes.act(action("a", "treatment", at=9_000))
    outcomes.buy("ada", 3_000)
    outcomes.buy("b", 3_000)
    assert outcomes.bought_at("a", 0) == 3_000
    found = outcomes.at(10 * WINDOW)
    assert (found.holdout.customers, found.holdout.buyers) == (1, 1)
    assert (found.treatment.customers, found.treatment.buyers) == (1, 1)


def test_a_login_after_the_window_has_closed_counts_nobody_twice() -> None:
    outcomes = followed(action("a", "holdout"))
    outcomes.buy("ada", 2_000)
    assert outcomes.at(10 * WINDOW).holdout.buyers == 0
    outcomes.act(action("ada", at=12 * WINDOW))
    outcomes.merge("a", "ada")
    found = outcomes.at(30 * WINDOW)
    assert (found.holdout.customers, found.holdout.buyers, found.treatment.customers) == (1, 1, 0)


def test_ids_that_are_each_others_are_one_person() -> None:
    outcomes = followed(action("a"))
    outcomes.merge("a", "b")
    outcomes.merge("b", "a")
    outcomes.buy("b", 2_000)
    assert (outcomes.bought_at("a", 0), outcomes.at(10 * WINDOW).treatment.buyers) == (2_000, 1)


def test_of_somebody_erased_only_the_counts_stay() -> None:
    outcomes = followed(action("a"), action("b"))
    outcomes.buy("a", 2_000)
    outcomes.forget("b")
    outcomes.at(10 * WINDOW)
    outcomes.forget("a")
    found = outcomes.at(10 * WINDOW)
    assert (found.treatment.customers, found.treatment.buyers) == (1, 1)
    assert outcomes.bought_at("a", 0) is None


def test_no_lift_is_shown_where_there_are_too_few_buyers() -> None:
    outcomes = followed(*(action(f"c{at}", ("treatment", "holdout")[at % 2]) for at in range(100)))
    outcomes.buy("c0", 2_000)
    found = outcomes.at(10 * WINDOW)
    assert (found.difference, found.low, found.high) == (None, None, None)
    assert "No lift is shown" in found.detail
    assert "no actions" in Outcomes().at(0).detail
    assert "open" in followed(action("a")).at(1_000).detail


def test_an_effect_is_told_with_its_interval() -> None:
    outcomes = followed(*(action(f"c{at}", ("treatment", "holdout")[at % 2]) for at in range(4_000)))
    for at in range(4_000):
        if at % (4 if at % 2 == 0 else 25) == 0:
            outcomes.buy(f"c{at}", 2_000)
    found = outcomes.at(10 * WINDOW)
    assert found.difference is not None
    assert found.low is not None
    assert 0 < found.low < found.difference
    assert found.detail.startswith(
        "50.0% of the contacted customers bought within 30 minutes, 4.0% of those held out"
    )


@pytest.mark.parametrize("seed", range(4))
def test_the_interval_is_that_of_the_uplift_report_without_its_adjustment(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shares = {"1-aaaa-0.5": 0.5, "2-bbbb-0.2": 0.2}
    parts, versions = [], []
    for name, share in shares.items():
        treated = rng.random(3_000) >= share
        bought = rng.random(3_000) < np.where(treated, 0.2, 0.15)
        parts.append(
            pd.DataFrame(
                {
                    "experiment": name,
                    "treated": treated,
                    "bought": bought,
                    "purchase_intent": 0.1,
                    "closes_at": 5,
                }
            )
        )
        counts = [(int((treated == arm).sum()), int(bought[treated == arm].sum())) for arm in (False, True)]
        versions.append((share, Arms((counts[0][0], counts[1][0]), (counts[0][1], counts[1][1]))))
    theirs = effect_sequence(pd.concat(parts), "bought", np.array([5]), shares).at()
    ours = difference(versions)
    assert ours.known
    assert (ours.value, ours.low, ours.high) == pytest.approx((theirs.difference, theirs.low, theirs.high))


def test_the_share_of_a_version_leaves_out_whom_the_shop_treats_itself() -> None:
    assert share_of("2-0fbb-0.05") == 0.05
    assert share_of("2-0fbb-0.09+0.1") == pytest.approx(0.1)
    assert share_of("somebody-elses") is None
