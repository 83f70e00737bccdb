"""The published schemas are those of the code, accept what it writes, and keep what the last release has promised."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from typer.testing import CliRunner

from features.events import Event, encode
from features.identity import Identify
from stream.cli import create_app
from stream.messages.action import Action
from stream.messages.alert import Alert, Drifted
from stream.messages.compatibility import breaks
from stream.messages.contracts import WRITTEN, contracts, dumped
from stream.messages.dead_letter import Cut, DeadLetter
from stream.messages.score import ReasonRef, SegmentRef
from tests.stream.clients.test_watch import score

FOLDER = Path(__file__).parents[3] / "docs" / "contracts"
RELEASES = sorted(
    (path for path in FOLDER.iterdir() if path.is_dir()), key=lambda path: [*map(int, path.name.split("."))]
)
NOW = 1_772_366_400_000


@pytest.mark.parametrize("topic", contracts())
def test_what_is_published_is_that_of_the_code(topic: str) -> None:
    assert (FOLDER / f"{topic}.json").read_text() == dumped(contracts()[topic]), (
        "run: intent contracts -o docs/contracts"
    )


def test_no_topic_is_published_that_is_not_there() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == {*contracts(), "accepted"}


@pytest.mark.parametrize("topic", contracts())
def test_nothing_is_broken_that_the_last_release_has_promised(topic: str) -> None:
    """A break on purpose is written into accepted.json, with the reason, and into the changelog."""
    accepted = json.loads((FOLDER / "accepted.json").read_text())
    promised = json.loads((RELEASES[-1] / f"{topic}.json").read_text())
    broken = breaks(topic, promised, contracts()[topic], written=topic in WRITTEN)
    assert [sentence for sentence in broken if not accepted.get(sentence)] == []


SEGMENT = SegmentRef(1, "Browsers")
ACTION = Action(
    "a-1", "ada", "cart_abandoned", "rule", "remind", 0.5, "high", SEGMENT, NOW, NOW, NOW, "treatment", "1", "p", "m",
    items=["sku"], reasons=[ReasonRef("cart", 1.0, 0.5, "1 piece in the cart")],
)  # fmt: skip
LETTER = DeadLetter(b"k", b"v", "late", "too late", "intent.events", 0, 7, NOW, cut={"value": Cut(9, "ff")})
ALERT = Alert(kind="population", since=1, as_of=2, drifted=[Drifted("x", 1.0)], bundle="b")
WRITTEN_BY_US: list[tuple[str, Any]] = [
    ("events", json.loads(encode(Event(event_id="e", type="search", customer_id="ada", event_time=NOW)))),
    ("events", msgspec.to_builtins(Identify(event_id="e", anonymous_id="a", customer_id="ada", event_time=NOW))),
    ("scores", msgspec.to_builtins(score("ada"))),
    ("actions", msgspec.to_builtins(ACTION)),
    ("alerts", msgspec.to_builtins(ALERT)),
    ("dead-letters", {name: value.decode() for name, value in LETTER.headers}),
]  # fmt: skip


@pytest.mark.parametrize(("topic", "message"), WRITTEN_BY_US)
def test_a_schema_accepts_what_is_written_and_refuses_what_lacks_a_field(topic: str, message: Any) -> None:
    contract = contracts()[topic]
    jsonschema.Draft202012Validator.check_schema(contract)
    validator = jsonschema.Draft202012Validator(contract)
    validator.validate(message)
    for name in _required(contract, message):
        assert not validator.is_valid({other: value for other, value in message.items() if other != name}), (
            name
        )


def _required(contract: Any, message: Any) -> list[str]:
    """Return the fields that the message must have, of which there are some."""
    if "anyOf" in contract:
        contract = contract["$defs"]["Identify" if "anonymous_id" in message else "Event"]
    assert contract["required"]
    return list(contract["required"])


def changed(topic: str, change: Any) -> list[str]:
    old = contracts()[topic]
    new = copy.deepcopy(old)
    change(new)
    return breaks(topic, old, new, written=topic in WRITTEN)


def _of(contract: Any, name: str) -> Any:
    return contract["$defs"]["Event"]["properties"][name]


@pytest.mark.parametrize(
    ("topic", "change", "told"),
    [
        ("scores", lambda c: c["properties"].pop("band"), ["scores.band was removed"]),
        ("scores", lambda c: c["$defs"]["SegmentRef"]["properties"].pop("id"), ["scores.segment.id was removed"]),
        (
            "scores",
            lambda c: c["properties"]["as_of"].update(type="string"),
            ["scores.as_of: the type string is new to readers"],
        ),
        ("scores", lambda c: c["properties"]["horizon_seconds"].update(type="integer"), []),
        (
            "scores",
            lambda c: c["required"].remove("band"),
            ["scores.band may be absent now, and readers count on it"],
        ),
        (
            "actions",
            lambda c: c["properties"]["trigger"]["enum"].append("birthday"),
            ["actions.trigger: readers do not know the value 'birthday'"],
        ),
        ("actions", lambda c: c["properties"]["trigger"]["enum"].remove("win_back"), []),
        (
            "actions",
            lambda c: c["properties"]["items"].update(maxItems=9),
            ["actions.items: maxItems was 8, and is 9"],
        ),
        ("scores", lambda c: c["properties"].update(new={"type": "string"}), []),
        ("events", lambda c: _of(c, "type")["enum"].append("price_change"), []),
        (
            "events",
            lambda c: _of(c, "type")["enum"].remove("refund"),
            ["events.Event.type: nobody reads the value 'refund'"],
        ),
        (
            "events",
            lambda c: c["$defs"]["Event"]["required"].append("item_id"),
            ["events.Event.item_id is required now, and writers leave it out"],
        ),
        (
            "events",
            lambda c: _of(c, "event_id").update(maxLength=64),
            ["events.Event.event_id: maxLength is 64 now, 128 before"],
        ),
        ("events", lambda c: _of(c, "event_id").update(maxLength=256), []),
        (
            "events",
            lambda c: c["anyOf"].pop(1),
            ["events: Identify was removed"],
        ),
        (
            "events",
            lambda c: _of(c, "event_time").update(anyOf=_of(c, "event_time")["anyOf"][:1]),
            ["events.Event.event_time: the type string is no longer read"],
        ),
        ("alerts", lambda c: None, []),
    ],
)  # fmt: skip
def test_a_change_that_breaks_others_is_told_in_a_line_and_no_other_is(
    topic: str, change: Any, told: list[str]
) -> None:
    assert changed(topic, change) == told


def command(*arguments: str) -> Any:
    return CliRunner().invoke(create_app(), ["contracts", *arguments])


def test_the_command_prints_what_a_registry_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTENT_TOPIC_PREFIX", "shop.")
    found = json.loads(command("--registry").stdout)
    assert list(found) == [
        "shop.events-value",
        "shop.scores-value",
        "shop.actions-value",
        "shop.alerts-value",
    ]
    assert found["shop.scores-value"]["schemaType"] == "JSON"
    assert json.loads(found["shop.scores-value"]["schema"]) == contracts()["scores"]
    assert json.loads(command("scores", "--registry").stdout) == found["shop.scores-value"]
    assert json.loads(command("dead-letters").stdout) == contracts()["dead-letters"]


def test_the_command_names_the_topics_that_there_are() -> None:
    told = command("outcomes")
    assert told.exit_code == 2
    assert "no topic 'outcomes'" in told.output
    assert command("dead-letters", "--registry").exit_code == 2
