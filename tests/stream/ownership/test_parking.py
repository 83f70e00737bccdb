"""Parking: pauses that grow to a minute, one line in the log at once and then one a minute."""

from __future__ import annotations

import logging

import pytest

from stream.ownership import parking
from stream.ownership.parking import Parking


def test_pauses_grow_to_a_minute_and_the_log_is_told_once_a_minute(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 1_000.0
    monkeypatch.setattr(parking.time, "monotonic", lambda: now)
    parked = Parking(3, "events")
    assert not parked
    pauses, told = [], []
    with caplog.at_level(logging.WARNING):
        for _ in range(9):
            pauses.append(parked.park(ValueError("no"), 17, 18))
            told.append(len(caplog.records))
            now += pauses[-1]
        assert pauses == [1, 2, 5, 10, 30, 60, 60, 60, 60]
        assert told == [1, 1, 1, 1, 1, 1, 2, 3, 4]
        assert parked.trouble.startswith("partition 3 of events is parked at offset 17: no; ")
        parked.leave()
        parked.leave()
    assert caplog.messages[-1] == "partition 3 of events goes on; it was parked for 288 s"
    assert len(caplog.messages) == told[-1] + 1
    assert not parked
    assert parked.park(ValueError("again"), None) == 1
    assert "is parked before its claim" in parked.trouble
    assert "intent partition skip" not in parked.trouble
