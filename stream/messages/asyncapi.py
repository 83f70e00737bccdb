"""The contract with shops and with marketing, as AsyncAPI 3.0 with JSON Schema: ``python -m stream.messages.asyncapi``.

It is made from the very types that decode events and encode scores, so it cannot differ from the code.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from features.events import Event, Reason
from stream.messages.alert import Alert
from stream.messages.score import Score
from stream.settings import Settings

_REFERENCE = "#/components/schemas/{name}"


def asyncapi() -> dict[str, Any]:
    """Return the contract with the default topics' names."""
    settings = Settings.model_construct()
    (event, score, alert), schemas = msgspec.json.schema_components(
        [Event, Score, Alert], ref_template=_REFERENCE
    )
    schemas["Event"]["properties"]["event_time"] = {
        "description": "Epoch milliseconds, or RFC 3339 text with a zone.",
        "anyOf": schemas["Event"]["properties"]["event_time"]["anyOf"],
    }
    key = {
        "type": "string",
        "description": "The customer id, in UTF-8; the partition is Kafka's murmur2 of it.",
    }

    def message(title: str, payload: dict[str, Any] | bool, **more: Any) -> dict[str, Any]:
        return {"title": title, "contentType": "application/json", "payload": payload,
                "bindings": {"kafka": {"key": key}}, **more}  # fmt: skip

    text = {"type": "string"}
    letter_headers = {
        "type": "object",
        "required": ["reason", "detail", "topic", "partition", "offset", "arrived_at"],
        "properties": {
            "reason": {"enum": [reason.value for reason in Reason]},
            "detail": text,
            "topic": text,
            "partition": text,
            "offset": text,
            "arrived_at": {**text, "description": "Epoch milliseconds, as text."},
        },
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "purchase-intent",
            "version": "1",
            "description": "Events of a shop in, purchase intent of every customer out.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "events": {
                "address": settings.events_topic,
                "messages": {
                    "event": message("What a customer did", event),
                    "erase": message("Erase this customer (null value)", {"type": "null"}),
                },
            },
            "scores": {
                "address": settings.scores_topic,
                "messages": {
                    "score": message("How likely the customer is to buy", score),
                    "tombstone": message("The customer was erased (null value)", {"type": "null"}),
                },
            },
            "deadLetters": {
                "address": settings.dead_letters_topic,
                "messages": {
                    "deadLetter": {
                        "title": "A record that was refused: its original key and bytes, and why",
                        "contentType": "application/octet-stream",
                        "payload": {},
                        "headers": letter_headers,
                    }
                },
            },
            "alerts": {
                "address": settings.alerts_topic,
                "messages": {
                    "alert": {
                        "title": "Customers, or the network's errors, are not what they were",
                        "contentType": "application/json",
                        "payload": alert,
                        "bindings": {"kafka": {"key": {**text, "description": "The kind of alert."}}},
                    }
                },
            },
        },
        "operations": {
            "readEvents": {"action": "receive", "channel": {"$ref": "#/channels/events"}},
            "writeScores": {"action": "send", "channel": {"$ref": "#/channels/scores"}},
            "writeDeadLetters": {"action": "send", "channel": {"$ref": "#/channels/deadLetters"}},
            "writeAlerts": {"action": "send", "channel": {"$ref": "#/channels/alerts"}},
        },
        "components": {"schemas": schemas},
    }


if __name__ == "__main__":
    print(json.dumps(asyncapi(), indent=2))
