"""The contract with shops and with marketing, as AsyncAPI 3.0 with JSON Schema: ``python -m stream.messages.asyncapi``.

It is made from the very types that decode events and encode scores, so it cannot differ from the code.
"""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from features.events import Event, Reason
from features.identity import Identify
from features.prices import Price
from stream.messages.action import Action
from stream.messages.alert import Alert
from stream.messages.dead_letter import CONNECT, CUT, ERASED_AT
from stream.messages.score import Score

#: What the names of the topics start with unless ``INTENT_TOPIC_PREFIX`` says otherwise.
TOPIC_PREFIX: Final = "intent."

_MESSAGES: Final = (Event, Identify, Price, Score, Action, Alert)
_JSON: Final = "application/json"
_BYTES: Final = "application/octet-stream"
_TEXT: Final = {"type": "string"}
_NULL: Final = {"type": "null"}
_INFO: Final = {
    "title": "purchase-intent",
    "version": "1",
    "description": "Events of a shop in, purchase intent of every customer out.",
    "license": {"name": "Apache-2.0"},
}
_CUSTOMER_KEY: Final = "The customer id, in UTF-8; the partition is Kafka's murmur2 of it."
_HEADERS: Final = {
    "reason": {"enum": [reason.value for reason in Reason]},
    "detail": _TEXT,
    "topic": _TEXT,
    "partition": _TEXT,
    "offset": _TEXT,
    "arrived_at": {**_TEXT, "description": "Epoch milliseconds, as text."},
}
_CUT_HEADERS: Final = {
    f"{CUT}{part}": {
        **_TEXT,
        "description": f"Where the {part} was cut: the original's bytes, and its SHA-256.",
    }
    for part in ("key", "value", "headers")
}
_CONNECT_HEADERS: Final = {
    f"{CONNECT}{part}": {**_TEXT, "description": f"As Kafka Connect writes it: {meaning}."}
    for part, meaning in {
        "topic": "the topic of the record",
        "partition": "its partition",
        "offset": "its offset",
        "connector.name": "always the name of this system",
        "task.id": "the partition once more",
        "exception.class.name": "the reason, after the name of this system",
        "exception.message": "the detail",
    }.items()
}
#: The headers of a dead letter, as JSON Schema.
LETTER_HEADERS: Final = {
    "type": "object",
    "required": list(_HEADERS),
    "properties": _HEADERS | _CUT_HEADERS | _CONNECT_HEADERS,
}


def asyncapi(topic_prefix: str = TOPIC_PREFIX) -> dict[str, Any]:
    """Return the contract, with the names of the topics as they are by default."""
    references, schemas = message_schemas("#/components/schemas/{name}")
    event, identify, price, score, action, alert = references.values()
    return {
        "asyncapi": "3.0.0",
        "info": _INFO,
        "defaultContentType": _JSON,
        "channels": {
            "events": _channel(
                f"{topic_prefix}events",
                event=_message("What a customer did", event),
                identify=_message(
                    "Somebody who was anonymous is this customer",
                    identify,
                    key="The anonymous id, in UTF-8; the partition is Kafka's murmur2 of it.",
                ),
                price=_message(
                    "An item costs this from a moment on",
                    price,
                    key="The item id, in UTF-8; the partition is Kafka's murmur2 of it.",
                ),
                erase=_message("Erase this customer (null value)", _NULL),
            ),
            "scores": _channel(
                f"{topic_prefix}scores",
                score=_message("How likely the customer is to buy", score),
                tombstone=_message("The customer was erased (null value)", _NULL),
            ),
            "actions": _channel(
                f"{topic_prefix}actions",
                action=_message(
                    "What is to be done about the customer, once; the same again after a crash", action
                ),
                tombstone=_message("The customer was erased (null value)", _NULL),
            ),
            "deadLetters": _channel(
                f"{topic_prefix}dead-letters", deadLetter=_dead_letter(), erasure=_erasure()
            ),
            "alerts": _channel(
                f"{topic_prefix}alerts",
                alert=_message(
                    "Customers, or the network's errors, are not what they were",
                    alert,
                    key="The kind of alert.",
                ),
            ),
        },
        "operations": {
            "readEvents": _operation("receive", "events"),
            "writeScores": _operation("send", "scores"),
            "writeActions": _operation("send", "actions"),
            "writeDeadLetters": _operation("send", "deadLetters"),
            "writeAlerts": _operation("send", "alerts"),
        },
        "components": {"schemas": schemas},
    }


def message_schemas(ref_template: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return references to the types of all messages, by their names, and the schemas that these need."""
    references, schemas = msgspec.json.schema_components(_MESSAGES, ref_template=ref_template)
    for name in ("Event", "Identify", "Price"):
        fields = schemas[name]["properties"]
        fields["event_time"] = {
            "description": "Epoch milliseconds, or RFC 3339 text with a zone.",
            "anyOf": fields["event_time"]["anyOf"],
        }
    return {kind.__name__: one for kind, one in zip(_MESSAGES, references, strict=True)}, schemas


def _channel(address: str, **messages: dict[str, Any]) -> dict[str, Any]:
    return {"address": address, "messages": messages}


def _operation(action: str, channel: str) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}}


def _message(title: str, payload: dict[str, Any], *, key: str = _CUSTOMER_KEY) -> dict[str, Any]:
    return {
        "title": title,
        "contentType": _JSON,
        "payload": payload,
        "bindings": {"kafka": {"key": {**_TEXT, "description": key}}},
    }


def _dead_letter() -> dict[str, Any]:
    return {
        "title": "A record that was refused: its original key and bytes, and why",
        "contentType": _BYTES,
        "payload": {},
        "headers": LETTER_HEADERS,
    }


def _erasure() -> dict[str, Any]:
    return {
        "title": "A customer was erased: letters with the key that arrived before count as erased",
        "contentType": _BYTES,
        "payload": {"type": "null"},
        "headers": {
            "type": "object",
            "required": [ERASED_AT],
            "properties": {ERASED_AT: {**_TEXT, "description": "arrival of the request, epoch milliseconds"}},
        },
    }


if __name__ == "__main__":
    print(json.dumps(asyncapi(), indent=2))
