from __future__ import annotations

from typing import Any

import pytest

from stream.exceptions import BrokerError, BrokerUnavailable
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
