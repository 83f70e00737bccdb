"""Colours of pictures."""

from __future__ import annotations

from itertools import combinations

from offline.report.theme import series_colour

PAPER, DARK = "#ffffff", "#12171d"


def channels(colour: str) -> list[int]:
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours as WCAG 2 defines it."""

    def luminance(colour: str) -> float:
        parts = [part / 255 for part in channels(colour)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_no_two_of_twenty_series_look_alike_and_all_are_seen_on_white_and_on_dark() -> None:
    colours = [series_colour(nth) for nth in range(20)]
    for colour in colours:
        assert contrast(colour, PAPER) >= 2.4 and contrast(colour, DARK) >= 2.9, colour
    for one, other in combinations(colours, 2):
        assert sum(abs(a - b) for a, b in zip(channels(one), channels(other), strict=True)) >= 45, (
            one,
            other,
        )


def test_no_colour_is_used_twice_however_many_series_there_are() -> None:
    assert len({series_colour(nth) for nth in range(100)}) == 100
