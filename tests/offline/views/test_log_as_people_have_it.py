"""What chapters make of a log with lonely dates, repetitions, rows out of order, and two currencies."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.log import LOG_SCHEMA, read_log
from offline.chapters.budget.moments import moment_at
from offline.chapters.budget.section import _order_value
from offline.chapters.exploration.channels import channels
from offline.chapters.exploration.customers import buyers
from offline.chapters.exploration.overview import overview
from offline.chapters.exploration.trends import trends
from offline.chapters.exploration.worldmap import countries
from offline.chapters.forecast.series import daily
from offline.chapters.insight.high_value import high_value
from offline.chapters.insight.lifetime_check import check_lifetime, lifetime_values
from offline.chapters.opening.cards import cards_of_log
from offline.chapters.products.next_order import next_order
from offline.chapters.segments.history import history_at
from offline.chapters.segments.movement import movement
from offline.chapters.segments.segmented import group_customers, segment_customers
from offline.chapters.workspace import LabOptions, Workspace
from offline.examples.buckets import BuildSettings, build_folder
from offline.examples.buckets.reading import read_folder
from offline.examples.examples import Context, build_examples
from offline.exceptions import TrainingError
from offline.views.tidy_log import foreign_money, read_tidy_log

DAY = 86_400_000
DAYS = pd.Timedelta(days=1)
START = 19_700 * DAY
TIME = LOG_SCHEMA.field("event_time").type
CONTEXT = Context(7 * DAY, "next-day")
BUILDING = BuildSettings(workers=1)
BUILDING = BUILDING._replace(asked=BUILDING.asked._replace(horizon_ms=7 * DAY))


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
    build_folder(path, tmp_path / "folder", BUILDING, on_note=notes.append)
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


def test_shuffled_rows_with_their_arrival_are_read_in_order_of_arrival(tmp_path: Path) -> None:
    columns = orders()
    arrivals = columns["event_time"].cast(pa.int64()).to_numpy() + np.arange(400) % 7 * 60_000
    columns |= {"arrived_at": pa.array(arrivals).cast(TIME)}
    right = read_log(write(tmp_path / "right.parquet", columns, np.argsort(arrivals, kind="stable")))
    shuffled = np.random.default_rng(1).permutation(400)
    path, notes = write(tmp_path / "shuffled.parquet", columns, shuffled), list[str]()
    assert read_log(path, notes.append).equals(right)
    assert ["were put in order of arrival" in note for note in notes] == [True]
    build_folder(path, tmp_path / "folder", BUILDING, on_note=notes.append)
    found, wanted = read_folder(tmp_path / "folder").examples, build_examples(right, CONTEXT)
    np.testing.assert_array_equal(found.vectors, wanted.vectors)
    assert found.refused == wanted.refused == 0
    reading = Workspace(path, tmp_path).reading
    assert sum("known label" in note for note in reading.notes) == 1
    assert not any("too late" in note for note in reading.notes)


def test_a_log_whose_events_really_came_late_says_how_many_and_what_to_do(tmp_path: Path) -> None:
    columns = orders()
    loaded = pa.array(np.full(400, START + 200 * DAY)).cast(
        TIME
    )  # when they were loaded, not when they arrived
    rows = np.random.default_rng(1).permutation(400)
    path = write(tmp_path / "log.parquet", columns | {"arrived_at": loaded}, rows)
    refused = build_examples(read_log(path), CONTEXT).refused
    assert refused > 350
    said = f"{refused} of 400 events are left out, as the worker does"
    assert said in Workspace(path, tmp_path).one_outcome
    assert "leave that column out" in Workspace(path, tmp_path).one_outcome
    notes: list[str] = []
    build_folder(path, tmp_path / "folder", BUILDING, on_note=notes.append)
    assert [said in note for note in notes] == [True]


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


def test_bots_and_the_shops_own_people_are_left_out_of_every_chapter_and_said(tmp_path: Path) -> None:
    columns = orders()
    ids = columns["customer_id"].to_pylist()
    machine, staff = ids[0], ids[1]
    marked = pa.array([one == machine or None for one in ids], pa.bool_())
    path = write(tmp_path / "log.parquet", columns | {"bot": marked})
    workspace = Workspace(path, tmp_path, LabOptions(excluded=frozenset({staff})))
    of_machine, of_staff = ids.count(machine), ids.count(staff)
    assert f"Left out as bots (`bot`): {of_machine} events of 1 customer." in workspace.notes
    assert f"own people (INTENT_EXCLUDED_CUSTOMERS): {of_staff} events of 1 customer." in workspace.notes[1]
    left = set(ids) - {machine, staff}
    assert set(workspace.customer_names) == left
    assert len(workspace.customer_view.orders) == sum(one in left for one in ids)
    assert set(workspace.log["customer_id"].to_pylist()) == left
    assert workspace.notes[0] in workspace.reading.notes
    everybody = write(tmp_path / "bots.parquet", columns | {"bot": pa.array([True] * len(ids))})
    with pytest.raises(TrainingError, match="has no events of customers: Left out as bots"):
        read_tidy_log(everybody)


def test_another_currency_is_left_out_of_money_and_said(tmp_path: Path) -> None:
    columns = orders() | {
        "currency": pa.array(["eur", "USD"] * 190 + ["EUR"] * 20),
        "value": pa.array([40.0, 5.0] * 190 + [40.0] * 20),
    }
    workspace = Workspace(write(tmp_path / "log.parquet", columns), tmp_path)
    view = workspace.customer_view
    assert workspace.context.currency == "EUR"
    assert (len(view.orders), view.orders["value"].count(), view.orders["value"].median()) == (400, 210, 40.0)
    said = "190 orders in USD count as orders; only their amounts are left out of money, which is counted in EUR."
    assert workspace.notes == (said,)
    sentence = overview(view).summary[1]
    assert sentence.startswith("400 orders by ")
    assert "210 of them in EUR and worth 8,400 EUR; there the median order is 40.00 EUR, " in sentence
    one = pa.table(columns | {"currency": pa.array(["USD"] + ["EUR"] * 399)})
    assert foreign_money(one, "EUR") == [
        "1 order in USD counts as an order; only its amount is left out of money, which is counted in EUR."
    ]


def test_who_pays_in_another_currency_is_a_customer_as_any_other(tmp_path: Path) -> None:
    columns = orders()
    customers = columns["customer_id"].to_pylist()
    dollars = [customer.endswith(("1", "2")) for customer in customers]  # a fifth of the customers
    rng = np.random.default_rng(5)
    columns["value"] = pa.array(rng.gamma(3.0, 15.0, 400))
    mixed = columns | {"currency": pa.array(["USD" if other else "EUR" for other in dollars])}
    plain, other = (
        Workspace(write(tmp_path / f"{name}.parquet", made), tmp_path).customer_view
        for name, made in (("plain", columns), ("mixed", mixed))
    )
    # Whatever is counted is the same; only money is that of the others.
    for count in (lambda view: len(daily(view)), lambda view: daily(view).frame["orders"].sum(),
                  lambda view: len(view.customers), lambda view: view.customers["frequency"].sum(),
                  lambda view: cards_of_log(view)[0].value, lambda view: cards_of_log(view)[2].value,
                  lambda view: next_order(view).figures["after"]["customers"].tolist(),
                  lambda view: overview(view).figures["orders"],
                  lambda view: moment_at(view, view.last - pd.Timedelta(days=30), 30 * DAYS).bought.sum()):  # fmt: skip
        assert count(other) == count(plain)
    money = other.customers["monetary"]
    assert money.isna().sum() == len({c for c, some in zip(customers, dollars, strict=True) if some})
    assert money.sum() == pytest.approx(columns["value"].to_numpy()[~np.array(dollars)].sum())
    moment = other.last + pd.Timedelta(seconds=1)
    assert (history_at(other, moment)["monetary"].isna() == money.isna()).all()
    groups = group_customers(other)
    assert len(groups.members) == len(plain.customers)
    assert np.isfinite(groups.points).all()
    said = dict(zip(groups.names, groups.descriptions, strict=True))
    loyal = groups.frame[groups.members == groups.names.index("Loyal customers")]
    assert loyal["monetary"].isna().any()
    assert said["Loyal customers"].endswith(", or paid in another currency")
    clusters = segment_customers(other, groups, count=3)
    assert clusters.sizes().sum() == len(plain.customers)
    later = movement(other, groups).later
    assert later["ordered"].sum() == movement(plain, group_customers(plain)).later["ordered"].sum()
    for look in (overview, trends, buyers, channels, countries):
        look(other)
    best = high_value(other)
    assert best is not None
    assert best.buyers == money.count()
    values = lifetime_values(other, 30).frame
    assert (values["value"].isna() == money.isna().reindex(values.index)).all()
    assert values["orders"].notna().all()
    assert check_lifetime(other).customers < len(plain.customers)
    worth = _order_value(other, moment_at(other, moment, 30 * DAYS).known)
    assert np.isfinite(worth).all()


def test_a_refund_in_the_shops_currency_takes_nothing_of_an_order_in_another(tmp_path: Path) -> None:
    columns = orders(4) | {
        "type": pa.array(["purchase", "purchase", "purchase", "refund"]),
        "customer_id": pa.array(["a"] * 4),
        "currency": pa.array(["EUR", "USD", "EUR", "EUR"]),
    }
    view = Workspace(write(tmp_path / "log.parquet", columns), tmp_path).customer_view
    left = view.net_orders()
    assert len(left) == 2
    assert left["value"].isna().tolist() == [False, True]


def test_a_log_without_events_is_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "log.parquet", orders(), np.zeros(0, np.int64))
    with pytest.raises(TrainingError, match=r"log\.parquet has no events"):
        read_tidy_log(path)


def test_times_finer_than_a_millisecond_are_cut(tmp_path: Path) -> None:
    columns = orders()
    fine = pa.array(columns["event_time"].cast(pa.int64()).to_numpy() * 1000 + 999, pa.timestamp("us"))
    path = write(tmp_path / "log.parquet", columns | {"event_time": fine})
    assert read_log(path)["event_time"].combine_chunks().equals(columns["event_time"])
