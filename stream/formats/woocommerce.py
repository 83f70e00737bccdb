"""Orders of WooCommerce, as its REST API and its webhooks have them.

Only `intent convert` reads them: an order comes again with every change of its status, and only in the end is it known
what became of it. How an order is understood:

- ``processing``, ``completed`` and ``refunded`` orders are a purchase when they were made. Others (``pending``,
  ``on-hold``, ``cancelled``, ``failed``, drafts) were never paid, and have no counterpart.
- What was paid back is one refund, dated by the last change of the order: the API tells amounts, not dates. Of a
  ``refunded`` order that lists no amounts, all was.
- The customer is ``customer_id``, else the billing e-mail address in small letters.
"""

from __future__ import annotations

import re
from typing import Any, Final

from features.events import Reason, RejectedEvent
from stream.formats.contract import Fields, Message, Translation
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

_PAID: Final = frozenset({"processing", "completed", "refunded"})
_ZONE: Final = re.compile(r"(Z|[+-]\d\d:?\d\d)$")


class WooCommerce:
    """See the module."""

    name: Final = "woocommerce"
    origins: Final = {
        "event_id": "id",
        "customer_id": "customer_id or billing.email",
        "event_time": "date_created_gmt",
    }

    def translate(self, message: Message) -> Translation:
        """See `stream.formats.contract.Format.translate`."""
        order = read_object(message.value, "order of WooCommerce")
        if "line_items" not in order or "status" not in order:
            raise RejectedEvent(
                Reason.INVALID_FIELD,
                "the value is no order of WooCommerce: it has no status or no line_items",
            )
        status = order["status"]
        if not isinstance(status, str) or status.removeprefix("wc-") not in _PAID:
            return Translation(ignored=[f"order {short(status)}"])
        bought = _purchase(order, message.key)
        if "customer_id" not in bought:
            return Translation(ignored=["order without a customer"])
        amounts = [number(refund.get("total")) for refund in rows(order.get("refunds"))]
        paid_back = sum(abs(amount) for amount in amounts if isinstance(amount, int | float))
        if not paid_back and status.removeprefix("wc-") == "refunded":
            paid_back = bought.get("value") or 0.0
        if not paid_back:
            return Translation([bought])
        return Translation([bought, _refund(order, bought, paid_back)])


def _purchase(order: dict[str, Any], key: bytes | None) -> Fields:
    email = first(inner(order, "billing", "email"))
    number_of = text(order.get("id"))
    account = text(order.get("customer_id"))
    return given(
        {
            "event_id": None if number_of is None else f"order.{number_of}",
            "type": "purchase",
            "customer_id": customer(
                key, None if account == "0" else account, email.lower() if isinstance(email, str) else None
            ),
            "event_time": _time(order, "date_created"),
            "value": number(order.get("total")),
            "currency": code(order.get("currency")),
            "order_id": number_of,
            "items": [given(_item(line)) for line in rows(order.get("line_items"))] or None,
            "channel": "web" if order.get("created_via") in ("checkout", "store-api") else None,
            "country": text(first(inner(order, "shipping", "country"), inner(order, "billing", "country"))),
        }
    )


def _refund(order: dict[str, Any], bought: Fields, value: float) -> Fields:
    kept = ("customer_id", "currency", "order_id", "channel", "country")
    return given(
        {name: bought.get(name) for name in kept}
        | {
            "event_id": f"refund.{order.get('id')}",
            "type": "refund",
            "event_time": first(_time(order, "date_modified"), bought.get("event_time")),
            "value": round(value, 6),
        }
    )


def _time(order: dict[str, Any], name: str) -> Any:
    """Return a time, in UTC: the API leaves the zone out."""
    told = first(order.get(f"{name}_gmt"), order.get(name))
    return f"{told}Z" if isinstance(told, str) and not _ZONE.search(told) else told


def _item(line: dict[str, Any]) -> Fields:
    return {
        "item_id": text(first(line.get("product_id"), line.get("sku"))),
        "name": text(first(line.get("parent_name"), line.get("name"))),
        "price": number(line.get("price")),
        "quantity": whole(line.get("quantity")),
    }
