"""A classification problem: columns and a target, whether they come from an event log or from a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.vector import COLUMN_NAMES

_OF_LOG: Final = frozenset(COLUMN_NAMES)

Kind = Literal["numeric", "categorical", "boolean"]


@dataclass(frozen=True)
class Problem:
    """Rows with a target that is to be predicted.

    Attributes
    ----------
    name
        What the rows are from, for titles.
    columns
        The candidates for features, one row each. Categorical columns have pandas' ``category`` type, boolean ones
        ``bool``, numeric ones float; missing values are NaN.
    kinds
        Kind of every column.
    target, target_name
        What happened (True: positive), and what it is called.
    unit
        What a row is, in the singular: "session", "customer", "event".
    times
        Event time of every row (UTC), or ``None`` for a table without times: then folds are stratified instead of
        temporal.
    groups
        Number of the customer of every row, or ``None``. Intervals are drawn over groups where there are any.
    horizon
        For how long after its time a row's target looks ahead: the embargo between training and test.
    leaks
        Columns that know the target, and why; every figure is reported with and without them.
    """

    name: str
    columns: pd.DataFrame
    kinds: Mapping[str, Kind]
    target: NDArray[np.bool_]
    target_name: str
    unit: str = "record"
    times: pd.Series | None = None
    groups: NDArray[np.int64] | None = None
    horizon: pd.Timedelta = field(default_factory=lambda: pd.Timedelta(0))
    leaks: Mapping[str, str] = field(default_factory=dict)

    @property
    def from_log(self) -> bool:
        """Whether the columns are those of a log's examples, whose meaning and unit are known."""
        return len(self.columns.columns) > 0 and set(self.columns.columns) <= _OF_LOG

    def __len__(self) -> int:
        return len(self.target)

    @property
    def prevalence(self) -> float:
        """Share of positive rows."""
        return float(self.target.mean())

    def without(self, names: Iterator[str] | list[str] | set[str]) -> Problem:
        """Return the problem without some columns."""
        kept = [column for column in self.columns if column not in set(names)]
        return self._with(self.columns[kept])

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Problem:
        """Return some of the rows."""
        return Problem(
            self.name,
            self.columns[rows] if rows.dtype == bool else self.columns.iloc[rows],
            self.kinds,
            self.target[rows],
            self.target_name,
            self.unit,
            None
            if self.times is None
            else (self.times[rows] if rows.dtype == bool else self.times.iloc[rows]),
            None if self.groups is None else self.groups[rows],
            self.horizon,
            self.leaks,
        )

    def _with(self, columns: pd.DataFrame) -> Problem:
        kinds = {name: self.kinds[name] for name in columns}
        leaks = {name: why for name, why in self.leaks.items() if name in kinds}
        return Problem(
            self.name,
            columns,
            kinds,
            self.target,
            self.target_name,
            self.unit,
            self.times,
            self.groups,
            self.horizon,
            leaks,
        )
