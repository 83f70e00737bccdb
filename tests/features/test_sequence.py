"""Sequences may be looked at every day; intervals of a fixed sample size may not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.uplift import ALIKE, DIFFERENT, Shop, experiment, rates
from features.sequence import always_valid_p, boundary
from offline.uplift import effects

RUNS = 120
MOST = 12  # of 120 runs; a rate of 5 % has more in one of a thousand seeds, and these have far less

USUAL, TAILS = ALIKE[0], ALIKE[-1]


@pytest.mark.parametrize("shop", [USUAL, TAILS], ids=lambda shop: shop.name)
def test_daily_looks_find_no_effect_where_there_is_none(shop: Shop) -> None:
    found = rates(shop._replace(days=30), RUNS, seed=1)
    assert min(found.covered.values()) >= 1 - MOST / RUNS
    assert min(found.covered_lift.values()) >= 1 - MOST / RUNS


def test_an_interval_of_a_fixed_size_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effects, "boundary", lambda customers, alpha: np.full(np.shape(customers), 1.96))
    assert rates(USUAL._replace(days=30), RUNS, seed=1).covered["bought"] < 1 - MOST / RUNS


@pytest.mark.parametrize("shop", DIFFERENT, ids=lambda shop: shop.name)
def test_a_true_effect_is_covered_on_all_days(shop: Shop) -> None:
    found = rates(shop._replace(days=30), RUNS, seed=2)
    assert min(*found.covered.values(), *found.covered_lift.values()) >= 1 - MOST / RUNS
    assert min(found.covered_at_end.values()) >= min(found.covered.values())
    assert all(width > 0 for width in found.width.values())


def test_a_large_effect_is_found_and_half_the_customers_held_out_make_the_interval_narrow() -> None:
    small, halves = (rates(shop._replace(days=30), RUNS, seed=2) for shop in DIFFERENT[2:4])
    assert small.told["bought"] > 0.5
    assert halves.told["bought"] > 0.9
    assert halves.width["bought"] < 0.7 * small.width["bought"]


def test_a_small_arm_counts_as_no_more_even_than_all_customers() -> None:
    """Without that, the first large order that falls into the treatment would be an effect."""
    one_large = np.zeros(4_000)
    one_large[::50] = 10.0
    one_large[1] = 5_000.0
    held = np.arange(4_000) % 4 == 0
    frame = pd.DataFrame(
        {
            "experiment": "v1", "treated": ~held, "purchase_intent": 0.1, "closes_at": np.arange(4_000),
            "bought": one_large > 0, "revenue": one_large,
        }
    )  # fmt: skip
    found = effects.effect_sequence(frame, "revenue", np.array([4_000]), {"v1": 0.25}).at()
    error = (found.high - found.low) / 2 / float(boundary(4_000))
    alone = np.sqrt(one_large[held].var(ddof=1) / held.sum() + one_large[~held].var(ddof=1) / (~held).sum())
    assert error > 1.5 * alone


def test_p_values_and_intervals_say_the_same() -> None:
    customers = np.array([500, 10_000, 10**7])
    for alpha in (0.05, 0.01):
        assert always_valid_p(boundary(customers, alpha), customers) == pytest.approx([alpha] * 3)


def test_the_score_before_takes_variance_away() -> None:
    frame, _ = experiment(USUAL, np.random.default_rng(0))
    looks = np.array([10**12])
    plain = effects.effect_sequence(frame.assign(purchase_intent=0.5), "bought", looks, {"v1": 0.05}).at()
    cuped = effects.effect_sequence(frame, "bought", looks, {"v1": 0.05}).at()
    assert plain.reduction == pytest.approx(0, abs=1e-9)
    assert cuped.reduction > 0.05
    assert cuped.high - cuped.low < plain.high - plain.low
