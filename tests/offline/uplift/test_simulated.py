"""What is measured on simulated customers is held against the truth."""

from __future__ import annotations

import pytest

from offline.simulator.answers import AnswerParameters
from offline.uplift.analysis import CONVERSION
from offline.uplift.simulated import trial
from tests.uplift_cases import DAY_MS, shop


@pytest.mark.parametrize("effect", [0.0, 0.1])
def test_the_measured_effect_covers_the_true_one(effect: float) -> None:
    log, actions = shop()
    found = trial(log, actions, AnswerParameters(effect=effect), 3 * DAY_MS, {"v1": 0.3})
    measured = found.uplift.overall[CONVERSION].at()
    assert found.truth is not None
    assert (found.truth.lift > 0) == (effect > 0)
    assert measured.lift_low <= found.truth.lift <= measured.lift_high


def test_where_the_arms_were_not_divided_by_chance_there_is_no_truth_to_show_either() -> None:
    log, actions = shop()
    assert trial(log, actions, AnswerParameters(), 3 * DAY_MS, {"v1": 0.7}).truth is None
