"""The order of a log: that in which its events arrived, on which watermarks, labels and states depend.

Three kinds of logs are told apart by their columns:

- a topic's archive knows partition and offset of every row: within a partition the order is that of the offsets, even
  where arrivals (replayed ones) go back in time, and partitions are merged by arrival;
- a log that knows when its events arrived (``arrived_at``) is in order of arrival;
- any other log is in order of event time.

Rows that arrived at the same moment stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_BEGINNING: Final = int(np.iinfo(np.int64).min)


class Coordinates(NamedTuple):
    """When rows arrived, epoch ms; and their partitions and offsets, where all of them know theirs."""

    arrivals: NDArray[np.int64]
    partitions: NDArray[np.int64] | None = None
    offsets: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, table: pa.Table) -> Coordinates:
        """Return those of a log's rows; a missing time counts as 0, the check of rows names it."""
        arrivals = pc.fill_null(table["arrived_at"].cast(pa.int64()), 0).to_numpy()
        if table["partition"].null_count or table["offset"].null_count:
            return cls(arrivals)
        return cls(arrivals, table["partition"].cast(pa.int64()).to_numpy(), table["offset"].to_numpy())


class ArrivalOrder:
    """Looks whether the rows of a log stand in order, piece by piece.

    Attributes
    ----------
    early
        How many rows so far stand behind rows that belong after them.

    Examples
    --------
    >>> order = ArrivalOrder()
    >>> order.look(Coordinates(np.array([10, 30])))
    >>> order.look(Coordinates(np.array([20, 30])))
    >>> order.early
    1
    """

    def __init__(self) -> None:
        self.early = 0
        self._highest = _BEGINNING
        self._arrivals: dict[int, int] = {}
        self._offsets: dict[int, int] = {}

    def look(self, rows: Coordinates) -> None:
        """Look at the next rows."""
        arrivals, partitions, offsets = rows
        early = np.zeros(len(arrivals), bool)
        if partitions is not None and offsets is not None:
            keys = np.empty(len(arrivals), np.int64)
            for number in np.unique(partitions).tolist():
                own = np.flatnonzero(partitions == number)
                before = self._offsets.get(number, _BEGINNING)
                early[own], self._offsets[number] = _behind(offsets[own], before)
                highest = self._arrivals.get(number, _BEGINNING)
                keys[own] = np.maximum(np.maximum.accumulate(arrivals[own]), highest)
                self._arrivals[number] = int(keys[own[-1]])
            arrivals = keys
        behind, self._highest = _behind(arrivals, self._highest)
        self.early += int(np.count_nonzero(early | behind))


def _behind(values: NDArray[np.int64], highest: int) -> tuple[NDArray[np.bool_], int]:
    """Mark the values that lie below one before them, and return the highest of all."""
    if not len(values):
        return np.zeros(0, bool), highest
    most = np.maximum(np.maximum.accumulate(values), highest)
    return values < most, int(most[-1])


def put_in_order(
    table: pa.Table, on_note: Callable[[str], object] = lambda text: None, *, known: bool = True
) -> pa.Table:
    """Return a log (of the log's schema) with its rows in order.

    Parameters
    ----------
    on_note
        Called with a sentence where rows were not in order.
    known
        Whether the log says when its events arrived.
    """
    rows, order = Coordinates.of(table), ArrivalOrder()
    order.look(rows)
    if not order.early:
        return table
    on_note(order_sentence(order.early, len(table), known=known))
    return table.take(in_order(rows))


def in_order(rows: Coordinates) -> NDArray[np.intp]:
    """Return the positions of rows in order.

    Examples
    --------
    >>> in_order(Coordinates(np.array([30, 10, 30, 20]))).tolist()
    [1, 3, 0, 2]

    Within a partition the offsets decide, whatever the arrivals are:

    >>> in_order(Coordinates(np.array([5, 30, 20]), np.array([1, 0, 0]), np.array([0, 7, 8]))).tolist()
    [0, 1, 2]
    """
    arrivals, partitions, offsets = rows
    if partitions is None or offsets is None:
        return np.argsort(arrivals, kind="stable")
    by_offset = np.lexsort((offsets, partitions))
    keys = np.empty(len(arrivals), np.int64)
    for own in np.split(by_offset, np.flatnonzero(np.diff(partitions[by_offset])) + 1):
        keys[own] = np.maximum.accumulate(arrivals[own])
    return np.lexsort((offsets, partitions, keys))


def order_sentence(early: int, rows: int, *, known: bool) -> str:
    """Say that rows were put in order.

    Parameters
    ----------
    early
        Rows that stood behind rows that belong after them.
    known
        Whether the log says when its events arrived.

    Examples
    --------
    >>> print(order_sentence(1, 20, known=True))
    1 of 20 rows of the log stands behind rows that arrived later (arrived_at): rows were put in order of arrival.
    """
    if known:
        stand = "stands" if early == 1 else "stand"
        return (
            f"{early:,} of {rows:,} rows of the log {stand} behind rows that arrived later (arrived_at): rows were put "
            "in order of arrival."
        )
    return (
        f"The log does not say when its events arrived (arrived_at), and {early:,} of {rows:,} rows "
        f"{'stands' if early == 1 else 'stand'} behind later ones: rows were put in order of event time."
    )


#: From this share of refused events on, a log is looked at as one whose arrivals are not to be trusted.
_MANY: Final = 0.1


def refused_sentences(refused: int, events: int) -> list[str]:
    """Say how many events of a log came too late or before they happened, and what to do where they are many.

    Parameters
    ----------
    refused
        How many, lonely ones aside (`features.usual_days`); of none nothing is said.

    Examples
    --------
    >>> print(*refused_sentences(3, 5_000))
    3 of 5,000 events are left out, as the worker does: they came too late or are dated after their arrival.
    """
    if refused <= 0:
        return []
    are = "is" if refused == 1 else "are"
    they = "it came too late or is" if refused == 1 else "they came too late or are"
    found = (
        f"{refused:,} of {events:,} events {are} left out, as the worker does: {they} dated after "
        f"{'its' if refused == 1 else 'their'} arrival"
    )
    if not many_refused(refused, events):
        return [f"{found}."]
    return [
        f"{found}. If arrived_at is not when they reached the shop, leave that column out: rows are then put in order "
        "of event time. If they really came that late, set a longer INTENT_LATENESS."
    ]


def many_refused(refused: int, events: int) -> bool:
    """Say whether so many events of a log were refused that little can be said of the rest."""
    return refused >= _MANY * events
