from __future__ import annotations

from datetime import timedelta

import pytest

from features.durations import duration_rounded, duration_short, duration_text, duration_words, parse_duration
from features.exceptions import InvalidDuration


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("250ms", 250),
        ("45s", 45_000),
        ("30m", 1_800_000),
        ("1.5h", 5_400_000),
        ("400d", 400 * 86_400_000),
        ("PT30M", 1_800_000),
        ("P1DT1H", 25 * 3_600_000),
        (" 15m ", 900_000),
    ],
)
def test_durations_are_read_in_both_forms(text: str, milliseconds: int) -> None:
    assert parse_duration(text) == timedelta(milliseconds=milliseconds)


@pytest.mark.parametrize(
    "text",
    ["", "30", "m", "30 m", "-5m", "0s", "PT", "P0D", "1e3s", "30M", "9" * 30 + "d", "\u0663s", "0.4ms"],
)
def test_other_durations_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(InvalidDuration) as refused:
        parse_duration(text)
    assert repr(text.strip()) in str(refused.value) or repr(text) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["250ms", "45s", "90m", "36h", "400d"])
def test_a_duration_is_written_as_it_is_read(text: str) -> None:
    assert duration_text(parse_duration(text)) == text


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
    assert duration_short(ms) == text


@pytest.mark.parametrize(
    ("ms", "words", "rounded"),
    [
        (0, "0 seconds", "0 s"),
        (350, "0.35 seconds", "0.35 s"),
        (60_000, "1 minute", "1 min"),
        (5_400_000, "1.5 hours", "1.5 h"),
        (36 * 3_600_000, "1.5 days", "1.5 d"),
        (7_500_000, "2.08333 hours", "2.1 h"),
        (400 * 86_400_000, "400 days", "400 d"),
    ],
)
def test_one_unit_is_enough_for_sentences_and_tables(ms: int, words: str, rounded: str) -> None:
    assert duration_words(ms) == words
    assert duration_rounded(ms / 1000) == rounded
