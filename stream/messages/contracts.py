"""The contract of each topic as one JSON Schema, as validators, generators and schema registries take it.

They are made from the very types that decode and encode the messages, as the AsyncAPI document is. What `intent
contracts` prints lies in ``docs/contracts``, and what releases had in a folder of their version beside it.
"""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from stream.messages.asyncapi import LETTER_HEADERS, message_schemas

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

#: The messages of each topic, by the topic's name without its prefix.
MESSAGES: Final = {
    "events": ("Event", "Identify", "Price"),
    "scores": ("Score",),
    "actions": ("Action",),
    "alerts": ("Alert",),
}
#: The topic whose contract is about the headers of its records: their values are bytes of others.
HEADERS_ONLY: Final = "dead-letters"
#: Topics that others write. All others are read by them.
WRITTEN: Final = frozenset({"events"})


def contracts() -> dict[str, dict[str, Any]]:
    """Return the JSON Schema of each topic, by its name without prefix."""
    names, schemas = message_schemas("#/$defs/{name}")
    found = {topic: _contract(topic, messages, schemas) for topic, messages in MESSAGES.items()}
    assert set(names) == {name for messages in MESSAGES.values() for name in messages}
    found[HEADERS_ONLY] = {
        "$schema": _DIALECT,
        "title": "Headers of dead letters",
        "description": "All are UTF-8 text. The record's key and value are those of the record that was refused.",
        **LETTER_HEADERS,
    }
    return found


def for_registry(contract: dict[str, Any]) -> dict[str, str]:
    """Return a contract in the form in which schema registries take it."""
    return {"schemaType": "JSON", "schema": json.dumps(contract, separators=(",", ":"))}


def subject(topic: str) -> str:
    """Return the name of a topic's values in a schema registry."""
    return f"{topic}-value"


def _contract(topic: str, messages: tuple[str, ...], schemas: dict[str, Any]) -> dict[str, Any]:
    if len(messages) == 1:
        (name,) = messages
        head: dict[str, Any] = dict(schemas[name])
    else:
        name = ""
        head = {
            "title": topic.capitalize(),
            "anyOf": [{"$ref": f"#/$defs/{message}"} for message in messages],
        }
    parts = {part: schemas[part] for part in _referred(head, schemas) if part != name}
    return {"$schema": _DIALECT, **head, **({"$defs": parts} if parts else {})}


def _referred(schema: Any, schemas: dict[str, Any]) -> list[str]:
    """Return the names of what a schema refers to, and of what that does, in order."""
    found: dict[str, None] = {}
    waiting = [schema]
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, dict):
            name = str(node.get("$ref", "")).rpartition("/")[2]
            if name and name not in found:
                found[name] = None
                waiting.append(schemas[name])
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
    return sorted(found)


def dumped(contract: dict[str, Any]) -> str:
    """Return a contract as the files have it."""
    return msgspec.json.format(json.dumps(contract), indent=2) + "\n"
