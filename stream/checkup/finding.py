"""What a look at one thing says."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """How good it is; a warning is what may be meant so."""

    GOOD = "good"
    WARNING = "warning"
    WRONG = "wrong"


class Finding(NamedTuple):
    """What a look at one thing says.

    Attributes
    ----------
    level
        How good it is.
    subject
        The thing, in a word or two.
    text
        What was found.
    remedy
        What to do; empty where all is good.
    """

    level: Level
    subject: str
    text: str
    remedy: str = ""


def good(subject: str, text: str) -> Finding:
    """Return that a thing is as it should be."""
    return Finding(Level.GOOD, subject, text)


def warning(subject: str, text: str, remedy: str) -> Finding:
    """Return that a thing may be meant so, or not."""
    return Finding(Level.WARNING, subject, text, remedy)


def wrong(subject: str, text: str, remedy: str) -> Finding:
    """Return that a thing cannot stay as it is."""
    return Finding(Level.WRONG, subject, text, remedy)


def told(subject: str, error: Exception) -> Finding:
    """Return an error of ours, whose message says what is wrong and, behind a colon, what to do."""
    text, colon, remedy = str(error).rpartition(": ")
    return wrong(subject, text if colon else remedy, remedy if colon else "")
