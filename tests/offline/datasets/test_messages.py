"""Files of messages: every thing in them is accounted for, and items keep their names."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from features.items import items_path, read_item_names
from features.log import read_log
from offline.datasets import Conversion, DatasetError, load_messages
from offline.datasets.messages import Translated
from stream.cli.convert import register
from stream.formats.contract import Message
from stream.formats.plain import PLAIN
from tests.stream.formats import test_ga4, test_segment, test_shopify, test_snowplow

runner = CliRunner()


def convert(*arguments: str) -> Any:
    app = typer.Typer()
    register(app)
    app.command("other")(lambda: None)
    result = runner.invoke(app, ["convert", *arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    account = json.loads(result.stdout)
    assert account["rows"] == account["events"] + account["merged"] + sum(
        c["rows"] for c in account["dropped"]
    )
    return account


def jsonl(path: Path, *messages: Any) -> Path:
    path.write_text("".join(json.dumps(message) + "\n" for message in messages))
    return path


CALLS = [
    test_segment.track("Product Viewed", test_segment.MONOPOLY),
    {"type": "page", "messageId": "p"},
    test_segment.track("Order Completed", {"products": [test_segment.UNO], "order_id": "o"}, messageId="m-2"),
    test_segment.track("Product Viewed", test_segment.MONOPOLY),
    test_segment.track("Product Viewed", {}, userId=None, anonymousId=None),
    test_segment.track("Products Searched", {"currency": "dollars"}, messageId="m-3"),
    test_segment.track("Cart Viewed", {}),
]


def test_every_message_is_an_event_or_counted_with_its_reason(tmp_path: Path) -> None:
    log = tmp_path / "log.parquet"
    account = convert("segment", str(jsonl(tmp_path / "calls.jsonl", *CALLS)), "-o", str(log))
    assert (account["rows"], account["events"], account["source"]) == (7, 3, "segment")
    assert {count["reason"]: count["rows"] for count in account["dropped"]} == {
        "no counterpart: page": 1,
        "no counterpart: Cart Viewed": 1,
        "refused: missing field": 1,
        "repeated event_id": 1,
    }
    assert account["notes"][0] == {
        "reason": "bad currency: left out, the event is kept", "rows": 1, "example": "calls.jsonl, message 6"
    }  # fmt: skip
    assert read_log(log)["event_id"].to_pylist() == ["m-1", "purchase.o", "m-3"]


def test_items_keep_their_names_beside_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log.parquet"
    account = convert("segment", str(jsonl(tmp_path / "calls.jsonl", *CALLS)), "-o", str(log))
    assert account["items"] == str(items_path(log))
    assert read_item_names(log) == {
        "507f1f77bcf86cd799439011": "Monopoly: 3rd Edition",
        "505bd76785ebb509fc183733": "Uno Card Game",
    }
    assert pq.read_table(items_path(log))["category"].to_pylist() == ["Games", "Games"]
    convert("segment", str(jsonl(tmp_path / "plain.jsonl", CALLS[5])), "-o", str(log))
    assert read_item_names(log) == {}, "names of a log before are not those of this one"


def test_rows_of_bigquery_are_read_as_json_and_as_parquet(tmp_path: Path) -> None:
    rows = [
        test_ga4.row("view_item", {"ga_session_id": 1}, items=[test_ga4.STAN]),
        test_ga4.row("page_view"),
        test_ga4.row(
            "purchase", {"transaction_id": "T", "value": 30.03, "currency": "USD"}, items=[test_ga4.STAN]
        ),
    ]
    for row in rows:
        row["event_timestamp"] = int(row["event_timestamp"])
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    logs = []
    for source in (jsonl(tmp_path / "rows.jsonl", *rows), tmp_path / "rows.parquet"):
        account = convert("ga4", str(source), "-o", str(tmp_path / "log"))
        assert account["by_type"] == {"view_item": 1, "purchase": 1}
        logs.append(read_log(tmp_path / "log").to_pylist())
    assert logs[0] == logs[1]


def test_a_request_with_several_events_is_several_rows_of_the_account(tmp_path: Path) -> None:
    request = test_ga4.request(test_ga4.PURCHASE, test_ga4.sent("page_view"), test_ga4.sent("search"))
    account = convert("ga4", str(jsonl(tmp_path / "mp.jsonl", request)), "-o", str(tmp_path / "log"))
    assert (account["rows"], account["events"]) == (3, 2)


@pytest.mark.parametrize("form", ["array", "object", "pretty", "gzip", "zip", "utf-16", "bom", "crlf"])
def test_messages_are_found_in_whatever_wraps_them(tmp_path: Path, form: str) -> None:
    orders = [test_shopify.ORDER, test_shopify.ORDER | {"id": 7}]
    lines = "".join(json.dumps(order) + "\n" for order in orders)
    path = tmp_path / "orders.json"
    texts = {
        "array": json.dumps(orders),
        "object": json.dumps({"orders": orders}),
        "pretty": json.dumps(orders, indent=2),
        "bom": "\ufeff" + lines,
        "crlf": lines.replace("\n", "\r\n"),
    }
    if form == "gzip":
        path.write_bytes(gzip.compress(lines.encode()))
    elif form == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("orders.json", lines)
    else:
        path.write_text(texts.get(form, lines), encoding="utf-16" if form == "utf-16" else "utf8")
    account = convert("shopify", str(path), "-o", str(tmp_path / "log"))
    assert (account["rows"], account["events"]) == (2, 2)


def test_lines_of_tabs_are_read(tmp_path: Path) -> None:
    line = test_snowplow.tsv(event="page_view", event_name="page_view") + b"\n"
    json_line = json.dumps(test_snowplow.action("product_view", product=[test_snowplow.PRODUCT])).encode()
    (tmp_path / "enriched.tsv").write_bytes(line * 2 + json_line + b"\n" + b"a\tb\n")
    account = convert("snowplow", str(tmp_path / "enriched.tsv"), "-o", str(tmp_path / "log"))
    assert {count["reason"]: count["rows"] for count in account["dropped"]} == {
        "no counterpart: page_view": 2, "refused: invalid field": 1,
    }  # fmt: skip
    assert account["dropped"][1]["example"].startswith(
        "enriched.tsv, message 4: the value is no enriched event"
    )


def load(path: Path) -> Conversion:
    def translate(message: bytes) -> Any:
        found = PLAIN["segment"].translate(Message(message))
        return Translated(found.events, found.ignored, found.logins)

    return load_messages(path, translate, source="segment").report


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"\x00\xff\xfe", b"{", b'{"type":"page"}', b"\x1f\x8b\x08broken", b"PAR1"]
)
def test_a_file_without_events_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "calls.jsonl"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"calls\.jsonl"):
        load(path)


def test_a_folder_without_data_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no data file"):
        load(tmp_path)


def test_logins_are_rows_of_the_log_once_and_no_rows_of_the_account(tmp_path: Path) -> None:
    view = {
        "type": "track", "event": "Product Viewed", "anonymousId": "a-1", "properties": {"product_id": "p-1"},
    }  # fmt: skip
    minutes = iter(range(10))

    def call(**more: Any) -> str:
        at = next(minutes)
        return json.dumps(view | {"messageId": f"m-{at}", "timestamp": f"2026-03-01T12:0{at}:00Z"} | more)

    calls, log = tmp_path / "calls.jsonl", tmp_path / "log.parquet"
    lines = [call(), call(type="identify", userId="u-7"), call(userId="u-7"), call(userId="u" * 200), call()]
    calls.write_text("\n".join([lines[0], *reversed(lines[1:])]))
    account = convert("segment", str(calls), "-o", str(log))
    assert (account["rows"], account["events"]) == (4, 3)
    notes = {note["reason"]: note["rows"] for note in account["notes"]}
    assert notes == {"login: an anonymous id is a customer's": 1, "bad login: left out, the event is kept": 1}
    rows = read_log(log, identities=True)
    found = rows.select(["type", "customer_id"]).to_pylist()
    assert [tuple(row.values()) for row in found] == [
        ("view_item", "a-1"), ("identify", "a-1"), ("view_item", "u-7"), ("view_item", "a-1"),
    ]  # fmt: skip
    assert rows["event_time"].to_pylist() == sorted(rows["event_time"].to_pylist())
    assert len(read_log(log)) == 3
