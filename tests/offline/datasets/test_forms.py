"""How columns of texts are read: forms decided for a whole column, words that are missing, CSV layouts."""

from __future__ import annotations

import datetime as dt
import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from offline.datasets import Dataset, load_columns
from offline.datasets.conversion import DatasetError
from offline.datasets.csv_bytes import detect_encoding
from offline.datasets.csv_files import csv_layout
from offline.datasets.date_digits import calendar_digits
from offline.datasets.dates import DateForm, date_signs
from offline.datasets.numbers import NumberForm, as_numbers, number_signs

COLUMNS = {"customer_id": "user", "event_time": "ts", "price": "price"}


def convert(path: Path, **more: str) -> Dataset:
    return load_columns(path, columns=COLUMNS | more, types={"*": "view_item"})


def test_the_form_is_that_of_all_files_and_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offline.datasets.csv_files._BLOCK_BYTES", 256)
    early = "".join(f"u{i};02/03/2025;1.000\n" for i in range(200))
    (tmp_path / "a.csv").write_text("user;ts;price\n" + early)
    (tmp_path / "b.csv").write_text("user;ts;price\nlast;13/03/2025;2,50\n")
    log = convert(tmp_path).log()
    assert set(log["event_time"].to_pylist()) == {
        dt.datetime(2025, 3, 2, tzinfo=dt.UTC),
        dt.datetime(2025, 3, 13, tzinfo=dt.UTC),
    }
    assert set(log["price"].to_pylist()) == {1000.0, 2.5}


def test_what_was_decided_is_noted_with_the_number_of_values(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text("user;ts;price\na;02/03/2025;19,90 €\nb;2025-03-04;5\n")
    notes = {note.reason: note.rows for note in convert(path).report.notes}
    assert notes == {
        "column 'ts' is read as dates, month first (no value tells which)": 1,
        "column 'price' is read as numbers with a decimal comma, in €": 1,
    }


def test_a_given_form_of_times_is_the_only_one_with_day_and_month_in_numbers(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text("user,ts,price\na,03.02.2025,1\nb,13.02.2025,1\n")
    dataset = load_columns(path, columns=COLUMNS, types={"*": "view_item"}, time_format="%m.%d.%Y")
    assert dataset.log()["event_time"].to_pylist() == [dt.datetime(2025, 3, 2, tzinfo=dt.UTC)]
    assert [(count.reason, count.rows) for count in dataset.report.dropped] == [("unreadable time", 1)]


def test_dates_with_day_and_month_in_numbers_are_read_in_the_zone_of_the_shop(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text("user,ts,price\na,03.07.2025 14:05,1\nb,20250703,1\nc,26.10.2025 02:30,1\n")
    dataset = load_columns(path, columns=COLUMNS, types={"*": "view_item"}, timezone="Europe/Berlin")
    assert [time.isoformat() for time in dataset.log()["event_time"].to_pylist()] == [
        "2025-07-02T22:00:00+00:00",
        "2025-07-03T12:05:00+00:00",
        "2025-10-26T00:30:00+00:00",
    ]
    assert "time that the clock showed twice in autumn: read as the first" in {
        note.reason for note in dataset.report.notes
    }


def test_a_type_that_is_mapped_is_a_name_and_not_a_missing_value(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text("user,ts,event\na,5,none\nb,6,-\n")
    columns = {"customer_id": "user", "event_time": "ts", "type": "event"}
    dataset = load_columns(path, columns=columns, types={"none": "view_item"})
    assert dataset.report.by_type == {"view_item": 1}
    assert [count.reason for count in dataset.report.dropped] == ["no type"]


@pytest.mark.parametrize(
    ("numbers", "days"),
    [
        ([20250203, 20250229, 19000101, 21010101], ["2025-02-03", None, "1900-01-01", None]),
        ([202502031405, 202502032405], ["2025-02-03T14:05", None]),
        ([20250203140559, 20250203140560], ["2025-02-03T14:05:59", None]),
        ([2025, 1899, 1738591500, 1738591500000, 20250203.5, -20250203], ["2025-01-01", *[None] * 5]),
    ],
)
def test_digits_that_are_a_date_of_the_calendar_are_not_an_epoch(
    numbers: list[float], days: list[str | None]
) -> None:
    ms, found = calendar_digits(np.array(numbers, dtype=np.float64))
    assert found.tolist() == [day is not None for day in days]
    assert [str(np.datetime64(int(at), "ms")) for at in ms[found]] == [
        str(np.datetime64(day, "ms")) for day in days if day
    ]


def test_signs_of_blocks_are_added() -> None:
    first, second = (
        pa.array(texts) for texts in (["01.02.2025"], ["13.02.2025", "02.14.2025", "14.02.2025"])
    )
    assert date_signs(first).form() == DateForm(day_first=True, sure=False)
    assert (date_signs(first) + date_signs(second)).form() == DateForm(day_first=True)
    commas, points = number_signs(pa.array(["1,5", "2,5 €"])), number_signs(pa.array(["1.5"] * 3 + ["1 $"]))
    assert commas.form() == NumberForm(comma=True, unit="€")
    assert (commas + points).form() == NumberForm()


def test_numbers_of_a_file_with_types_are_taken_as_they_are() -> None:
    for values in (pa.array([1, None]), pa.array([1.0, float("nan")]), pa.array([True, None])):
        numbers, bad = as_numbers(values)
        assert (numbers[0], np.isnan(numbers[1]), bad.tolist()) == (1.0, True, [False, False])
    assert as_numbers(pa.array([float("inf")]))[1].tolist() == [True]
    assert as_numbers(pa.array([dt.date(2025, 2, 3)]))[1].tolist() == [True]


@pytest.mark.parametrize(
    ("written", "name"),
    [("utf-8", "utf8"), ("utf-8-sig", "utf8"), ("utf-16", "utf-16"), ("cp1252", "cp1252")],
)
def test_an_encoding_is_recognised(tmp_path: Path, written: str, name: str) -> None:
    for path, opened in ((tmp_path / "a.csv", open), (tmp_path / "a.csv.gz", gzip.open)):
        with opened(path, "wb") as file:
            file.write("straße ; wert\nKöln;1\n".encode(written))
        assert detect_encoding(path) == name
        assert csv_layout(path, name).columns == ("straße", "wert")


def test_unicode_text_of_a_spreadsheet_is_read_without_naming_its_encoding(tmp_path: Path) -> None:
    path = tmp_path / "shop.txt"
    path.write_text("user\tts\tprice\nJürgen\t03.02.2025\t1,5\n", encoding="utf-16")
    [event] = convert(path).log().to_pylist()
    assert (event["customer_id"], event["price"]) == ("Jürgen", 1.5)


@pytest.mark.parametrize(
    "written",
    [
        "20250203T140500+0100",
        "20250203T130500Z",
        "2025-02-03T13:05:00,0Z",
        "2025-02-03 2:05 PM +01:00",
        "03.02.2025 2:05 PM +01:00",
        "Mon Feb 03 2025 14:05:00 GMT+0100 (CET)",
        "Mon Feb 03 2025 14:05:00 GMT+0100",
    ],
)
def test_a_time_that_names_its_zone_is_read_in_it(tmp_path: Path, written: str) -> None:
    path = tmp_path / "shop.csv"
    path.write_text(f'user,ts,price\na,"{written}",1\n')
    for timezone in ("UTC", "Europe/Berlin"):
        log = load_columns(path, columns=COLUMNS, types={"*": "view_item"}, timezone=timezone).log()
        assert log["event_time"].to_pylist() == [dt.datetime(2025, 2, 3, 13, 5, tzinfo=dt.UTC)], timezone


@pytest.mark.parametrize(
    ("written", "values"),
    [
        (("1.234.567", "1.234", "2.500", "12"), [1_234_567.0, 1234.0, 2500.0, 12.0]),
        (("1,234,567", "1,234", "2,500", "12"), [1_234_567.0, 1234.0, 2500.0, 12.0]),
    ],
)
def test_two_groups_of_thousands_tell_the_decimal_sign(
    tmp_path: Path, written: tuple[str, ...], values: list[float]
) -> None:
    path = tmp_path / "shop.csv"
    rows = "".join(f"a;2025-02-0{at};{price}\n" for at, price in enumerate(written, 1))
    path.write_text("user;ts;price\n" + rows)
    assert convert(path).log()["price"].to_pylist() == values


def test_line_ends_of_old_macs_are_read(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_bytes(b"user,ts,price\ra,2025-02-03,1\rb,2025-02-04,2\r")
    assert convert(path).log()["price"].to_pylist() == [1.0, 2.0]


def test_a_header_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text("u" * 200_000 + ",ts,price\na,2025-02-03,1\n")
    with pytest.raises(DatasetError, match=r"cannot read \S+/shop\.csv: field larger than field limit"):
        convert(path)
