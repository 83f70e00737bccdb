"""Bundles beside the live one: how they compare, and how sure that is."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.learning.judging.rivals import MOST_RIVALS, Judged, Rivals

START = 1_736_121_600_000


def judged(
    rivals: Rivals,
    count: int,
    *,
    seed: int = 1,
    blur: float = 0.0,
    visits: int = 1,
    version: str = "new",
) -> None:
    """Count customers with ``visits`` examples each, of which the bundle beside knows the truth, but for a blur.

    What was published is the truth with a blur of .5, the live network that of 1.
    """
    chance = np.random.default_rng(seed)
    true = np.repeat(chance.normal(-1.5, 1.0, count), visits)
    labels = np.repeat(chance.random(count) < _probability(true[::visits]), visits).astype(np.uint8)
    said = [_probability(true + by * np.repeat(chance.normal(size=count), visits)) for by in (1.0, 0.5, blur)]
    customers = np.repeat(chance.integers(1, 2**63, count, np.uint64), visits)
    as_of = START + np.arange(count * visits)
    for at in range(0, count * visits, 500):
        rows = slice(at, at + 500)
        rivals.count(
            version, as_of[rows], customers[rows], labels[rows], np.ones(len(labels[rows])),
            np.column_stack(said[:2])[rows], said[2][rows],
        )  # fmt: skip


def _probability(logit: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-logit))


def only(rivals: Rivals) -> Judged:
    [found] = rivals.judged()
    return found


def test_a_better_bundle_is_shown_to_be_better_than_both() -> None:
    rivals = Rivals()
    judged(rivals, 20_000)
    found = only(rivals)
    assert (found.version, found.examples, found.since) == ("new", 20_000, START)
    for than, model in (("network", "network"), ("blend", "blend")):
        difference = found.than[than]
        apart = found.figures["beside"].log_loss - found.figures[model].log_loss
        assert difference.value == pytest.approx(apart)
        assert difference.high is not None and difference.high < 0
    assert found.figures["network"].examples == found.figures["beside"].examples == 20_000


def test_an_equal_bundle_is_never_shown_to_be_better_however_often_one_looks() -> None:
    """Of 40 bundles as good as the live one, looked at 40 times each, no more are shown to be better than may be."""
    wrong = 0
    for seed in range(40):
        rivals = Rivals()
        looks = []
        for piece in range(40):
            judged(rivals, 500, seed=1_000 * seed + piece, blur=1.0)
            looks.append(only(rivals).than["network"])
        wrong += any(look.high is not None and look.high < 0 for look in looks)
        assert looks[-1].low is not None
    assert wrong <= 2


def test_examples_of_one_customer_count_as_one() -> None:
    one, many = Rivals(), Rivals()
    judged(one, 4_000, blur=0.5)
    judged(many, 4_000, blur=0.5, visits=10)
    single, repeated = only(one).than["network"], only(many).than["network"]
    assert single.low is not None and single.high is not None
    assert repeated.low is not None and repeated.high is not None
    assert repeated.value == pytest.approx(single.value)
    assert repeated.high - repeated.low > 0.8 * (single.high - single.low), "ten times as many prove no more"


def test_too_little_to_say_is_no_interval() -> None:
    rivals = Rivals()
    judged(rivals, 900)
    assert only(rivals).than["network"].high is None
    assert only(rivals).than["network"].value < 0


def test_what_a_bundle_did_not_score_is_left_out() -> None:
    rivals = Rivals()
    labels = np.array([0, 1, 1, 0], np.uint8)
    live = np.full((4, 2), 0.5)
    beside = np.array([np.nan, 0.8, 1.7, 0.2])
    rivals.count("new", START + np.arange(4), np.arange(4, dtype=np.uint64), labels, np.ones(4), live, beside)
    found = only(rivals)
    assert found.examples == found.figures["network"].examples == 2
    assert found.since == START + 1
    rivals.count(
        "none", START + np.arange(4), np.arange(4, dtype=np.uint64), labels, np.ones(4), live, beside * np.nan
    )
    assert [one.version for one in rivals.judged()] == ["new"]


def test_a_restored_state_continues_to_the_bit() -> None:
    whole, first = Rivals(), Rivals()
    for version in ("a", "é"):
        judged(whole, 1_000, version=version)
        judged(first, 1_000, version=version)
    restored = Rivals()
    restored.set_arrays(first.arrays())
    for rivals in (whole, restored):
        judged(rivals, 1_000, seed=2, version="é")
    assert restored.judged() == whole.judged()
    fresh = Rivals()
    fresh.set_arrays({})  # of a snapshot from before there were any
    assert fresh.judged() == []


def test_the_bundle_that_was_silent_for_longest_is_forgotten() -> None:
    rivals = Rivals()
    for at in range(MOST_RIVALS + 2):
        rivals.count(
            f"v{at}", np.array([START + at]), np.array([1], np.uint64), np.array([1], np.uint8), np.ones(1),
            np.full((1, 2), 0.5), np.array([0.5]),
        )  # fmt: skip
    assert [one.version for one in rivals.judged()] == [f"v{at}" for at in range(2, MOST_RIVALS + 2)]
