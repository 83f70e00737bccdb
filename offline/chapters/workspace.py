"""What the stages of a report share: the input, how it was understood, and what they hand to each other."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.items import read_item_names
from features.labels import LabelStart, default_label_start
from features.log import ERASED, log_metadata
from features.state import DAY_MS, MINUTE_MS
from features.traffic import DEFAULT_BOTS, BotRule
from offline.chapters.handover import HandOver
from offline.examples.examples import Context
from offline.exceptions import OneOutcome
from offline.problems import LogReading, TableOptions, TableReading, default_horizon_ms
from offline.problems.from_log import MOST_EVENTS, read_problem_from_log
from offline.problems.from_table import read_problem_from_table
from offline.problems.holdout import Holdout, hold_out
from offline.problems.problem import Problem
from offline.problems.table_files import is_event_log
from offline.progress import Progress, silent
from offline.training.train import TrainingSettings, context_of
from offline.views.net_orders import CustomerView
from offline.views.tidy_log import TidyLog, foreign_money, read_tidy_log

Input = Literal["log", "table"]
Balance = Literal["none", "weights", "under", "over"]

#: With ``quick``, a log is cut to this many events.
QUICK_EVENTS = 40_000

#: What stands first on a quick page.
QUICK_NOTE = (
    "A quick look (--quick): fewer examples, folds and trials, and smaller models. Figures are rougher than in a full "
    "run; leave --quick out before you decide."
)


# Clocks of other time zones are ahead by so much at most.
_ZONES = dt.timedelta(days=1)


class ContactAssumptions(NamedTuple):
    """What a user says of contacting customers; None where nothing was said, and then nothing is assumed.

    Attributes
    ----------
    value
        Of one purchase, in the shop's currency; by default the mean order of a log.
    margin
        Share of the value that remains when the goods are paid.
    cost
        Of one contact.
    effect
        Purchases that a contact adds, as a share of those that would have happened anyway.
    """

    value: float | None = None
    margin: float | None = None
    cost: float | None = None
    effect: float | None = None


class LabOptions(NamedTuple):
    """What a user may say to all stages.

    Attributes
    ----------
    table
        How a table is read; without effect on a log.
    horizon_ms, label_start
        What is predicted from a log; by default what suits it.
    timezone, currency
        The shop's; by default the log's.
    lateness_ms, ttl_ms
        How late an event may be, and how long a silent state lives.
    bots, excluded
        By which rules a machine is known, and ids of the shop's own people: models learn of neither.
    balance
        How the classes of training rows are balanced where models are compared.
    seed
        Equal seeds give equal reports.
    quick
        Whether to be fast rather than exact: fewer events, folds and trials.
    segment_count
        Number of segments; by default chosen by the data.
    forecast_days
        How far ahead to forecast; by default what the log allows, at most four weeks.
    contacts
        What a purchase and a contact are worth.
    budget
        How many customers can be contacted; None where nobody said it.
    """

    table: TableOptions = TableOptions()
    horizon_ms: int | None = None
    label_start: LabelStart | None = None
    timezone: str | None = None
    currency: str | None = None
    lateness_ms: int = 15 * MINUTE_MS
    ttl_ms: int = 400 * DAY_MS
    bots: tuple[BotRule, ...] = DEFAULT_BOTS
    excluded: frozenset[str] = frozenset()
    balance: Balance = "none"
    seed: int = 0
    quick: bool = False
    segment_count: int | None = None
    forecast_days: int | None = None
    contacts: ContactAssumptions = ContactAssumptions()
    budget: int | None = None


@dataclass
class Workspace:
    """The input of a report and what is made from it, each once and only when a stage asks for it.

    Attributes
    ----------
    path
        Of the log or table.
    directory
        Where files go that a stage writes besides its section, for example a bundle.
    handover
        What earlier stages left for later ones.
    now
        The current time, by which dates in the future are known.
    """

    path: Path
    directory: Path
    options: LabOptions = LabOptions()
    progress: Progress = silent
    handover: HandOver = field(default_factory=HandOver)
    now: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))

    @cached_property
    def input(self) -> Input:
        """Whether the input is an event log or a table."""
        return "log" if is_event_log(self.path) else "table"

    @cached_property
    def tidied(self) -> TidyLog:
        """The event log, checked, and what was left out of it."""
        with self.progress("Reading the log"):
            return read_tidy_log(self.path, self.options.excluded)

    @property
    def log(self) -> pa.Table:
        """The event log, checked, with every event of a customer once and without lonely dates."""
        return self.tidied.log

    @property
    def notes(self) -> tuple[str, ...]:
        """What was changed or left out of the input and must stand on every page, one sentence each."""
        if self.input == "table":
            reading = self.reading
            return reading.changes if isinstance(reading, TableReading) else ()
        return (*self.tidied.notes, *foreign_money(self.log, self.context.currency))

    @cached_property
    def item_names(self) -> dict[str, str]:
        """Names of the log's items, as far as its source has them."""
        return read_item_names(self.path)

    @cached_property
    def context(self) -> Context:
        """How the log's events are read and what is predicted."""
        options = self.options
        horizon_ms = options.horizon_ms or default_horizon_ms(self.log)
        settings = TrainingSettings(
            horizon_ms=horizon_ms,
            label_start=options.label_start or default_label_start(horizon_ms),
            timezone=options.timezone,
            currency=options.currency,
            lateness_ms=options.lateness_ms,
            ttl_ms=options.ttl_ms,
            bots=options.bots,
        )
        return context_of(self.log, log_metadata(self.path), settings)

    @cached_property
    def customer_names(self) -> list[str]:
        """Customer ids by the numbers of `customer_view`."""
        kept = self.log.filter(pc.not_equal(self.log["type"], ERASED))
        names: list[str] = kept["customer_id"].combine_chunks().dictionary_encode().dictionary.to_pylist()
        return names

    @cached_property
    def customer_view(self) -> CustomerView:
        """The log's events and orders by customer, with refunds."""
        return CustomerView.of(self.log, self.context)

    @cached_property
    def reading(self) -> TableReading | LogReading:
        """The input as a problem, with what a person should know of how it was read."""
        if self.input == "table":
            with self.progress("Reading the table"):
                return read_problem_from_table(self.path, self.options.table)
        most = QUICK_EVENTS if self.options.quick else MOST_EVENTS
        log, context = self.log, self.context
        with self.progress("Folding events") as on_progress:
            reading = read_problem_from_log(
                log,
                context,
                excluded=self.options.excluded,
                most_events=most,
                name=self.path.name,
                on_progress=on_progress,
            )
        return replace(reading, notes=(*self.notes, *reading.notes))

    @cached_property
    def one_outcome(self) -> str:
        """Why no model can learn from the log, in words; empty where one can. Chapters that only count need none."""
        try:
            _ = self.reading
        except OneOutcome as error:
            return f"{str(error)[0].upper()}{str(error)[1:]}."
        return ""

    @property
    def problem(self) -> Problem:
        """What is to be predicted, and from what."""
        return self.reading.problem

    @cached_property
    def holdout(self) -> Holdout:
        """Rows to learn from and rows to judge on, the same for all stages that need just one division."""
        return hold_out(self.problem, seed=self.options.seed)

    @property
    def train(self) -> NDArray[np.intp]:
        """Rows to learn from."""
        return self.holdout.train

    @property
    def first_note(self) -> str:
        """What a reader must know before any figure; empty where there is nothing."""
        return " ".join(text for text in (self.future_note, QUICK_NOTE * self.options.quick) if text)

    @cached_property
    def future_note(self) -> str:
        """That the input ends after today, which a clock or a format of dates that is wrong makes; else empty."""
        last = self._last_moment()
        if last is None or last <= self.now + _ZONES:
            return ""
        return f"The {self.input} ends on {last:%Y-%m-%d}, which lies in the future: check the dates."

    def _last_moment(self) -> dt.datetime | None:
        if self.input == "log":
            last = pc.max(self.log["event_time"].cast(pa.int64())).as_py()
            return dt.datetime.fromtimestamp(last / 1000, dt.UTC)
        if self.one_outcome or self.problem.times is None:
            return None
        last = self.problem.times.max()
        return None if pd.isna(last) else pd.Timestamp(last).to_pydatetime()

    @property
    def note(self) -> str:
        """What a reader of a whole report must know: also that it is one without a model."""
        without = f"{self.one_outcome} Chapters that need a model are left out." if self.one_outcome else ""
        return " ".join(text for text in (self.first_note, without) if text)

    def about(self) -> Mapping[str, Any]:
        """Return what a report says of its input."""
        about: dict[str, Any] = {"input": str(self.path.name), "kind": self.input, "seed": self.options.seed,
                                 "quick": self.options.quick}  # fmt: skip
        if self.input == "log":
            about |= {"context": self.context._asdict()}
        return about
