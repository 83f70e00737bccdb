"""Requests of GA4's Measurement Protocol, and rows of its export to BigQuery."""

from __future__ import annotations

from typing import Any

import pytest

from features.events import Item, RejectedEvent
from stream.formats.ga4 import GA4
from tests.stream.formats.messages import event_of, events_of, message

FORM = GA4()
MICROS = 1_700_000_000_123_456
STAN = {
    "item_id": "SKU_12345", "item_name": "Stan and Friends Tee", "item_brand": "Google", "item_category": "Apparel",
    "price": 10.01, "quantity": 3,
}  # fmt: skip


def request(*events: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"client_id": "123456.7654321", "timestamp_micros": MICROS, "events": list(events)} | more


def sent(name: str, **params: Any) -> dict[str, Any]:
    return {"name": name, "params": params}


PURCHASE = sent(
    "purchase", transaction_id="T_12345", value=30.03, tax=4.9, shipping=5.99, currency="USD", items=[STAN]
)


def test_a_purchase_carries_its_order_money_and_items() -> None:
    event = event_of(FORM, request(PURCHASE))
    assert (event.type, event.customer_id, event.channel) == ("purchase", "123456.7654321", "web")
    assert (event.event_id, event.order_id) == ("purchase.T_12345", "T_12345")
    assert (event.value, event.currency) == (30.03, "USD")
    assert event.items == [Item("SKU_12345", "Apparel", 10.01, 3)]
    assert event.event_time == MICROS // 1000


def test_the_user_goes_before_the_device_unless_the_key_names_the_device() -> None:
    known = request(sent("search", search_term="tee"), user_id="u-7")
    assert event_of(FORM, known).customer_id == "u-7"
    assert event_of(FORM, known, key=b"123456.7654321").customer_id == "123456.7654321"


def test_an_event_without_an_order_has_an_id_of_its_own_that_a_repetition_shares() -> None:
    view, other = sent("view_item", items=[STAN]), sent("view_item", items=[STAN | {"item_id": "SKU_2"}])
    first, again, second = (event_of(FORM, request(event)) for event in (view, view, other))
    assert first.event_id == again.event_id != second.event_id
    assert (first.item_id, first.category, first.price, first.quantity) == ("SKU_12345", "Apparel", 10.01, 3)
    twice = events_of(FORM.translate(message(request(view, view))))
    assert len({event.event_id for event in twice}) == 2


def test_a_wish_is_of_the_item_and_its_price() -> None:
    wish = event_of(FORM, request(sent("add_to_wishlist", currency="USD", value=10.01, items=[STAN])))
    assert (wish.type, wish.item_id, wish.price) == ("add_to_wishlist", "SKU_12345", 10.01)


def test_what_has_no_counterpart_is_named_beside_what_has() -> None:
    found = FORM.translate(
        message(request(sent("page_view"), sent("add_to_cart", items=[STAN]), sent("custom")))
    )
    assert found.ignored == ["page_view", "custom"]
    assert [event.type for event in events_of(found)] == ["add_to_cart"]


def test_a_request_without_a_time_happened_when_it_arrived() -> None:
    untimed = request(sent("search"), timestamp_micros=None)
    assert event_of(FORM, untimed, arrived_at=1_700_000_000_000).event_time == 1_700_000_000_000
    assert "event_time" not in FORM.translate(message(untimed)).events[0]


def test_an_event_s_own_time_goes_before_the_request_s() -> None:
    event = sent("search") | {"timestamp_micros": str(MICROS + 5_000_000)}
    assert event_of(FORM, request(event)).event_time == (MICROS + 5_000_000) // 1000


def test_milliseconds_where_microseconds_are_wanted_are_refused() -> None:
    with pytest.raises(RejectedEvent, match="timestamp_micros is 1770000000000: microseconds"):
        FORM.translate(message(request(PURCHASE, timestamp_micros=1_770_000_000_000)))


def test_an_app_instance_is_a_customer_of_the_app() -> None:
    event = event_of(FORM, {"app_instance_id": "abc", "timestamp_micros": MICROS, "events": [sent("search")]})
    assert (event.customer_id, event.channel) == ("abc", "app")


def row(name: str, params: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    def value(given: Any) -> dict[str, Any]:
        kind = {str: "string_value", int: "int_value"}.get(type(given), "double_value")
        return {"string_value": None, "int_value": None, "float_value": None, "double_value": None} | {
            kind: given
        }

    return {
        "event_date": "20231114",
        "event_timestamp": str(MICROS),
        "event_name": name,
        "event_params": [{"key": key, "value": value(given)} for key, given in (params or {}).items()],
        "user_id": None,
        "user_pseudo_id": "1234.5678",
        "device": {"category": "mobile", "operating_system": "Android"},
        "geo": {"country": "Germany", "city": "Bonn"},
        "platform": "WEB",
        "items": [],
    } | more


def test_a_row_of_the_export_is_an_event() -> None:
    item = STAN | {"price_in_usd": 10.01, "item_category2": "(not set)"}
    ecommerce = {"transaction_id": "T_9", "purchase_revenue": 30.03, "purchase_revenue_in_usd": 30.03}
    bought = row(
        "purchase",
        {"ga_session_id": 99, "currency": "EUR", "transaction_id": "T_9"},
        ecommerce=ecommerce,
        items=[item],
    )
    event = event_of(FORM, bought)
    assert (event.type, event.event_id, event.value, event.currency) == (
        "purchase",
        "purchase.T_9",
        30.03,
        "EUR",
    )
    assert (event.customer_id, event.session_id) == ("1234.5678", "1234.5678.99")
    assert (event.channel, event.device, event.country) == ("web", "mobile", "Germany")
    assert event.items == [Item("SKU_12345", "Apparel", 10.01, 3)]


def test_a_row_of_another_event_is_named_and_not_set_is_nothing() -> None:
    assert FORM.translate(message(row("session_start"))).ignored == ["session_start"]
    event = event_of(FORM, row("view_item", items=[{"item_id": "(not set)", "item_name": "Mug"}]))
    assert event.item_id == "Mug"


def test_rows_of_the_same_moment_are_two_events_by_their_place_in_the_batch() -> None:
    ids = {event_of(FORM, row("search", batch_event_index=index)).event_id for index in (1, 2)}
    assert len(ids) == 2


def test_a_message_of_another_kind_is_refused() -> None:
    with pytest.raises(RejectedEvent, match="neither events nor event_name"):
        FORM.translate(message({"type": "track"}))
