"""A real Kafka and a real Redis, once per run; names of its own for every test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from stream.kafka.topics import create_topics
from stream.settings import Settings
from tests.conftest import CHOICES
from tests.integration.servers import Services, choose, running


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
