"""Snowplow's enriched events as tab-separated text, taken apart as Snowplow's analytics SDKs do.

The columns are those of Snowplow's canonical event model, in its order. Of the 131, those that no event here needs are
skipped by their place.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from features.events import Reason, RejectedEvent
from stream.formats.values import check_size, rows

#: Number of columns, and the place of those that are used.
COLUMNS: Final = 131
_PLACES: Final = {
    "platform": 1,
    "collector_tstamp": 3,
    "dvce_created_tstamp": 4,
    "event": 5,
    "event_id": 6,
    "user_id": 12,
    "domain_userid": 15,
    "network_userid": 17,
    "geo_country": 18,
    "contexts": 52,
    "unstruct_event": 58,
    "tr_orderid": 59,
    "tr_total": 61,
    "tr_country": 66,
    "dvce_type": 101,
    "tr_currency": 108,
    "derived_contexts": 122,
    "domain_sessionid": 123,
    "derived_tstamp": 124,
    "event_name": 126,
    "true_tstamp": 130,
}
_SELF_DESCRIBING: Final = ("contexts", "derived_contexts", "unstruct_event")

_read = msgspec.json.Decoder().decode


def parse_tsv(value: bytes) -> dict[str, Any]:
    """Return an enriched event as the analytics SDK has it: its columns by name, entities and the event by schema.

    Raises
    ------
    RejectedEvent
        The text has another number of columns, or a column that cannot be read.
    """
    check_size(value)
    try:
        parts = value.decode().rstrip("\r\n").split("\t")
    except UnicodeDecodeError as error:
        raise RejectedEvent(Reason.NOT_JSON, f"byte {error.start} of the line is not UTF-8") from None
    if len(parts) != COLUMNS:
        raise RejectedEvent(
            Reason.INVALID_FIELD,
            f"the value is no enriched event of Snowplow: it has {len(parts)} columns instead of {COLUMNS}, and it "
            "is not JSON",
        )
    event: dict[str, Any] = {name: parts[at] for name, at in _PLACES.items() if parts[at]}
    for name in _SELF_DESCRIBING:
        packed = event.pop(name, None)
        if packed is not None:
            event |= _unpacked(name, packed)
    for name in event:
        if name.endswith("_tstamp"):
            event[name] = f"{event[name].replace(' ', 'T')}Z"
    return event


def _unpacked(name: str, packed: str) -> dict[str, Any]:
    try:
        told = _read(packed)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise RejectedEvent(Reason.NOT_JSON, f"the column {name} is not JSON") from None
    data = told.get("data") if isinstance(told, dict) else None
    if name == "unstruct_event":
        key = _key("unstruct_event", data)
        return {} if key is None or not isinstance(data, dict) else {key: data.get("data")}
    entities: dict[str, Any] = {}
    for entity in rows(data):
        if key := _key("contexts", entity):
            entities.setdefault(key, []).append(entity.get("data"))
    return entities


def _key(prefix: str, entity: Any) -> str | None:
    """Return the SDK's name of something self-describing.

    Examples
    --------
    >>> _key("contexts", {"schema": "iglu:com.acme.shop/productView/jsonschema/1-0-0"})
    'contexts_com_acme_shop_product_view_1'
    """
    schema = entity.get("schema") if isinstance(entity, dict) else None
    parts = schema.removeprefix("iglu:").split("/") if isinstance(schema, str) else []
    if len(parts) != _SCHEMA_PARTS:
        return None
    vendor, name, _, version = parts
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
    flat = f"{vendor}_{snake}_{version.split('-')[0]}".replace(".", "_").replace("-", "_").lower()
    return f"{prefix}_{flat}"


# Vendor, name, format, version.
_SCHEMA_PARTS: Final = 4
