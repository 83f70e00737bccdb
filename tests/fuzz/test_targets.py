"""Every target takes its seeds and some thousand changed ones; a planted fault is found and told."""

from __future__ import annotations

import random

import pytest

from tests.fuzz import __main__ as fuzz
from tests.fuzz.mutating import mutated
from tests.fuzz.targets import Target, targets


@pytest.mark.parametrize("name", targets())
def test_no_target_has_a_fault(name: str) -> None:
    target = fuzz.made(name)
    words = {target.take(seed) for seed in target.seeds}
    assert "taken" in words, "a good value is taken, or nothing behind the first check is tried"
    tried = fuzz.try_inputs(name, round(2_000 * max(target.share, 0.01)), 3)
    assert tried.faults == []
    assert tried.outcomes.total() == round(2_000 * max(target.share, 0.01))


def test_a_planted_fault_is_found_with_its_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def take(raw: bytes) -> str:
        if b"\x00" in raw:
            raise ValueError("planted")
        return "taken"

    monkeypatch.setattr(fuzz, "made", lambda name: Target([b"good"], take, 1.0))
    tried = fuzz.try_inputs("planted", 500, 1)
    assert 0 < tried.outcomes["FAULT"] < 500
    text, raw = tried.faults[0]
    assert (text, b"\x00" in raw) == ("ValueError: planted", True)


def test_the_same_seed_makes_the_same_inputs() -> None:
    made = [[mutated(random.Random(seed), [b"good", b"other"]) for _ in range(3)] for seed in (5, 5, 6)]
    assert made[0] == made[1] != made[2]
