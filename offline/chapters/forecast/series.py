"""Orders and revenue per day or per week, as evenly spaced series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pandas as pd

from offline.exceptions import TrainingError
from offline.views.log_view import LogView

Step = Literal["day", "week"]

#: Columns of a series, and what people call them.
MEASURES: Final = {"orders": "orders", "revenue": "revenue"}

_WEEK: Final = 7
_LEAST_DAYS: Final = 28
_LEAST_WEEKS: Final = 12
# A weekday with orders on fewer of its dates counts as one on which the shop is closed.
_OPEN_SHARE: Final = 0.05


@dataclass(frozen=True)
class Series:
    """Evenly spaced sums.

    Days of the week on which the shop never sells are left out, so that the others are evenly spaced; what is
    forecast for them is zero by construction.

    Attributes
    ----------
    frame
        Indexed by date (the first day of a week), columns ``orders`` and ``revenue``; only whole days or weeks.
    step, season
        Length of a step, and steps after which the pattern repeats.
    closed
        Weekdays without sales, 0 = Monday.
    currency
        Of the revenue.
    """

    frame: pd.DataFrame
    step: Step
    season: int
    closed: tuple[int, ...]
    currency: str

    def __len__(self) -> int:
        return len(self.frame)

    def coming(self, steps: int) -> pd.DatetimeIndex:
        """Return the dates of the next steps on which the shop sells."""
        last = self.frame.index[-1]
        if self.step == "week":
            return pd.date_range(last + pd.Timedelta(days=_WEEK), periods=steps, freq=f"{_WEEK}D")
        days = pd.date_range(last + pd.Timedelta(days=1), periods=steps * _WEEK, freq="D")
        return pd.DatetimeIndex(days[~days.day_of_week.isin(self.closed)][:steps])


def daily(view: LogView) -> Series:
    """Return orders and revenue per day, the cut-off first and last day left out.

    Raises
    ------
    TrainingError
        The log has no orders, or fewer than four weeks.
    """
    if not len(view.orders):
        raise TrainingError("the log has no orders, so there is nothing to forecast")
    first, last = _whole_days(view)
    sums = _sums(view, first, last)
    if len(sums) < _LEAST_DAYS:
        raise TrainingError(
            f"the log has {len(sums)} whole days; a forecast needs at least {_LEAST_DAYS}: use a longer log"
        )
    weekday = np.asarray(sums.index.day_of_week)
    sold = [(sums["orders"].to_numpy()[weekday == day] > 0).mean() for day in range(_WEEK)]
    closed = tuple(day for day in range(_WEEK) if sold[day] < _OPEN_SHARE)
    closed = closed if len(closed) < _WEEK else ()
    return Series(sums[~np.isin(weekday, closed)], "day", _WEEK - len(closed), closed, view.currency)


def weekly(view: LogView) -> Series:
    """Return orders and revenue per week from Monday to Sunday, only whole weeks.

    Raises
    ------
    TrainingError
        The log has fewer than twelve weeks.
    """
    first, last = _whole_days(view)
    first += pd.Timedelta(days=(-first.day_of_week) % _WEEK)
    sums = _sums(view, first, last)
    weeks = len(sums) // _WEEK
    if weeks < _LEAST_WEEKS:
        raise TrainingError(
            f"the log has {weeks} whole weeks; a weekly forecast needs at least {_LEAST_WEEKS}"
        )
    whole = sums.iloc[: weeks * _WEEK]
    frame = whole.groupby(np.arange(len(whole)) // _WEEK).sum().set_axis(whole.index[::_WEEK])
    year = 52
    return Series(frame, "week", year if weeks >= 2 * year + _LEAST_WEEKS else 1, (), view.currency)


def _whole_days(view: LogView) -> tuple[pd.Timestamp, pd.Timestamp]:
    """Return the first and the last day that the log covers wholly: those of its ends are cut off."""
    day = pd.Timedelta(days=1)
    return view.first.normalize() + day, view.last.normalize() - day


def _sums(view: LogView, first: pd.Timestamp, last: pd.Timestamp) -> pd.DataFrame:
    date = view.orders["time"].dt.normalize()
    sums = view.orders.groupby(date)["value"].agg(["size", "sum"])
    sums.columns = pd.Index(list(MEASURES))
    return sums.reindex(pd.date_range(first, last, freq="D")).fillna(0.0).astype(np.float64)
