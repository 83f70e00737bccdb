"""A real Kafka and a real Redis, once per run; names of its own for every test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream.kafka.topics import create_topics
from stream.settings import Settings
from stream.testing.servers import Services, choose, running
from tests.bundles import save_bundle
from tests.conftest import CHOICES
from tests.integration.workers import Fleet


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "integration" in item.path.parts:
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def services(pytestconfig: pytest.Config) -> Iterator[Services]:
    """Servers that answer; the run's header says whose they are."""
    workerinput = getattr(pytestconfig, "workerinput", None)
    if workerinput is not None:  # a process of pytest-xdist
        yield Services(*workerinput["services"])
        return
    with running(choose(CHOICES), CHOICES) as found:
        yield found


@pytest.fixture
def settings(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings with topics, keys and a consumer group that no other test uses; three partitions.

    The topics are not there yet: see `topics`.
    """
    name = uuid.uuid4().hex[:8]
    return Settings(
        _env_file=None,
        kafka=services.kafka,
        redis=services.redis,
        topic_prefix=f"test-{name}.",
        redis_prefix=f"test-{name}",
        group=f"test-{name}",
        partitions=3,
        http_port=0,
        bundle=tmp_path_factory.mktemp("bundle"),
    )


@pytest.fixture
def topics(settings: Settings) -> Settings:
    """`settings`, and their topics exist."""
    create_topics(settings)
    return settings


@pytest.fixture
def fleet(topics: Settings, tmp_path: Path) -> Iterator[Fleet]:
    """Nothing yet: tests start the workers that they need, with the random bundle."""
    save_bundle(topics.bundle)
    with Fleet(topics, tmp_path) as fleet:
        yield fleet
