"""RetailRocket: duplicates, order, orders of several rows, bad rows."""

import gzip
import random
from pathlib import Path

import pytest

from features.log import validate
from offline.datasets import Dataset, DatasetError, load_retailrocket

HEADER = "timestamp,visitorid,event,itemid,transactionid\n"
ROWS = """1433221332117,257597,view,355908,
1433224214164,992329,view,248676,
1433221332117,257597,view,355908,
1433221332200,257597,addtocart,355908,
1433222276276,599528,transaction,356475,4000
1433222276300,599528,transaction,15335,4000
1433222276300,599528,transaction,15335,4000
1433221300000,5,view,5,
"""


def convert(tmp_path: Path, rows: str) -> Dataset:
    path = tmp_path / "events.csv"
    path.write_text(HEADER + rows)
    return load_retailrocket(path)


def test_events_are_named_and_sorted_by_time(tmp_path: Path) -> None:
    log = convert(tmp_path, ROWS).log()
    validate(log)
    assert log["type"].to_pylist() == ["view_item", "view_item", "add_to_cart", "purchase", "view_item"]
    assert log["customer_id"].to_pylist() == ["5", "257597", "257597", "599528", "992329"]
    assert log["event_time"].is_valid().to_pylist() == [True] * 5
    assert log["arrived_at"] == log["event_time"]


def test_the_rows_of_a_transaction_become_one_purchase_dated_by_the_last(tmp_path: Path) -> None:
    purchase = convert(tmp_path, ROWS).log().to_pylist()[3]
    assert purchase["event_id"] == "retailrocket-4000"
    assert purchase["order_id"] == "4000"
    assert [item["item_id"] for item in purchase["items"]] == ["356475", "15335"]
    assert purchase["quantity"] == 2
    assert purchase["value"] is None
    assert purchase["event_time"].timestamp() == 1433222276.3


def test_duplicate_rows_are_dropped_and_counted(tmp_path: Path) -> None:
    report = convert(tmp_path, ROWS).report
    assert [(count.reason, count.rows) for count in report.dropped] == [("duplicate row", 2)]
    assert (report.rows, report.events, report.merged) == (8, 5, 1)


def test_bad_rows_are_dropped_with_row_and_column(tmp_path: Path) -> None:
    report = convert(
        tmp_path,
        "1433221332117,1,view,2,\n,1,view,2,\nsoon,1,view,2,\n1433221332117,,view,2,\n1433221332117,1,click,2,\n"
        "1433221332117,1,view,,\n1433221332117,1,transaction,2,\n1,2\n",
    ).report
    assert report.events == 1
    assert {count.reason: count.rows for count in report.dropped} == {
        "line with another number of fields than the header": 1,
        "unknown event": 1,
        "no visitor": 1,
        "unreadable time": 2,
        "no item": 1,
        "transaction without a number": 1,
    }
    examples = {count.reason: count.example for count in report.dropped}
    assert examples["unknown event"] == "events.csv, row 5, column 'event': 'click'"
    assert examples["unreadable time"] == "events.csv, row 2, column 'timestamp': missing"


def test_a_transaction_of_two_visitors_is_two_orders(tmp_path: Path) -> None:
    log = convert(tmp_path, "1433221332117,1,transaction,2,9\n1433221332118,2,transaction,2,9\n").log()
    assert log["event_id"].to_pylist() == ["retailrocket-9-1", "retailrocket-9-2"]


@pytest.mark.parametrize("seed", range(5))
def test_the_log_does_not_depend_on_the_order_of_rows(tmp_path: Path, seed: int) -> None:
    # No two of these rows have the same millisecond, whose order is that of the file.
    rows = [row for i, row in enumerate(ROWS.splitlines(keepends=True)) if i not in (2, 6)]
    expected = convert(tmp_path, "".join(rows)).log()
    random.Random(seed).shuffle(rows)
    assert convert(tmp_path, "".join(rows)).log() == expected


def test_gzip_and_the_folder_of_the_download_are_read(tmp_path: Path) -> None:
    expected = convert(tmp_path, ROWS).log()
    (tmp_path / "item_properties_part1.csv").write_text("timestamp,itemid,property,value\n")
    assert load_retailrocket(tmp_path).log() == expected
    packed = tmp_path / "packed.csv.gz"
    packed.write_bytes(gzip.compress((HEADER + ROWS).encode()))
    assert load_retailrocket(packed).log() == expected


def test_progress_ends_at_the_size_of_the_file(tmp_path: Path) -> None:
    convert(tmp_path, ROWS)
    seen: list[tuple[int, int]] = []
    load_retailrocket(tmp_path / "events.csv", on_progress=lambda done, total: seen.append((done, total)))
    size = (tmp_path / "events.csv").stat().st_size
    assert seen[-1] == (size, size)
    assert seen == sorted(seen)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty: expected a header line"),
        (HEADER, "has no rows"),
        ("a,b\n1,2\n", r"no column 'timestamp', .*; its columns are a, b"),
        (
            HEADER + "1433221332117,1,click,2,\n",
            r"no event in 1 rows of \S+events.csv \(unknown event: 1, first .* 'click'\)",
        ),
    ],
)
def test_a_file_that_holds_nothing_is_refused_in_one_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "events.csv").write_text(content)
    with pytest.raises(DatasetError, match=message) as refusal:
        load_retailrocket(tmp_path / "events.csv")
    assert "\n" not in str(refusal.value)


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no such file: .*nowhere.csv"):
        load_retailrocket(tmp_path / "nowhere.csv")
