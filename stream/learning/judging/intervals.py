"""How sure live figures are: 95 % intervals from their spread between windows of one horizon each.

The examples of a visit share their customer and mostly their label, so they are not independent, and intervals that
count them one by one are too narrow. Windows of one horizon nearly are [Künsch 1989, doi 10.1214/aos/1176347265, on
blocks of dependent observations]. Fewer than five windows say nothing about their spread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from stream.learning.judging.prequential import Figures

LEAST_WINDOWS: Final = 5
_Z: Final = 1.959964
#: Figures that get an interval; the calibration error of a short window is mostly noise.
MEASURES: Final = ("prevalence", "auc", "pr_auc", "log_loss", "brier")
_NEED_BUYERS: Final = frozenset({"auc", "pr_auc"})


class Interval(NamedTuple):
    """Where a figure lies with a probability of 95 %."""

    low: float
    high: float


def intervals(total: Figures, windows: Sequence[Figures]) -> dict[str, Interval]:
    """Return the intervals of one model's figures by measure; those that nothing can be said about are left out.

    Parameters
    ----------
    total
        The figures.
    windows
        Those of single windows, most of which the total contains.
    """
    found = {}
    for measure in MEASURES:
        value = getattr(total, measure)
        cells = [
            (_weight(one, measure), getattr(one, measure))
            for one in windows
            if getattr(one, measure) is not None
        ]
        if value is None or len(cells) < LEAST_WINDOWS:
            continue
        mass = sum(weight for weight, _ in cells)
        mean = sum(weight * of for weight, of in cells) / mass
        spread = (
            sum((weight / mass * (of - mean)) ** 2 for weight, of in cells) * len(cells) / (len(cells) - 1)
        )
        # Of the whole only the kept windows are there to look at; what is longer is surer.
        half = _t(len(cells) - 1) * math.sqrt(spread * min(1.0, mass / _weight(total, measure)))
        found[measure] = Interval(
            max(value - half, 0.0), value + half if measure == "log_loss" else min(value + half, 1.0)
        )
    return found


def share_interval(share: float, examples: float, design_effect: float) -> Interval:
    """Return Wilson's interval of a share of so many examples, of which only every ``design_effect``-th counts.

    Examples
    --------
    >>> low, high = share_interval(0.5, 100.0, 1.0)
    >>> round(low, 3), round(high, 3)
    (0.404, 0.596)
    """
    n = max(examples / design_effect, 1.0)
    centre = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    return Interval(max(centre - half, 0.0), min(centre + half, 1.0))


def design_effect(windows: Sequence[Figures]) -> float:
    """Return how many times as much the share of buyers varies as that of independent examples would [Kish 1965]."""
    mass = sum(one.examples for one in windows)
    share = sum(one.examples * one.prevalence for one in windows) / mass if mass else 0.0
    if len(windows) < LEAST_WINDOWS or not 0 < share < 1:
        return 1.0
    spread = sum((one.examples / mass * (one.prevalence - share)) ** 2 for one in windows)
    return max(1.0, spread * len(windows) / (len(windows) - 1) / (share * (1 - share) / mass))


def _weight(figures: Figures, measure: str) -> float:
    return figures.examples * (figures.prevalence if measure in _NEED_BUYERS else 1.0)


def _t(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t, to .02 from four degrees of freedom on (Cornish and Fisher)."""
    return _Z + 2.3723 / freedom + 2.8225 / freedom**2 + 2.5558 / freedom**3
