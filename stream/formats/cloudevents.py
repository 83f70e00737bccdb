"""CloudEvents 1.0 in Kafka: structured (an envelope in JSON) and binary (attributes in headers ``ce_...``).

How an event is understood:

- The form of ``data`` is the one that the setting names (``cloudevents+segment``). Without one, it is the format whose
  name ``dataschema`` or ``type`` contains as a word (``com.segment.track``), else our own.
- Data in our own form may leave to the envelope what that has: the event id is ``id``, the time ``time``, the type the
  last word of ``type`` but for a version (``com.example.shop.add_to_cart.v1``), the customer ``partitionkey``, else the
  record's key.
- An event whose type is none of ours has no counterpart.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Final

from features.events import EVENT_TYPES, Reason, RejectedEvent
from features.identity import IDENTIFY
from stream.formats.contract import Fields, Format, Headers, Message, Translation
from stream.formats.plain import PLAIN
from stream.formats.values import first, read_json, read_object, short, text, write_json

_PREFIX: Final = "ce_"
_STRUCTURED: Final = "application/cloudevents"
_REQUIRED: Final = ("specversion", "id", "source", "type")
_WORD: Final = re.compile(r"[a-z0-9]+", re.IGNORECASE)
_VERSION: Final = re.compile(r"v?\d+")


class CloudEvents:
    """See the module.

    Parameters
    ----------
    inside
        The form of the data; ``None``: what each event says.
    """

    origins: Final = {
        "event_id": "id",
        "customer_id": "data.customer_id, partitionkey or the key",
        "event_time": "time",
    }

    title: Final = "cloudevents"

    def __init__(self, inside: Format | None = None) -> None:
        self._inside = inside

    @property
    def name(self) -> str:
        """See `stream.formats.contract.Format`."""
        return self.title if self._inside is None else f"{self.title}+{self._inside.name}"

    def translate(self, message: Message) -> Translation:
        """See `stream.formats.contract.Format.translate`."""
        attributes, data = _opened(message)
        form = self._inside or _form_of(attributes)
        if data is None:
            return Translation(ignored=[short(attributes.get("type"))])
        inside = message._replace(value=data)
        if form is None:
            return _own(attributes, inside)
        translation = form.translate(inside)
        for at, fields in enumerate(translation.events):
            told = text(attributes["id"])
            fields.setdefault("event_id", f"{told}.{at}" if len(translation.events) > 1 else told)
            fields.setdefault("event_time", attributes.get("time"))
        for login in translation.logins:
            login.setdefault("event_id", f"{IDENTIFY}.{text(attributes['id'])}")
            login.setdefault("event_time", attributes.get("time"))
        return translation


def is_binary(headers: Headers) -> bool:
    """Whether a record is a CloudEvent by its headers: without a value, it is one without data and erases nobody."""
    names = {name.lower() for name, _ in headers}
    return all(f"{_PREFIX}{name}" in names for name in _REQUIRED)


def _opened(message: Message) -> tuple[dict[str, Any], bytes | None]:
    """Return the attributes of a CloudEvent, and its data as JSON, ``None`` where it has none."""
    headers = _texts(message.headers)
    kind = headers.get("content-type", "")
    attributes: dict[str, Any] = {
        name[len(_PREFIX) :]: value for name, value in headers.items() if name.startswith(_PREFIX)
    }
    if not kind.startswith(_STRUCTURED) and all(name in attributes for name in _REQUIRED):
        if kind and "json" not in kind:
            raise RejectedEvent(Reason.NOT_JSON, f"the content type is {kind[:60]!r}: the data must be JSON")
        return attributes, message.value or None
    if kind.startswith(_STRUCTURED) and "json" not in kind:
        raise RejectedEvent(
            Reason.NOT_JSON, f"the content type is {kind[:60]!r}: use application/cloudevents+json"
        )
    envelope = read_json(message.value)
    if not isinstance(envelope, dict) or not all(name in envelope for name in _REQUIRED):
        missing = [name for name in _REQUIRED if not isinstance(envelope, dict) or name not in envelope]
        raise RejectedEvent(
            Reason.INVALID_FIELD, f"the record is no CloudEvent: it has no {missing[0]}, in value or headers"
        )
    return envelope, _data(envelope)


def _data(envelope: dict[str, Any]) -> bytes | None:
    encoded = envelope.get("data_base64")
    if isinstance(encoded, str):
        try:
            return base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise RejectedEvent(Reason.INVALID_FIELD, "data_base64 is not base64") from None
    data = envelope.get("data")
    if isinstance(data, str):  # JSON that is packed once more
        return data.encode(errors="replace")
    return None if data is None else write_json(data)


def _texts(headers: Headers) -> dict[str, str]:
    return {name.lower(): value.decode(errors="replace") for name, value in headers if value is not None}


def _form_of(attributes: Mapping[str, Any]) -> Format | None:
    for name in ("dataschema", "type"):
        told = attributes.get(name)
        if isinstance(told, str):
            found = next((word for word in _words(told) if word in PLAIN), None)
            if found is not None:
                return PLAIN[found]
    return None


def _words(told: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(told)]


def _own(attributes: Mapping[str, Any], message: Message) -> Translation:
    """Return an event in our own form, with what its envelope says."""
    fields = read_object(message.value, "event")
    kind = _type(attributes)
    if fields.get("type") is None:
        if kind is None:
            return Translation(ignored=[short(attributes.get("type"))])
        fields["type"] = kind
    key = message.key.decode(errors="replace") if message.key else None
    told: Fields = {
        "event_id": text(attributes["id"]),
        "event_time": attributes.get("time"),
        "customer_id": first(text(attributes.get("partitionkey")), key),
    }
    own = {name: value for name, value in told.items() if value is not None} | fields
    return Translation(logins=[own]) if fields["type"] == IDENTIFY else Translation([own])


def _type(attributes: Mapping[str, Any]) -> str | None:
    """Return the type of ours that ends an event's type, but for a version.

    Examples
    --------
    >>> _type({"type": "com.example.shop.add-to-cart.v1"}), _type({"type": "com.example.search.index"})
    ('add_to_cart', None)
    """
    told = attributes.get("type")
    words = re.split(r"[./:]", told.lower().replace("-", "_")) if isinstance(told, str) else [""]
    last = words[-2] if len(words) > 1 and _VERSION.fullmatch(words[-1]) else words[-1]
    return last if last in EVENT_TYPES else None
