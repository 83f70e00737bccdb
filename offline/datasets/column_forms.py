"""How the values of a mapped file are written, decided for whole columns in a first pass over its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from offline.datasets.conversion import Tally
from offline.datasets.csv_files import csv_layout
from offline.datasets.date_digits import DIGITS_IN_WORDS
from offline.datasets.missing import are_country_codes
from offline.datasets.numbers import PLAIN_NUMBERS, NumberForm, NumberSigns, as_numbers, number_signs
from offline.datasets.source_files import is_parquet, read_blocks, undecided_columns
from offline.datasets.times import TimeForm, TimeSigns, as_times, time_signs
from offline.progress import OnProgress

#: Fields of an event that are numbers.
NUMBER_FIELDS: Final = ("price", "value", "quantity")


@dataclass
class ColumnForms:
    """What the values of the columns tell of their forms.

    Attributes
    ----------
    numbers
        By field of `NUMBER_FIELDS`.
    times
        Of the times.
    time_format
        The form of the times if it was given; then nothing is decided about them.
    country_codes
        Whether countries are codes of two letters; None if there are no countries.
    semicolons
        Whether semicolons separate the columns, as where commas are decimal.
    """

    numbers: dict[str, NumberSigns] = field(
        default_factory=lambda: {name: NumberSigns() for name in NUMBER_FIELDS}
    )
    times: TimeSigns = field(default_factory=TimeSigns)
    time_format: str | None = None
    country_codes: bool | None = None
    semicolons: bool = False

    def number_form(self, name: str) -> NumberForm:
        """Return the form of the numbers of a field."""
        return self.numbers[name].form(semicolons=self.semicolons)

    def add(self, name: str, values: pa.Array) -> None:
        """Look at a block of the column for a field."""
        if name in self.numbers:
            self.numbers[name] += number_signs(values)
        elif name == "event_time":
            self.times += time_signs(values)
        elif pc.count(values).as_py():
            self.country_codes = self.country_codes is not False and are_country_codes(values)

    def time_form(self) -> TimeForm:
        """Return the form of the times."""
        return TimeForm(only=self.time_format) if self.time_format else self.times.form()

    def note(self, notes: Tally, columns: Mapping[str, str]) -> None:
        """Note the forms that are not the plain ones, each with the number of values written like that."""
        if "event_time" in columns:
            note_times(notes, columns["event_time"], self.times, self.time_form())
        for name, numbers in self.numbers.items():
            form = self.number_form(name)
            if form != PLAIN_NUMBERS:
                read = _read(columns[name], numbers.texts, numbers.values)
                notes.add(f"{read} as {form}", numbers.texts, _number(numbers.example, form))
                if form.comma:
                    grouped = f"column {columns[name]!r}: a point is read as one between thousands"
                    notes.add(grouped, numbers.points, _number(numbers.point, form))


def note_times(notes: Tally, column: str, signs: TimeSigns, form: TimeForm) -> None:
    """Note how the dates in numbers and the digits of a column are read, with examples."""
    told = [signs.dates.example] if form.dates.day_first is not None else []
    told += [_digits(signs.digits.example)] if form.digits in DIGITS_IN_WORDS else []
    if told:
        examples = [example for text in told if (example := _reading(text, form)) is not None]
        rows = signs.dates.texts + signs.digits.values
        read = _read(column, rows, signs.digits.values + signs.others)
        notes.add(f"{read} as {form}", rows, "; ".join(examples) or None)


def _read(column: str, rows: int, values: int) -> str:
    """Say what is read in a form: the column, or only the few of its values that have it."""
    return (
        f"column {column!r} is read"
        if 2 * rows >= values
        else f"column {column!r}: a part of the values is read"
    )


def _number(text: str | None, form: NumberForm) -> str | None:
    if text is None:
        return None
    (number,), (bad,) = as_numbers(pa.array([text]), form)
    return None if bad else f"{text!r} is {number:.15g}"


def _digits(number: float) -> str:
    return f"{number:.0f}" if number % 1 == 0 else f"{number:.15g}"


def _reading(text: str, form: TimeForm) -> str | None:
    times = as_times(pa.array([text]), ZoneInfo("UTC"), form=form)
    return (
        None
        if times.bad[0]
        else f"{text!r} is {np.datetime64(int(times.ms[0]) // 1000, 's')!s}".replace("T", " ")
    )


def survey(
    files: Sequence[Path],
    columns: Mapping[str, str],
    *,
    encoding: str,
    time_format: str | None,
    on_progress: OnProgress | None = None,
) -> ColumnForms:
    """Look at all values of the columns whose form is to be decided.

    Parameters
    ----------
    files, encoding
        As for `read_blocks`.
    columns
        Name of the column for each field.
    time_format
        The form of times if it was given; then nothing is decided about them.
    on_progress
        Called with bytes read and bytes in all.
    """
    fields = [*NUMBER_FIELDS, "country", *([] if time_format else ["event_time"])]
    wanted = {name: columns[name] for name in fields if name in columns}
    forms = ColumnForms(time_format=time_format)
    times = {wanted["event_time"]} if "event_time" in wanted else set()
    written = [file for file in files if undecided_columns(file, list(wanted.values()), times)]
    if not written:
        return forms
    forms.semicolons = any(
        csv_layout(file, encoding).separator == ";" for file in written if not is_parquet(file)
    )
    for block in read_blocks(
        written,
        list(wanted.values()),
        broken=Tally(),
        notes=Tally(),
        encoding=encoding,
        on_progress=on_progress,
    ):
        for name, column in wanted.items():
            forms.add(name, block.data.column(column))
    return forms


def two_passes(on_progress: OnProgress | None) -> tuple[OnProgress | None, OnProgress | None]:
    """Return what the first and the second of two passes call, each half of the progress."""
    if on_progress is None:
        return None, None
    return (
        lambda done, total: on_progress(done // 2, total),
        lambda done, total: on_progress((total + done) // 2, total),
    )
