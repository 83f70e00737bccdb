"""Any file by a mapping of columns: types, times, orders, ids, bad values."""

import datetime as dt
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.events import EVENT_TYPES, MAX_BYTES, Event, decode_many
from features.log import validate
from features.usual_days import UsualDays
from offline.datasets import Dataset, DatasetError, load_columns
from offline.datasets.conversion import Tally
from offline.datasets.dataset import note_odd_dates
from offline.datasets.order_cells import OrderCells

COLUMNS = {"customer_id": "user", "event_time": "ts", "type": "event"}
TYPES = {"cart": "add_to_cart", "paid": "purchase"}


def convert(tmp_path: Path, text: str, more: dict[str, str] | None = None, **options: Any) -> Dataset:
    path = tmp_path / "shop.csv"
    path.write_text(text)
    dataset = load_columns(path, columns=COLUMNS | (more or {}), **({"types": TYPES} | options))
    report = dataset.report
    assert report.rows == report.events + report.merged + sum(count.rows for count in report.dropped)
    assert all(count.example for count in (*report.dropped, *report.notes))
    validate(dataset.log())
    return dataset


def dropped(dataset: Dataset) -> dict[str, int]:
    return {count.reason: count.rows for count in dataset.report.dropped}


def notes(dataset: Dataset) -> dict[str, int]:
    return {
        count.reason: count.rows
        for count in dataset.report.notes
        if not count.reason.startswith(("column 'ts' is read as an epoch", "event dated before 1990"))
    }


def test_types_are_mapped_or_pass_and_others_are_dropped_by_name(tmp_path: Path) -> None:
    dataset = convert(tmp_path, "user,ts,event\n1,1,cart\n1,2,search\n1,3,scroll\n1,4,scroll\n1,5,\n")
    assert dataset.report.by_type == {"search": 1, "add_to_cart": 1}
    assert dropped(dataset) == {"no type": 1, "type 'scroll' is not in the mapping": 2}


def test_many_unknown_types_are_counted_together(tmp_path: Path) -> None:
    rows = "".join(f"1,{i},kind{i}\n" for i in range(1, 51))
    counts = dropped(convert(tmp_path, "user,ts,event\n1,1,cart\n" + rows))
    assert counts["further types that are not in the mapping"] == 30
    assert len(counts) == 21


def test_a_star_stands_for_every_other_type_and_for_a_file_without_types(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("user,ts,event\n1,1,cart\n1,2,anything\n1,3,\n")
    types = TYPES | {"*": "view_item"}
    assert load_columns(path, columns=COLUMNS, types=types).report.by_type == {
        "view_item": 2,
        "add_to_cart": 1,
    }
    columns = {"customer_id": "user", "event_time": "ts"}
    assert load_columns(path, columns=columns, types={"*": "purchase"}).report.by_type == {"purchase": 3}


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2019-10-01 00:00:02 UTC", "2019-10-01T00:00:02+00:00"),
        ("2019-10-01T00:00:02Z", "2019-10-01T00:00:02+00:00"),
        ("2019-10-01T02:00:02.5+02:00", "2019-10-01T00:00:02.500000+00:00"),
        ("2019-10-01 02:00:02 +0200", "2019-10-01T00:00:02+00:00"),
        ("2019-10-01 02:00:02+02", "2019-10-01T00:00:02+00:00"),
        ("2019-10-01 02:00:02", "2019-10-01T00:00:02+00:00"),
        ("2019-10-01", "2019-09-30T22:00:00+00:00"),
        ("1569888002", "2019-10-01T00:00:02+00:00"),
        ("1569888002.5", "2019-10-01T00:00:02.500000+00:00"),
        ("1569888002000", "2019-10-01T00:00:02+00:00"),
        ("1569888002000000", "2019-10-01T00:00:02+00:00"),
        ("1569888002000000000", "2019-10-01T00:00:02+00:00"),
        ("2019-03-31 02:30", "2019-03-31T01:00:00+00:00"),
        ("2019-10-27 02:30", "2019-10-27T00:30:00+00:00"),
        ("  2019-10-01 02:00:02  ", "2019-10-01T00:00:02+00:00"),
    ],
)
@pytest.mark.parametrize("alone", [True, False])
def test_times_are_read_with_and_without_a_zone(tmp_path: Path, text: str, utc: str, alone: bool) -> None:
    # Beside a time of another form, a block goes the slower way; the result must be the same.
    other = "" if alone else "2,2019-10-01T00:00:00.1234567+01:00,cart\n2,nonsense,cart\n2,2019-1-1,cart\n"
    log = convert(tmp_path, f"user,ts,event\n1,{text},cart\n" + other, timezone="Europe/Berlin").log()
    [time] = [row["event_time"] for row in log.to_pylist() if row["customer_id"] == "1"]
    assert time == dt.datetime.fromisoformat(utc)


@pytest.mark.parametrize(
    "text",
    ["", "soon", "-5", "0", "2019-13-01", "1e400", "2019-02-30 10:00", "1960-01-01", "0001-01-01", "9" * 22],
)
def test_what_is_no_time_is_dropped_with_its_place(tmp_path: Path, text: str) -> None:
    dataset = convert(tmp_path, f"user,ts,event\n1,5,cart\n1,{text},cart\n")
    [count] = dataset.report.dropped
    assert (count.reason, count.rows) == ("unreadable time", 1)
    assert count.example == f"shop.csv, row 2, column 'ts': {repr(text) if text else 'missing'}"


def test_another_form_of_time_can_be_named(tmp_path: Path) -> None:
    dataset = convert(tmp_path, "user,ts,event\n1,31.12.2020 23:59,cart\n", time_format="%d.%m.%Y %H:%M")
    assert dataset.report.first_time == dt.datetime(2020, 12, 31, 23, 59, tzinfo=dt.UTC)


ORDER = "user,ts,event,order,sku,price,qty,total,cur\n"
ORDER_COLUMNS = {
    "order_id": "order",
    "item_id": "sku",
    "price": "price",
    "quantity": "qty",
    "value": "total",
    "currency": "cur",
}


def test_the_rows_of_an_order_become_one_purchase(tmp_path: Path) -> None:
    dataset = convert(
        tmp_path,
        ORDER
        + "1,10,paid,o1,a,2.5,2,,eur\n2,11,paid,o1,c,1,1,,eur\n1,12,paid,o1,b,1.1,,,EUR\n1,9,paid,,d,3,2,,\n",
        ORDER_COLUMNS,
    )
    single, other, order = dataset.log().to_pylist()
    assert (order["value"], order["quantity"], order["currency"]) == (6.1, 3, "EUR")
    assert [(item["item_id"], item["quantity"]) for item in order["items"]] == [("a", 2), ("b", 1)]
    assert order["event_id"] == "shop-1"
    assert (other["order_id"], other["customer_id"], other["value"]) == ("o1", "2", 1.0)
    assert (single["value"], single["item_id"], single["items"]) == (6.0, "d", None)
    assert dataset.report.merged == 1


def test_a_repeated_total_counts_once(tmp_path: Path) -> None:
    rows = "1,10,paid,o1,a,2,1,9.5,\n1,10,paid,o1,b,3,1,9.5,\n1,20,paid,o2,a,2,1,7,\n1,20,paid,o2,b,3,1,,\n"
    dataset = convert(tmp_path, ORDER + rows, ORDER_COLUMNS)
    assert dataset.log()["value"].to_pylist() == [9.5, 7.0]
    assert notes(dataset)["order whose rows repeat its value: counted once"] == 1


def test_amounts_of_lines_are_summed(tmp_path: Path) -> None:
    rows = "1,10,paid,o1,a,,,2.5,\n1,10,paid,o1,b,,,3,\n1,20,paid,o2,a,,,2,\n1,20,paid,o2,b,,,4,\n"
    dataset = convert(tmp_path, ORDER + rows, ORDER_COLUMNS)
    assert dataset.log()["value"].to_pylist() == [5.5, 6.0]


def test_refunds_become_positive_and_merge_only_at_the_same_time(tmp_path: Path) -> None:
    rows = "1,10,refund,o1,a,-2,-1,,\n1,10,refund,o1,b,3,1,,\n1,20,refund,o1,c,1,1,,\n"
    dataset = convert(tmp_path, ORDER + rows, ORDER_COLUMNS)
    assert dataset.log()["value"].to_pylist() == [5.0, 1.0]
    assert notes(dataset)["refund with a price below 0: turned to positive"] == 1


def test_an_order_beyond_the_limits_of_an_event_is_dropped(tmp_path: Path) -> None:
    rows = "1,10,paid,o1,a,900000000,1,,\n1,10,paid,o1,b,900000000,1,,\n"
    rows += "1,20,paid,o2,c,1,1,,\n1,9,paid,,d,1e9,2,,\n"
    dataset = convert(tmp_path, ORDER + rows, ORDER_COLUMNS)
    assert dataset.report.events == 1
    assert sorted(dropped(dataset).values()) == [1, 2]


def test_a_large_order_of_long_texts_stays_within_an_event(tmp_path: Path) -> None:
    text = "ä" * 120
    rows = "".join(f"1,1700000010,paid,o1,{text}{i},{i + 1},1,{'ö' * 250}\n" for i in range(150))
    dataset = convert(
        tmp_path,
        "user,ts,event,order,sku,price,qty,cat\n" + rows,
        {"order_id": "order", "item_id": "sku", "price": "price", "quantity": "qty", "category": "cat"},
    )
    [event] = dataset.log().to_pylist()
    assert event["quantity"] == 150
    assert 0 < len(event["items"]) < 100
    value = event_json(event)
    assert len(value) <= MAX_BYTES
    assert not decode_many([value]).rejections


def event_json(row: dict[str, Any]) -> bytes:
    import msgspec

    fields = {k: v for k, v in row.items() if k in Event.__struct_fields__ and v is not None}
    return msgspec.json.encode(fields)


def test_bad_values_are_dropped_with_their_place(tmp_path: Path) -> None:
    rows = [
        ",10,cart,,,,,,",
        "1,10,cart,,,free,,,",
        "1,10,cart,,,-1,,,",
        "1,10,cart,,,1e10,,,",
        "1,10,cart,4.0E+12,,,,,",
        "1,10,cart,,,,2000000,,",
        "1,10,cart,,,,,inf,",
        "1,10,cart,,,,,,euro",
        f"1,10,cart,,{'x' * 129},,,,",
        f"{'u' * 129},10,cart,,,,,,",
        "1,10,cart,,,1,1,1,EUR",
    ]
    dataset = convert(tmp_path, ORDER + "\n".join(rows) + "\n", ORDER_COLUMNS)
    assert dropped(dataset) == {
        "no customer": 1,
        "text of more than 128 characters": 2,
        "currency is no code of three letters": 1,
        "price is no number": 1,
        "price below 0": 1,
        "price above 1,000,000,000": 1,
        "value is no number": 1,
        "quantity above 1,000,000": 1,
        "identifier that a tool has rounded": 1,
    }
    places = {count.reason: count.example for count in dataset.report.dropped}
    assert places["price is no number"] == "shop.csv, row 2, column 'price': 'free'"


def test_strict_stops_at_the_first_bad_value_but_not_at_an_unknown_type(tmp_path: Path) -> None:
    text = "user,ts,event\n1,5,scroll\n1,soon,cart\n"
    with pytest.raises(DatasetError, match=r"unreadable time: shop.csv, row 2, column 'ts': 'soon'"):
        convert(tmp_path, text, strict=True)
    assert convert(tmp_path, text.replace("soon", "6"), strict=True).report.events == 1


def test_an_unknown_channel_is_left_out(tmp_path: Path) -> None:
    dataset = convert(tmp_path, "user,ts,event,ch\n1,1,cart,Web\n1,2,cart,desktop\n", {"channel": "ch"})
    assert dataset.log()["channel"].to_pylist() == ["web", None]
    assert notes(dataset) == {"channel is not one of web, app, store: left out": 1}


def test_the_first_row_of_an_event_id_counts(tmp_path: Path) -> None:
    dataset = convert(
        tmp_path, "user,ts,event,id\n1,5,cart,x\n1,4,cart,x\n1,6,cart,\n1,7,cart,\n", {"event_id": "id"}
    )
    assert dataset.log()["event_id"].to_pylist() == ["x", "shop-3", "shop-4"]
    assert dropped(dataset) == {"repeated event_id": 1}


def test_lines_of_one_order_may_share_an_event_id(tmp_path: Path) -> None:
    text = "user,ts,event,id,order,sku,price\n" + "1,5,paid,x,o,a,1\n1,5,paid,x,o,b,2\n1,5,paid,x,o,a,1\n"
    more = {"event_id": "id", "order_id": "order", "item_id": "sku", "price": "price"}
    dataset = convert(tmp_path, text, more)
    assert (dataset.log()["event_id"].to_pylist(), dataset.log()["value"].to_pylist()) == (["x"], [3.0])
    assert dropped(dataset) == {"repeated event_id": 1}


def test_a_given_id_that_looks_like_a_made_one_does_not_clash(tmp_path: Path) -> None:
    dataset = convert(tmp_path, "user,ts,event,id\n1,5,cart,shop-2\n1,6,cart,\n", {"event_id": "id"})
    assert dataset.log()["event_id"].to_pylist() == ["shop-2"]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found_out_and_a_byte_order_mark_passed_over(tmp_path: Path, separator: str) -> None:
    text = "\ufeffuser,ts,event\n1,5,cart\n".replace(",", separator)
    assert convert(tmp_path, text).report.customers == 1


def test_a_file_in_another_encoding_says_so_and_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_bytes("user,ts,event\nJürgen,5,cart\n".encode("latin1"))
    with pytest.raises(DatasetError, match="encoding"):
        load_columns(path, columns=COLUMNS, types=TYPES)
    log = load_columns(path, columns=COLUMNS, types=TYPES, encoding="latin1").log()
    assert log["customer_id"].to_pylist() == ["Jürgen"]


def test_quoted_fields_may_hold_separators_and_line_ends(tmp_path: Path) -> None:
    text = 'user,ts,event,cat\n"a,b",5,cart,"two\nlines"\n'
    [event] = convert(tmp_path, text, {"category": "cat"}).log().to_pylist()
    assert (event["customer_id"], event["category"]) == ("a,b", "two\nlines")


@pytest.mark.parametrize(
    ("columns", "types", "message"),
    [
        (
            COLUMNS | {"price": "cost"},
            TYPES,
            "shop.csv has no column 'cost'; its columns are user, ts, event",
        ),
        (COLUMNS | {"colour": "user"}, TYPES, "events have no field 'colour'"),
        (
            {"customer_id": "user", "type": "event"},
            TYPES,
            "no column is named for event_time; the columns of",
        ),
        ({"customer_id": "user", "event_time": "ts"}, TYPES, "no column is named for the type of events"),
        (COLUMNS, {"cart": "add_to_basket"}, "there is no event type 'add_to_basket'; choose from view_item"),
    ],
)
def test_a_wrong_mapping_is_one_clear_line(
    tmp_path: Path, columns: dict[str, str], types: dict[str, str], message: str
) -> None:
    (tmp_path / "shop.csv").write_text("user,ts,event\n1,5,cart\n")
    with pytest.raises(DatasetError) as refusal:
        load_columns(tmp_path / "shop.csv", columns=columns, types=types)
    assert message in str(refusal.value)


def test_an_unknown_time_zone_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="unknown time zone 'Mars/Phobos'"):
        convert(tmp_path, "user,ts,event\n1,5,cart\n", timezone="Mars/Phobos")


@pytest.mark.parametrize("kind", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_timestamps_of_parquet_keep_their_moment(tmp_path: Path, kind: str, zone: str | None) -> None:
    moment = dt.datetime(2020, 7, 1, 12, 0, 3, tzinfo=dt.UTC)
    time = pa.array([moment if zone else moment.replace(tzinfo=None)], pa.timestamp(kind, zone))
    pq.write_table(pa.table({"user": [7], "ts": time, "event": ["cart"]}), tmp_path / "shop.parquet")
    log = load_columns(tmp_path / "shop.parquet", columns=COLUMNS, types=TYPES).log()
    assert log["event_time"].to_pylist() == [moment]
    assert log["customer_id"].to_pylist() == ["7"]


rows = st.lists(
    st.tuples(
        st.integers(1, 4),  # customer
        st.integers(1_700_000_001, 1_700_000_006),  # second
        st.sampled_from([*EVENT_TYPES, "cart", "paid", "scroll"]),
        st.sampled_from(["", "o1", "o2"]),
        st.sampled_from(["", "a", "b"]),
        st.sampled_from(["", "0", "1.25", "3", "-1", "x"]),
        st.sampled_from(["", "0", "1", "4"]),
    ),
    min_size=1,
    max_size=30,
)
HEAD = "user,ts,event,order,sku,price,qty\n"
MORE = {"order_id": "order", "item_id": "sku", "price": "price", "quantity": "qty"}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows)
def test_every_row_is_accounted_for_and_every_event_is_one_the_stream_accepts(
    tmp_path: Path, table: list[tuple[Any, ...]]
) -> None:
    # One row that is surely good, so that there is an event.
    text = HEAD + "9,1700000009,search,,,,\n" + "".join(",".join(map(str, row)) + "\n" for row in table)
    dataset = convert(tmp_path, text, MORE)
    log = dataset.log()
    times = log["event_time"].cast(pa.int64()).to_numpy()
    assert (np.diff(times) >= 0).all()
    assert max(Counter(log["event_id"].to_pylist()).values()) == 1
    assert log == convert(tmp_path, text, MORE).log()
    for row in log.to_pylist():
        event = {k: v for k, v in row.items() if k in Event.__struct_fields__ and v is not None}
        event["event_time"] = int(row["event_time"].timestamp() * 1000)
        assert not decode_many([event_json(event)]).rejections

    good = [
        row
        for row in table
        if row[2] != "scroll"
        and row[5] != "x"
        and not (row[5] == "-1" and row[2] != "refund" and not (row[2] in ("paid", "purchase") and row[3]))
    ]
    bought = [row for row in good if row[2] in ("paid", "purchase")]
    spent: Counter[Any] = Counter()  # by order; a row without one is an order of its own
    for number, row in enumerate(bought):
        spent[(row[0], row[3]) if row[3] else number] += float(row[5] or 0) * int(row[6] or 1)
    orders = [amount for amount in spent.values() if amount >= 0]
    assert dataset.report.by_type.get("purchase", 0) == len(orders)
    sums = [row["value"] or 0 for row in log.to_pylist() if row["type"] == "purchase"]
    assert sum(sums) == pytest.approx(sum(orders))


@pytest.mark.parametrize("seed", range(3))
def test_many_blocks_give_the_log_of_one(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    kinds = ["cart", "paid", "scroll", "view_item"]
    lines = [
        f"{rng.randrange(50)},{rng.randrange(1, 900)},{rng.choice(kinds)},o{i % 31},s{i},{i / 100},1\n"
        for i in range(2000)
    ]
    expected = convert(tmp_path, HEAD + "".join(lines), MORE)
    monkeypatch.setattr("offline.datasets.csv_files._BLOCK_BYTES", 512)
    small = convert(tmp_path, HEAD + "".join(lines), MORE)
    assert small.log() == expected.log()
    assert small.report == expected.report
    assert sum(batch.num_rows for batch in small.batches(7)) == small.report.events


def test_dates_after_today_and_far_from_all_others_are_noted() -> None:
    day, start = 86_400_000, 1_700_000_000_000
    usual = [start + n * day // 4 for n in range(200)]
    now = usual[-1] + day

    def notes_of(*odd: int) -> dict[str, tuple[int, str | None]]:
        notes = Tally()
        note_odd_dates(np.sort(np.array([*usual, *odd], np.int64)), notes, now)
        return {count.reason: (count.rows, count.example) for count in notes.counts()}

    assert notes_of() == notes_of(start - 100 * day) == {}, "twice the time of the log is not far"
    assert list(notes_of(start - 200 * day)) == ["event dated long before all others: look at its date"]
    assert notes_of(now + 1) == {"event dated after today: look at its date": (1, "2024-01-04")}
    assert notes_of(315_532_800_000) == {
        "event dated long before all others: look at its date": (1, "1980-01-01")
    }
    assert [rows for rows, _ in notes_of(*[33_000_000_000_000] * 2).values()] == [2, 2]


@pytest.mark.parametrize(
    "odd", [[0], [33_000_000_000_000], [0, 33_000_000_000_000], [1_640_000_000_000] * 3, []]
)
def test_an_account_names_the_dates_that_readers_of_the_log_leave_out(odd: list[int]) -> None:
    times = np.sort(np.array([*(1_700_000_000_000 + n * 21_600_000 for n in range(400)), *odd], np.int64))
    notes = Tally()
    note_odd_dates(times, notes, 34_000_000_000_000)
    assert sum(count.rows for count in notes.counts()) == UsualDays.of(times).lonely


def test_rows_whose_identifiers_hold_control_characters_are_dropped(tmp_path: Path) -> None:
    rows = [
        "c1,2024-01-01 10:00,view_item,s1",
        "c\x012,2024-01-01 10:00,view_item,s1",
    ]
    rows += ["c4,2024-01-01 10:00,view_item,s\x7f"]
    path = tmp_path / "shop.csv"
    path.write_text("\n".join(["client,when,type,session", *rows]))
    columns = {"customer_id": "client", "event_time": "when", "type": "type", "session_id": "session"}
    report = load_columns(path, columns=columns).report
    assert report.events == 1
    dropped = {count.reason: count.rows for count in report.dropped}
    assert dropped == {"identifier with a control character": 2}


def test_empty_cells_of_an_order_are_those_of_its_first_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Shopify exports orders; the second order has another customer, and the third none."""
    text = (
        "order,user,ts,event,sku,price,qty,total,cur\n"
        "#1,ann,2025-10-07,paid,mug,12.5,2,58.91,eur\n#1,,,,tea,28.91,1,,\n#1,,,,jam,5,1,,\n"
        "#2,bob,2025-10-08,paid,tea,20,1,20,eur\n,,2025-10-09,paid,tea,20,1,20,eur\n"
    )
    for rows in (10, 1, 2):
        monkeypatch.setattr("offline.datasets.source_files._BLOCK_ROWS", rows)
        dataset = convert(tmp_path, text, ORDER_COLUMNS)
        first, second = dataset.log().to_pylist()
        assert (first["customer_id"], first["value"], first["currency"]) == ("ann", 58.91, "EUR")
        assert [item["item_id"] for item in first["items"]] == ["mug", "tea", "jam"]
        assert (second["customer_id"], second["value"]) == ("bob", 20.0)
        assert dropped(dataset) == {"no customer": 1}
        assert notes(dataset)["row that says of its order only what differs: filled from the row above"] == 2


def test_cells_of_an_order_are_filled_across_blocks(tmp_path: Path) -> None:
    cells, tally = OrderCells(), Tally()
    blocks = [(["#1", "#1"], ["ann", None]), (["#1"], [None]), (["#2", "#1"], [None, None])]
    names = [
        cells.filled(
            tmp_path, {"order_id": pa.array(orders), "customer_id": pa.array(users, pa.string())}, tally
        )
        for orders, users in blocks
    ]
    assert [block["customer_id"].to_pylist() for block in names] == [["ann", "ann"], ["ann"], [None, None]]
    assert [count.rows for count in tally.counts()] == [2]


def test_goods_by_weight_are_one_piece_at_the_price_of_their_line(tmp_path: Path) -> None:
    rows = "1,10,paid,o1,apples,3.50,0.75,,\n1,10,paid,o1,milk,2.00,1,,\n1,20,paid,,cheese,10,0.333,,\n"
    dataset = convert(tmp_path, ORDER + rows, ORDER_COLUMNS)
    order, single = dataset.log().to_pylist()
    assert (order["value"], order["quantity"]) == (4.63, 2)
    assert [(item["price"], item["quantity"]) for item in order["items"]] == [(2.63, 1), (2.0, 1)]
    assert (single["value"], single["quantity"]) == (3.33, 1)
    assert notes(dataset)["quantity with a fraction: one piece at the price of the line"] == 2


def test_a_discount_lowers_the_value_of_its_order_and_is_no_item(tmp_path: Path) -> None:
    rows = "1,10,paid,o1,shirt,50,1,,\n1,10,paid,o1,VOUCHER,-10,1,,\n1,20,paid,o2,tea,2,1,,\n1,20,paid,o2,V,-5,1,,\n"
    dataset = convert(tmp_path, ORDER + rows + "1,30,paid,,V,-5,1,,\n", ORDER_COLUMNS)
    [order] = dataset.log().to_pylist()
    assert (order["value"], order["quantity"]) == (40.0, 1)
    assert [item["item_id"] for item in order["items"]] == ["shirt"]
    assert dropped(dataset) == {
        "price below 0": 1,
        "line of an order whose discounts exceed its goods": 2,
    }


def test_a_customer_whose_number_became_a_float_is_still_one(tmp_path: Path) -> None:
    text = "user,ts,event\n13085.0,2025-01-01,cart\n13085,2025-01-02,cart\nv1.0,2025-01-03,cart\n"
    assert convert(tmp_path, text).log()["customer_id"].to_pylist() == ["13085", "13085", "v1.0"]


def test_a_line_of_the_wrong_length_that_is_not_utf8_is_counted_and_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "shop.csv"
    file.write_bytes(
        b"user,when,what,note\nada,2024-01-01 10:00,search,caf\xe9\nbob,2024-01-01 10:01,sea\xe9rch,x,y\n"
        b"eve,2024-01-01 10:02,search,\n"
    )
    dataset = load_columns(file, columns={"customer_id": "user", "event_time": "when", "type": "what"})
    [broken] = dataset.report.dropped
    assert (dataset.report.events, broken.rows) == (2, 1)
    assert broken.example is not None
    assert "'bob,2024-01-01 10:01,sea\ufffdrch,x,y' has 5 fields, expected 4" in broken.example
    assert capfd.readouterr().err == ""


def test_a_lonely_number_among_dates_is_no_time_and_a_lonely_unit_is_not_that_of_the_column(
    tmp_path: Path,
) -> None:
    lines = [f"c{n},2024-01-{1 + n % 28:02d} 10:00,view_item,{n}\n" for n in range(30)]
    lines[10], lines[20] = "c10,5,view_item,5\n", "c20,2024-01-05 10:00,view_item,5 EUR\n"
    file = tmp_path / "shop.csv"
    file.write_text("user,when,what,price\n" + "".join(lines))
    columns = {"customer_id": "user", "event_time": "when", "type": "what", "price": "price"}
    report = load_columns(file, columns=columns).report
    assert [(count.reason, count.rows, count.example) for count in report.dropped] == [
        ("unreadable time", 1, "shop.csv, row 11, column 'when': '5'")
    ]
    assert report.first_time.year == 2024
    assert {count.reason: count.rows for count in report.notes} == {
        "column 'price': a part of the values is read as numbers, in EUR": 1
    }


def test_a_file_without_any_event_is_refused_with_examples(tmp_path: Path) -> None:
    file = tmp_path / "shop.csv"
    file.write_text("user,when,what\nada,yesterday,search\n")
    with pytest.raises(DatasetError, match=r"unreadable time: 1, first row 1, column 'when': 'yesterday'"):
        load_columns(file, columns={"customer_id": "user", "event_time": "when", "type": "what"})


def test_what_is_changed_in_ids_and_currencies_is_in_the_account(tmp_path: Path) -> None:
    dataset = convert(
        tmp_path,
        "user,ts,event,paid,cur,order\n a ,1,paid,3,eur,1\na,2,paid,4,EUR,2\n"
        "76561198000000016.0,3,paid,5,EUR,3\n13085.0,4,paid,5,EUR,4\n",
        {"value": "paid", "currency": "cur", "order_id": "order"},
    )
    assert notes(dataset) == {
        "identifier with spaces around it: taken without": 1,
        "identifier with .0 and more digits than such a number holds: its last digits may be wrong": 1,
        "identifier that a tool wrote with .0: taken without": 1,
        "currency in small letters: read as capitals": 1,
    }
    assert dataset.log()["customer_id"].to_pylist() == ["a", "a", "76561198000000016", "13085"]


@pytest.mark.parametrize(("separator", "first"), [(";", 1.234), (",", 1234.0), ("\t", 1234.0)])
def test_where_no_value_tells_semicolons_make_a_comma_decimal_and_an_example_says_so(
    tmp_path: Path, separator: str, first: float
) -> None:
    rows = [["user", "ts", "event", "paid"], ["a", "1", "paid", '"1,234"'], ["b", "2", "paid", '"2,500"']]
    dataset = convert(tmp_path, "\n".join(separator.join(row) for row in rows), {"value": "paid"})
    assert dataset.log()["value"].to_pylist()[0] == first
    (note,) = [count for count in dataset.report.notes if "no value tells which" in count.reason]
    assert note.example == f"'1,234' is {first:g}"


def test_events_before_the_web_are_noted(tmp_path: Path) -> None:
    dataset = convert(tmp_path, "user,ts,event\n1,1970-02-03,cart\n2,1970-02-04,cart\n")
    (note,) = [count for count in dataset.report.notes if "before 1990" in count.reason]
    assert (note.rows, note.example) == (2, "1970-02-03")


def test_whether_an_event_is_a_bots_is_read_in_many_words(tmp_path: Path) -> None:
    rows = "".join(
        f"1,{at},cart,{word}\n" for at, word in enumerate(("True", "0", "", "perhaps", "nein", "1"), 1)
    )
    dataset = convert(tmp_path, "user,ts,event,robot\n" + rows, {"bot": "robot"})
    assert dataset.log()["bot"].to_pylist() == [True, False, None, None, False, True]
    assert notes(dataset) == {"bot is neither yes nor no: left out": 1}
