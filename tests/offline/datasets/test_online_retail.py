"""Online Retail: handmade lines for each trap, and the documented figures on the real file."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from features.log import log_metadata, validate
from offline.datasets import Dataset, DatasetError, load_online_retail
from tests.data_sets import data_set

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"


def convert(tmp_path: Path, lines: str, header: str = HEADER) -> Dataset:
    path = tmp_path / "retail.csv"
    path.write_text(header + lines, encoding="latin1")
    return load_online_retail(path)


def dropped(dataset: Dataset) -> Mapping[str, int]:
    return {count.reason: count.rows for count in dataset.report.dropped}


def note(dataset: Dataset, beginning: str) -> int:
    return sum(count.rows for count in dataset.report.notes if count.reason.startswith(beginning))


def test_the_lines_of_an_invoice_become_one_purchase(tmp_path: Path) -> None:
    dataset = convert(
        tmp_path,
        "536365,85123A,HEART,6,2010-12-01 08:26,2.55,17850.0,United Kingdom\n"
        "536365,71053,LANTERN,2,2010-12-01 08:27,3.39,17850.0,United Kingdom\n"
        "536365,POST,POSTAGE,1,2010-12-01 08:26,18.00,17850.0,United Kingdom\n",
    )
    [event] = dataset.log().to_pylist()
    assert event["type"] == "purchase"
    assert (event["event_id"], event["order_id"]) == ("online-retail-536365", "536365")
    assert (event["customer_id"], event["country"], event["currency"]) == ("17850", "United Kingdom", "GBP")
    assert (event["value"], event["quantity"]) == (40.08, 9)
    assert [item["item_id"] for item in event["items"]] == ["85123A", "71053"]
    assert event["event_time"].isoformat() == "2010-12-01T08:27:00+00:00"
    assert dataset.report.merged == 2
    assert note(dataset, "line that is no product") == 1


def test_a_cancellation_becomes_a_refund_of_positive_value(tmp_path: Path) -> None:
    [event] = convert(tmp_path, "C536379,D,Discount,-2,2010-12-01 09:41,27.50,14527,EIRE\n").log().to_pylist()
    assert (event["type"], event["value"], event["quantity"]) == ("refund", 55.0, 2)
    assert event["items"] is None


def test_lines_that_are_nobodys_order_are_dropped_each_for_one_reason(tmp_path: Path) -> None:
    dataset = convert(
        tmp_path,
        "536365,71053,LANTERN,2,2010-12-01 08:26,3.39,17850,France\n"
        "A563185,B,Adjust bad debt,1,2011-08-12 14:50,11062.06,,United Kingdom\n"
        "536414,22139,,56,2010-12-01 11:52,0,,United Kingdom\n"
        "536415,22139,X,0,2010-12-01 11:52,1,17850,France\n"
        "536416,22139,X,1,2010-12-01 11:52,-1,17850,France\n"
        "C536417,22139,X,1,2010-12-01 11:52,1,17850,France\n"
        "536418,22139,X,1,yesterday,1,17850,France\n"
        "X1,22139,X,1,2010-12-01 11:52,1,17850,France\n",
    )
    assert dropped(dataset) == {
        "adjustment of bad debt (invoice A...)": 1,
        "no customer": 1,
        "invoice number of an unknown form": 1,
        "unreadable time": 1,
        "order line with a quantity of 0 or less": 1,
        "cancellation line with a quantity of 0 or more": 1,
        "price is below 0, missing or no number": 1,
    }
    assert dataset.report.rows == 8
    assert dataset.report.events == 1


def test_a_line_booked_twice_counts_twice(tmp_path: Path) -> None:
    line = "536365,71053,LANTERN,1,2010-12-01 08:26,3.39,17850,France\n"
    other = "536365,22752,BOXES,1,2010-12-01 08:26,1.00,17850,France\n"
    dataset = convert(tmp_path, line + other + line)
    [event] = dataset.log().to_pylist()
    assert (event["value"], event["quantity"], len(event["items"])) == (7.78, 3, 3)
    assert note(dataset, "line equal to another of its invoice") == 1


def test_an_invoice_that_comes_again_as_a_whole_counts_once(tmp_path: Path) -> None:
    invoice = (
        "536365,71053,LANTERN,1,2010-12-01 08:26,3.39,17850,France\n"
        "536365,22752,BOXES,1,2010-12-01 08:26,1.00,17850,France\n"
    )
    dataset = convert(tmp_path, invoice + "536366,22752,BOXES,1,2010-12-01 08:28,1,17850,France\n" + invoice)
    assert dropped(dataset) == {"line of an invoice that comes again as a whole": 2}
    assert dataset.log()["value"].to_pylist() == [4.39, 1.0]


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        ("2011-07-01 12:00", "2011-07-01T11:00:00+00:00"),
        ("7/1/2011 12:00", "2011-07-01T11:00:00+00:00"),
        ("2011-03-27 01:30", "2011-03-27T01:00:00+00:00"),  # the clock jumped from 1:00 to 2:00
        ("2011-10-30 01:30", "2011-10-30T00:30:00+00:00"),  # the clock showed it twice
    ],
)
def test_times_are_those_of_the_clock_in_london(tmp_path: Path, local: str, utc: str) -> None:
    dataset = convert(tmp_path, f"536365,71053,L,1,{local},3.39,17850,France\n")
    assert dataset.report.first_time.isoformat() == utc
    assert note(dataset, "time that the clock") == (1 if "01:30" in local else 0)


def test_the_hundred_largest_items_are_listed_and_the_others_counted(tmp_path: Path) -> None:
    lines = [f"536365,{10000 + i},P,1,2010-12-01 08:26,{i + 1},17850,France\n" for i in range(120)]
    dataset = convert(tmp_path, "".join(lines))
    [event] = dataset.log().to_pylist()
    assert [item["item_id"] for item in event["items"]] == [str(10000 + i) for i in range(20, 120)]
    assert event["value"] == sum(range(1, 121))
    assert note(dataset, "item beyond the 100") == 20


def test_an_invoice_of_two_customers_becomes_two_events(tmp_path: Path) -> None:
    lines = "".join(f"536365,71053,L,1,2010-12-01 08:26,3.39,{customer},France\n" for customer in (1, 2))
    assert convert(tmp_path, lines).log()["event_id"].to_pylist() == [
        "online-retail-536365-1",
        "online-retail-536365-2",
    ]


def test_the_names_of_online_retail_ii_and_latin_1_are_read(tmp_path: Path) -> None:
    header = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country\n"
    dataset = convert(tmp_path, "489434,85048,£1 BALL,12,2009-12-01 07:45:00,6.95,13085.0,France\n", header)
    assert dataset.log()["value"].to_pylist() == [83.4]


def test_a_missing_column_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no column 'InvoiceNo'.*its columns are number, StockCode"):
        convert(tmp_path, "", HEADER.replace("InvoiceNo", "number"))


def test_a_workbook_without_openpyxl_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "retail.xlsx").write_bytes(b"PK")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DatasetError, match="pip install openpyxl"):
        load_online_retail(tmp_path / "retail.xlsx")


def test_a_broken_workbook_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    (tmp_path / "retail.xlsx").write_bytes(b"PK")
    with pytest.raises(DatasetError, match=r"retail.xlsx"):
        load_online_retail(tmp_path / "retail.xlsx")


@pytest.fixture(scope="module")
def real() -> Dataset:
    return load_online_retail(data_set("online_retail.parquet"))


def test_the_real_file_gives_the_documented_figures(real: Dataset) -> None:
    log = real.log()
    validate(log)
    purchases = log.filter(pc.equal(log["type"], "purchase"))
    assert real.report.rows == 541_909
    assert real.report.by_type == {"purchase": 18_536, "refund": 3_654}
    assert real.report.customers == 4_372
    assert pc.count_distinct(purchases["customer_id"]).as_py() == 4_339
    orders = purchases["customer_id"].value_counts().to_pylist()
    assert sum(row["counts"] > 1 for row in orders) == 2_845
    assert (real.report.first_time.isoformat(), real.report.last_time.isoformat()) == (
        "2010-12-01T08:26:00+00:00",
        "2011-12-09T12:50:00+00:00",
    )


def test_the_real_files_rows_are_all_accounted_for(real: Dataset) -> None:
    assert dropped(real) == {"adjustment of bad debt (invoice A...)": 3, "no customer": 135_077}
    # 397,924 lines of orders and 8,905 of cancellations; exact duplicates are among them.
    assert real.report.events + real.report.merged == 397_924 + 8_905
    assert note(real, "order whose rows have several times") == 31


def test_the_real_files_money_is_that_of_its_lines(real: Dataset) -> None:
    log = real.log()
    value = pc.sum(log.filter(pc.equal(log["type"], "purchase"))["value"]).as_py()
    assert value == pytest.approx(8_911_407.904, abs=0.01)
    assert len(pc.unique(log["event_id"])) == len(log)
    assert pc.max(pc.list_value_length(log["items"])).as_py() == 100


def test_a_written_log_names_its_source(tmp_path: Path) -> None:
    dataset = convert(tmp_path, "536365,71053,L,1,2010-12-01 08:26,3.39,17850,France\n")
    seen: list[tuple[int, int]] = []
    assert dataset.write(tmp_path / "log.parquet", lambda done, total: seen.append((done, total))) == 1
    metadata = pq.read_schema(tmp_path / "log.parquet").metadata
    assert metadata[b"intent.source"] == b"online-retail"
    assert seen == [(1, 1)]


def test_the_arrow_types_of_a_parquet_copy_do_not_matter(tmp_path: Path) -> None:
    line = "536365,71053,L,1,2010-12-01 08:26,3.39,17850,France\n"
    expected = convert(tmp_path, line).log()
    row = dict(zip(HEADER.strip().split(","), line.strip().split(","), strict=True))
    table = pa.table({name: [value] for name, value in row.items()})
    for name, kind in (("Quantity", pa.int16()), ("CustomerID", pa.float64()), ("InvoiceNo", pa.int64())):
        table = table.set_column(table.column_names.index(name), name, table[name].cast(kind))
    country = table["Country"].combine_chunks().dictionary_encode()
    table = table.set_column(table.column_names.index("Country"), "Country", country)
    pq.write_table(table, tmp_path / "retail.parquet")
    assert load_online_retail(tmp_path / "retail.parquet").log() == expected


def test_the_log_says_in_which_time_zone_the_shop_is(tmp_path: Path) -> None:
    dataset = convert(tmp_path, "536365,85123A,HEART,6,2010-12-01 08:26,2.55,17850.0,United Kingdom\n")
    dataset.write(tmp_path / "log.parquet")
    assert log_metadata(tmp_path / "log.parquet")["timezone"] == "Europe/London"
