"""Counts and moments as people read them, the same in every message."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, Final

from features.counts import counted
from features.durations import duration_text

__all__ = [
    "choices",
    "counted",
    "minute",
    "misfit",
    "moment",
    "nearest",
    "range_words",
    "second",
    "shortened",
    "visible",
]

# As pydantic names them: bounds of numbers and durations, and bounds of lengths with what they are of numbers.
_BOUNDS: Final = ("ge", "gt", "le", "lt")
_LENGTHS: Final = {"min_length": "ge", "max_length": "le"}


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


def range_words(bounds: Mapping[str, float | timedelta]) -> str:
    """Return which values to use, by their bounds: ``ge``, ``gt``, ``le`` and ``lt`` as pydantic names them.

    Examples
    --------
    >>> range_words({"ge": 0, "le": 1}), range_words({"ge": 1}), range_words({"le": 9.5})
    ('use 0 to 1', 'use 1 or more', 'use at most 9.5')
    >>> range_words({"gt": 0, "lt": 1}), range_words({"gt": 0}), range_words({})
    ('use a number above 0 and below 1', 'use a number above 0', '')
    >>> range_words({"ge": timedelta(seconds=10), "le": timedelta(minutes=30)})
    'use 10s to 30m'
    """
    low, high = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    if low is None and high is None:
        return ""
    if "gt" in bounds or "lt" in bounds:
        above = "" if low is None else f"{'above' if 'gt' in bounds else 'from'} {_bound(low)}"
        below = "" if high is None else f"{'below' if 'lt' in bounds else 'up to'} {_bound(high)}"
        kind = "a duration" if isinstance(high if low is None else low, timedelta) else "a number"
        return f"use {kind} {' and '.join(filter(None, (above, below)))}"
    if high is None:
        return f"use {_bound(low)} or more"
    return f"use at most {_bound(high)}" if low is None else f"use {_bound(low)} to {_bound(high)}"


def _bound(value: float | timedelta | None) -> str:
    return duration_text(value) if isinstance(value, timedelta) else f"{value:.12g}"


def misfit(fault: Mapping[str, Any], metadata: Iterable[object]) -> str:
    """Return what is wrong with a value, to stand behind it; empty where pydantic's own message has to do.

    Parameters
    ----------
    fault
        What pydantic says of it (``ValidationError.errors()``).
    metadata
        Of the field: its bounds are among them.

    Examples
    --------
    >>> misfit({"type": "greater_than_equal", "input": "0", "ctx": {"ge": 1}}, [])
    'is out of range; use 1 or more'
    >>> misfit({"type": "literal_error", "input": "al", "ctx": {"expected": "'off' or 'all'"}}, [])
    'is unknown; did you mean all? Use off, all'
    >>> misfit({"type": "string_too_short", "input": "", "ctx": {"min_length": 1}}, [])
    'is empty; use 1 or more characters'
    """
    context, value = fault.get("ctx", {}), str(fault.get("input"))
    told = {
        name: getattr(one, name)
        for one in metadata
        for name in (*_BOUNDS, *_LENGTHS)
        if getattr(one, name, None) is not None
    } or context
    use = range_words({name: told[name] for name in _BOUNDS if name in told})
    kind = fault["type"]
    if kind.endswith(("too_short", "too_long")):
        long = range_words({_LENGTHS[name]: told[name] for name in _LENGTHS if name in told})
        how = "empty" if not value else f"too {kind.rpartition('_')[2]}"
        return f"is {how}; {long} characters"
    if kind.startswith(("greater_than", "less_than")):
        return f"is out of range; {use}"
    if kind.startswith(("int_", "float_", "finite_number")):
        number = "whole number" if kind.startswith("int_") else "number"
        return "; ".join(filter(None, (f"is no {number}", use)))
    if kind.startswith("bool_"):
        return "is neither true nor false; use one of them"
    if kind in {"literal_error", "enum"}:
        names = re.findall("'([^']*)'", context.get("expected", ""))
        return f"is unknown; {choices(value, names)}"
    return ""


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
