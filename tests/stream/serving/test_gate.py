"""The application behind its gate, with fakes for what needs servers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from features.exceptions import StoreUnavailable
from stream.messages.score import SegmentRef, decode_score
from stream.serving import gate, openapi, problems
from stream.serving.answers import (
    MOST,
    Customer,
    Erasure,
    EventOutcome,
    HypotheticalScore,
    Missing,
    WhatIfAnswer,
)  # fmt: skip
from stream.serving.app import Parts, create_app
from stream.serving.feed import MOST_STREAMS, Feed
from stream.serving.gate import Gate
from stream.serving.keys import FollowedKeys, add_key
from stream.serving.metrics import ServiceMetrics
from stream.serving.what_if import WhatIfQuestion
from stream.settings import Settings

ADA = Customer(
    "ada",
    0.5,
    1800.0,
    1,
    1_800_001,
    0,
    7,
    0.5,
    None,
    "high",
    SegmentRef(1, "Regulars"),
    [],
    "none",
    False,
    "b",
    "f",
)
JSON = {"content-type": "application/json"}


class FakeLookups:
    """Knows Ada; `trouble` is raised, `pause` is waited."""

    def __init__(self) -> None:
        self.trouble: Exception | None = None
        self.pause = 0.0

    async def look(self, customers: Sequence[str], *, features: bool = True) -> list[Customer | Missing]:
        await asyncio.sleep(self.pause)
        if self.trouble is not None:
            raise self.trouble
        return [ADA if one == "ada" else Missing(one, "unknown") for one in customers]


class FakeEvents:
    """Takes all events, and keeps what it was given."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    async def take(self, messages: Sequence[bytes], form: object, now_ms: int) -> list[EventOutcome]:
        self.taken += messages
        return [EventOutcome(at, "accepted", "e", 0, at) for at in range(len(messages))]

    async def erase(self, customer: str) -> Erasure:
        return Erasure(0, 1)


class FakeWhatIf:
    """Refuses events of the type `odd`, and scores all others."""

    async def answer(self, question: WhatIfQuestion, now_ms: int) -> WhatIfAnswer:
        told = [
            HypotheticalScore(at, "refused", reason="unknown_type", detail="'odd' is unknown")
            if event["type"] == "odd"
            else HypotheticalScore(at, "scored", purchase_intent=0.5)
            for at, event in enumerate(question.events)
        ]
        return WhatIfAnswer(ADA, told, ADA)


class FakeLive:
    """Masks nobody, and has seen nobody."""

    async def real(self, shown: str) -> str:
        return shown

    async def timeline(self, customer: str) -> bytes:
        raise problems.NotFound("nobody was seen")

    def segments(self) -> set[SegmentRef]:
        return {SegmentRef(4, "Patrons")}


class Ready:
    """All is well."""

    trouble = ""

    async def ask(self) -> None:
        return


class Bench:
    def __init__(self, keys: FollowedKeys | None = None) -> None:
        self.lookups, self.events, self.metrics = FakeLookups(), FakeEvents(), ServiceMetrics()
        settings = Settings(_env_file=None)
        self.scores = Feed(settings, "scores", 3, "score", decode_score)
        parts: Any = Parts(
            self.lookups, FakeWhatIf(), self.events, self.scores, None, None, Ready(),
            self.metrics, 3, "native", FakeLive(), lambda: [SegmentRef(0, "Visitors"), SegmentRef(1, "Regulars")],
        )  # type: ignore[arg-type]  # fmt: skip
        self.app: Gate = create_app(parts, keys)

    def ask(self, method: str, url: str, **options: Any) -> httpx.Response:
        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8090") as http:
                return await http.request(method, url, **options)

        return asyncio.run(asked())


@pytest.fixture
def bench() -> Bench:
    return Bench()


def assert_problem(answer: httpx.Response, status: int, detail: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == status
    assert detail in told["detail"]


def test_somebody_known_is_told_and_somebody_unknown_is_a_problem(bench: Bench) -> None:
    assert bench.ask("GET", "/v1/customers/ada").json()["purchase_intent"] == 0.5
    assert_problem(bench.ask("GET", "/v1/customers/eve"), 404, "nothing is known")
    assert_problem(bench.ask("GET", "/v1/nowhere"), 404, "no such path")
    wrong = bench.ask("PUT", "/v1/customers/ada")
    assert_problem(wrong, 405, "openapi")
    assert set(wrong.headers["allow"].split(", ")) == {"GET", "DELETE"}


@pytest.mark.parametrize("name", ["localhost", "localhost:8090", "127.0.0.1", "[::1]:8090", "LOCALHOST"])
def test_a_service_without_keys_answers_by_the_names_of_its_machine(bench: Bench, name: str) -> None:
    assert bench.ask("GET", "/v1/customers/ada", headers={"host": name}).status_code == 200


@pytest.mark.parametrize(
    "name", ["shop.example", "shop.example:8090", "127.0.0.1.example", "localhost.:8090", "::1"]
)
def test_a_service_without_keys_does_not_answer_a_page_of_another_site(bench: Bench, name: str) -> None:
    assert_problem(
        bench.ask("GET", "/v1/customers/ada", headers={"host": name}), 403, "answers this machine only"
    )


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/v1/customers/", "1 to 128"),
        ("/v1/customers/" + "a" * 129, "129 characters"),
        ("/v1/customers/a%00b", "characters that an id cannot have"),
        ("/v1/customers/a%0Ab", "characters that an id cannot have"),
        ("/v1/customers/ada?features=maybe", "use true or false"),
        ("/v1/customers/ada?features=true&features=false", "2 times"),
        ("/v1/scores?band=highest", "use low, medium or high"),
        (
            "/v1/scores?segment=regulars&segment=loyal",
            "segment is 'loyal': use the number of a segment, or a part of its name: 0 Visitors, 1 Regulars",
        ),
        ("/v1/scores?segment=2&from=now", "segment is '2'"),
        ("/v1/scores?from=yesterday", "use now or start"),
        ("/v1/scores?customer=a%00", "characters that an id cannot have"),
    ],
)
def test_what_makes_no_sense_is_told(bench: Bench, path: str, detail: str) -> None:
    assert_problem(bench.ask("GET", path), 422, detail)


@pytest.mark.parametrize(
    ("method", "path", "detail"),
    [
        (
            "GET",
            "/v1/scores?band=high&bnad=high",
            "there is no parameter 'bnad': use band, segment, action, customer, all_traffic, from",
        ),
        ("GET", "/v1/actions?bands=high", "use band, segment, action, customer, all_traffic, from"),
        ("GET", "/v1/live?bands=high", "there is no parameter 'bands': use band"),
        ("GET", "/v1/live/customers/ada?band=high", "this path takes none"),
        ("GET", "/v1/customers/ada?Features=false", "there is no parameter 'Features': use features"),
        ("DELETE", "/v1/customers/ada?features=false", "this path takes none"),
        ("POST", "/v1/customers:batch?features=false", "this path takes none"),
        ("POST", "/v1/what-if?features=false", "this path takes none"),
        ("POST", "/v1/events?form=segment", "there is no parameter 'form': use format"),
        ("GET", "/v1/dead-letters?limits=1", "there is no parameter 'limits': use limit, reason"),
        ("GET", "/v1/quality?=", "there is no parameter '': this path takes none"),
    ],
)
def test_a_parameter_that_does_not_exist_is_refused(
    bench: Bench, method: str, path: str, detail: str
) -> None:
    assert_problem(bench.ask(method, path, content=b"{}", headers=JSON), 422, detail)
    assert bench.events.taken == []


def test_probes_scrapes_pages_and_the_contract_take_any_parameter(bench: Bench) -> None:
    for path in (
        "/healthz?from=balancer", "/readyz?n=1", "/?utm_source=mail", "/openapi.json?v=1", "/metrics?module=x"
    ):  # fmt: skip
        assert bench.ask("GET", path).status_code == 200


@pytest.mark.parametrize(
    "query", ["segment=REGULAR", "segment=0&segment=visitors", "segment=patrons", "segment=4"]
)
def test_segments_of_the_bundle_and_of_what_is_held_are_known(bench: Bench, query: str) -> None:
    bench.scores.followers = MOST_STREAMS  # no further stream: whoever comes so far is told
    assert_problem(bench.ask("GET", f"/v1/scores?{query}"), 503, "streams are open")


def test_a_stream_that_begins_with_older_scores_may_have_segments_of_bundles_of_before(bench: Bench) -> None:
    bench.scores.followers = MOST_STREAMS
    assert_problem(bench.ask("GET", "/v1/scores?segment=loyal&from=start"), 503, "streams are open")
    resumed = bench.ask("GET", "/v1/scores?segment=loyal", headers={"last-event-id": "1.2.3"})
    assert_problem(resumed, 503, "streams are open")


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b"", 400, "no JSON"),
        (b"{", 400, "no JSON"),
        (b"\xff\xfe", 400, "no JSON"),
        (b'{"customer_ids":' + b"[" * 100_000, 422, "str"),
        (b'{"customer_ids":["a"],"more":' + b"[" * 100_000, 422, "more"),
        (b"{}", 422, "customer_ids"),
        (b'{"customer_ids":[]}', 422, "length >= 1"),
        (b'{"customer_ids":[""]}', 422, "length >= 1"),
        (b'{"customer_ids":["a"],"more":1}', 422, "more"),
        (b'{"customer_ids":["a\\u0000"]}', 422, "characters that an id cannot have"),
        (json.dumps({"customer_ids": ["a"] * (MOST + 1)}).encode(), 422, "length <= 1000"),
        (b'{"customer_ids":["' + b"a" * 10_000_000 + b'"]}', 413, "1,048,576 bytes"),
    ],
)
def test_a_bad_body_is_told(bench: Bench, body: bytes, status: int, detail: str) -> None:
    assert_problem(bench.ask("POST", "/v1/customers:batch", content=body, headers=JSON), status, detail)


@pytest.mark.parametrize("body", [b"[" * 500_000, b'{"a":' * 100_000, b"[" * 500_000 + b"]" * 500_000])
def test_events_that_are_nested_too_deeply_are_no_json(bench: Bench, body: bytes) -> None:
    assert_problem(bench.ask("POST", "/v1/events", content=body, headers=JSON), 400, "no JSON")


def test_a_body_without_a_length_is_cut_off_at_the_limit(bench: Bench) -> None:
    seen = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal seen
        while True:
            seen += 1
            yield b" " * 65_536

    assert_problem(bench.ask("POST", "/v1/events", content=endless(), headers=JSON), 413, "in parts")
    assert seen < 30


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "a" * 5000])
def test_another_media_type_is_refused(bench: Bench, kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    assert_problem(
        bench.ask("POST", "/v1/events", content=b"{}", headers=headers), 415, "application/x-ndjson"
    )
    assert bench.events.taken == []


@pytest.mark.parametrize(
    ("body", "kind", "count"),
    [
        (b'{"a":1}', "application/json", 1),
        (b' [{"a":1}, {"b":[2]}]', "application/json; charset=utf-8", 2),
        (b'{"a":1}\r\n\n{"b":2}', "application/x-ndjson", 2),
    ],
)
def test_events_come_alone_as_an_array_or_as_lines(bench: Bench, body: bytes, kind: str, count: int) -> None:
    told = bench.ask("POST", "/v1/events", content=body, headers={"content-type": kind})
    assert (told.status_code, told.json()["accepted"]) == (202, count)
    assert [json.loads(one) for one in bench.events.taken][0] == {"a": 1}


def test_a_store_that_does_not_answer_is_not_available_and_a_mistake_of_ours_is_no_traceback(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.lookups.trouble = StoreUnavailable("Redis is away")
    told = bench.ask("GET", "/v1/customers/ada")
    assert_problem(told, 503, "Redis is away")
    assert told.headers["retry-after"] == "1"
    bench.lookups.trouble = ZeroDivisionError("secret-ada")
    assert_problem(bench.ask("GET", "/v1/customers/secret-id"), 500, "an error of this program")
    assert "GET /v1/customers/{customer_id:customer} failed" in caplog.text
    assert "secret-id" not in caplog.text


def test_an_answer_that_takes_too_long_is_broken_off(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "ANSWER_SECONDS", 0.05)
    bench.lookups.pause = 5.0
    assert_problem(bench.ask("GET", "/v1/customers/ada"), 503, "no answer within")


@pytest.fixture
def keyed(tmp_path: Path) -> tuple[Bench, Callable[[str], dict[str, str]]]:
    path = tmp_path / "keys.json"
    keys = {name: add_key(path, name, [name], 20.0, 1) for name in ("read", "write", "erase", "admin")}  # type: ignore[list-item]
    return Bench(FollowedKeys(path)), lambda name: {"authorization": f"Bearer {keys[name]}"}


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/v1/customers/ada", "read"),
        ("POST", "/v1/customers:batch", "read"),
        ("POST", "/v1/what-if", "read"),
        ("GET", "/v1/quality", "read"),
        ("POST", "/v1/events", "write"),
        ("DELETE", "/v1/customers/ada", "erase"),
        ("GET", "/v1/dead-letters", "admin"),
        ("GET", "/metrics", "admin"),
    ],
)
def test_a_key_opens_what_its_scope_says(
    keyed: tuple[Bench, Callable[[str], dict[str, str]]], method: str, path: str, scope: str
) -> None:
    bench, key = keyed
    assert_problem(bench.ask(method, path), 401, "Authorization: Bearer")
    for name in ("read", "write", "erase", "admin"):
        told = bench.ask(method, path, headers=key(name))
        assert (told.status_code == 403) is (name != scope), (name, told.text)
        assert told.status_code != 401


def test_who_looks_whether_it_lives_needs_no_key(keyed: tuple[Bench, Any]) -> None:
    bench, _ = keyed
    for path in ("/healthz", "/readyz", "/openapi.json"):
        assert bench.ask("GET", path).status_code == 200
    assert bench.ask("GET", "/openapi.json").json()["security"] == [{"key": []}]
    assert Bench().ask("GET", "/openapi.json").json()["security"] == []


def test_a_rate_is_kept_and_a_batch_counts_by_its_hundreds(keyed: tuple[Bench, Any]) -> None:
    bench, key = keyed
    body = json.dumps({"customer_ids": ["ada"] * 1_000})
    headers = key("read") | JSON
    codes = [
        bench.ask("POST", "/v1/customers:batch", content=body, headers=headers).status_code for _ in range(4)
    ]
    assert codes[:2] == [200, 200]
    assert 429 in codes
    assert bench.ask("POST", "/v1/events", content=b"{}", headers=key("write") | JSON).status_code == 202


def test_requests_are_counted_by_route_and_never_by_path(bench: Bench) -> None:
    bench.ask("GET", "/v1/customers/ada")
    bench.ask("GET", "/wp-admin/ada")
    bench.ask("BREW", "/v1/customers/ada")
    text = bench.metrics.exposed()[0].decode()
    assert 'route="/v1/customers/{customer_id:customer}",status="200"' in text
    assert 'method="other"' in text
    assert "ada" not in text


def test_what_if_says_422_only_where_every_event_was_refused(bench: Bench) -> None:
    def asked(*types: str) -> httpx.Response:
        question = {"customer_id": "ada", "events": [{"type": one} for one in types]}
        return bench.ask("POST", "/v1/what-if", json=question)

    assert_problem(asked("odd"), 422, "every event was refused: 'odd' is unknown")
    none = asked("odd", "odd")
    assert_problem(none, 422, "every event was refused, the first one because: 'odd' is unknown")
    assert [one["reason"] for one in none.json()["events"]] == ["unknown_type", "unknown_type"]
    some = asked("odd", "view_item")
    assert (some.status_code, [one["outcome"] for one in some.json()["events"]]) == (
        200,
        ["refused", "scored"],
    )


def test_every_reference_of_the_contract_leads_somewhere_and_every_route_is_in_it(bench: Bench) -> None:
    told = bench.ask("GET", "/openapi.json").json()
    assert told == json.loads(json.dumps(openapi.document(keyed=False)))
    text = json.dumps(told)
    schemas = told["components"]["schemas"]
    for part in text.split('"$ref": "#/components/schemas/')[1:]:
        assert part.split('"')[0] in schemas
    described = {(path, method.upper()) for path, methods in told["paths"].items() for method in methods}
    answered = {
        (route.path.replace(":customer}", "}"), method)
        for route in bench.app._app.router.routes  # type: ignore[attr-defined]
        for method in route.methods
    }
    assert described <= answered
    assert {one for one in answered if one[0].startswith("/v1/")} <= described
