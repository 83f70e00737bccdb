"""The account of a conversion adds up, whatever stands in the file, and shows where to look."""

from __future__ import annotations

import contextlib
import csv
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from offline.datasets import DatasetError, load_columns
from tests.damage.ways import ODD_CELLS

FIELDS = (
    "customer_id",
    "event_time",
    "type",
    "order_id",
    "item_id",
    "price",
    "quantity",
    "value",
    "currency",
)
GOOD = (
    ["k1", "k2"], ["2024-01-31 10:00", "2024-02-01", "1706709600"], ["purchase", "refund", "search", "scroll"],
    ["o1", "o2", ""], ["sku-1", "sku-2", ""], ["1.5", "-1", "10"], ["1", "2", "0.5"], ["", "3", "-4"], ["EUR", "usd"],
)  # fmt: skip
CELLS = [st.one_of(st.sampled_from(good), st.sampled_from(ODD_CELLS)) for good in GOOD]
MOSTLY_GOOD = [st.one_of(*[st.sampled_from(good)] * 6, st.sampled_from(ODD_CELLS)) for good in GOOD]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.one_of(st.tuples(*CELLS), st.tuples(*MOSTLY_GOOD)), min_size=1, max_size=12))
def test_every_row_is_an_event_merged_or_dropped_with_a_reason_and_an_example(
    tmp_path: Path, rows: list[tuple[str, ...]]
) -> None:
    path = tmp_path / "shop.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerows([FIELDS, *rows])
    with contextlib.suppress(DatasetError):  # nothing is left, which it says
        dataset = load_columns(path, columns={name: name for name in FIELDS})
        report = dataset.report
        assert report.rows == report.events + report.merged + sum(count.rows for count in report.dropped)
        assert report.events == dataset.log().num_rows
        assert all(count.example for count in report.dropped)


def convert(folder: Path, rows: str) -> dict[str, tuple[int, str | None]]:
    path = folder / "shop.csv"
    path.write_text("customer_id,event_time,order_id,price\nk0,2024-01-31,1,1.5\n" + rows)
    columns = {name: name for name in ("customer_id", "event_time", "order_id", "price")}
    report = load_columns(path, columns=columns, types={"*": "purchase"}).report
    return {count.reason: (count.rows, count.example) for count in (*report.dropped, *report.notes)}


@pytest.mark.parametrize(
    ("row", "reason", "example"),
    [
        ("nan,2024-01-31,2,1.5", "no customer", "shop.csv, row 2, column 'customer_id': missing"),
        ("k1,2024-01-31,2,nan", "word in column 'price' that stands for a missing value", "shop.csv: 'nan'"),
        ("k1,2024-01-31,2,1e308", "price above 1,000,000,000", "shop.csv, row 2, column 'price': '1e308'"),
        ("k1,2024-01-31,2,1e400", "price above 1,000,000,000", "shop.csv, row 2, column 'price': '1e400'"),
        ("k1,2024-01-31,2,-5", "line of an order whose discounts exceed its goods", "shop, row 2"),
        ("1.2E+12,2024-01-31,2,1", "identifier that a tool has rounded", "column 'customer_id': '1.2E+12'"),
        ("1.2e12,2024-01-31,2,1", "identifier that a tool has rounded", "column 'customer_id': '1.2e12'"),
        ("1e400,2024-01-31,2,1", "identifier that may be a rounded number: kept as it is", "'1e400'"),
        ("-inf,2024-01-31,2,1", "identifier that may be a rounded number: kept as it is", "'-inf'"),
    ],
)
def test_what_happened_to_a_row_is_named_with_its_value(
    tmp_path: Path, row: str, reason: str, example: str
) -> None:
    found = convert(tmp_path, row + "\n")
    assert found[reason][0] == 1
    assert example in str(found[reason][1])


def test_ids_that_a_column_of_floats_turned_into_infinity_are_refused_and_texts_stay(tmp_path: Path) -> None:
    texts = ["1e400", "1e5", "Infinity", "17850"]
    found = {}
    for ids in (texts, [float(text) for text in texts]):
        path = tmp_path / "shop.parquet"
        pq.write_table(pa.table({"customer_id": ids, "event_time": ["2024-01-31"] * 4}), path)
        columns = {name: name for name in ("customer_id", "event_time")}
        dataset = load_columns(path, columns=columns, types={"*": "purchase"})
        counts = (*dataset.report.dropped, *dataset.report.notes)
        told = [(count.reason, count.rows, count.example) for count in counts]
        found[type(ids[0])] = dataset.log()["customer_id"].to_pylist(), told
    kept, told = found[str]
    assert kept == texts
    assert ("identifier that may be a rounded number: kept as it is", 3) in [one[:2] for one in told]
    kept, told = found[float]
    assert kept == ["100000", "17850"]
    assert ("no customer", 2, "shop.parquet, row 1, column 'customer_id': 'inf'") in told


def test_a_point_that_a_decimal_comma_makes_one_between_thousands_is_told(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text(
        "customer_id;event_time;price\nk1;2024-01-31;1.299\nk2;2024-01-31;2.450\nk3;2024-01-31;12,50\n"
    )
    columns = {name: name for name in ("customer_id", "event_time", "price")}
    dataset = load_columns(path, columns=columns, types={"*": "purchase"})
    assert dataset.log()["price"].to_pylist() == [1299.0, 2450.0, 12.5]
    notes = {note.reason: (note.rows, note.example) for note in dataset.report.notes}
    told = notes["column 'price': a point is read as one between thousands"]
    assert told == (2, "'1.299' is 1299")


def test_a_point_that_could_stand_between_thousands_is_told(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text("customer_id,event_time,price\nk1,2024-01-31,1.500 €\nk2,2024-01-31,2.250 €\n")
    columns = {name: name for name in ("customer_id", "event_time", "price")}
    dataset = load_columns(path, columns=columns, types={"*": "purchase"})
    [note] = [note for note in dataset.report.notes if "is read as" in note.reason]
    assert note.reason == (
        "column 'price' is read as numbers, 1.500 as one and a half (no value tells which), in €"
    )
    assert dataset.log()["price"].to_pylist() == [1.5, 2.25]
