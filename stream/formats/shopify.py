"""Shopify's webhooks: orders, refunds, cancelled orders and checkouts.

A message is the body of a webhook; the header ``X-Shopify-Topic`` says its topic where it is sent along, and the body
shows it where not. How it is understood:

- ``orders/create`` and ``orders/paid`` are a purchase, ``refunds/create`` a refund, ``checkouts/create`` the beginning
  of a checkout. ``orders/cancelled`` is a refund: the last one that the order lists, which is the event that
  ``refunds/create`` tells of it, or the whole order where none is listed.
- An order that was not paid when it was told (``pending``, ``voided``, ``expired``) has no counterpart; ``orders/paid``
  may tell it later. The other topics (``orders/updated``, ...) tell nothing new about buying, and have no counterpart;
  test orders neither.
- The customer is ``customer.id``, else the e-mail address in small letters. An order of nobody (over the counter,
  without a customer) has no counterpart: nobody can be told apart by it. A refund names no customer: its order, if it
  is sent along as ``order``, does, else the record's key.
- An item is ``product_id``, else ``variant_id`` or ``sku``. Money is what the customer pays (``total_price``), in the
  shop's currency.
- The event id is made of the order's (refund's, checkout's) id, so that an order counts once whichever topics tell it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from features.events import Reason, RejectedEvent
from stream.formats.contract import Fields, Headers, Message, Translation
from stream.formats.values import (
    code,
    customer,
    first,
    given,
    inner,
    number,
    read_object,
    rows,
    short,
    text,
    whole,
)

_TOPIC: Final = "x-shopify-topic"
_ORDERS: Final = frozenset({"orders/create", "orders/paid"})
_CANCELLED: Final = "orders/cancelled"
_PAID: Final = frozenset({"paid", "partially_paid", "authorized", "partially_refunded", "refunded"})
_CHECKOUTS: Final = frozenset({"checkouts/create"})
# Where an order came from; an app's own number or name says nothing about the channel.
_SOURCES: Final = {"web": "web", "pos": "store", "iphone": "app", "android": "app"}


class Shopify:
    """See the module.

    Parameters
    ----------
    history
        Whether messages tell all that became of an order, as an export has it: a cancelled one was bought before, and
        its refunds stand in it. In a topic each of these is a message of its own.
    """

    name: Final = "shopify"
    origins: Final = {
        "event_id": "id",
        "customer_id": "customer.id or email",
        "event_time": "processed_at or created_at",
    }

    def __init__(self, *, history: bool = False) -> None:
        self._history = history

    def translate(self, message: Message) -> Translation:
        """See `stream.formats.contract.Format.translate`."""
        body = read_object(message.value, "webhook of Shopify")
        topic = _topic(body, message.headers)
        if body.get("test") is True:
            return Translation(ignored=["test order"])
        if topic in _ORDERS | {_CANCELLED} and self._history:
            return _history(body, message.key)
        if topic in _ORDERS:
            if topic != "orders/paid" and (unpaid := _unpaid(body)):
                return Translation(ignored=[unpaid])
            fields = _order(body, message.key)
        elif topic == _CANCELLED:
            fields = _paid_back(body, message.key)
        elif topic == "refunds/create":
            fields = _refund(body, message.key)
        elif topic in _CHECKOUTS:
            fields = _checkout(body, message.key)
        else:
            return Translation(ignored=[short(topic)])
        if "customer_id" not in fields:
            return Translation(ignored=[f"{topic} without a customer"])
        return Translation([fields])


def _unpaid(order: dict[str, Any]) -> str | None:
    """Return what an order is that nobody has paid, ``None`` where it was paid or does not say."""
    status = order.get("financial_status")
    return f"order {short(status)}" if isinstance(status, str) and status not in _PAID else None


def _history(order: dict[str, Any], key: bytes | None) -> Translation:
    """Return all that became of an order: it was bought, and perhaps paid back, in parts or by cancelling it."""
    if unpaid := _unpaid(order):
        return Translation(ignored=[unpaid])
    bought = _order(order, key)
    if "customer_id" not in bought:
        return Translation(ignored=["order without a customer"])
    events = [bought]
    for refund in rows(order.get("refunds")):
        back = _refund(refund | {"order": order, "order_id": order.get("id")}, key)
        events.append(back | {"customer_id": bought["customer_id"]})
    if len(events) == 1 and first(order.get("cancelled_at")) is not None:
        events.append(_cancelled(order, key))
    return Translation(events)


def _topic(body: dict[str, Any], headers: Headers) -> str:
    """Return the topic of a webhook: as its header says, else as its body shows."""
    for name, value in headers:
        if name.lower() == _TOPIC and value is not None:
            return value.decode(errors="replace")
    if "refund_line_items" in body:
        return "refunds/create"
    if "line_items" not in body:
        raise RejectedEvent(
            Reason.INVALID_FIELD,
            "the value is no webhook about orders, refunds or checkouts: it has no line_items; send the header "
            "X-Shopify-Topic along for other topics",
        )
    if first(body.get("cancelled_at")) is not None:
        return _CANCELLED
    return "checkouts/create" if "abandoned_checkout_url" in body else "orders/create"


def _order(order: dict[str, Any], key: bytes | None) -> Fields:
    return _event("purchase", "order", order, key) | {
        "event_time": first(order.get("processed_at"), order.get("created_at")),
        "order_id": text(order.get("id")),
    }


def _cancelled(order: dict[str, Any], key: bytes | None) -> Fields:
    return _event("refund", "cancelled", order, key) | {
        "event_time": first(order.get("cancelled_at"), order.get("updated_at")),
        "order_id": text(order.get("id")),
    }


def _paid_back(order: dict[str, Any], key: bytes | None) -> Fields:
    """Return what a cancelled order gives back: its last refund, which has a message of its own, else all of it."""
    cancelled, refunds = _cancelled(order, key), rows(order.get("refunds"))
    if not refunds or "customer_id" not in cancelled:
        return cancelled
    last = max(refunds, key=lambda refund: str(first(refund.get("processed_at"), refund.get("created_at"))))
    back = _refund(last | {"order": order, "order_id": order.get("id")}, key)
    return back | {"customer_id": cancelled["customer_id"]}


def _checkout(checkout: dict[str, Any], key: bytes | None) -> Fields:
    fields = _event("begin_checkout", "checkout", checkout, key)
    return fields | {"event_time": checkout.get("created_at")}


def _event(kind: str, source: str, body: dict[str, Any], key: bytes | None) -> Fields:
    """Return the fields that orders and checkouts have alike."""
    email = first(body.get("email"), body.get("contact_email"), inner(body, "customer", "email"))
    return given(
        {
            "event_id": _id(source, first(body.get("id"), body.get("token"))),
            "type": kind,
            "customer_id": customer(
                key, inner(body, "customer", "id"), email.lower() if isinstance(email, str) else None
            ),
            "value": number(first(body.get("total_price"), body.get("current_total_price"))),
            "currency": code(body.get("currency")),
            "items": [given(_item(line)) for line in rows(body.get("line_items"))] or None,
            "channel": _SOURCES.get(str(body.get("source_name"))),
            "country": text(
                first(
                    inner(body, "shipping_address", "country_code"),
                    inner(body, "billing_address", "country_code"),
                )
            ),
        }
    )


def _refund(refund: dict[str, Any], key: bytes | None) -> Fields:
    order = refund.get("order")
    order = order if isinstance(order, dict) else {}
    known = customer(key, inner(order, "customer", "id"), inner(refund, "customer", "id"), order.get("email"))
    if known is None and key:
        known = key.decode(errors="replace")
    returned = rows(refund.get("refund_line_items"))
    paid = [
        number(payment.get("amount"))
        for payment in rows(refund.get("transactions"))
        if payment.get("kind") in (None, "refund") and payment.get("status") in (None, "success")
    ]
    amounts = paid or [number(line.get("subtotal")) for line in returned]
    known_amounts = [amount for amount in amounts if isinstance(amount, int | float)]
    currency = next(
        (c for c in (code(payment.get("currency")) for payment in rows(refund.get("transactions"))) if c),
        None,
    )
    return given(
        {
            "event_id": _id("refund", refund.get("id")),
            "type": "refund",
            "customer_id": known,
            "event_time": first(refund.get("processed_at"), refund.get("created_at")),
            "value": round(sum(known_amounts), 6) if known_amounts else None,
            "currency": first(currency, code(order.get("currency"))),
            "order_id": text(refund.get("order_id")),
            "items": [
                given(_item(line["line_item"]) | {"quantity": whole(line.get("quantity"))})
                for line in returned
                if isinstance(line.get("line_item"), dict)
            ]
            or None,
        }
    )


def _item(line: Mapping[str, Any]) -> Fields:
    return {
        "item_id": text(first(line.get("product_id"), line.get("variant_id"), line.get("sku"))),
        "name": text(first(line.get("title"), line.get("name"))),
        "category": text(line.get("product_type")),
        "price": number(line.get("price")),
        "quantity": whole(line.get("quantity")),
    }


def _id(source: str, told: Any) -> str | None:
    named = text(told)
    return f"{source}.{named}" if isinstance(named, str) else None
