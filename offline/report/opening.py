"""The first screen of a page: numbers with their change, a few findings, and two or three pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from offline.report.section import Finding, Picture, Section

#: More of either is no first screen.
MOST_FINDINGS: Final = 5
MOST_PICTURES: Final = 3

_WIDTH, _HEIGHT, _EDGE = 120, 28, 3


@dataclass(frozen=True)
class Card:
    """A number, how it changed, and a small line of how it came there.

    Attributes
    ----------
    title, value
        What is counted, and the number as people read it.
    change
        Against the period before; empty where nothing is known of one.
    period
        Which periods are meant.
    line
        The number in earlier periods and in this one; empty or one value: no line.
    sure
        Whether the change is more than chance; else it is grey, and says so.
    """

    title: str
    value: str
    change: str = ""
    period: str = ""
    line: Sequence[float] = ()
    sure: bool = True

    @property
    def points(self) -> str:
        """The line as SVG takes it, in a box of 120 by 28."""
        if len(self.line) < 2:  # noqa: PLR2004  (one point is no line)
            return ""
        low, high = min(0.0, *self.line), max(self.line)
        span = high - low or 1.0
        step = (_WIDTH - 2 * _EDGE) / (len(self.line) - 1)
        heights = [_HEIGHT - _EDGE - (value - low) / span * (_HEIGHT - 2 * _EDGE) for value in self.line]
        return " ".join(f"{_EDGE + at * step:.1f},{y:.1f}" for at, y in enumerate(heights))


@dataclass(frozen=True)
class Opening:
    """What stands first."""

    cards: Sequence[Card]
    findings: Sequence[Finding]
    pictures: Sequence[Picture]


def opening_of(sections: Sequence[Section], cards: Sequence[Card], folder: Path) -> Opening:
    """Return the first screen of sections: of each one its best finding, then the second ones; all leading pictures.

    Parameters
    ----------
    folder
        Of the report. A file that is not there is not named.
    """
    everybody = [section for section in sections if section.audience == "everybody"]
    most = max((len(section.findings) for section in everybody), default=0)
    ordered = [s.findings[nth] for nth in range(most) for s in everybody if nth < len(s.findings)]
    pictures = [
        part
        for section in everybody
        for part in section.parts
        if isinstance(part, Picture) and part.place == "lead"
    ]
    findings = [_with_file(finding, folder) for finding in ordered[:MOST_FINDINGS]]
    return Opening(cards, findings, pictures[:MOST_PICTURES])


def _with_file(finding: Finding, folder: Path) -> Finding:
    if not finding.file or (folder / finding.file).is_file():
        return finding
    return Finding(finding.what, finding.sure, finding.advice, finding.count, finding.unit)
