from __future__ import annotations

import pytest

from stream.texts import counted, lasting, moment


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 events"), (1, "1 event"), (2, "2 events"), (1_234_567, "1,234,567 events")]
)
def test_a_noun_takes_an_s_unless_there_is_one_of_it(count: int, text: str) -> None:
    assert counted(count, "event") == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (1_000, "1 s"),
        (59_999, "59 s"),
        (60_000, "1 min"),
        (3_605_000, "1 h"),
        (7_500_000, "2 h 5 min"),
        (86_400_000 + 59 * 60_000, "1 d"),
        (2_000 * 86_400_000, "2,000 d"),
    ],
)
def test_a_duration_has_two_units_at_most(ms: int, text: str) -> None:
    assert lasting(ms) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (1_772_366_400_000, "2026-03-01T12:00:00Z"),
        (253_402_300_800_000, "10000-01-01T00:00:00Z"),
    ],
)
def test_any_epoch_can_be_written_as_a_moment(ms: int, text: str) -> None:
    assert moment(ms) == text
