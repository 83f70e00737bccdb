"""Documents that are generated from the code, or speak of it, are up to date."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from features.events import EVENT_TYPES, Event
from stream.cli import create_app
from stream.messages.asyncapi import asyncapi
from stream.messages.score import Score
from stream.settings import Settings

ROOT = Path(__file__).parent.parent


def test_the_published_contract_is_that_of_the_code() -> None:
    published = json.loads((ROOT / "docs" / "asyncapi.json").read_text())
    assert published == json.loads(json.dumps(asyncapi())), (
        "run: python -m stream.messages.asyncapi > docs/asyncapi.json"
    )


def test_every_reference_of_the_contract_leads_somewhere() -> None:
    contract = asyncapi()
    references = re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(contract))
    assert references
    for reference in references:
        node = contract
        for part in reference.split("/"):
            assert part in node, reference
            node = node[part]


def test_the_contract_names_the_topics_of_the_settings() -> None:
    settings = Settings.model_construct()
    assert [channel["address"] for channel in asyncapi()["channels"].values()] == [
        settings.events_topic,
        settings.scores_topic,
        settings.dead_letters_topic,
        settings.alerts_topic,
    ]


def test_the_contract_names_every_field_and_type() -> None:
    schemas = asyncapi()["components"]["schemas"]
    assert list(schemas["Event"]["properties"]) == list(Event.__struct_fields__)
    assert list(schemas["Score"]["properties"]) == list(Score.__struct_fields__)
    assert set(schemas["Event"]["properties"]["type"]["enum"]) == set(EVENT_TYPES)
    assert schemas["Event"]["required"] == ["event_id", "type", "customer_id", "event_time"]


def test_the_table_of_features_is_that_of_the_code() -> None:
    from stream.cli.features import page

    assert (ROOT / "docs" / "features.md").read_text() == page(), (
        "run: intent features --markdown > docs/features.md"
    )


def test_the_readme_names_no_command_or_setting_that_is_not_there() -> None:
    text = (ROOT / "README.md").read_text()
    commands = {command.name or command.callback.__name__ for command in create_app().registered_commands}
    commands |= {group.name for group in create_app().registered_groups}
    named = set(re.findall(r"\bintent ([a-z][a-z-]+)", text))
    assert named, "the README shows no command"
    assert named <= commands
    assert set(re.findall(r"\bINTENT_([A-Z_]+)", text)) - {"TEST_SEED", "DATA_DIR", "KAFKA_JARS"} <= {
        name.upper() for name in Settings.model_fields
    }


@pytest.mark.parametrize("kind", [Event, Score])
def test_the_schema_of_a_message_can_be_made(kind: type) -> None:
    assert "$defs" in msgspec.json.schema(kind)
