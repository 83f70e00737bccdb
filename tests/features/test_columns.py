from __future__ import annotations

from dataclasses import fields

import msgspec
import numpy as np
import pyarrow as pa

from features.columns import OtherRow, from_events, from_table
from features.events import Item
from features.log import conform
from tests.features.histories import event

EVENTS = [
    event(1, 0, "view_item", item_id="a", price=1.25, channel="web"),
    event(
        2, 1, "purchase", customer="Bärbel", items=[Item("b", price=0.1, quantity=3), Item("c", price=0.2)]
    ),
    event(3, 2, "purchase", value=9.99, currency="USD", channel="store", items=[]),
    event(4, 3, "refund", customer="x" * 128, value=3.0, quantity=0, currency="EUR"),
    event(5, 4, "purchase", items=[Item("d")], price=4.0, quantity=7, channel="app"),
]


def _table() -> pa.Table:
    rows = [msgspec.to_builtins(e) for e in EVENTS]
    names = {
        name: [row.get(name) for row in rows]
        for name in (
            "event_id",
            "type",
            "customer_id",
            "event_time",
            "item_id",
            "price",
            "quantity",
            "value",
            "currency",
            "channel",
        )
    }
    item = pa.list_(
        pa.struct(
            [
                ("item_id", pa.string()),
                ("category", pa.string()),
                ("price", pa.float64()),
                ("quantity", pa.int64()),
            ]
        )
    )
    return conform(pa.table({**names, "items": pa.array([row.get("items") for row in rows], item)}))


def test_records_and_logs_give_the_same_columns() -> None:
    one, two = from_events(EVENTS, "EUR"), from_table(_table(), "EUR")
    for field in fields(one)[:-1]:
        np.testing.assert_array_equal(getattr(one, field.name), getattr(two, field.name), err_msg=field.name)


def test_the_items_of_an_event_are_its_own_and_those_of_its_lines() -> None:
    wanted = [["a"], ["b", "c"], [], [], ["d"]]
    for columns in (from_events(EVENTS, "EUR"), from_table(_table(), "EUR")):
        assert [columns.items.of(row) for row in range(5)] == wanted
        picked = columns.take(np.array([4, 1]))
        assert [picked.items.of(row) for row in range(2)] == [["d"], ["b", "c"]]
        with_others = picked.with_rows([0, 1], [OtherRow("k"), OtherRow("l")])
        assert [with_others.items.of(row) for row in range(4)] == [[], ["d"], [], ["b", "c"]]
    assert from_table(_table().slice(1, 3), "EUR").items.of(0) == ["b", "c"]


def test_an_event_names_each_item_once_and_eight_at_most() -> None:
    lines = [Item(f"i{at // 2}") for at in range(40)]
    columns = from_events([event(1, 0, "view_item_list", item_id="i3", items=lines)], "EUR")
    assert columns.items.of(0) == ["i3", "i0", "i1", "i2", "i4", "i5", "i6", "i7"]


def test_a_slice_of_a_log_gives_the_columns_of_its_rows() -> None:
    whole, part = from_table(_table(), "EUR"), from_table(_table().slice(1, 3), "EUR")
    np.testing.assert_array_equal(part.money, whole.money[1:4])
    np.testing.assert_array_equal(part.item_hash, whole.item_hash[1:4])


def test_money_in_another_currency_is_left_out_and_marked() -> None:
    columns = from_events(EVENTS, "EUR")
    assert columns.foreign.tolist() == [False, False, True, False, False]
    assert columns.money[2] == 0


def test_erasures_stand_where_they_arrived() -> None:
    columns = from_events(EVENTS[:3], "EUR").with_rows(
        [0, 2, 3], [OtherRow("k"), OtherRow("l"), OtherRow("m")]
    )
    assert list(columns.customers) == ["k", "anna", "Bärbel", "l", "anna", "m"]
    assert columns.type.tolist() == [255, 0, 6, 255, 6, 255]
    assert columns.money[[0, 3, 5]].tolist() == [0, 0, 0]


def test_no_events_give_empty_columns() -> None:
    assert len(from_events([], "EUR")) == 0
    assert len(from_table(_table().slice(0, 0), "EUR")) == 0
