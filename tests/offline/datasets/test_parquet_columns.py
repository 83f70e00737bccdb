"""Columns of Parquet files of any type: read, or named in one line."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.log import LOG_SCHEMA, read_log
from offline.chapters.exploration.country_names import country_code
from offline.chapters.recommendation.interactions import Interactions
from offline.datasets import DatasetError, load_columns
from offline.problems import TableError, read_problem_from_table
from offline.problems.table_files import read_table

ROWS = 60
READ = {
    "bytes": pa.array([b"k1", b"k2"] * 30),
    "fixed": pa.array([b"k1", b"k2"] * 30, pa.binary(2)),
    "whole": pa.array([Decimal(13085), Decimal(99)] * 30, pa.decimal128(20, 0)),
    "money": pa.array([Decimal("1.50"), Decimal("2.25")] * 30, pa.decimal128(9, 2)),
    "took": pa.array([dt.timedelta(seconds=1.5), dt.timedelta(seconds=2)] * 30, pa.duration("us")),
    "clock": pa.array([dt.time(14, 5), dt.time(15)] * 30, pa.time64("us")),
    "half": pa.array(np.array([1, 2] * 30, np.float16)),
    "view": pa.array(["k1", "k2"] * 30, pa.string_view()),
    "words": pa.array(["k1", "k2"] * 30).dictionary_encode(),
}
REFUSED = {
    "blob": pa.array([b"\x80", b"\xff"] * 30),
    "list": pa.array([["k1"], ["k2"]] * 30),
    "record": pa.array([{"id": "k1"}, {"id": "k2"}] * 30),
    "map": pa.array([[("a", 1)], [("b", 2)]] * 30, pa.map_(pa.string(), pa.int64())),
}


def write(path: Path, values: pa.Array) -> Path:
    when = pa.array([1_706_695_200_123_456] * ROWS).cast(pa.timestamp("us"))
    pq.write_table(pa.table({"x": values, "when": when, "bought": pa.array([True, False, False] * 20)}), path)
    return path


@pytest.mark.parametrize("name", READ)
def test_a_type_is_read_by_convert_and_in_a_table(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "t.parquet", READ[name])
    dataset = load_columns(path, columns={"customer_id": "x", "event_time": "when"}, types={"*": "search"})
    assert dataset.report.events == ROWS
    assert dataset.report.customers == 2
    assert dataset.log()["event_time"][0].as_py().microsecond == 123_000
    assert read_table(path).frame["x"].nunique() == 2


def test_durations_of_a_table_are_seconds_and_said(tmp_path: Path) -> None:
    frame, notes = read_table(write(tmp_path / "t.parquet", READ["took"]))
    assert frame["x"].tolist()[:2] == [1.5, 2.0]
    assert notes == ("Column 'x' holds durations: they are read as seconds.",)


@pytest.mark.parametrize("name", REFUSED)
def test_a_type_that_cannot_be_read_is_named_in_one_line(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "t.parquet", REFUSED[name])
    pattern = r"t\.parquet: column 'x' is of the type [^\n]+, which cannot be read as text, number or time"
    with pytest.raises(DatasetError, match=pattern):
        load_columns(path, columns={"customer_id": "x", "event_time": "when"}, types={"*": "search"})
    with pytest.raises(TableError, match=pattern):
        read_problem_from_table(path)


def test_an_index_is_no_column_and_rows_are_counted_from_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"spend": rng.random(ROWS), "bought": rng.random(ROWS) < 0.5})
    frame.loc[7, "spend"] = np.inf
    frame.sample(frac=1, random_state=2).to_parquet(tmp_path / "t.parquet")
    reading = read_problem_from_table(tmp_path / "t.parquet")
    assert list(reading.problem.columns) == ["spend"]
    assert "The index that pandas saved is left out: it only numbers the rows." in reading.notes
    odd = int(np.flatnonzero(reading.problem.columns["spend"].isna())[0])
    assert any(f"row {odd + 1}" in note for note in reading.notes)


def test_lines_of_orders_without_an_item_are_passed_over(tmp_path: Path) -> None:
    lines = [[{"item_id": f"i{at % 9}", "price": 1.0}, {"item_id": None, "price": 2.0}] for at in range(200)]
    log = pa.table(
        {
            "event_id": [f"e{at}" for at in range(200)],
            "type": ["purchase"] * 200,
            "customer_id": [f"k{at % 20}" for at in range(200)],
            "event_time": pa.array(range(1, 201), pa.int64()).cast(LOG_SCHEMA.field("event_time").type),
            "items": lines,
        }
    )
    pq.write_table(log, tmp_path / "log.parquet")
    known = Interactions.of(read_log(tmp_path / "log.parquet"))
    assert (len(known), len(known.item_ids)) == (200, 9)


def test_a_country_with_a_typographic_apostrophe_is_found() -> None:
    assert (
        country_code("Côte d\N{RIGHT SINGLE QUOTATION MARK}Ivoire") == country_code("Cote d'Ivoire") == "CI"
    )


def test_namibia_stays_beside_one_unknown_country(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text("user,ts,land\na,2024-01-01,NA\nb,2024-01-01,DE\nc,2024-01-01,FR\nd,2024-01-01,Unknown\n")
    columns = {"customer_id": "user", "event_time": "ts", "country": "land"}
    log = load_columns(path, columns=columns, types={"*": "search"}).log()
    assert log["country"].to_pylist() == ["NA", "DE", "FR", "Unknown"]
