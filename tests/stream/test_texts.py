from __future__ import annotations

import pytest

from stream.texts import counted, moment


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 events"), (1, "1 event"), (2, "2 events"), (1_234_567, "1,234,567 events")]
)
def test_a_noun_takes_an_s_unless_there_is_one_of_it(count: int, text: str) -> None:
    assert counted(count, "event") == text


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
