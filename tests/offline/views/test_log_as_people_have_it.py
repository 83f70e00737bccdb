"""What chapters make of a log with lonely dates, repetitions, rows out of order, and two currencies."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.log import LOG_SCHEMA, read_log
from offline.chapters.forecast.series import daily
from offline.chapters.workspace import Workspace
from offline.examples.buckets import BuildSettings, build_folder
from offline.examples.buckets.reading import read_folder
from offline.examples.examples import Context, build_examples
from offline.exceptions import TrainingError
from offline.views.tidy_log import read_tidy_log

DAY = 86_400_000
START = 19_700 * DAY
TIME = LOG_SCHEMA.field("event_time").type
CONTEXT = Context(7 * DAY, "next-day")


def orders(count: int = 400, days: int = 100) -> dict[str, pa.Array]:
    """Return orders without their arrival, sorted by time."""
    rng = np.random.default_rng(3)
    times = np.sort(START + rng.integers(0, days * DAY, count))
    return {
        "event_id": pa.array([f"e{at}" for at in range(count)]),
        "type": pa.array(["purchase"] * count),
        "customer_id": pa.array([f"k{at}" for at in rng.integers(0, 60, count)]),
        "event_time": pa.array(times).cast(TIME),
        "value": pa.array(np.full(count, 40.0)),
        "currency": pa.array(["EUR"] * count),
    }


def write(path: Path, columns: dict[str, pa.Array], rows: np.ndarray | None = None) -> Path:
    table = pa.table(columns)
    pq.write_table(table if rows is None else table.take(rows), path, row_group_size=150)
    return path


def with_date(columns: dict[str, pa.Array], at: int, ms: int) -> dict[str, pa.Array]:
    times = columns["event_time"].cast(pa.int64()).to_numpy().copy()
    times[at] = ms
    return columns | {"event_time": pa.array(times).cast(TIME)}


@pytest.mark.parametrize("odd", [1, 4_874_000_000_000, 253_402_300_799_999])
def test_a_lonely_date_changes_no_label_no_watermark_and_no_series(tmp_path: Path, odd: int) -> None:
    columns = orders()
    rest = np.delete(np.arange(400), 200)
    right = build_examples(read_log(write(tmp_path / "right.parquet", columns, rest)), CONTEXT)
    path = write(tmp_path / "odd.parquet", with_date(columns, 200, odd))
    found = build_examples(read_log(path), CONTEXT)
    assert found.refused == 1
    for name in ("as_of", "labels", "vectors", "event_time"):
        np.testing.assert_array_equal(getattr(found, name), getattr(right, name), name)
    workspace = Workspace(path, tmp_path)
    assert len(daily(workspace.customer_view)) <= 100
    assert any("left out" in note for note in workspace.notes)


def test_a_folder_of_examples_leaves_out_and_sorts_the_same(tmp_path: Path) -> None:
    columns = with_date(orders(), 200, 4_874_000_000_000)
    shuffled = np.random.default_rng(1).permutation(400)
    path = write(tmp_path / "log.parquet", columns, shuffled)
    notes: list[str] = []
    settings = BuildSettings(workers=1)
    settings = settings._replace(asked=settings.asked._replace(horizon_ms=7 * DAY))
    build_folder(path, tmp_path / "folder", settings, on_note=notes.append)
    found, right = read_folder(tmp_path / "folder").examples, build_examples(read_log(path), CONTEXT)
    for field in dataclasses.fields(right):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(right, field.name), field.name)
    assert [("put in order" in note, "2124" in note) for note in notes] == [(True, False), (False, True)]


def test_rows_of_a_log_without_arrival_are_sorted_and_said(tmp_path: Path) -> None:
    columns = orders()
    right = read_log(write(tmp_path / "right.parquet", columns))
    notes: list[str] = []
    path = write(tmp_path / "shuffled.parquet", columns, np.random.default_rng(1).permutation(400))
    assert read_log(path, notes.append).equals(right)
    assert len(notes) == 1
    assert "rows were put in order of event time" in notes[0]
    # Where the arrival is known, the order of rows is that of arrival.
    write(path, columns | {"arrived_at": columns["event_time"]}, np.arange(400)[::-1])
    assert read_log(path, notes.append)["event_id"][0].as_py() == "e399"
    assert len(notes) == 1


def test_a_repeated_event_is_counted_once_in_every_chapter(tmp_path: Path) -> None:
    rows = np.concatenate([np.arange(400), np.arange(400)])
    tidy = read_tidy_log(write(tmp_path / "log.parquet", orders(), rows))
    assert len(tidy.log) == 400
    assert "400 rows repeat an event_id" in tidy.notes[-1]
    # The same id of another customer is another event.
    columns = orders() | {
        "event_id": pa.array(["e"] * 400),
        "customer_id": pa.array([f"k{at}" for at in range(400)]),
    }
    assert read_tidy_log(write(tmp_path / "log.parquet", columns)).notes == ()


def test_another_currency_is_left_out_of_money_and_said(tmp_path: Path) -> None:
    columns = orders() | {
        "currency": pa.array(["eur", "USD"] * 190 + ["EUR"] * 20),
        "value": pa.array([40.0, 5.0] * 190 + [40.0] * 20),
    }
    workspace = Workspace(write(tmp_path / "log.parquet", columns), tmp_path)
    view = workspace.customer_view
    assert workspace.context.currency == "EUR"
    assert (len(view.orders), view.orders["value"].median()) == (210, 40.0)
    assert workspace.notes == ("190 orders in USD are left out of money, which is counted in EUR.",)


def test_a_log_without_events_is_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "log.parquet", orders(), np.zeros(0, np.int64))
    with pytest.raises(TrainingError, match=r"log\.parquet has no events"):
        read_tidy_log(path)


def test_times_finer_than_a_millisecond_are_cut(tmp_path: Path) -> None:
    columns = orders()
    fine = pa.array(columns["event_time"].cast(pa.int64()).to_numpy() * 1000 + 999, pa.timestamp("us"))
    path = write(tmp_path / "log.parquet", columns | {"event_time": fine})
    assert read_log(path)["event_time"].combine_chunks().equals(columns["event_time"])
