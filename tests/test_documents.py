"""Documents that are generated from the code, or speak of it, are up to date."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from pathlib import Path

import msgspec
import pytest

from benchmarks.learning.page import page as learning_page
from features.events import EVENT_TYPES, Event
from stream.cli import create_app
from stream.learning.metrics import _FIGURES as FIGURES
from stream.messages.asyncapi import asyncapi
from stream.messages.score import Score
from stream.settings import Settings
from tests.document_blocks import ROOT, documents

README = ROOT / "README.md"
README_LINES = 150


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
        settings.actions_topic,
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


def test_the_page_of_learning_online_is_made_of_its_figures() -> None:
    known = json.loads((ROOT / "docs" / "learning.json").read_text())
    assert (ROOT / "docs" / "learning.md").read_text() == learning_page(known), "run: make bench-learning"


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.stem)
def test_a_page_names_no_command_or_setting_that_is_not_there(path: Path) -> None:
    text = path.read_text()
    commands = {command.name or command.callback.__name__ for command in create_app().registered_commands}
    commands |= {group.name for group in create_app().registered_groups}
    assert set(re.findall(r"\bintent ([a-z][a-z-]+)", text)) <= commands
    of_the_tests = {"TEST_SEED", "SCHEDULES", "DATA_DIR", "KAFKA_JARS"}
    named = set(re.findall(r"\bINTENT_([A-Z]+(?:_[A-Z]+)*)", text))
    assert named - of_the_tests <= {name.upper() for name in Settings.model_fields}


def test_the_readme_is_short_and_shows_commands_and_settings() -> None:
    text = README.read_text()
    assert len(text.splitlines()) <= README_LINES
    assert re.search(r"\bintent [a-z]", text)
    assert "INTENT_" in text


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.stem)
def test_links_lead_to_files_of_the_project(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text()):
        assert "://" in target or (path.parent / target).is_file(), target


_HEADERS = {"intent_format", "intent_signature"}  # of records: their form, and who has written them
_PLUGIN = ROOT / "stream" / "testing" / "plugin.py"
_FIXTURES = set(re.findall(r"^def (intent_\w+)", _PLUGIN.read_text(), re.MULTILINE))


@cache
def registered_metrics() -> set[str]:
    """Return the names of all metrics that the code registers, as Prometheus shows them."""
    counters, others = {"Counter", "CounterMetricFamily", "_counter"}, set[str]()
    named: dict[str, str] = {}
    for path in set((ROOT / "stream").rglob("*.py")) - {_PLUGIN}:
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node.args:
                function = (
                    node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                )
                name = ast.unparse(node.args[0]).strip("f'")
                if re.fullmatch(r"intent_[a-z_]+(\{\w+\})?", name):
                    named[name] = name + ("_total" if function in counters else "")
            elif isinstance(node, ast.Constant) and re.fullmatch(r"intent_[a-z_]+", str(node.value)):
                others.add(str(node.value))
    figures = {f"intent_quality_{figure}" for figure in FIGURES}
    assert named.pop("intent_quality_{figure}")
    assert others - named.keys() - set(named.values()) == {"intent_quality_", *_HEADERS}, (
        "a metric is registered in a way that this does not see"
    )
    return {*named.values(), *figures}


def test_every_metric_is_explained_to_operators_and_no_other() -> None:
    tables = (ROOT / "docs" / "operations.md").read_text()
    explained = set(
        re.findall(r"`(intent_[a-z_]+)`", "".join(re.findall(r"^\| `.*?` \|", tables, re.MULTILINE)))
    )
    assert explained == registered_metrics()


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.stem)
def test_a_page_names_metrics_as_they_are_shown(path: Path) -> None:
    known = registered_metrics()
    named = {
        re.sub(r"(?<=seconds)_(count|sum|bucket)$", "", name)
        for name in re.findall(r"\bintent_[a-z_]+[a-z]\b", path.read_text())
    }
    assert named <= known | _FIXTURES | {"intent_quality", *_HEADERS}


def test_every_fixture_for_shops_is_explained() -> None:
    explained = re.findall(
        r"^\| ((?:intent_\w+(?:, )?)+) \|", (ROOT / "docs" / "testing.md").read_text(), re.MULTILINE
    )
    assert {name for names in explained for name in names.split(", ")} == _FIXTURES


@pytest.mark.parametrize("kind", [Event, Score])
def test_the_schema_of_a_message_can_be_made(kind: type) -> None:
    assert "$defs" in msgspec.json.schema(kind)


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.stem)
def test_files_that_a_page_names_are_there(path: Path) -> None:
    rooms = r"`((?:features|stream|offline|tests|benchmarks|docs)/[\w./-]*)`"
    for named in re.findall(rooms, path.read_text()):
        assert (ROOT / named).exists(), named


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.stem)
def test_a_page_is_in_plain_english(path: Path) -> None:
    found = re.findall(r"\b(?:anew|is none|is no duration|that is none)\b", path.read_text())
    assert not found
