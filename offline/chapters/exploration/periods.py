"""Days, weeks and months, and whether a log has all of one."""

from __future__ import annotations

from typing import Final

import pandas as pd

_NEARLY: Final = pd.Timedelta(days=1)


def whole_period(last: pd.Timestamp, period: str) -> bool:
    """Say whether a log that ends at a moment has the day, week or month of it in full, but for less than a day.

    Examples
    --------
    >>> whole_period(pd.Timestamp("2024-02-29 18:00"), "M"), whole_period(pd.Timestamp("2024-02-27"), "M")
    (True, False)
    """
    if period == "D":
        return False
    return bool(pd.Period(last, freq=period).end_time - last < _NEARLY)
