"""Google Analytics 4: what the Measurement Protocol takes, and rows of the export to BigQuery.

Our types are GA4's names, so most of the work is to find the fields. How messages are understood:

- The customer is ``user_id``, else ``client_id`` or ``app_instance_id`` (``user_pseudo_id`` in the export).
- GA4 gives events no id. A purchase has that of its order: GA4 itself counts an order once, however often the page
  that thanks for it is loaded. Other events have a fingerprint of what they say, so that the same message sent twice
  is recognised.
- A request without ``timestamp_micros`` happened when it arrived.
- What names a user's id beside the client's is a login: each of the events that have a counterpart, ``login`` and
  ``sign_up``.
- A request may hold up to 25 events; see `Translation`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from features.events import EVENT_TYPES, Reason, RejectedEvent
from stream.formats.contract import Fields, Message, Translation
from stream.formats.values import (
    ORDERS,
    about,
    code,
    customer,
    fingerprint,
    first,
    given,
    inner,
    joined,
    logins,
    number,
    purchase_id,
    read_object,
    rows,
    short,
    some,
    text,
    whole,
)

_TYPES: Final = frozenset(EVENT_TYPES)
_LOGINS: Final = frozenset({"login", "sign_up"})
_PLATFORMS: Final = {"web": "web", "android": "app", "ios": "app"}
# Sixteen digits until the year 2286; what is shorter counts milliseconds or seconds.
_MIN_MICROS: Final = 10**14


class GA4:
    """See the module."""

    name: Final = "ga4"
    origins: Final = {
        "event_id": "the event's content",
        "customer_id": "user_id, client_id, app_instance_id or user_pseudo_id",
        "event_time": "timestamp_micros or event_timestamp",
    }

    def translate(self, message: Message) -> Translation:
        """See `stream.formats.contract.Format.translate`."""
        found = read_object(message.value, "GA4 request and no row of the export")
        if "event_name" in found:
            return translate_row(found, message.key)
        if not isinstance(found.get("events"), list):
            raise RejectedEvent(
                Reason.INVALID_FIELD,
                "the value is no GA4 request and no row of the export: it has neither events nor event_name",
            )
        return _request(found, message)


def _request(request: dict[str, Any], message: Message) -> Translation:
    translation = Translation()
    for at, event in enumerate(request["events"]):
        name = event.get("name") if isinstance(event, dict) else None
        if isinstance(name, str) and name in _TYPES | _LOGINS:
            _add(
                translation,
                _sent(request, event, at, message),
                message.key,
                request.get("user_id"),
                _own(request),
            )
        else:
            translation.ignored.append(short(name))
    return translation


def _add(translation: Translation, fields: Fields, key: bytes | None, known: Any, anonymous: Any) -> None:
    """Add an event to a translation, and the login that it tells; one message has one customer."""
    said = logins(key, fields.get("event_id"), fields.get("event_time"), known, anonymous)
    translation.logins = translation.logins or said
    if fields["type"] in _TYPES:
        translation.events.append(fields)
    elif not said:
        translation.ignored.append(short(fields["type"]))


def _own(request: dict[str, Any]) -> Any:
    return first(request.get("client_id"), request.get("app_instance_id"))


def _sent(request: dict[str, Any], event: dict[str, Any], at: int, message: Message) -> Fields:
    """Return the fields of the event at a position of a request."""
    params = event.get("params")
    params = params if isinstance(params, dict) else {}
    kind = event["name"]
    own = _own(request)
    told = first(event.get("timestamp_micros"), request.get("timestamp_micros"))
    time = message.arrived_at if told is None else _milliseconds(told, "timestamp_micros")
    return _event(
        kind,
        params,
        rows(params.get("items")),
        event_id=_id(kind, params.get("transaction_id"), own, request.get("user_id"), time, kind, params, at),
        customer_id=customer(message.key, request.get("user_id"), own),
        event_time=time,
        session_id=joined([own, params.get("session_id")]),
        channel="app" if "app_instance_id" in request else "web" if "client_id" in request else None,
        device=text(inner(request, "device", "category")),
        country=text(inner(request, "user_location", "country_id")),
    )


def translate_row(row: dict[str, Any], key: bytes | None = None) -> Translation:
    """Return what a row of the export to BigQuery holds."""
    kind = row["event_name"]
    if not isinstance(kind, str) or kind not in _TYPES | _LOGINS:
        return Translation(ignored=[short(kind)])
    params = dict(_params(row.get("event_params")))
    order = row.get("ecommerce")
    order = order if isinstance(order, dict) else {}
    number_of = first(params.get("transaction_id"), order.get("transaction_id"))
    worth = order.get("refund_value" if kind == "refund" else "purchase_revenue")
    own = row.get("user_pseudo_id")
    time = row.get("event_timestamp")
    coordinates = [
        row.get(name)
        for name in ("event_bundle_sequence_id", "batch_page_id", "batch_ordering_id", "batch_event_index")
    ]
    lines = rows(row.get("items"))
    platform = row.get("platform")
    fields = _event(
        kind,
        {"value": worth} | params | {"transaction_id": number_of},
        lines,
        event_id=_id(
            kind,
            number_of,
            own,
            row.get("user_id"),
            time,
            kind,
            [inner(i, "item_id") for i in lines],
            coordinates,
        ),
        customer_id=customer(key, row.get("user_id"), own),
        event_time=None if time is None else _milliseconds(time, "event_timestamp"),
        session_id=joined([own, params.get("ga_session_id")]),
        channel=_PLATFORMS.get(platform.lower()) if isinstance(platform, str) else None,
        device=text(inner(row, "device", "category")),
        country=text(inner(row, "geo", "country")),
    )
    translation = Translation()
    _add(translation, fields, key, row.get("user_id"), own)
    return translation


def _event(kind: str, params: dict[str, Any], lines: list[dict[str, Any]], **fields: Any) -> Fields:
    """Return the fields that requests and rows have alike."""
    fields |= {
        "type": kind,
        "currency": code(params.get("currency")),
        "order_id": text(params.get("transaction_id")),
    }
    if kind in ORDERS:
        fields["value"] = number(params.get("value"))
    return given(fields | about([_item(line) for line in lines], order=kind in ORDERS))


def _item(item: dict[str, Any]) -> Fields:
    return {
        "item_id": text(first(item.get("item_id"), item.get("item_name"))),
        "name": text(item.get("item_name")),
        "category": text(item.get("item_category")),
        "price": number(item.get("price")),
        "quantity": whole(item.get("quantity")),
    }


def _id(kind: str, order: Any, *parts: Any) -> str:
    return (purchase_id(order) if kind == "purchase" else None) or fingerprint(*parts)


def _milliseconds(micros: Any, name: str) -> Any:
    value = whole(micros)
    if not isinstance(value, int) or isinstance(value, bool):
        raise RejectedEvent(Reason.INVALID_FIELD, f"{name} is {micros!r:.60}: microseconds are wanted")
    if value < _MIN_MICROS:
        raise RejectedEvent(
            Reason.INVALID_FIELD,
            f"{name} is {value}: microseconds since 1970 are wanted, such as 1760000000000000",
        )
    return value // 1000


def _params(listed: Any) -> Iterator[tuple[str, Any]]:
    """Yield names and values of ``event_params``: of the four kinds of values, the one that is there."""
    for param in rows(listed):
        name, value = param.get("key"), param.get("value")
        if isinstance(name, str) and isinstance(value, dict):
            kinds = ("string_value", "int_value", "double_value", "float_value")
            yield name, next((some(value[k]) for k in kinds if value.get(k) is not None), None)
