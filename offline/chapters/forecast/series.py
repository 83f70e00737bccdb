"""Orders and revenue per day, as an evenly spaced series without the days on which a shop does no business."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from offline.chapters.forecast.closed_days import ClosedDays, closed_again, closed_days
from offline.exceptions import TrainingError
from offline.views.huge_orders import HugeOrder, tamed
from offline.views.log_view import LogView

#: Columns of a series, and what people call them.
MEASURES: Final = {"orders": "orders", "revenue": "revenue"}

_WEEK: Final = 7
_LEAST_DAYS: Final = 28
# A weekday with orders on fewer of its dates counts as one on which the shop is closed.
_OPEN_SHARE: Final = 0.05


@dataclass(frozen=True)
class Series:
    """Orders and revenue per day.

    Weekdays on which the shop never sells are left out, so that the others are evenly spaced. Nothing is forecast for
    them, nor for days on which the shop was closed before.

    Attributes
    ----------
    frame
        Indexed by date, columns ``orders`` and ``revenue``; only whole days.
    end
        The last whole day of the log, on which the shop may be closed.
    closed
        Weekdays without sales, 0 = Monday.
    days
        Dates on which it was closed, and gaps.
    currency
        Of the revenue.
    huge
        Orders that do not count in full.
    """

    frame: pd.DataFrame
    end: pd.Timestamp
    closed: tuple[int, ...]
    days: ClosedDays
    currency: str
    huge: tuple[HugeOrder, ...] = ()

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def season(self) -> int:
        """Days of business in a week."""
        return _WEEK - len(self.closed)

    @cached_property
    def dates(self) -> list[dt.date]:
        """The days as dates."""
        return [day.date() for day in pd.DatetimeIndex(self.frame.index)]

    def coming(self, days: int) -> pd.DatetimeIndex:
        """Return the days of business among the next ``days`` days, those included that are closed this time."""
        every = self._calendar(days)
        return pd.DatetimeIndex(every[~every.day_of_week.isin(self.closed)])

    def _calendar(self, days: int) -> pd.DatetimeIndex:
        return pd.date_range(self.end + pd.Timedelta(days=1), periods=days, freq="D")

    def every_day(self, ahead: pd.DataFrame, days: int) -> pd.DataFrame:
        """Return a forecast of the coming days of business with the closed weekdays among them.

        Parameters
        ----------
        ahead
            ``date``, ``closed``, and numbers that are 0 on a closed day.
        days
            How many days were forecast, closed ones included.
        """
        every = self._calendar(days)
        whole = ahead.set_index("date").reindex(every)
        whole["closed"] = ~every.isin(ahead.loc[~ahead["closed"], "date"])
        return whole.fillna(0.0).rename_axis("date").reset_index()

    def shut(self, at: int, dates: pd.DatetimeIndex) -> NDArray[np.bool_]:
        """Return on which dates the shop will be closed, as far as its first ``at`` days tell."""
        seen = self.dates[:at]
        before = ClosedDays(
            tuple(day for day in self.days.dates if day <= seen[-1]),
            tuple(gap for gap in self.days.gaps if gap[0] <= seen[-1]),
        )
        # Closed weekdays are no days of the series, but belong to holidays that they lie in.
        every = [day.date() for day in pd.date_range(seen[0], seen[-1])]
        return np.array(closed_again(before, every, self.closed, [day.date() for day in dates]), bool)

    def filled(self, measure: str) -> NDArray[np.float64]:
        """Return a measure in which each day without business has what the same weekday had before."""
        values = np.array(self.frame[measure], np.float64)
        idle = self.idle
        for at in np.flatnonzero(idle):
            earlier = at - self.season
            usual = values[earlier] if earlier >= 0 else np.median(values[~idle]) if (~idle).any() else 0.0
            values[at] = usual
        return values

    @cached_property
    def idle(self) -> NDArray[np.bool_]:
        """Which days had no business: closed ones, and those of gaps."""
        shut = set(self.days.dates)
        return np.array([day in shut for day in self.dates], bool) | self.missing

    @cached_property
    def missing(self) -> NDArray[np.bool_]:
        """Which days lie in a gap of the log."""
        return np.array([any(a <= day <= b for a, b in self.days.gaps) for day in self.dates], bool)


def daily(view: LogView) -> Series:
    """Return orders and revenue per day, the cut-off first and last day left out.

    Raises
    ------
    TrainingError
        The log has no order, or fewer than four weeks.
    """
    if view.orders.empty:
        raise TrainingError("the log has no order: there is nothing to forecast")
    first, last = _whole_days(view)
    orders, huge = tamed(view.orders)
    sums = _sums(orders, first, last)
    if len(sums) < _LEAST_DAYS:
        raise TrainingError(
            f"the log has {len(sums)} whole days; a forecast needs at least {_LEAST_DAYS}: use a longer log"
        )
    weekday = np.asarray(pd.DatetimeIndex(sums.index).day_of_week)
    sold = [(sums["orders"].to_numpy()[weekday == day] > 0).mean() for day in range(_WEEK)]
    closed = tuple(day for day in range(_WEEK) if sold[day] < _OPEN_SHARE)
    closed = closed if len(closed) < _WEEK else ()
    days = closed_days(sums["orders"], closed)
    return Series(sums[~np.isin(weekday, closed)], last, closed, days, view.currency, huge)


def _whole_days(view: LogView) -> tuple[pd.Timestamp, pd.Timestamp]:
    """Return the first and the last day that the log covers wholly: those of its ends are cut off."""
    day = pd.Timedelta(days=1)
    return view.first.normalize() + day, view.last.normalize() - day


def _sums(orders: pd.DataFrame, first: pd.Timestamp, last: pd.Timestamp) -> pd.DataFrame:
    sums = orders.groupby(orders["time"].dt.normalize())["value"].agg(["size", "sum"])
    sums.columns = pd.Index(list(MEASURES))
    return sums.reindex(pd.date_range(first, last, freq="D")).fillna(0.0).astype(np.float64)
