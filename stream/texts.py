"""Counts and moments as people read them, the same in every message."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

from features.counts import counted

__all__ = ["choices", "counted", "minute", "moment", "nearest", "second", "shortened", "visible"]


def nearest(word: str, known: Collection[str]) -> str:
    """Return the known name that a word probably means, whatever its case; empty where none is near.

    Examples
    --------
    >>> nearest("Hihg", ["low", "medium", "high"]), nearest("sold", ["low", "medium", "high"])
    ('high', '')
    """
    names = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), list(names), 1)
    return names[near[0]] if near else ""


def choices(word: str, known: Collection[str]) -> str:
    """Return what to write instead of an unknown name: the nearest one, and all that there are.

    Examples
    --------
    >>> choices("hihg", ["low", "medium", "high"])
    'did you mean high? Use low, medium, high'
    >>> choices("sold", ["low", "medium", "high"])
    'use low, medium, high'
    """
    near, listed = nearest(word, known), ", ".join(known)
    return f"did you mean {near}? Use {listed}" if near and len(known) > 1 else f"use {listed}"


def visible(text: str) -> str:
    r"""Return a text on one line that steers no terminal: control characters are written out.

    Examples
    --------
    >>> visible("no column 'a\nb'")
    "no column 'a\\nb'"
    """
    return "".join(
        letter if letter.isprintable() or letter == " " else repr(letter)[1:-1] for letter in text.strip()
    )


def shortened(text: str, letters: int) -> str:
    """Return a text of at most so many letters; what is left out at its end is marked.

    Examples
    --------
    >>> shortened("Returning buyers", 16), shortened("Returning buyers with carts", 16)
    ('Returning buyers', 'Returning buyer…')
    """
    return text if len(text) <= letters else f"{text[: letters - 1].rstrip()}…"


def minute(ms: int) -> str:
    """Return epoch milliseconds as date and minute in UTC.

    Examples
    --------
    >>> minute(1_772_366_400_000)
    '2026-03-01 12:00 UTC'
    """
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def second(ms: int) -> str:
    """Return epoch milliseconds as date and second in UTC; the bare number where no calendar goes.

    Examples
    --------
    >>> second(1_772_366_400_250), second(10**30)
    ('2026-03-01 12:00:00', '1000000000000000000000000000000 ms')
    """
    from datetime import UTC, datetime

    try:
        return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
    except (OverflowError, ValueError, OSError):
        return f"{ms} ms"


def moment(ms: int) -> str:
    """Return epoch milliseconds as RFC 3339 text; parts of a second only where there are some.

    Examples
    --------
    >>> moment(1_772_366_400_000), moment(1_772_366_400_250)
    ('2026-03-01T12:00:00Z', '2026-03-01T12:00:00.250Z')
    """
    import numpy as np  # not installed at shops that only emit and watch

    return str(np.datetime64(ms, "ms")).removesuffix(".000") + "Z"
