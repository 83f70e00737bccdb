"""Counts, durations and moments as people read them, the same in every message."""

from __future__ import annotations

from typing import Final

_SECOND_MS: Final = 1000
_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, which takes an s unless there is one of it.

    Examples
    --------
    >>> counted(1, "event"), counted(12_000, "event")
    ('1 event', '12,000 events')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def lasting(ms: float) -> str:
    """Return a duration (milliseconds, not negative) in its largest unit and the one below it.

    Examples
    --------
    >>> lasting(7_500_000), lasting(3_600_000), lasting(90_061_000), lasting(350)
    ('2 h 5 min', '1 h', '1 d 1 h', '350 ms')
    """
    if ms < _SECOND_MS:
        return f"{ms:.0f} ms"
    rest = int(ms // _SECOND_MS)
    largest = next(at for at, (_, seconds) in enumerate(_UNITS) if rest >= seconds)
    parts = []
    for unit, seconds in _UNITS[largest : largest + 2]:
        number, rest = divmod(rest, seconds)
        if number:
            parts.append(f"{number:,} {unit}")
    return " ".join(parts)


def moment(ms: int) -> str:
    """Return epoch milliseconds as RFC 3339 text; parts of a second only where there are some.

    Examples
    --------
    >>> moment(1_772_366_400_000), moment(1_772_366_400_250)
    ('2026-03-01T12:00:00Z', '2026-03-01T12:00:00.250Z')
    """
    import numpy as np  # not installed at shops that only emit and watch

    return str(np.datetime64(ms, "ms")).removesuffix(".000") + "Z"
