"""Tables and logs as classification problems: types, target and leaks are inferred, shown, and can be overruled.

A table has one row per customer or session and a column that says what happened; a log becomes one row per
event with a known label. Both end as an `offline.problems.problem.Problem`, with an account of every column that can be
shown and overridden. Loaders of event logs from files of other shops live in `offline.datasets`.
"""

from offline.problems.errors import TableError
from offline.problems.from_log import LogReading, default_horizon_ms, problem_from_log, read_problem_from_log
from offline.problems.from_table import (
    TableOptions,
    TableReading,
    problem_from_table,
    read_problem_from_table,
)

__all__ = [
    "LogReading",
    "TableError",
    "TableOptions",
    "TableReading",
    "default_horizon_ms",
    "problem_from_log",
    "problem_from_table",
    "read_problem_from_log",
    "read_problem_from_table",
]
