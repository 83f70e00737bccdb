"""The contract of the service as OpenAPI: made of the very types that are read and written, with an example of each."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import msgspec

from features.events import EVENT_TYPES, Event
from features.identity import Identify
from features.refusals import Reason
from stream.messages.action import Action
from stream.messages.score import Score
from stream.serving import problems
from stream.serving.answers import BatchAnswer, BatchQuestion, Customer, Erasure, EventsAnswer, WhatIfAnswer
from stream.serving.live.shown import Snapshot, Timeline
from stream.serving.quality import MOST_LETTERS
from stream.serving.what_if import WhatIfQuestion
from stream.setting_values import FORMAT_NAMES

_SCHEMA: Final = "#/components/schemas/{name}"
_TYPES: Final = (
    Customer, BatchQuestion, BatchAnswer, WhatIfQuestion, WhatIfAnswer, EventsAnswer, Erasure, Event, Identify, Score,
    Action, Snapshot, Timeline,
)  # fmt: skip

_TIME: Final = 1_772_366_400_000
_CUSTOMER: Final[dict[str, Any]] = {
    "customer_id": "c-17", "purchase_intent": 0.31, "horizon_seconds": 1800.0, "as_of": _TIME,
    "horizon_ends": _TIME + 1_800_000, "partition": 3, "next_offset": 1042, "network_score": 0.29,
    "online_score": 0.34, "band": "high", "segment": {"id": 2, "name": "Regulars"},
    "reasons": [
        {"feature": "cart", "value": 49.5, "effect": 0.62, "text": "49.50 in the cart"},
    ],
    "action": "offer_incentive", "holdout": False, "model_version": "20260301-1",
    "features_version": "5f0c1c9b3a7e2d44",
    "features": {"cart_value": 49.5, "session_events": 6.0, "since_purchase": None},
}  # fmt: skip
_EVENT: Final[dict[str, Any]] = {
    "event_id": "e-1", "type": "add_to_cart", "customer_id": "c-17", "event_time": _TIME, "item_id": "sku-4",
    "price": 19.9, "quantity": 1,
}  # fmt: skip


def document(*, keyed: bool) -> dict[str, Any]:
    """Return the contract of a service that asks for keys, or of one that does not."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Purchase intent",
            "version": "1",
            "description": "Who is about to buy: look-ups, hypothetical events, events, and scores as they come.",
        },
        "security": [{"key": []}] if keyed else [],
        "paths": _paths(),
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key of `intent keys add`. Without a file of keys none is needed.",
                }
            },
        },
    }


def query_parameters() -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the names of the query parameters of every operation, by its path and method."""
    return {
        (path, method.upper()): tuple(
            one["name"] for one in own.get("parameters", ()) if one["in"] == "query"
        )
        for path, operations in _paths().items()
        for method, own in operations.items()
    }


@cache
def _schemas() -> dict[str, Any]:
    _, schemas = msgspec.json.schema_components(_TYPES, ref_template=_SCHEMA)
    schemas["Problem"] = {
        "type": "object",
        "description": "What was wrong, and what to do (RFC 9457).",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "events": {
                "type": "array",
                "description": "What became of each event, where every one was refused.",
                "items": {"anyOf": [_ref("EventOutcome"), _ref("HypotheticalScore")]},
            },
        },
    }
    return schemas


def _paths() -> dict[str, Any]:
    return {
        "/v1/customers/{customer_id}": {
            "get": _operation(
                "What is known about a customer, as of the last event",
                _said("Customer", _CUSTOMER),
                parameters=[_customer_id(), _flag("features", "Whether the answer has the features.", True)],
                failures=(problems.NotFound,),
            ),
            "delete": _operation(
                "Erase a customer: scope `erase`",
                _said("Erasure", {"partition": 3, "offset": 1043}),
                status=202,
                parameters=[_customer_id()],
            ),
        },
        "/v1/customers:batch": {
            "post": _operation(
                "What is known about up to 1,000 customers",
                _said(
                    "BatchAnswer",
                    {
                        "customers": [_CUSTOMER],
                        "missing": [{"customer_id": "c-18", "reason": "unknown"}],
                    },
                ),
                body=_json_body("BatchQuestion", {"customer_ids": ["c-17", "c-18"]}),
            )
        },
        "/v1/what-if": {
            "post": _operation(
                "What would be said after events that have not happened",
                _said("WhatIfAnswer", _what_if_example()),
                body=_json_body(
                    "WhatIfQuestion",
                    {
                        "customer_id": "c-17",
                        "events": [{"type": "add_to_cart", "item_id": "sku-4", "price": 19.9}],
                    },
                ),
                description="422 where every event was refused: `events` says why, as in the answer.",
            )
        },
        "/v1/events": {"post": _events()},
        "/v1/scores": {"get": _stream("Score", "scores")},
        "/v1/actions": {"get": _stream("Action", "actions")},
        "/v1/live": {
            "get": _operation(
                "What the live page shows: who is about to buy, what was sent, rates, latency and lag",
                _live(),
                parameters=[
                    _parameter(
                        "band",
                        {"type": "array", "items": {"type": "string", "enum": ["medium", "high"]}},
                        "Bands of customers who are listed. Default: both.",
                    )
                ],
                description="With `Accept: text/event-stream` it comes once a second, as the event `live`.",
            )
        },
        "/v1/live/customers/{customer_id}": {
            "get": _operation(
                "The newest scores of a customer, as far as they were seen",
                {"description": "The answer", "content": {"application/json": {"schema": _ref("Timeline")}}},
                parameters=[_customer_id()],
                failures=(problems.NotFound,),
            )
        },
        "/v1/quality": {
            "get": _operation(
                "How good the published scores were, as `intent quality --json` says it",
                _json_answer({"type": "object"}, {"bundle": "20260301-1", "total": {}}),
                failures=(problems.NotFound,),
            )
        },
        "/v1/dead-letters": {
            "get": _operation(
                "The latest refused records: scope `admin`",
                _json_answer({"type": "array", "items": {"type": "object"}}, []),
                parameters=[
                    _parameter(
                        "limit", {"type": "integer", "minimum": 1, "maximum": MOST_LETTERS, "default": 20}
                    ),
                    _parameter("reason", {"type": "string", "enum": list(map(str, Reason))}),
                ],
            )
        },
        "/healthz": {"get": _open("Whether the process lives")},
        "/readyz": {"get": _open("Whether Redis answers")},
        "/metrics": {
            "get": _operation(
                "Figures for Prometheus: scope `admin`",
                {"description": "Figures", "content": {"text/plain": {"schema": {"type": "string"}}}},
            )
        },
    }


def _events() -> dict[str, Any]:
    one = {"anyOf": [_ref("Event"), _ref("Identify"), {"type": "object"}]}
    many = {"type": "array", "items": one, "minItems": 1, "maxItems": 1000}
    body = {
        "required": True,
        "content": {
            "application/json": {"schema": {"anyOf": [one, many]}, "example": [_EVENT]},
            "application/x-ndjson": {"schema": {"type": "string"}},
        },
    }
    outcome = {"index": 0, "outcome": "accepted", "event_id": "e-1", "partition": 3, "offset": 1042}
    accepted = {"accepted": 1, "refused": 0, "events": [outcome]}
    told = _operation(
        "Send up to 1,000 events to Kafka: scope `write`",
        _said("EventsAnswer", accepted),
        status=202,
        body=body,
        parameters=[
            _parameter(
                "format",
                {"type": "string"},
                f"The form of the events: {', '.join(FORMAT_NAMES)}, or confluent+segment where one wraps another. "
                "Default: that of the topic.",
            )
        ],
        description=f"Types of events: {', '.join(EVENT_TYPES)}, identify. Each is checked as a worker checks it. "
        "Events of the same `event_id` are taken once.",
    )
    told["responses"]["207"] = _said("EventsAnswer", accepted) | {"description": "Some events were refused"}
    return told


def _live() -> dict[str, Any]:
    content = {
        "application/json": {"schema": _ref("Snapshot")},
        "text/event-stream": {"schema": {"type": "string"}},
    }
    return {"description": "The answer", "content": content}


def _stream(schema: str, name: str) -> dict[str, Any]:
    filters = [
        _parameter(one, {"type": "array", "items": {"type": "string"}}, text)
        for one, text in (
            (
                "segment",
                "Only these segments: numbers, or parts of their names. A value that fits no segment of the bundle in "
                "force is refused, unless the stream begins with older records, or such records are still held.",
            ),
            ("action", "Only these actions."),
        )
    ]
    customers = {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 128}}
    bands = {"type": "array", "items": {"type": "string", "enum": ["low", "medium", "high"]}}
    return _operation(
        f"The {name} as they come: server-sent events",
        {
            "description": f"Events `{schema.lower()}`, `erased`, `gap` and `dropped`, and comments in between",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        parameters=[
            _parameter("band", bands, "Only these bands."),
            *filters,
            _parameter("customer", customers, "Only these customers."),
            _flag("all_traffic", "Also scores of bots and of the shop's own people.", False),
            _parameter("from", {"type": "string", "enum": ["now", "start"]}, "Where to begin. Default: now."),
            _parameter("Last-Event-ID", {"type": "string"}, "Go on after this event.", place="header"),
        ],
        failures=(problems.BadRequest, problems.NotFound),
    )


def _operation(
    summary: str,
    answer: dict[str, Any],
    *,
    status: int = 200,
    parameters: list[dict[str, Any]] | None = None,
    body: dict[str, Any] | None = None,
    failures: tuple[type[problems.Problem], ...] = (),
    description: str = "",
) -> dict[str, Any]:
    kinds: list[type[problems.Problem]] = [
        problems.Unauthorized, problems.Forbidden, problems.Unprocessable, problems.TooManyRequests, problems.Failed,
        problems.Unavailable, *failures,
    ]  # fmt: skip
    if body is not None:
        kinds += [problems.BadRequest, problems.BodyTooLarge, problems.WrongContentType]
    responses = {str(status): answer} | {str(kind.status): _failure(kind) for kind in kinds}
    found: dict[str, Any] = {"summary": summary, "responses": responses}
    if description:
        found["description"] = description
    if parameters:
        found["parameters"] = parameters
    if body is not None:
        found["requestBody"] = body
    return found


def _open(summary: str) -> dict[str, Any]:
    answer = _json_answer({"type": "object"}, {"status": "ok"})
    return {
        "summary": summary,
        "security": [],
        "responses": {"200": answer, "503": answer | {"description": "Not ready, and why"}},
    }


def _what_if_example() -> dict[str, Any]:
    scored = {
        "index": 0, "outcome": "scored", "event_id": "what-if-0", "as_of": _TIME, "purchase_intent": 0.44,
        "band": "high", "action": "offer_incentive",
    }  # fmt: skip
    return {"before": _CUSTOMER, "events": [scored], "after": _CUSTOMER | {"purchase_intent": 0.44}}


def _said(schema: str, example: Any) -> dict[str, Any]:
    return _json_answer(_ref(schema), example)


def _json_answer(schema: dict[str, Any], example: Any) -> dict[str, Any]:
    return {
        "description": "The answer",
        "content": {"application/json": {"schema": schema, "example": example}},
    }


def _json_body(schema: str, example: Any) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": _ref(schema), "example": example}}}


def _failure(kind: type[problems.Problem]) -> dict[str, Any]:
    example = {"type": "about:blank", "title": kind.title, "status": kind.status, "detail": "what was wrong"}
    return {
        "description": kind.title,
        "content": {problems.MEDIA_TYPE: {"schema": _ref("Problem"), "example": example}},
    }


def _customer_id() -> dict[str, Any]:
    schema = {"type": "string", "minLength": 1, "maxLength": 128}
    return _parameter("customer_id", schema, "The id; slashes in it are escaped.", place="path")


def _flag(name: str, text: str, default: bool) -> dict[str, Any]:
    return _parameter(name, {"type": "boolean", "default": default}, text)


def _parameter(name: str, schema: dict[str, Any], text: str = "", *, place: str = "query") -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "in": place, "required": place == "path", "schema": schema}
    return found | ({"description": text} if text else {})


def _ref(name: str) -> dict[str, str]:
    return {"$ref": _SCHEMA.format(name=name)}
