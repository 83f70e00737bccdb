"""Lengths of time in words."""

from features.state import DAY_MS, HOUR_MS, MINUTE_MS


def span(ms: int) -> str:
    """Return a length of time for people.

    Examples
    --------
    >>> span(1_800_000), span(2_592_000_000)
    ('30 minutes', '30 days')
    """
    for unit, size in (("day", DAY_MS), ("hour", HOUR_MS), ("minute", MINUTE_MS)):
        if ms >= size:
            count = ms / size
            return f"{count:g} {unit}{'' if count == 1 else 's'}"
    return f"{ms / 1000:g} seconds"
