"""REES46: orders from rows of a second, duplicates, nulls, several files and formats."""

import gzip
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from features.log import validate
from offline.datasets import Dataset, DatasetError, load_rees46

HEADER = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
VIEW = "2019-10-01 00:00:00 UTC,view,11,501,,,35.79,1,s-1\n"
CART = "2019-10-01 00:00:01 UTC,cart,11,501,,acme,35.79,1,s-1\n"


def purchase(time: str, product: int, price: float, session: str = "s-1", user: int = 1) -> str:
    return f"2019-10-01 {time} UTC,purchase,{product},502,home.kettle,acme,{price},{user},{session}\n"


def convert(tmp_path: Path, rows: str, name: str = "2019-Oct.csv") -> Dataset:
    path = tmp_path / name
    path.write_text(HEADER + rows)
    return load_rees46(path)


def test_events_keep_their_session_item_and_price(tmp_path: Path) -> None:
    log = convert(tmp_path, VIEW + CART + VIEW.replace("view", "remove_from_cart")).log()
    validate(log)
    assert log["type"].to_pylist() == ["view_item", "remove_from_cart", "add_to_cart"]
    first = log.to_pylist()[0]
    assert first["event_time"].isoformat() == "2019-10-01T00:00:00+00:00"
    assert (first["session_id"], first["item_id"], first["price"]) == ("s-1", "11", 35.79)
    assert first["event_id"] == "2019-Oct-1"


def test_the_category_number_stands_in_for_a_missing_code(tmp_path: Path) -> None:
    dataset = convert(
        tmp_path, VIEW + VIEW.replace(",501,,", ",501,home.kettle,").replace("00 UTC", "05 UTC")
    )
    assert dataset.log()["category"].to_pylist() == ["501", "home.kettle"]
    assert [(c.reason, c.rows) for c in dataset.report.notes] == [
        ("no category_code: category_id is the category", 1)
    ]


def test_purchases_of_a_session_in_the_same_second_are_one_order(tmp_path: Path) -> None:
    dataset = convert(tmp_path, VIEW + purchase("00:01:00", 12, 10.1) + purchase("00:01:00", 13, 20.2))
    event = dataset.log().to_pylist()[1]
    assert (event["value"], event["quantity"]) == (30.3, 2)
    assert event["order_id"] == "s-1-1569888060"
    assert event["items"] == [
        {"item_id": "12", "category": "home.kettle", "price": 10.1, "quantity": 1},
        {"item_id": "13", "category": "home.kettle", "price": 20.2, "quantity": 1},
    ]
    assert event["price"] is None
    assert dataset.report.merged == 1


@pytest.mark.parametrize(
    ("rows", "orders"),
    [
        ([("00:01:00", "s-1", 1), ("00:01:01", "s-1", 1)], 1),  # both sides of a second's end
        ([("00:01:00", "s-1", 1), ("00:01:02", "s-1", 1)], 2),
        ([("00:01:00", "s-1", 1), ("00:01:00", "s-2", 1)], 2),
        ([("00:01:00", "s-1", 1), ("00:01:00", "s-1", 2)], 2),
        ([("00:01:00", "", 1), ("00:01:00", "", 1)], 1),
    ],
)
def test_what_is_one_order(tmp_path: Path, rows: list[tuple[str, str, int]], orders: int) -> None:
    text = "".join(purchase(time, 10 + i, 1, session, user) for i, (time, session, user) in enumerate(rows))
    dataset = convert(tmp_path, text)
    assert dataset.report.by_type == {"purchase": orders}
    assert dataset.log()["event_id"].value_counts().field("counts").to_pylist() == [1] * orders


def test_duplicate_rows_are_dropped_and_counted(tmp_path: Path) -> None:
    report = convert(tmp_path, VIEW + VIEW + CART + CART + CART).report
    assert [(count.reason, count.rows) for count in report.dropped] == [("duplicate row", 3)]
    assert report.by_type == {"view_item": 1, "add_to_cart": 1}


def test_bad_rows_are_dropped_with_row_and_column(tmp_path: Path) -> None:
    bad = [
        VIEW.replace("35.79", "-79.37"),
        VIEW.replace("35.79", "free"),
        VIEW.replace("view", "scroll"),
        VIEW.replace(",1,s-1", ",,s-1"),
        VIEW.replace("2019-10-01", "2019-13-01"),
        VIEW.replace("view,11", "view,"),
    ]
    report = convert(tmp_path, CART + "".join(bad)).report
    assert {count.reason: count.rows for count in report.dropped} == {
        "price below 0": 1,
        "price is no number within the limits": 1,
        "unknown event type": 1,
        "no user": 1,
        "unreadable time": 1,
        "no product": 1,
    }
    assert {c.reason: c.example for c in report.dropped}["price below 0"] == (
        "2019-Oct.csv, row 2, column 'price': '-79.37'"
    )


def test_a_price_of_zero_and_a_missing_session_are_kept(tmp_path: Path) -> None:
    log = convert(tmp_path, VIEW.replace("35.79", "0.00").replace("s-1", "")).log()
    assert (log["price"].to_pylist(), log["session_id"].to_pylist()) == ([0.0], [None])


def test_the_files_of_a_folder_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    later = VIEW.replace("2019-10-01", "2019-11-01")
    (tmp_path / "2019-Oct.csv").write_text(HEADER + VIEW)
    (tmp_path / "2019-Nov.csv.gz").write_bytes(gzip.compress((HEADER + later).encode()))
    dataset = load_rees46(tmp_path)
    assert dataset.report.files == ("2019-Nov.csv.gz", "2019-Oct.csv")
    assert dataset.log()["event_id"].to_pylist() == ["2019-Oct-1", "2019-Nov-1"]


def test_an_order_at_the_end_of_a_month_is_still_one(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEADER + purchase("23:59:59", 12, 1))
    (tmp_path / "b.csv").write_text(HEADER + purchase("00:00:00", 13, 1).replace("2019-10-01", "2019-10-02"))
    assert load_rees46(tmp_path).report.events == 1


def test_parquet_gives_the_same_log_as_csv(tmp_path: Path) -> None:
    expected = convert(tmp_path, VIEW + CART + purchase("00:01:00", 12, 10.1)).log()
    table = pyarrow.csv.read_csv(tmp_path / "2019-Oct.csv")
    (tmp_path / "parquet").mkdir()
    pq.write_table(table, tmp_path / "parquet" / "2019-Oct.parquet")
    assert load_rees46(tmp_path / "parquet").log() == expected


def test_two_files_that_would_share_event_ids_are_refused(tmp_path: Path) -> None:
    for name in ("2019-Oct.csv", "2019-Oct.txt"):
        (tmp_path / name).write_text(HEADER + VIEW)
    with pytest.raises(DatasetError, match="several files named '2019-Oct'"):
        load_rees46(tmp_path)


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "readme.md").write_text("none")
    with pytest.raises(DatasetError, match="no data file in"):
        load_rees46(tmp_path)
