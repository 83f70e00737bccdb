"""Snowplow's enriched events: as the analytics SDK writes them, and tab-separated."""

from __future__ import annotations

import json
from typing import Any

import pytest

from features.events import Item, RejectedEvent
from stream.formats.contract import Message
from stream.formats.snowplow import Snowplow
from stream.formats.snowplow_tsv import COLUMNS, parse_tsv
from tests.stream.formats.messages import event_of, events_of, message

FORM = Snowplow()
SHOP = "com_snowplowanalytics_snowplow_ecommerce"
ACTION = f"unstruct_event_{SHOP}_snowplow_ecommerce_action_1"
PRODUCT = {
    "id": "12345", "name": "Baseball T", "category": "apparel", "price": 200, "quantity": 2, "currency": "eur",
    "list_price": 239.99,
}  # fmt: skip
ENRICHED = {
    "app_id": "shop", "platform": "web", "event": "unstruct", "event_name": "snowplow_ecommerce_action",
    "event_id": "c6ef3124-b53a-4b13-a233-0088f79dcbcb", "user_id": "jon.doe@email.com",
    "domain_userid": "bc2e92ec6c204a14", "domain_sessionid": "2b15e5c8-d3b1-11e4-b9d6-1681e6b88ec1",
    "collector_tstamp": "2013-11-26T00:03:59.000Z", "derived_tstamp": "2013-11-26T00:03:57.886Z",
    "dvce_type": "Computer", "geo_country": "GB",
}  # fmt: skip


def action(kind: str, **entities: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        f"contexts_{SHOP}_{name}_1": data if isinstance(data, list) else [data]
        for name, data in entities.items()
    }
    return ENRICHED | {ACTION: {"type": kind}} | found


def test_a_viewed_product_is_a_view_of_it() -> None:
    event = event_of(FORM, action("product_view", product=PRODUCT))
    assert (event.type, event.event_id) == ("view_item", "c6ef3124-b53a-4b13-a233-0088f79dcbcb")
    assert (event.customer_id, event.session_id) == ("jon.doe@email.com", ENRICHED["domain_sessionid"])
    assert (event.item_id, event.category, event.price, event.currency) == ("12345", "apparel", 200.0, "EUR")
    assert (event.channel, event.device, event.country) == ("web", "Computer", "GB")


def test_a_robot_of_the_iabs_list_is_a_bot() -> None:
    said = {"spiderOrRobot": True, "category": "SPIDER_OR_ROBOT", "reason": "FAILED_UA_EXCLUDE"}
    listed = {"contexts_com_iab_snowplow_spiders_and_robots_1": [said]}
    person = {"contexts_com_iab_snowplow_spiders_and_robots_1": [said | {"spiderOrRobot": False}]}
    view = action("product_view", product=PRODUCT)
    assert [event_of(FORM, view | found).bot for found in (listed, person, {})] == [True, None, None]


def test_a_transaction_is_a_purchase_of_its_revenue() -> None:
    paid = {
        "transaction_id": "T-1",
        "currency": "EUR",
        "revenue": 400.5,
        "payment_method": "card",
        "total_quantity": 2,
    }
    event = event_of(FORM, action("transaction", transaction=paid, product=[PRODUCT]))
    assert event.event_id == "purchase.T-1", "browser and server tell of one order"
    assert (event.type, event.order_id, event.value, event.currency) == ("purchase", "T-1", 400.5, "EUR")
    assert event.items == [Item("12345", "apparel", 200.0, 2)]


def test_a_refund_is_what_was_paid_back() -> None:
    back = {"transaction_id": "T-1", "currency": "EUR", "refund_amount": 200, "refund_reason": "return"}
    event = event_of(FORM, action("refund", refund=back))
    assert (event.type, event.order_id, event.value) == ("refund", "T-1", 200.0)


def test_a_checkout_begins_with_its_first_step() -> None:
    cart = {"cart_id": None, "currency": "EUR", "total_value": 12}
    event = event_of(FORM, action("checkout_step", checkout_step={"step": 1}, cart=cart))
    assert (event.type, event.value) == ("begin_checkout", 12.0)
    assert FORM.translate(message(action("checkout_step", checkout_step={"step": 2}))).ignored == [
        "checkout_step"
    ]


@pytest.mark.parametrize("kind", ["list_click", "promo_view", "promo_click", "trns_error"])
def test_an_action_without_counterpart_is_named(kind: str) -> None:
    assert FORM.translate(message(action(kind))).ignored == [kind]


def test_other_events_are_named() -> None:
    assert FORM.translate(message(ENRICHED | {"event_name": "page_ping"})).ignored == ["page_ping"]
    assert FORM.translate(message({"event": "transaction_item"})).ignored == ["transaction_item"]


def test_the_customer_is_the_user_else_the_browser_unless_the_key_names_the_browser() -> None:
    search = action("list_view", product=[PRODUCT, PRODUCT | {"id": "2"}])
    assert event_of(FORM, search | {"user_id": None}).customer_id == "bc2e92ec6c204a14"
    assert event_of(FORM, search, key=b"bc2e92ec6c204a14").customer_id == "bc2e92ec6c204a14"


def test_an_old_transaction_is_a_purchase() -> None:
    old = ENRICHED | {
        "event": "transaction",
        "tr_orderid": "order-123",
        "tr_total": 8000.0,
        "tr_currency": "EUR",
    }
    event = event_of(FORM, old)
    assert (event.type, event.order_id, event.value, event.currency) == (
        "purchase",
        "order-123",
        8000.0,
        "EUR",
    )


def test_an_old_addition_to_the_cart_is_one() -> None:
    moved = {
        "sku": "item11",
        "name": "Tie",
        "category": "formal",
        "unitPrice": 34.5,
        "quantity": 1,
        "currency": "EUR",
    }
    event = event_of(FORM, ENRICHED | {"unstruct_event_com_snowplowanalytics_snowplow_add_to_cart_1": moved})
    assert (event.type, event.item_id, event.price) == ("add_to_cart", "item11", 34.5)


def tsv(**columns: str) -> bytes:
    places = {
        "platform": 1, "collector_tstamp": 3, "event": 5, "event_id": 6, "user_id": 12, "domain_userid": 15,
        "geo_country": 18, "contexts": 52, "unstruct_event": 58, "dvce_type": 101, "domain_sessionid": 123,
        "derived_tstamp": 124, "event_name": 126,
    }  # fmt: skip
    parts = [""] * COLUMNS
    for name, value in columns.items():
        parts[places[name]] = value
    return "\t".join(parts).encode()


def self_describing(
    name: str, data: Any, vendor: str = "com.snowplowanalytics.snowplow.ecommerce"
) -> dict[str, Any]:
    return {"schema": f"iglu:{vendor}/{name}/jsonschema/1-0-2", "data": data}


def test_a_line_of_tabs_is_the_same_event_as_the_json_of_the_sdk() -> None:
    outer = "com.snowplowanalytics.snowplow"
    told = self_describing("snowplow_ecommerce_action", {"type": "product_view"})
    entities = [self_describing("product", PRODUCT), self_describing("webPage", {"id": "x"}, "com.acme")]
    shared = {name: str(ENRICHED[name]) for name in ENRICHED if name != "app_id"}
    shared |= {
        name: shared[name].replace("T", " ").removesuffix("Z") for name in shared if name.endswith("_tstamp")
    }
    line = tsv(
        **shared,
        unstruct_event=json.dumps(self_describing("unstruct_event", told, outer)),
        contexts=json.dumps(self_describing("contexts", entities, outer)),
    )
    assert "contexts_com_acme_web_page_1" in parse_tsv(line)
    (event,) = events_of(FORM.translate(Message(line + b"\n")))
    assert event == event_of(FORM, action("product_view", product=PRODUCT))


def test_a_line_of_another_kind_is_refused() -> None:
    with pytest.raises(RejectedEvent, match="it has 2 columns instead of 131"):
        FORM.translate(Message(b"web\tpv"))
    with pytest.raises(RejectedEvent, match="the column contexts is not JSON"):
        FORM.translate(Message(tsv(contexts="{")))
