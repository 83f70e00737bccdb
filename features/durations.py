"""Durations as text: read from settings and options, and written for machines and for people.

===================  =============================  =================================================
`parse_duration`     ``30m``, ``PT30M``             what settings and options accept
`duration_text`      ``30m``, ``25h``               exact: `parse_duration` reads it again
`duration_words`     ``30 minutes``, ``1.5 hours``  one unit written out, for sentences
`duration_short`     ``2 h 5 min``                  the largest unit and the next one, for messages
`duration_rounded`   ``15 d``, ``1.5 h``            one unit and two digits, for tables and axes
===================  =============================  =================================================
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from features.exceptions import InvalidDuration

__all__ = [
    "duration_ms",
    "duration_rounded",
    "duration_short",
    "duration_text",
    "duration_unit",
    "duration_words",
    "parse_duration",
]

_KEYWORDS: Final = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_MONTHS: Final = re.compile(r"P[^T]*[YM]")
_LONGEST: Final = timedelta(days=36_500)
_MILLISECOND: Final = timedelta(milliseconds=1)

_SECOND_MS: Final = 1000
#: Symbol, word and length in seconds of each unit, the largest first.
_UNITS: Final = (("d", "day", 86_400), ("h", "hour", 3_600), ("min", "minute", 60), ("s", "second", 1))
_TWO_DIGITS: Final = 10.0


def parse_duration(value: object) -> timedelta:
    """Return a duration written as ``45s``, ``30m``, ``400d``, or as ISO 8601 (``PT30M``).

    Raises
    ------
    InvalidDuration
        It has neither form, is not positive, or is beyond a hundred years.

    Examples
    --------
    >>> parse_duration("30m"), parse_duration("PT1H")
    (datetime.timedelta(seconds=1800), datetime.timedelta(seconds=3600))
    >>> parse_duration("5x")
    Traceback (most recent call last):
    features.exceptions.InvalidDuration: invalid duration '5x': use 45s, 30m, 12h, 30d or PT30M
    """
    if isinstance(value, timedelta):
        return value
    text = str(value).strip()
    if _MONTHS.match(text):
        raise InvalidDuration(
            f"invalid duration {text!r}: months and years differ in length, so count days: 30d, 365d"
        )
    try:
        if match := _DURATION.fullmatch(text):
            found = timedelta(**{_KEYWORDS[match[2]]: float(match[1])})
        elif text.startswith("P"):
            found = _parse_iso(text)
        else:
            raise ValueError(text)
    except (ValueError, OverflowError):
        raise InvalidDuration(f"invalid duration {text!r}: use 45s, 30m, 12h, 30d or PT30M") from None
    if found < _MILLISECOND:
        raise InvalidDuration(f"invalid duration {text!r}: use one of at least 1ms")
    if found > _LONGEST:
        raise InvalidDuration(
            f"invalid duration {text!r}: use one of at most {_LONGEST.days}d (a hundred years)"
        )
    return found


def _parse_iso(text: str) -> timedelta:
    from pydantic import TypeAdapter

    return TypeAdapter(timedelta).validate_python(text)  # its ValidationError is a ValueError


def duration_ms(duration: timedelta) -> int:
    """Return a duration in whole milliseconds.

    Examples
    --------
    >>> duration_ms(timedelta(minutes=30))
    1800000
    """
    return duration // _MILLISECOND


def duration_text(duration: timedelta) -> str:
    """Return a duration as `parse_duration` reads it, in the largest unit that holds it exactly.

    Examples
    --------
    >>> duration_text(timedelta(minutes=30)), duration_text(timedelta(days=1, hours=1))
    ('30m', '25h')
    """
    for unit in ("d", "h", "m", "s"):
        number, rest = divmod(duration, timedelta(**{_KEYWORDS[unit]: 1}))
        if not rest:
            return f"{number}{unit}"
    return f"{duration_ms(duration)}ms"


def duration_words(ms: float) -> str:
    """Return a duration (milliseconds) in one unit, written out.

    Examples
    --------
    >>> duration_words(1_800_000), duration_words(5_400_000), duration_words(2_592_000_000)
    ('30 minutes', '1.5 hours', '30 days')
    """
    for _, word, size in _UNITS[:-1]:
        count = ms / (size * _SECOND_MS)
        if count >= 1:
            return f"{count:g} {word}{'' if count == 1 else 's'}"
    return f"{ms / _SECOND_MS:g} seconds"


def duration_short(ms: float) -> str:
    """Return a duration (milliseconds, not negative) in its largest unit and the one below it.

    Examples
    --------
    >>> duration_short(7_500_000), duration_short(3_600_000), duration_short(90_061_000), duration_short(350)
    ('2 h 5 min', '1 h', '1 d 1 h', '350 ms')
    """
    if ms < _SECOND_MS:
        return f"{ms:.0f} ms"
    rest = int(ms // _SECOND_MS)
    largest = next(at for at, (_, _, size) in enumerate(_UNITS) if rest >= size)
    parts = []
    for symbol, _, size in _UNITS[largest : largest + 2]:
        number, rest = divmod(rest, size)
        if number:
            parts.append(f"{number:,} {symbol}")
    return " ".join(parts)


def duration_unit(seconds: float) -> tuple[int, str]:
    """Return the largest unit that a duration (seconds) fills: its length in seconds, and its symbol.

    Examples
    --------
    >>> duration_unit(7_200), duration_unit(0.25)
    ((3600, 'h'), (1, 's'))
    """
    return next(((size, symbol) for symbol, _, size in _UNITS if seconds >= size), (1, "s"))


def duration_rounded(seconds: float) -> str:
    """Return a duration (seconds) in one unit: two digits below 10, a whole number from there on.

    Examples
    --------
    >>> duration_rounded(1.28e6), duration_rounded(5_400), duration_rounded(0.25)
    ('15 d', '1.5 h', '0.25 s')
    """
    size, symbol = duration_unit(seconds)
    number = seconds / size
    return f"{number:.0f} {symbol}" if number >= _TWO_DIGITS else f"{number:.2g} {symbol}"
