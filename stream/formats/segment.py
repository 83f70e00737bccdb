"""Segment's spec for e-commerce (version 2 and the older names), which RudderStack shares.

A message is one ``track`` call as Segment, RudderStack or their Kafka destinations write it. How it is understood:

- The event id is ``messageId``, of a purchase that of its order, which browser and server may both tell. A message may
  also be a batch of calls, as the tracking API takes them (see `Translation`).
- The customer is ``userId``, else ``anonymousId``; the time is ``timestamp``, else ``originalTimestamp``, ``sentAt`` or
  ``receivedAt``.
- An item is ``product_id``, else ``sku``. Money is ``total``, else ``revenue``, ``value`` or ``subtotal``: what the
  customer pays, where the shop says so.
- Both a refunded and a cancelled order are a refund. Shops send both for one order, and an amount is given back once:
  the event id is made of order and amount, so partial refunds stay apart unless both are the same.
- A product that was clicked has no counterpart: its view follows.
- An ``identify`` call with both ids is a login, and so is an ``alias`` of a previous id. Once somebody is known, all
  calls have both ids: each event with both is a login as well.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from stream.formats.contract import Fields, Message, Translation
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
    refund_id,
    rows,
    short,
    text,
    whole,
)

_TYPES: Final = {
    "productssearched": "search",
    "searchedproducts": "search",
    "productlistviewed": "view_item_list",
    "productlistfiltered": "view_item_list",
    "viewedproductcategory": "view_item_list",
    "productviewed": "view_item",
    "viewedproduct": "view_item",
    "productadded": "add_to_cart",
    "addedproduct": "add_to_cart",
    "wishlistproductaddedtocart": "add_to_cart",
    "productaddedtowishlist": "add_to_wishlist",
    "productremovedfromwishlist": "remove_from_wishlist",
    "productremoved": "remove_from_cart",
    "removedproduct": "remove_from_cart",
    "checkoutstarted": "begin_checkout",
    "startedorder": "begin_checkout",
    "ordercompleted": "purchase",
    "completedorder": "purchase",
    "orderrefunded": "refund",
    "refundedorder": "refund",
    "ordercancelled": "refund",
    "ordercanceled": "refund",
    "cancelledorder": "refund",
}
_LOGINS: Final = ("identify", "alias")
_CHANNELS: Final = {"browser": "web", "web": "web", "mobile": "app", "app": "app", "store": "store"}
_LIBRARIES: Final = (("analytics.js", "web"), ("javascript", "web"), ("ios", "app"), ("android", "app"),
                     ("swift", "app"), ("kotlin", "app"), ("flutter", "app"), ("react-native", "app"))  # fmt: skip


class Segment:
    """See the module."""

    name: Final = "segment"
    origins: Final = {
        "event_id": "messageId",
        "customer_id": "userId or anonymousId",
        "event_time": "timestamp",
    }

    def translate(self, message: Message) -> Translation:
        """See `stream.formats.contract.Format.translate`."""
        found = read_object(message.value, "Segment message")
        translation = Translation()
        if "batch" not in found:
            _add(found, message, translation)
            return translation
        shared = {name: found[name] for name in ("context", "sentAt", "receivedAt") if name in found}
        for call in rows(found["batch"]):
            _add(shared | call, message, translation)
        return translation


def _add(call: dict[str, Any], message: Message, translation: Translation) -> None:
    """Add what a call is to a translation: an event, a login, or something without a counterpart."""
    kind, name = call.get("type", "track"), call.get("event")
    found = _type(name) if kind == "track" and isinstance(name, str) else None
    said: list[Fields] = []
    if found is not None or kind in _LOGINS:
        anonymous = first(call.get("previousId") if kind == "alias" else None, call.get("anonymousId"))
        said = logins(message.key, call.get("messageId"), _time(call), call.get("userId"), anonymous)
    translation.logins += said
    if found is not None:
        translation.events.append(_event(call, found, message))
    elif not said:
        translation.ignored.append(short(name if kind == "track" else kind))


@lru_cache(maxsize=1024)
def _type(name: str) -> str | None:
    """Return the type of an event by its name, whose spellings differ: ``Product Viewed``, ``product_viewed``."""
    return _TYPES.get("".join(letter for letter in name.lower() if letter.isalnum()))


def _event(call: dict[str, Any], kind: str, message: Message) -> Fields:
    properties = call.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    products, order = rows(properties.get("products")), properties.get("order_id")
    lines = [_item(product) for product in products] or [_item(properties)]
    value = number(first(*(properties.get(name) for name in ("total", "revenue", "value", "subtotal"))))
    own = purchase_id(order) if kind == "purchase" else refund_id(order, value) if kind == "refund" else None
    fields = {
        "event_id": own or text(call.get("messageId")),
        "type": kind,
        "customer_id": customer(message.key, call.get("userId"), call.get("anonymousId")),
        "event_time": _time(call),
        "category": text(properties.get("category")) if products else None,
        "currency": code(properties.get("currency")),
        "order_id": text(order),
        "session_id": text(inner(call, "context", "sessionId")),
        "channel": _channel(call, properties),
        "device": text(inner(call, "context", "device", "type")),
        "country": text(inner(call, "context", "location", "country")),
    }
    if kind in ORDERS:
        fields["value"] = value
    return given(fields | about(lines, order=bool(products) and kind in ORDERS))


def _time(call: dict[str, Any]) -> Any:
    return first(*(call.get(name) for name in ("timestamp", "originalTimestamp", "sentAt", "receivedAt")))


def _item(product: dict[str, Any]) -> Fields:
    found = {
        "item_id": text(first(product.get("product_id"), product.get("sku"))),
        "name": text(product.get("name")),
        "category": text(product.get("category")),
        "price": number(product.get("price")),
        "quantity": whole(product.get("quantity")),
    }
    return found if found["item_id"] is not None else {"category": found["category"]}


def _channel(call: dict[str, Any], properties: dict[str, Any]) -> str | None:
    for named in (properties.get("channel"), call.get("channel")):
        if isinstance(named, str) and named.lower() in _CHANNELS:
            return _CHANNELS[named.lower()]
    library = inner(call, "context", "library", "name")
    if isinstance(library, str):
        return next((channel for part, channel in _LIBRARIES if part in library.lower()), None)
    return None
