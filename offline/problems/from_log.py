"""An event log as a problem: one row for each event whose label is known, columns as the scorer sees them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.durations import duration_words
from features.labels import POSITIVE, LabelStart, default_label_start
from features.log_order import many_refused, refused_sentences
from features.state import DAY_MS, MINUTE_MS
from features.traffic import apart_sentences
from features.vector import COLUMN_NAMES, SEGMENT_AT
from offline.examples.examples import Context, build_examples, example_types
from offline.examples.sampling import sample_customers
from offline.exceptions import OneOutcome, TrainingError
from offline.problems.problem import Problem

#: Horizon where none is given: half an hour for a log with browsing, a month for one of orders only.
BROWSING_HORIZON_MS: Final = 30 * MINUTE_MS
ORDERS_HORIZON_MS: Final = 30 * DAY_MS

#: Events that the laboratory looks at, at most; beyond, customers are sampled by the hash of their id.
MOST_EVENTS: Final = 300_000

# Shares of positives below this are told with a digit more.
_RARE: Final = 0.01


@dataclass(frozen=True)
class LogReading:
    """A log as it was understood: the problem, how its events were read, and what a person should know."""

    problem: Problem
    context: Context
    notes: tuple[str, ...]


def default_horizon_ms(log: pa.Table) -> int:
    """Return the horizon that suits a log."""
    return ORDERS_HORIZON_MS if example_types(log) == ("purchase",) else BROWSING_HORIZON_MS


def problem_from_log(
    log: pa.Table,
    horizon_ms: int | None = None,
    *,
    label_start: LabelStart | None = None,
    timezone: str = "UTC",
    currency: str = "EUR",
    most_events: int = MOST_EVENTS,
    name: str = "events",
) -> Problem:
    """Return the examples of a log as a problem; see `read_problem_from_log`."""
    horizon_ms = horizon_ms or default_horizon_ms(log)
    context = Context(horizon_ms, label_start or default_label_start(horizon_ms), timezone, currency)
    return read_problem_from_log(log, context, most_events=most_events, name=name).problem


def read_problem_from_log(
    log: pa.Table,
    context: Context,
    *,
    excluded: Collection[str] = (),
    most_events: int = MOST_EVENTS,
    name: str = "events",
    on_progress: Callable[[int, int], None] | None = None,
) -> LogReading:
    """Fold a log and return its examples with a known label as a problem.

    Parameters
    ----------
    log
        Rows in order of arrival (`features.log.read_log`).
    context
        Horizon, start of the label, time zone and currency.
    excluded
        Ids of the shop's own people.
    most_events
        A longer log is sampled: all events of some customers, chosen by the hash of their id, so that the same
        customers are chosen whenever the log is read.
    on_progress
        Called with rows done and in all.

    Raises
    ------
    TrainingError
        There are no events.
    OneOutcome
        No label is known, or all are the same.
    """
    notes = []
    events = len(log)
    if not events:
        raise TrainingError(f"{name} has no events")
    if events > most_events:
        share = most_events / events
        log = sample_customers(log, share)
        notes.append(
            f"The log has {events:,} events; the {len(log):,} events of {share:.1%} of its customers are used, "
            "chosen by the hash of their id."
        )
    examples = build_examples(log, context, excluded=excluded, on_progress=on_progress)
    rows = np.flatnonzero(examples.usable)
    rows = rows[np.argsort(examples.as_of[rows], kind="stable")]
    happened = examples.labels[rows] == POSITIVE
    if not len(rows) or happened.all() or not happened.any():
        why = _one_outcome(log, context, happened, orders_only=examples.types == ("purchase",))
        if many_refused(examples.refused, len(log)):
            why = ". ".join([why, *refused_sentences(examples.refused, len(log))]).removesuffix(".")
        raise OneOutcome(why)
    kept = [column for at, column in enumerate(COLUMN_NAMES) if at != SEGMENT_AT]
    columns = pd.DataFrame(
        np.delete(examples.vectors[rows], SEGMENT_AT, axis=1).astype(np.float64), columns=kept, copy=False
    )
    problem = Problem(
        name,
        columns,
        dict.fromkeys(kept, "numeric"),
        happened,
        f"purchase within {duration_words(context.horizon_ms)}",
        "purchase" if examples.types == ("purchase",) else "event",
        pd.Series(pd.to_datetime(examples.as_of[rows], unit="ms", utc=True)),
        examples.customers[rows],
        pd.Timedelta(context.horizon_ms, unit="ms"),
    )
    unknown = int(np.count_nonzero(examples.counted)) - len(rows)
    digits = 1 if problem.prevalence >= _RARE else 2
    notes.append(
        f"{len(rows):,} {problem.unit}s of {len(np.unique(problem.groups)):,} customers have a known label, "  # type: ignore[arg-type]
        f"{problem.prevalence:.{digits}%} of them positive; {unknown:,} are too recent to have one."
    )
    notes += refused_sentences(examples.refused, len(log))
    notes += apart_sentences(int(np.count_nonzero(examples.apart)), len(log))
    if examples.repeated:
        were = "event was a repetition" if examples.repeated == 1 else "events were repetitions"
        notes.append(f"{examples.repeated:,} {were}.")
    return LogReading(problem, context, tuple(notes))


def _one_outcome(log: pa.Table, context: Context, happened: NDArray[np.bool_], *, orders_only: bool) -> str:
    """Return in plain words why there is nothing to tell apart."""
    within = f"within {duration_words(context.horizon_ms)}"
    what = "order" if orders_only else "event"
    if not pc.any(pc.equal(log["type"], "purchase")).as_py():
        return "nobody bought in this log, so no model can learn what buyers have in common"
    if not len(happened):
        return (
            f"of no {what} of this log is it known whether a purchase followed {within}, so no model can learn who "
            "buys: use a longer log or a shorter --horizon"
        )
    if happened.all():
        return (
            f"every {what} whose outcome is known was followed by a purchase {within}, so no model can learn who does "
            "not buy: a shorter --horizon may help"
        )
    return (
        f"no {what} whose outcome is known was followed by a purchase {within}, so no model can learn what buyers have "
        "in common: a longer --horizon may help"
    )
