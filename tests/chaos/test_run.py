"""A short run on real servers, a few faults; ``make chaos`` takes random ones for longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.run import run

SHORT = ["worker killed", "Redis set back", "connections to Kafka cut"]


@pytest.mark.timeout(600)
def test_after_faults_states_scores_actions_letters_and_weights_are_exact(tmp_path: Path) -> None:
    account = run(tmp_path, minutes=1, seed=8, rate=60, only=SHORT)
    assert account["events"] > 0
    assert account["letters"] > 0
    assert account["actions"] > 0
    assert account["weights_equal"]
