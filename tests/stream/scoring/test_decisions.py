"""What marketing is told to do, and who is left alone."""

from __future__ import annotations

import numpy as np
import pytest

from features.vector import COLUMN_NAMES, WIDTH
from stream.scoring.decisions import ACTIONS, actions, held_out

LOW, MEDIUM, HIGH = 0, 1, 2
CUSTOMERS = [f"customer-{number}" for number in range(20_000)]


def action(band: int, *, cart: float = 0, bought: float = 0, holdout: bool = False) -> str:
    vector = np.zeros((1, WIDTH), np.float32)
    vector[0, COLUMN_NAMES.index("cart_quantity")] = cart
    vector[0, COLUMN_NAMES.index("session_purchase")] = bought
    return ACTIONS[int(actions(np.array([band], np.uint8), vector, np.array([holdout]))[0])]


@pytest.mark.parametrize(
    ("band", "cart", "bought", "chosen"),
    [
        (LOW, 0, 0, "none"),
        (LOW, 2, 0, "none"),
        (LOW, 0, 1, "none"),
        (MEDIUM, 0, 0, "offer_incentive"),
        (MEDIUM, 2, 0, "remind_of_cart"),
        (MEDIUM, 2, 1, "cross_sell"),
        (HIGH, 0, 0, "recommend_items"),
        (HIGH, 2, 0, "assist_checkout"),
        (HIGH, 0, 1, "cross_sell"),
    ],
)
def test_the_action_follows_band_cart_and_session(band: int, cart: int, bought: int, chosen: str) -> None:
    assert action(band, cart=cart, bought=bought) == chosen
    assert action(band, cart=cart, bought=bought, holdout=True) == "none"


def test_rows_do_not_influence_each_other() -> None:
    chance = np.random.default_rng(3)
    vectors = chance.integers(0, 2, (200, WIDTH)).astype(np.float32)
    band = chance.integers(0, 3, 200).astype(np.uint8)
    holdout = chance.random(200) < 0.2
    one_by_one = [
        int(actions(band[i : i + 1], vectors[i : i + 1], holdout[i : i + 1])[0]) for i in range(200)
    ]
    assert actions(band, vectors, holdout).tolist() == one_by_one
    assert len(set(one_by_one)) == len(ACTIONS)


def test_the_share_of_customers_that_is_held_out_is_the_one_asked_for() -> None:
    share = held_out(CUSTOMERS, 0.05).mean()
    assert share == pytest.approx(0.05, abs=0.005)  # three standard deviations: 0.0046


def test_the_same_customers_are_always_held_out() -> None:
    few, many = held_out(CUSTOMERS, 0.05), held_out(CUSTOMERS, 0.2)
    assert held_out(CUSTOMERS[::-1], 0.05)[::-1].tolist() == few.tolist()
    assert many[few].all(), "a larger share only adds customers"


def test_nobody_and_everybody_can_be_held_out() -> None:
    assert not held_out(CUSTOMERS, 0.0).any()
    assert held_out(CUSTOMERS, 1.0).all()
