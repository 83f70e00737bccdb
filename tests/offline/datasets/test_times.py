"""Times in digits: one reading for a whole column, told with an example; a form that is given wins."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from offline.datasets import Dataset, DatasetError, load_columns, load_online_retail
from offline.datasets.date_digits import digit_signs
from offline.datasets.times import as_times
from offline.problems.text_columns import read_dates

COLUMNS = {"customer_id": "client", "event_time": "date"}
UTC = ZoneInfo("UTC")


def convert(folder: Path, dates: list[str], *, zone: str = "UTC", time_format: str | None = None) -> Dataset:
    path = folder / "shop.csv"
    rows = "".join(f'k{at},"{date}"\n' for at, date in enumerate(dates))
    path.write_text("client,date\n" + rows)
    return load_columns(
        path, columns=COLUMNS, types={"*": "view_item"}, timezone=zone, time_format=time_format
    )


def times(dataset: Dataset) -> list[str]:
    return [f"{time:%Y-%m-%d %H:%M:%S}" for time in dataset.log()["event_time"].to_pylist()]


@pytest.mark.parametrize(
    ("dates", "right", "how"),
    [
        (
            ["20240131", "20240201"],
            ["2024-01-31 00:00:00", "2024-02-01 00:00:00"],
            "dates in digits",
        ),
        (
            ["2024013114", "2024020109"],
            ["2024-01-31 14:00:00", "2024-02-01 09:00:00"],
            "dates in digits",
        ),
        (
            ["202401311405", "20240201"],
            ["2024-01-31 14:05:00", "2024-02-01 00:00:00"],
            "dates in digits",
        ),
        (["20240131140559"], ["2024-01-31 14:05:59"], "dates in digits"),
        (["202401", "202402"], ["2024-01-01 00:00:00", "2024-02-01 00:00:00"], "dates in digits"),
        (
            ["45322.5833", "45323.25"],
            ["2024-01-31 13:59:57", "2024-02-01 06:00:00"],
            "serial days of a spreadsheet",
        ),
        (["1706709600"], ["2024-01-31 14:00:00"], "an epoch, seconds or finer since 1970"),
        (["1706709600000"], ["2024-01-31 14:00:00"], "an epoch, seconds or finer since 1970"),
        (["1706709600000000"], ["2024-01-31 14:00:00"], "an epoch, seconds or finer since 1970"),
        (["86400"], ["1970-01-02 00:00:00"], "an epoch, counted from 1970 on: no value lies after 1989"),
    ],
)
def test_digits_are_read_by_the_whole_column_and_told_with_an_example(
    tmp_path: Path, dates: list[str], right: list[str], how: str
) -> None:
    dataset = convert(tmp_path, dates)
    assert times(dataset) == right
    [note] = [count for count in dataset.report.notes if "before 1990" not in count.reason]
    assert (note.reason, note.rows) == (f"column 'date' is read as {how}", len(dates))
    assert note.example == f"'{dates[0]}' is {right[0]}"
    # The same in a typed file, and in a table.
    numbers = pa.array([float(date) for date in dates])
    assert [
        str(at).replace("T", " ") for at in as_times(numbers, UTC).ms.astype("datetime64[ms]").astype("M8[s]")
    ] == right
    pq.write_table(pa.table({"client": ["k"] * len(dates), "date": numbers}), tmp_path / "shop.parquet")
    typed = load_columns(tmp_path / "shop.parquet", columns=COLUMNS, types={"*": "view_item"})
    assert (times(typed), typed.report.notes[0].reason) == (right, note.reason)


def test_digits_of_a_calendar_are_times_of_the_shop(tmp_path: Path) -> None:
    assert times(convert(tmp_path, ["20240731"], zone="Europe/Berlin")) == ["2024-07-30 22:00:00"]
    assert times(convert(tmp_path, ["45504.5"], zone="Europe/Berlin")) == ["2024-07-31 10:00:00"]


@pytest.mark.parametrize(
    ("dates", "odd"),
    [
        (["20240131", "20240201", "0"], "0"),
        (["1706709600", "1706709601", "0", "1706709602"], "0"),
        (["1706709600", "1706709601", "20240131"], "20240131"),
        (["2024013114", "2024013115", "2024013125"], "2024013125"),
    ],
)
def test_digits_that_do_not_fit_their_column_are_no_time(tmp_path: Path, dates: list[str], odd: str) -> None:
    [count] = convert(tmp_path, dates).report.dropped
    assert (count.reason, count.rows) == ("unreadable time", 1)
    assert count.example is not None
    assert f"'{odd}'" in count.example


def test_signs_of_digits_are_added() -> None:
    first, second = digit_signs(np.array([2024013125.0])), digit_signs(np.array([2024013114.0, 2024020109.0]))
    assert [first.form(), (first + second).form(), (second + first).form()] == [
        "epoch",
        "calendar",
        "calendar",
    ]


def test_a_given_form_wins_for_digits_too(tmp_path: Path) -> None:
    assert times(convert(tmp_path, ["20240201"], time_format="%Y%d%m")) == ["2024-01-02 00:00:00"]
    path = tmp_path / "shop.parquet"
    pq.write_table(pa.table({"client": ["k"], "date": [20240201]}), path)
    dataset = load_columns(path, columns=COLUMNS, types={"*": "view_item"}, time_format="%Y%d%m")
    assert times(dataset) == ["2024-01-02 00:00:00"]


@pytest.mark.parametrize("given", ["%Q", "%d.%m.%Y %", "%d %d"])
def test_a_form_that_is_none_is_an_error_before_any_work(tmp_path: Path, given: str) -> None:
    with pytest.raises(DatasetError, match=re.escape(f"the form of times {given!r}")):
        convert(tmp_path, ["20240131"], time_format=given)


@pytest.mark.parametrize("text", ["3 may", "may", "3 may 14:05"])
def test_a_date_without_a_year_is_no_time(tmp_path: Path, text: str) -> None:
    [count] = convert(tmp_path, ["3 may 2024", text]).report.dropped
    assert count.reason == "unreadable time"
    assert read_dates(pd.Series(["3 may 2024", text])).values.isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("text", "right"),
    [("3 may 24", "2024-05-03"), ("May 2024", "2024-05-01"), ("may 3, 2024 14:05", "2024-05-03 14:05")],
)
def test_a_month_by_its_name_with_a_year_is_read(tmp_path: Path, text: str, right: str) -> None:
    assert times(convert(tmp_path, [text]))[0].startswith(right)


def test_a_year_of_two_digits_is_told_with_an_example(tmp_path: Path) -> None:
    note = convert(tmp_path, ["01-02-2003", "25-02-03"]).report.notes[0]
    assert (note.reason, note.rows) == ("column 'date' is read as dates, day first", 2)
    assert note.example == "'25-02-03' is 2003-02-25 00:00:00"


def test_serial_days_of_online_retail_are_read(tmp_path: Path) -> None:
    path = tmp_path / "retail.csv"
    path.write_text(
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
        "536365,85123A,HEART,6,40513.35139,2.55,17850,United Kingdom\n"
    )
    dataset = load_online_retail(path)
    assert dataset.report.first_time.replace(microsecond=0) == dt.datetime(
        2010, 12, 1, 8, 26, 0, tzinfo=dt.UTC
    )
    assert any(
        note.reason == "column 'InvoiceDate' is read as serial days of a spreadsheet"
        for note in dataset.report.notes
    )


@pytest.mark.parametrize("kind", [pa.duration("ms"), pa.time64("us")])
def test_what_is_no_moment_is_no_time(kind: pa.DataType) -> None:
    assert as_times(pa.array([3_600_000], kind), ZoneInfo("UTC")).bad.all()
