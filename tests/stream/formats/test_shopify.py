"""Webhooks of Shopify: orders, refunds, cancelled orders, checkouts."""

from __future__ import annotations

from typing import Any

import pytest

from features.events import Item, RejectedEvent
from stream.formats.shopify import Shopify
from tests.stream.formats.messages import event_of, events_of, message

FORM = Shopify()
NANO = {
    "id": 466157049, "variant_id": 39072856, "title": "IPod Nano - 8gb", "quantity": 1, "sku": "IPOD2008GREEN",
    "product_id": 632910392, "name": "IPod Nano - 8gb - green", "price": "199.00", "total_discount": "0.00",
}  # fmt: skip
ORDER: dict[str, Any] = {
    "id": 450789469, "email": "Bob.Norman@mail.example.com", "created_at": "2008-01-10T11:00:00-05:00",
    "processed_at": "2008-01-10T11:00:00-05:00", "number": 1, "name": "#1001", "token": "b1946ac92492d2347c6235b4",
    "total_price": "598.94", "subtotal_price": "597.00", "total_tax": "11.94", "currency": "USD", "test": False,
    "source_name": "web", "cancelled_at": None, "customer": {"id": 207119551, "email": "bob.norman@mail.example.com"},
    "shipping_address": {"country": "United States", "country_code": "US"}, "line_items": [NANO],
}  # fmt: skip
REFUND = {
    "id": 509562969, "order_id": 450789469, "created_at": "2008-01-12T11:00:00-05:00", "note": "it broke",
    "refund_line_items": [{"id": 104689539, "quantity": 1, "subtotal": 195.67, "line_item": NANO}],
    "transactions": [{"id": 179259969, "amount": "209.00", "kind": "refund", "status": "success", "currency": "USD"}],
}  # fmt: skip


def topic(name: str) -> list[tuple[str, bytes]]:
    return [("X-Shopify-Topic", name.encode())]


def test_an_order_is_a_purchase_of_what_the_customer_pays() -> None:
    event = event_of(FORM, ORDER)
    assert (event.type, event.event_id, event.customer_id) == ("purchase", "order.450789469", "207119551")
    assert (event.value, event.currency, event.order_id) == (598.94, "USD", "450789469")
    assert event.items == [Item("632910392", None, 199.0, 1)]
    assert (event.channel, event.country) == ("web", "US")
    assert event == event_of(FORM, ORDER, headers=topic("orders/paid"))


def test_the_title_of_an_item_is_kept_for_loaders() -> None:
    (fields,) = FORM.translate(message(ORDER)).events
    assert fields["items"][0]["name"] == "IPod Nano - 8gb"


def test_a_customer_without_an_account_is_known_by_e_mail_address() -> None:
    assert event_of(FORM, ORDER | {"customer": None}).customer_id == "bob.norman@mail.example.com"
    key = b"bob.norman@mail.example.com"
    assert event_of(FORM, ORDER, key=key).customer_id == key.decode()


def test_an_order_of_nobody_has_no_counterpart() -> None:
    nobody = ORDER | {"customer": None, "email": "", "source_name": "pos"}
    assert FORM.translate(message(nobody)).ignored == ["orders/create without a customer"]


def test_a_refund_is_what_was_paid_back_to_the_key_s_customer() -> None:
    event = event_of(FORM, REFUND, key=b"207119551", headers=topic("refunds/create"))
    assert (event.type, event.event_id, event.customer_id) == ("refund", "refund.509562969", "207119551")
    assert (event.value, event.currency, event.order_id) == (209.0, "USD", "450789469")
    assert event.items == [Item("632910392", None, 199.0, 1)]
    assert event_of(FORM, REFUND | {"order": ORDER}).customer_id == "207119551"
    assert FORM.translate(message(REFUND)).ignored == ["refunds/create without a customer"]


def test_a_cancelled_order_is_a_refund_at_its_own_time() -> None:
    event = event_of(FORM, ORDER | {"cancelled_at": "2008-01-11T09:00:00-05:00"})
    assert (event.type, event.event_id, event.value) == ("refund", "cancelled.450789469", 598.94)


def test_a_cancelled_order_and_the_refund_that_it_lists_are_one_event() -> None:
    earlier = REFUND | {"id": 5, "created_at": "2008-01-11T11:00:00-05:00", "transactions": []}
    cancelled = ORDER | {"cancelled_at": "2008-01-12T11:00:00-05:00", "refunds": [REFUND, earlier]}
    for key in (None, b"207119551"):
        told = event_of(FORM, REFUND, key=b"207119551", headers=topic("refunds/create"))
        assert event_of(FORM, cancelled, key=key, headers=topic("orders/cancelled")) == told


def test_a_checkout_begins() -> None:
    checkout = {
        name: ORDER[name]
        for name in ("email", "created_at", "total_price", "currency", "line_items", "token")
    }
    for told in ({"headers": topic("checkouts/create")}, {}):
        event = event_of(FORM, checkout | {"abandoned_checkout_url": "https://checkout.example/x"}, **told)
        assert (event.type, event.event_id) == ("begin_checkout", "checkout.b1946ac92492d2347c6235b4")


@pytest.mark.parametrize(
    "name", ["orders/updated", "orders/fulfilled", "checkouts/update", "customers/create"]
)
def test_other_topics_have_no_counterpart(name: str) -> None:
    assert FORM.translate(message(ORDER, headers=topic(name))).ignored == [name]


def test_a_test_order_is_no_order() -> None:
    assert FORM.translate(message(ORDER | {"test": True})).ignored == ["test order"]


def test_another_body_is_refused() -> None:
    with pytest.raises(RejectedEvent, match="it has no line_items"):
        FORM.translate(message({"id": 1, "first_name": "Bob"}))


@pytest.mark.parametrize("status", ["pending", "voided", "expired"])
def test_an_order_that_is_not_paid_has_no_counterpart_until_it_is(status: str) -> None:
    for form in (FORM, Shopify(history=True)):
        assert form.translate(message(ORDER | {"financial_status": status})).ignored == [f"order {status}"]
    paid = ORDER | {"financial_status": status}
    assert event_of(FORM, paid, headers=topic("orders/paid")).type == "purchase"


def test_the_history_of_an_order_holds_its_purchase_its_refunds_and_its_cancelling() -> None:
    history = Shopify(history=True)
    refunded = ORDER | {
        "financial_status": "refunded",
        "refunds": [REFUND],
        "cancelled_at": "2008-01-13T11:00:00Z",
    }
    events = events_of(history.translate(message(refunded)))
    assert [(e.type, e.event_id, e.value, e.customer_id) for e in events] == [
        ("purchase", "order.450789469", 598.94, "207119551"),
        ("refund", "refund.509562969", 209.0, "207119551"),
    ]
    cancelled = ORDER | {"financial_status": "paid", "cancelled_at": "2008-01-13T11:00:00Z"}
    events = events_of(history.translate(message(cancelled)))
    assert [(e.type, e.value) for e in events] == [("purchase", 598.94), ("refund", 598.94)]
    assert events[0].event_time < events[1].event_time
