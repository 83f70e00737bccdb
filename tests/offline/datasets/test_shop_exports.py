"""Order exports of Shopify and WooCommerce, WooCommerce's orders as JSON, and Olist's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from features.items import read_item_names
from features.log import read_log
from offline.datasets import SHOPIFY, DatasetError, load_export, load_olist
from tests.offline.datasets.test_messages import convert, jsonl

SHOPIFY_ROWS = """\
Name,Email,Financial Status,Paid at,Currency,Subtotal,Total,Created at,Lineitem quantity,Lineitem name,Lineitem price,Lineitem sku,Shipping Country,Refunded Amount
#1001,Ann@example.org,paid,2025-10-07 09:50:26 +0200,EUR,53.91,58.91,2025-10-07 09:50:20 +0200,2,"Mug, blue",12.50,MUG-B,DE,0.00
#1001,Ann@example.org,,,,,,2025-10-07 09:50:20 +0200,1,Tea,28.91,TEA-1,,
#1002,bob@example.org,partially_refunded,2025-10-08 11:00:00 +0200,EUR,20.00,20.00,2025-10-08 10:59:58 +0200,1,Tea,20.00,TEA-1,FR,5.00
#1003,,paid,2025-10-09 11:00:00 +0200,EUR,20.00,20.00,2025-10-09 10:59:58 +0200,1,Tea,20.00,TEA-1,FR,0.00
#1004,cyd@example.org,voided,2025-10-09 11:00:00 +0200,EUR,20.00,20.00,2025-10-09 10:59:58 +0200,1,Tea,20.00,TEA-1,FR,0.00
"""  # noqa: E501


def reasons(account: dict[str, Any], part: str) -> dict[str, int]:
    return {count["reason"]: count["rows"] for count in account[part]}


def test_an_order_of_two_lines_is_one_purchase_and_unpaid_ones_are_counted(tmp_path: Path) -> None:
    source, log = tmp_path / "orders_export.csv", tmp_path / "log.parquet"
    source.write_text(SHOPIFY_ROWS)
    account = convert("shopify", str(source), "-o", str(log))
    assert (account["source"], account["rows"], account["events"], account["merged"]) == ("shopify", 5, 2, 1)
    assert reasons(account, "dropped") == {"no customer": 1, "type 'voided' is not in the mapping": 1}
    assert (
        reasons(account, "notes")[
            "order of which money was paid back, on a day that the export does not tell: no refund"
        ]
        == 1
    )
    first, second = read_log(log).to_pylist()
    assert (first["customer_id"], first["value"], first["quantity"]) == ("ann@example.org", 58.91, 3)
    assert (first["currency"], first["country"], first["order_id"]) == ("EUR", "DE", "#1001")
    assert [(line["item_id"], line["price"]) for line in first["items"]] == [
        ("MUG-B", 12.5),
        ("TEA-1", 28.91),
    ]
    assert second["customer_id"] == "bob@example.org"
    assert read_item_names(log) == {"MUG-B": "Mug, blue", "TEA-1": "Tea"}


def test_an_item_without_a_number_is_its_name(tmp_path: Path) -> None:
    source, log = tmp_path / "orders_export.csv", tmp_path / "log.parquet"
    source.write_text(SHOPIFY_ROWS.replace("MUG-B", ""))
    convert("shopify", str(source), "-o", str(log))
    assert [line["item_id"] for line in read_log(log).to_pylist()[0]["items"]] == ["Mug, blue", "Tea"]


def test_another_table_is_no_export(tmp_path: Path) -> None:
    source = tmp_path / "orders.csv"
    source.write_text("a,b\n1,2\n")
    with pytest.raises(
        DatasetError, match="has no column 'Name'; for other columns use `intent convert csv`"
    ):
        load_export(source, SHOPIFY)


WOO_ROWS = (
    "Order Number,Order Status,Order Date,Email (Billing),Country Code (Billing),Order Total Amount,SKU,Item Name,"
    "Quantity,Item Cost\n"
    "727,Processing,2017-03-22 16:28,john.doe@example.com,US,29.35,W-1,Woo Single,2,3.00\n"
    "727,Processing,2017-03-22 16:28,john.doe@example.com,US,29.35,S-2,Ship Your Idea,1,12.00\n"
    "728,Pending payment,2017-03-22 17:00,joe@example.com,US,9,W-1,Woo Single,3,3.00\n"
)


def test_an_export_of_woocommerce_is_read_by_its_columns(tmp_path: Path) -> None:
    source, log = tmp_path / "orders.csv", tmp_path / "log.parquet"
    source.write_text(WOO_ROWS)
    account = convert("woocommerce", str(source), "-o", str(log), "--timezone", "America/New_York")
    assert (account["events"], account["merged"]) == (1, 1)
    (order,) = read_log(log).to_pylist()
    assert (order["value"], order["quantity"], order["country"]) == (29.35, 3, "US")
    assert order["event_time"].isoformat() == "2017-03-22T20:28:00+00:00"
    assert read_item_names(log) == {"W-1": "Woo Single", "S-2": "Ship Your Idea"}


WOO: dict[str, Any] = {
    "id": 727, "number": "727", "status": "processing", "currency": "USD", "date_created": "2017-03-22T16:28:02",
    "date_created_gmt": "2017-03-22T19:28:02", "date_modified_gmt": "2017-03-25T19:28:08", "total": "29.35",
    "customer_id": 0, "created_via": "checkout", "refunds": [],
    "billing": {"country": "US", "email": "John.Doe@example.com"}, "shipping": {"country": "US"},
    "line_items": [
        {"id": 315, "name": "Woo Single #1", "product_id": 93, "quantity": 2, "price": 3, "sku": "", "total": "6.00"},
        {"id": 316, "name": "Ship Your Idea", "product_id": 22, "quantity": 1, "price": 12, "sku": "Bar3"},
    ],
}  # fmt: skip


def test_orders_of_the_rest_api_are_purchases_and_what_was_paid_back(tmp_path: Path) -> None:
    log = tmp_path / "log.parquet"
    refunded = WOO | {
        "id": 728, "status": "completed", "customer_id": 26,
        "refunds": [{"id": 726, "reason": "", "total": "-10.00"}, {"id": 724, "reason": "", "total": "-1.00"}],
    }  # fmt: skip
    all_back = WOO | {"id": 729, "status": "refunded", "refunds": []}
    orders = [WOO, refunded, all_back, WOO | {"status": "pending"}, WOO | {"billing": {}}]
    account = convert("woocommerce", str(jsonl(tmp_path / "orders.jsonl", *orders)), "-o", str(log))
    assert reasons(account, "dropped") == {
        "no counterpart: order pending": 1, "no counterpart: order without a customer": 1
    }  # fmt: skip
    events = {event["event_id"]: event for event in read_log(log).to_pylist()}
    assert sorted(events) == ["order.727", "order.728", "order.729", "refund.728", "refund.729"]
    assert events["refund.729"]["value"] == 29.35
    guest, refund = events["order.727"], events["refund.728"]
    assert (guest["customer_id"], guest["value"], guest["currency"]) == ("john.doe@example.com", 29.35, "USD")
    assert guest["event_time"].isoformat() == "2017-03-22T19:28:02+00:00"
    assert [(line["item_id"], line["price"], line["quantity"]) for line in guest["items"]] == [
        ("93", 3.0, 2), ("22", 12.0, 1)
    ]  # fmt: skip
    assert (refund["customer_id"], refund["value"], refund["type"]) == ("26", 11.0, "refund")
    assert read_item_names(log) == {"22": "Ship Your Idea", "93": "Woo Single #1"}


OLIST = {
    "olist_orders_dataset": "order_id,customer_id,order_status,order_purchase_timestamp\n"
    "o1,c1,delivered,2017-10-02 10:56:33\no2,c2,canceled,2018-07-24 20:41:37\n"
    "o3,c3,delivered,2018-08-08 08:38:49\no4,c3,unavailable,2018-08-08 08:38:49\n",
    "olist_order_items_dataset": "order_id,order_item_id,product_id,seller_id,shipping_limit_date,price,"
    "freight_value\no1,1,p1,s,2017-10-06,29.99,8.72\no1,2,p2,s,2017-10-06,10.00,1.00\n"
    "o2,1,p1,s,2018-07-30,118.70,22.76\no3,1,p1,s,2018-08-13,29.99,0\nox,1,p1,s,2018-08-13,1,1\n",
    "olist_customers_dataset": "customer_id,customer_unique_id,customer_zip_code_prefix\n"
    "c1,u1,1\nc2,u2,2\nc3,u1,3\n",
    "olist_products_dataset": "product_id,product_category_name\np1,cool_stuff\np2,moveis\n",
    "product_category_name_translation": "product_category_name,product_category_name_english\n"
    "moveis,furniture\n",
}


@pytest.fixture
def olist(tmp_path: Path) -> Path:
    for name, text in OLIST.items():
        (tmp_path / f"{name}.csv").write_text(text)
    return tmp_path


def test_orders_of_olist_are_purchases_of_people_with_freight(olist: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    account = convert("olist", str(olist), "-o", str(log))
    assert (account["rows"], account["events"], account["merged"], account["customers"]) == (5, 2, 1, 1)
    assert reasons(account, "dropped") == {
        "order that is not among the orders": 1, "line of an order that is canceled": 1
    }  # fmt: skip
    assert (
        reasons(account, "notes")["order without items: it was never delivered, and is not in the log"] == 1
    )
    first, second = read_log(log).to_pylist()
    assert (first["customer_id"], first["value"], first["quantity"], first["currency"]) == (
        "u1",
        49.71,
        2,
        "BRL",
    )
    assert first["event_time"].isoformat() == "2017-10-02T13:56:33+00:00"
    assert [line["category"] for line in first["items"]] == ["cool_stuff", "furniture"]
    assert (second["order_id"], second["value"]) == ("o3", 29.99)


def test_a_folder_without_a_file_of_olist_says_which(olist: Path) -> None:
    (olist / "olist_customers_dataset.csv").unlink()
    with pytest.raises(DatasetError, match=r"no olist_customers_dataset\.csv"):
        load_olist(olist)
    with pytest.raises(DatasetError, match="name the folder"):
        load_olist(olist / "olist_orders_dataset.csv")


def test_products_of_online_retail_keep_their_descriptions(tmp_path: Path) -> None:
    source, log = tmp_path / "retail.csv", tmp_path / "log.parquet"
    source.write_text(
        "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country\n"
        "489434,85048,15CM GLASS BALL LIGHTS ,12,2009-12-01 07:45,6.95,13085,United Kingdom\n"
        "489435,85048,15CM GLASS BALL LIGHTS,12,2009-12-01 07:46,6.95,13085,United Kingdom\n"
        "489436,85048,damaged,-3,2009-12-01 07:47,0,,United Kingdom\n"
    )
    account = convert("online-retail-ii", str(source), "-o", str(log))
    assert account["events"] == 2
    assert read_item_names(log) == {"85048": "15CM GLASS BALL LIGHTS"}
    text = source.read_text().replace("Description,", "").replace("15CM GLASS BALL LIGHTS ,", "")
    text = text.replace("15CM GLASS BALL LIGHTS,", "").replace("damaged,", "")
    source.write_text(text)
    assert "items" not in json.loads(json.dumps(convert("online-retail-ii", str(source), "-o", str(log))))


def test_a_cancelled_order_of_an_export_is_noted(tmp_path: Path) -> None:
    source, log = tmp_path / "orders_export.csv", tmp_path / "log.parquet"
    head, first, *rest = SHOPIFY_ROWS.splitlines()
    rows = [head + ",Cancelled at", first + ",2025-10-08 09:00:00 +0200", *(row + "," for row in rest)]
    source.write_text("\n".join(rows) + "\n")
    account = convert("shopify", str(source), "-o", str(log))
    assert (
        reasons(account, "notes")["order that was cancelled, with no money paid back: kept as a purchase"]
        == 1
    )
    assert all(count["example"] for count in (*account["notes"], *account["dropped"]))
