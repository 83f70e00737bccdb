"""Tools for assistants: they ask the service, only read, and name nobody unless that is allowed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from mcp import Client

from stream.clients.assistant import Service, assistant

CUSTOMER = {
    "customer_id": "c 17/x", "purchase_intent": 0.4, "band": "high", "as_of": 7, "segment": {"id": 1, "name": "Loyal"},
    "reasons": [{"feature": "cart", "value": 2, "effect": 0.7, "text": "2 pieces in the cart"}],
}  # fmt: skip
LETTERS = [
    {"reason": "late", "key": "c-1", "value": "secret"},
    {"reason": "late", "key": "c-2", "value": "secret"},
    {"reason": "not_json", "key": "c-3", "value": "secret"},
]


def answered(request: httpx.Request) -> httpx.Response:
    assert request.headers["authorization"] == "Bearer intent_key"
    match request.url.raw_path.decode().split("?")[0]:
        case "/v1/customers/c%2017%2Fx":
            return httpx.Response(200, json=CUSTOMER)
        case "/v1/what-if":
            asked = json.loads(request.content)
            assert asked["events"] == [{"type": "purchase"}]
            return httpx.Response(200, json={"before": CUSTOMER, "events": [{"event_id": "e", "index": 0}]})
        case "/v1/quality":
            return httpx.Response(200, json={"total": {"blend": {"auc": 0.8}}})
        case "/v1/dead-letters":
            assert request.url.query == b"limit=200&reason=a%26b"
            return httpx.Response(200, json=LETTERS)
    problem = {"status": 404, "detail": "nothing is known about this customer"}
    return httpx.Response(404, json=problem, headers={"content-type": "application/problem+json"})


def ask(tool: str, arguments: dict[str, Any], *, personal: bool = False, handler: Any = answered) -> Any:
    """Return the result of a tool, asked over the protocol."""
    service = Service("http://service", "intent_key", httpx.MockTransport(handler))

    async def asked() -> Any:
        async with Client(assistant(service, personal=personal)) as client:
            return await client.call_tool(tool, arguments)

    return asyncio.run(asked())


def test_a_customer_is_told_without_the_id() -> None:
    found = ask("customer", {"customer_id": "c 17/x"}).structured_content
    assert found == {name: value for name, value in CUSTOMER.items() if name != "customer_id"}
    assert ask("customer", {"customer_id": "c 17/x"}, personal=True).structured_content == CUSTOMER


def test_reasons_come_with_the_score_that_they_are_of() -> None:
    found = ask("reasons", {"customer_id": "c 17/x"}).structured_content
    assert found == {name: CUSTOMER[name] for name in ("purchase_intent", "band", "as_of", "reasons")}


def test_what_if_names_nobody_at_any_depth() -> None:
    question = {"customer_id": "c 17/x", "events": [{"type": "purchase"}]}
    found = ask("what_if", question).structured_content
    assert "c 17/x" not in json.dumps(found)
    assert found["events"] == [{"index": 0}]


def test_refused_records_are_counted_and_shown_only_where_that_is_allowed() -> None:
    question = {"reason": "a&b", "limit": 5_000}
    found = ask("dead_letters", question).structured_content
    assert found == {"by_reason": {"late": 2, "not_json": 1}}
    assert ask("dead_letters", question, personal=True).structured_content["letters"] == LETTERS


def test_quality_is_that_of_the_service() -> None:
    assert ask("quality", {}).structured_content == {"total": {"blend": {"auc": 0.8}}}


def refused(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


@pytest.mark.parametrize(
    ("handler", "told"),
    [
        (answered, "404: nothing is known about this customer"),
        (refused, "no service answers at http://service (nothing listens there): start `intent serve`"),
        (lambda request: httpx.Response(200, text="<html>"), "is no `intent serve`"),
    ],
)
def test_what_went_wrong_is_told_to_the_assistant(handler: Any, told: str) -> None:
    found = ask("customer", {"customer_id": "eve"}, handler=handler)
    assert found.is_error
    assert told in found.content[0].text


def test_all_tools_say_that_they_only_read() -> None:
    async def listed() -> Any:
        service = Service("http://service", None, httpx.MockTransport(answered))
        async with Client(assistant(service)) as client:
            return (await client.list_tools()).tools

    tools = asyncio.run(listed())
    assert {tool.name for tool in tools} == {"customer", "reasons", "what_if", "quality", "dead_letters"}
    assert all(tool.annotations.read_only_hint and tool.description for tool in tools)
