"""Messages of Segment's spec for e-commerce, as its documentation has them."""

from __future__ import annotations

from typing import Any

import pytest

from features.events import Item, RejectedEvent
from stream.formats.contract import Message
from stream.formats.segment import Segment
from stream.formats.values import first
from tests.stream.formats.messages import event_of, events_of, message

SEGMENT = Segment()
MONOPOLY = {
    "product_id": "507f1f77bcf86cd799439011", "sku": "45790-32", "name": "Monopoly: 3rd Edition", "price": 19,
    "quantity": 1, "category": "Games",
}  # fmt: skip
UNO = {
    "product_id": "505bd76785ebb509fc183733", "sku": "46493-32", "name": "Uno Card Game", "price": 3, "quantity": 2,
    "category": "Games",
}  # fmt: skip
LINES = [
    Item("507f1f77bcf86cd799439011", "Games", 19.0, 1),
    Item("505bd76785ebb509fc183733", "Games", 3.0, 2),
]


def track(event: str, properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "type": "track",
        "messageId": "m-1",
        "event": event,
        "userId": "u-7",
        "anonymousId": "a-1",
        "timestamp": "2026-03-01T10:00:00.250Z",
        "properties": properties,
    } | more


def test_a_completed_order_is_a_purchase_of_its_total() -> None:
    order = {
        "checkout_id": "c-1", "order_id": "50314b8e9bcf000000000000", "total": 27.5, "subtotal": 22.5,
        "revenue": 25.0, "shipping": 3, "tax": 2, "currency": "usd", "products": [MONOPOLY, UNO],
    }  # fmt: skip
    event = event_of(SEGMENT, track("Order Completed", order))
    own = "purchase.50314b8e9bcf000000000000"
    assert (event.type, event.event_id, event.customer_id) == ("purchase", own, "u-7")
    again = track("Order Completed", order, messageId="of the server")
    assert event_of(SEGMENT, again).event_id == own, "browser and server tell of one order"
    del order["order_id"]
    assert event_of(SEGMENT, track("Order Completed", order)).event_id == "m-1"
    assert (event.value, event.currency, event.order_id) == (27.5, "USD", "50314b8e9bcf000000000000")
    assert event.items == LINES


def test_a_viewed_product_keeps_item_category_price_and_name() -> None:
    (fields,) = SEGMENT.translate(message(track("Product Viewed", MONOPOLY))).events
    assert fields["item_name"] == "Monopoly: 3rd Edition"
    event = event_of(SEGMENT, track("Product Viewed", MONOPOLY))
    assert (event.item_id, event.category, event.price) == ("507f1f77bcf86cd799439011", "Games", 19.0)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Products Searched", "search"),
        ("Product List Viewed", "view_item_list"),
        ("Product List Filtered", "view_item_list"),
        ("Product Viewed", "view_item"),
        ("Viewed Product", "view_item"),
        ("product_viewed", "view_item"),
        ("Product Added", "add_to_cart"),
        ("Wishlist Product Added to Cart", "add_to_cart"),
        ("Product Removed", "remove_from_cart"),
        ("Product Added to Wishlist", "add_to_wishlist"),
        ("Product Removed from Wishlist", "remove_from_wishlist"),
        ("Checkout Started", "begin_checkout"),
        ("Order Completed", "purchase"),
        ("Order Refunded", "refund"),
        ("Order Cancelled", "refund"),
    ],
)
def test_a_name_of_the_spec_has_its_type(name: str, kind: str) -> None:
    assert event_of(SEGMENT, track(name, {})).type == kind


def test_an_order_that_is_refunded_and_cancelled_gives_its_money_back_once() -> None:
    def told(name: str, message_id: str, **properties: Any) -> tuple[str, float | None]:
        event = event_of(SEGMENT, track(name, {"order_id": "o-1"} | properties, messageId=message_id))
        return event.event_id, event.value

    assert told("Order Refunded", "m-1", total=30) == told(
        "Order Cancelled", "m-2", total="30.00", products=[UNO]
    )
    parts = {told("Order Refunded", f"m-{total}", total=total, products=[UNO]) for total in (10, 5.5)}
    assert parts == {("refund.o-1.10", 10.0), ("refund.o-1.5.5", 5.5)}
    assert told("Order Refunded", "m-9")[0] == "m-9"


@pytest.mark.parametrize("name", ["Cart Viewed", "Product Clicked", "Coupon Applied", "Signed Up"])
def test_what_has_no_counterpart_is_named(name: str) -> None:
    found = SEGMENT.translate(message(track(name, {"products": [UNO]})))
    assert (found.events, found.ignored) == ([], [name])


@pytest.mark.parametrize("kind", ["page", "screen", "identify", "group", "alias"])
def test_other_calls_have_no_counterpart(kind: str) -> None:
    assert SEGMENT.translate(message({"type": kind, "messageId": "m"})).ignored == [kind]


def test_a_customer_is_the_user_else_anonymous_unless_the_key_says_which() -> None:
    call = track("Products Searched", {})
    assert event_of(SEGMENT, call).customer_id == "u-7"
    assert event_of(SEGMENT, call | {"userId": None}).customer_id == "a-1"
    assert event_of(SEGMENT, call, key=b"a-1").customer_id == "a-1"
    assert event_of(SEGMENT, call, key=b"somebody").customer_id == "u-7"


def test_the_channel_is_that_of_the_sender() -> None:
    def channel(**more: Any) -> str | None:
        return event_of(SEGMENT, track("Products Searched", {}, **more)).channel

    assert channel(context={"library": {"name": "analytics.js"}}) == "web"
    assert channel(context={"library": {"name": "analytics-ios"}}) == "app"
    assert channel(channel="mobile") == "app"
    assert channel(channel="server") is None


def test_ids_that_are_numbers_and_prices_that_are_texts_are_taken() -> None:
    event = event_of(SEGMENT, track("Product Added", {"product_id": 42, "price": "18.99", "quantity": "2"}))
    assert (event.item_id, event.price, event.quantity) == ("42", 18.99, 2)


def test_a_message_without_time_or_sender_is_refused_by_the_check_of_events() -> None:
    (fields,) = SEGMENT.translate(message({"type": "track", "event": "Products Searched"})).events
    assert fields == {"type": "search"}
    with pytest.raises(RejectedEvent, match="not a JSON object"):
        SEGMENT.translate(Message(b"[1]"))


def test_a_list_of_one_product_stays_a_list_for_an_order() -> None:
    (event,) = events_of(
        SEGMENT.translate(message(track("Order Completed", {"products": [UNO], "order_id": 7})))
    )
    assert (event.items, event.order_id, event.item_id) == ([LINES[1]], "7", None)
    assert first(event.value) is None


def test_a_batch_holds_calls_that_share_its_context() -> None:
    calls = [
        track("Product Viewed", MONOPOLY),
        {"type": "page", "messageId": "m-2"},
        track("Product Clicked", UNO),
    ]
    batch = {"batch": calls, "context": {"device": {"type": "android"}}, "sentAt": "2026-03-01T10:00:01Z"}
    translation = SEGMENT.translate(message(batch))
    assert translation.ignored == ["page", "Product Clicked"]
    (event,) = events_of(translation)
    assert (event.type, event.event_id, event.device) == ("view_item", "m-1", "android")
