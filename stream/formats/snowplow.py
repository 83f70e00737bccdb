"""Snowplow's enriched events: tab-separated, or the JSON that its analytics SDKs make of them.

How an event is understood:

- The event id is ``event_id``, of a purchase that of its order, which browser and server may both tell.
- The customer is ``user_id``, else the id of the e-commerce user entity, ``domain_userid``, the user of a mobile
  session, or ``network_userid``. The time is ``true_tstamp``, else ``derived_tstamp``, else when the collector
  received it. An event that names a user's id beside one of the others is a login.
- Of the e-commerce plugin, the action's type says the type; product, transaction, refund and cart entities the rest.
  A checkout begins with its first step; further steps have no counterpart.
- Older events: ``transaction`` (``tr_...``) is a purchase, its ``transaction_item`` events have no counterpart, for
  they come beside it; ``add_to_cart``, ``remove_from_cart`` and ``site_search`` are taken.
"""

from __future__ import annotations

from typing import Any, Final

from stream.formats.contract import Fields, Message, Translation
from stream.formats.snowplow_tsv import parse_tsv
from stream.formats.values import (
    ORDERS,
    about,
    code,
    customer,
    first,
    given,
    inner,
    logins,
    number,
    purchase_id,
    read_object,
    rows,
    short,
    text,
    whole,
)

_SHOP: Final = "com_snowplowanalytics_snowplow_ecommerce"
_ACTION: Final = f"unstruct_event_{_SHOP}_snowplow_ecommerce_action_1"
_OLD: Final = "unstruct_event_com_snowplowanalytics_snowplow"
_SESSION: Final = "contexts_com_snowplowanalytics_snowplow_client_session_1"
# What the enrichment by the IAB's list of spiders and robots says.
_ROBOTS: Final = "contexts_com_iab_snowplow_spiders_and_robots_1"
_ACTIONS: Final = {
    "product_view": "view_item",
    "list_view": "view_item_list",
    "add_to_cart": "add_to_cart",
    "remove_from_cart": "remove_from_cart",
    "transaction": "purchase",
    "refund": "refund",
}
_PLATFORMS: Final = {"web": "web", "mob": "app", "app": "app"}


class Snowplow:
    """See the module."""

    name: Final = "snowplow"
    origins: Final = {
        "event_id": "event_id",
        "customer_id": "user_id, domain_userid or network_userid",
        "event_time": "derived_tstamp",
    }

    def translate(self, message: Message) -> Translation:
        """See `stream.formats.contract.Format.translate`."""
        if message.value.lstrip(b" \r\n")[:1] == b"{":
            event = read_object(message.value, "enriched event of Snowplow")
        else:
            event = parse_tsv(message.value)
        fields = _shop_event(event)
        if isinstance(fields, str):
            return Translation(ignored=[fields])
        own = purchase_id(fields.get("order_id")) if fields["type"] == "purchase" else None
        shared = _shared(event, message.key)
        said = logins(
            message.key, shared["event_id"], shared["event_time"], first(*_known(event)), *_anonymous(event)
        )
        return Translation([given(shared | fields | ({"event_id": own} if own else {}))], logins=said)


def _shop_event(event: dict[str, Any]) -> Fields | str:
    """Return the fields of an event about buying, of another one its name."""
    action = event.get(_ACTION)
    if isinstance(action, dict):
        return _by_action(event, action)
    if event.get("event") == "transaction":
        return {
            "type": "purchase",
            "order_id": text(event.get("tr_orderid")),
            "value": number(event.get("tr_total")),
            "currency": code(event.get("tr_currency")),
            "country": text(first(event.get("tr_country"), event.get("geo_country"))),
        }
    if f"{_OLD}_site_search_1" in event:
        return {"type": "search"}
    for kind in ("add_to_cart", "remove_from_cart"):
        moved = event.get(f"{_OLD}_{kind}_1")
        if isinstance(moved, dict):
            return _old_item(moved) | {"type": kind, "currency": code(moved.get("currency"))}
    return short(first(event.get("event_name"), event.get("event")))


def _by_action(event: dict[str, Any], action: dict[str, Any]) -> Fields | str:
    told = action.get("type")
    kind = _ACTIONS.get(told) if isinstance(told, str) else None
    if told == "checkout_step" and whole(_entity(event, "checkout_step").get("step")) in (None, 1):
        kind = "begin_checkout"
    if kind is None:
        return short(told)
    products = rows(event.get(f"contexts_{_SHOP}_product_1"))
    order = _entity(event, "refund" if kind == "refund" else "transaction")
    cart = _entity(event, "cart") if kind == "begin_checkout" else {}
    fields = {
        "type": kind,
        "order_id": text(order.get("transaction_id")),
        "currency": code(
            first(
                order.get("currency"),
                cart.get("currency"),
                *(product.get("currency") for product in products),
            )
        ),
    }
    if kind in ORDERS:
        fields["value"] = number(
            first(order.get("refund_amount"), order.get("revenue"), cart.get("total_value"))
        )
    return fields | about([_item(product) for product in products], order=kind in ORDERS)


def _entity(event: dict[str, Any], name: str) -> dict[str, Any]:
    return next(iter(rows(event.get(f"contexts_{_SHOP}_{name}_1"))), {})


def _shared(event: dict[str, Any], key: bytes | None) -> Fields:
    platform = event.get("platform")
    session = next(iter(rows(event.get(_SESSION))), {})
    return {
        "event_id": text(event.get("event_id")),
        "customer_id": customer(key, *_known(event), *_anonymous(event)),
        "event_time": first(
            event.get("true_tstamp"), event.get("derived_tstamp"), event.get("collector_tstamp")
        ),
        "session_id": text(first(event.get("domain_sessionid"), inner(session, "sessionId"))),
        "channel": _PLATFORMS.get(platform) if isinstance(platform, str) else None,
        "device": text(event.get("dvce_type")),
        "country": text(event.get("geo_country")),
        "bot": any(found.get("spiderOrRobot") is True for found in rows(event.get(_ROBOTS))) or None,
    }


def _known(event: dict[str, Any]) -> list[Any]:
    return [event.get("user_id"), _entity(event, "user").get("id")]


def _anonymous(event: dict[str, Any]) -> list[Any]:
    session = next(iter(rows(event.get(_SESSION))), {})
    return [event.get("domain_userid"), inner(session, "userId"), event.get("network_userid")]


def _item(product: dict[str, Any]) -> Fields:
    return {
        "item_id": text(product.get("id")),
        "name": text(product.get("name")),
        "category": text(product.get("category")),
        "price": number(product.get("price")),
        "quantity": whole(product.get("quantity")),
    }


def _old_item(moved: dict[str, Any]) -> Fields:
    return given(
        {
            "item_id": text(moved.get("sku")),
            "item_name": text(moved.get("name")),
            "category": text(moved.get("category")),
            "price": number(moved.get("unitPrice")),
            "quantity": whole(moved.get("quantity")),
        }
    )
