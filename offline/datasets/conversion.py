"""The account of a conversion: what became of every source row.

The account balances: each row read became an event, was merged into another row's event, or was dropped for
one reason, so ``rows = events + merged + sum of dropped``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.exceptions import IntentError

_SHOWN = 60  # characters of a bad value that a message repeats


class DatasetError(IntentError):
    """A source file cannot be converted: it is missing, of another form, or holds nothing usable."""


@dataclass(frozen=True, slots=True)
class Count:
    """How many rows or events something happened to.

    Attributes
    ----------
    reason
        What happened, and why.
    rows
        How often.
    example
        The first such row, column and value, where that helps to find it.
    """

    reason: str
    rows: int
    example: str | None = None


@dataclass(frozen=True, slots=True)
class Conversion:
    """The account of one conversion.

    Attributes
    ----------
    source
        Name of the loader.
    files
        Names of the files read, in the order of reading.
    rows
        Rows read (header lines not counted).
    events
        Events in the log.
    by_type
        Events per type, types without events left out.
    customers
        Distinct customers in the log.
    first_time, last_time
        Event times of the first and the last event.
    merged
        Rows that went into the event of another row of the same order.
    dropped
        Rows that left no trace in the log, by reason; every dropped row has exactly one.
    notes
        What was changed, kept or decided and should be known; these rows are in the log.
    """

    source: str
    files: tuple[str, ...]
    rows: int
    events: int
    by_type: dict[str, int]
    customers: int
    first_time: dt.datetime
    last_time: dt.datetime
    merged: int
    dropped: tuple[Count, ...]
    notes: tuple[Count, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the account in the form in which it is printed as JSON."""

        def listed(counts: Sequence[Count]) -> list[dict[str, Any]]:
            return [{"reason": c.reason, "rows": c.rows, "example": c.example} for c in counts]

        return {
            "source": self.source,
            "files": list(self.files),
            "rows": self.rows,
            "events": self.events,
            "by_type": dict(self.by_type),
            "customers": self.customers,
            "first_time": self.first_time.isoformat(),
            "last_time": self.last_time.isoformat(),
            "merged": self.merged,
            "dropped": listed(self.dropped),
            "notes": listed(self.notes),
        }


@dataclass
class Tally:
    """Counts by reason, in the order in which the reasons first came up.

    Parameters
    ----------
    strict
        Whether a bad value ends the conversion instead of being counted.

    Examples
    --------
    >>> tally = Tally()
    >>> tally.add("no customer", 2, "log.csv, row 3")
    >>> tally.add("no customer", 1, "log.csv, row 9")
    >>> tally.counts()
    (Count(reason='no customer', rows=3, example='log.csv, row 3'),)
    """

    strict: bool = False
    _rows: dict[str, int] = field(default_factory=dict)
    _examples: dict[str, str | None] = field(default_factory=dict)

    def add(self, reason: str, rows: int, example: str | None) -> None:
        """Count `rows` more for `reason`; nothing is noted where there are none."""
        if rows:
            self._rows[reason] = self._rows.get(reason, 0) + int(rows)
            self._examples.setdefault(reason, example)

    def counts(self) -> tuple[Count, ...]:
        """Return all counts."""
        return tuple(Count(reason, rows, self._examples[reason]) for reason, rows in self._rows.items())


def _of(scalar: pa.Scalar) -> object:
    try:
        return scalar.as_py()
    except (OverflowError, ValueError):  # a time that no calendar of Python has
        return f"{getattr(scalar, 'value', scalar)} ({scalar.type})"


def _shown(value: object) -> str:
    if value is None:
        return "missing"
    text = str(value)
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


class Sieve:
    """Which rows of one block are still kept, and the tally of the others.

    Parameters
    ----------
    rows
        How many rows the block has.
    tally
        Where dropped rows are counted; a row is counted for the first reason that meets it.
    file
        Name of the file, for examples and errors.
    first_row
        Number of the block's first row in that file, from 1.
    """

    def __init__(self, rows: int, tally: Tally, file: str, first_row: int) -> None:
        self.keep: NDArray[np.bool_] = np.ones(rows, dtype=bool)
        self._tally = tally
        self._file = file
        self._first_row = first_row

    def drop(self, bad: NDArray[np.bool_], reason: str) -> None:
        """Drop what is marked and still kept, as a matter of course."""
        hit = bad & self.keep
        example = f"{self._file}, row {self._first_row + int(np.argmax(hit))}" if hit.any() else None
        self._tally.add(reason, int(hit.sum()), example)
        self.keep &= ~bad

    def reject(self, bad: NDArray[np.bool_], reason: str, column: str, values: pa.Array) -> None:
        """Drop what is marked and still kept because its value in `column` is bad.

        Raises
        ------
        DatasetError
            With row, column and value, if the tally is strict.
        """
        count, example = self.first(bad & self.keep, column, values)
        if not count:
            return
        if self._tally.strict:
            raise DatasetError(f"{reason}: {example}; mend the file, or leave out --strict to drop such rows")
        self._tally.add(reason, count, example)
        self.keep &= ~bad

    def first(self, marked: NDArray[np.bool_], column: str, values: pa.Array) -> tuple[int, str | None]:
        """Return how many rows are marked, and an example: file, row, column and value of the first."""
        if not marked.any():
            return 0, None
        at = int(np.argmax(marked))
        value = _shown(_of(values[at]))
        return int(marked.sum()), f"{self._file}, row {self._first_row + at}, column {column!r}: {value}"
