from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import ConfigResource
from typer.testing import CliRunner

from stream.cli.app import create_app
from stream.exceptions import BrokerError, BrokerUnavailable, TopicMismatch
from stream.kafka import topics
from stream.settings import Settings

FENCED = "Unable to replicate the partition 1 time(s): All brokers are currently fenced."
SETTINGS = Settings(_env_file=None, kafka="kafka:9092")


class Admin:
    """Answers one request after the other to create a topic, the last answer again and again."""

    def __init__(self, *answers: tuple[int, str | None]) -> None:
        self._answers = list(answers)
        self.asked = 0

    def create_topics(self, wanted: Any, timeout_ms: int, raise_errors: bool) -> dict[str, Any]:
        self.asked += 1
        code, said = self._answers[min(self.asked, len(self._answers)) - 1]
        return {"topics": [{"error_code": code, "error_message": said}]}

    def wait_for_topics(self, names: list[str], timeout_ms: int) -> None:
        assert names == ["events"]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "_FENCED_SECONDS", 0.0)
    monkeypatch.setattr(topics, "_CREATE_SECONDS", 0.05)


def test_a_topic_is_created_once_brokers_are_fenced_no_more() -> None:
    admin = Admin((38, FENCED), (38, FENCED), (0, None))
    topics._create(admin, "events", SETTINGS, {})
    assert admin.asked == 3


def test_brokers_that_stay_fenced_are_slow_and_refuse_nothing() -> None:
    with pytest.raises(BrokerUnavailable, match=r"kafka:9092 cannot create the topic events.*try again"):
        topics._create(Admin((38, FENCED)), "events", SETTINGS, {})


def test_what_kafka_refuses_is_told_in_its_words() -> None:
    admin = Admin((38, "replication factor: 3 larger than available brokers: 1"))
    with pytest.raises(BrokerError, match="refused the topic events: replication factor: 3") as refused:
        topics._create(admin, "events", SETTINGS, {})
    assert not isinstance(refused.value, BrokerUnavailable)
    assert admin.asked == 1


class Keeping:
    """Keeps all topics for so many milliseconds, until it is told otherwise."""

    def __init__(self, kept: int) -> None:
        self.kept = kept

    def __enter__(self) -> Keeping:
        return self

    def __exit__(self, *_: object) -> None:
        """Hold nothing."""

    def describe_configs(self, resources: list[ConfigResource], config_filter: str) -> dict[str, Any]:
        return {"topic": {resource.name: {"retention.ms": {"value": self.kept}} for resource in resources}}

    def alter_configs(self, resources: list[ConfigResource]) -> None:
        self.kept = int(resources[0].configs["retention.ms"])


@pytest.mark.parametrize(("kept", "needed", "then"), [(10, 20, 20), (20, 10, 20), (-1, 20, -1)])
def test_a_topic_is_lengthened_only_where_it_keeps_too_little(kept: int, needed: int, then: int) -> None:
    admin = Keeping(kept)
    assert topics._lengthen(admin, "examples", needed) == (kept != then)
    assert admin.kept == then


def test_what_is_kept_too_short_is_mended_by_a_command_that_names_the_bundle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(topics, "KafkaAdminClient", lambda **_: Keeping(1000))
    used = SETTINGS.model_copy(update={"bundle": Path("my b12")})
    with pytest.raises(
        TopicMismatch, match="run `intent topics create --bundle 'my b12'` to keep them longer"
    ):
        topics.check_retention(used, timedelta(hours=12))


def test_the_command_says_what_it_has_lengthened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Path] = []

    def created(settings: Settings) -> list[topics.Created]:
        asked.append(settings.bundle)
        return [topics.Created("events", 3, True), topics.Created("examples", 3, False, 648_000_000)]

    monkeypatch.setattr(topics, "create_topics", created)
    command = ["topics", "create", "--bundle", str(tmp_path)]
    said = CliRunner().invoke(create_app(), command).stdout
    assert said.splitlines() == [
        "events: 3 partitions, created",
        "examples: 3 partitions, already there, kept for 7 d 12 h now",
    ]
    assert '"lengthened":648000000' in CliRunner().invoke(create_app(), [*command, "--json"]).stdout.replace(
        " ", ""
    )
    assert asked == [tmp_path] * 2
    assert CliRunner().invoke(create_app(), [*command[:-1], str(tmp_path / "b")]).exit_code == 2
