"""Counts with their noun, and lists of words, the same in every message and on every page."""

from __future__ import annotations

from collections.abc import Sequence


def counted(count: float, noun: str, *, digits: int = 0) -> str:
    """Return a count with its noun, in the plural unless there is one of it.

    Numbers that are not whole are told rounded, to ``digits`` decimals at most, and their noun goes with what is told.

    Examples
    --------
    >>> counted(1, "event"), counted(12_000, "event"), counted(0, "country"), counted(0.8, "day")
    ('1 event', '12,000 events', '0 countries', '1 day')
    >>> counted(2.5, "piece", digits=1), counted(1.0, "piece", digits=1)
    ('2.5 pieces', '1 piece')
    """
    told = f"{count:,.{digits}f}"
    if digits:
        told = told.rstrip("0").rstrip(".")
    return f"{told} {noun if told == '1' else plural(noun)}"


def plural(noun: str) -> str:
    """Return the plural of a regular noun.

    Examples
    --------
    >>> plural("day"), plural("country"), plural("purchase"), plural("match")
    ('days', 'countries', 'purchases', 'matches')
    """
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("s", "x", "ch", "sh")) else f"{noun}s"


def listed(words: Sequence[str]) -> str:
    """Return words as a sentence lists them.

    Examples
    --------
    >>> listed(["mail"]), listed(["mail", "search", "app"])
    ('mail', 'mail, search and app')
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
