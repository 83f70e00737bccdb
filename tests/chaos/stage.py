"""Servers behind proxies, workers and a learner: what faults happen to."""

from __future__ import annotations

import random
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import redis
from pydantic import SecretStr

from stream.kafka.topics import create_topics
from stream.services.process import LOCALHOST, free_port
from stream.services.services import KafkaServer, RedisServer
from stream.settings import Settings
from tests.bundles import save_bundle
from tests.chaos.actions import POLICY
from tests.chaos.proxy import Proxy
from tests.integration.workers import Fleet, Worker, until

PARTITIONS: Final = 6


class Stage:
    """Kafka, Redis, two workers and a learner; a context manager.

    Parameters
    ----------
    folder
        Takes the servers' files and all logs.
    seed
        Decides when workers are replaced.

    Attributes
    ----------
    settings
        What workers use: the ways through the proxies.
    workers, learner
        What runs, or stands still.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.folder = folder
        port = free_port()
        self.kafka_proxy = Proxy(port)
        advertised = f"PLAINTEXT://{LOCALHOST}:{self.kafka_proxy.port}"
        self.kafka = KafkaServer(folder / "kafka", port, properties={"advertised.listeners": advertised})
        self.redis = RedisServer(folder / "redis")
        self.redis_proxy = Proxy(self.redis.port)
        self.settings = Settings(
            _env_file=None,
            kafka=f"{LOCALHOST}:{self.kafka_proxy.port}",
            redis=f"redis://{LOCALHOST}:{self.redis_proxy.port}/0",
            partitions=PARTITIONS,
            http_port=0,
            bundle=save_bundle(folder / "bundle"),
            policy=_written(folder / "policy.yaml"),
        )
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start(self._stack)
        except BaseException:
            self._stack.close()
            raise
        return self

    def _start(self, stack: ExitStack) -> None:
        stack.callback(self.kafka.kill)
        stack.callback(self.redis.kill)
        for proxy in (self.kafka_proxy, self.redis_proxy):
            stack.enter_context(proxy)
        self.kafka.start()
        self.redis.start()
        create_topics(self.settings)
        self.fleet = stack.enter_context(Fleet(self.settings, self.folder / "logs"))
        self.workers: list[Worker] = [self.fleet.ready() for _ in range(2)]
        self.learner = self.fleet.ready(command="learner")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def direct(self, **changes: str) -> Settings:
        """Return settings that go to Redis without the proxy."""
        return self.settings.model_copy(update={"redis": SecretStr(self.redis.url), **changes})

    def save_file(self) -> None:
        """Have Redis write the file from which it will start again."""
        with redis.Redis.from_url(self.redis.url) as client:
            client.save()

    def owners(self) -> int:
        """Return how many workers own partitions."""
        return len({record.token for record in self.fleet.records().values()})

    def check(self) -> None:
        """Fail if a worker or the learner has ended by itself."""
        for one in (*self.workers, self.learner):
            one.check()

    def settle(self) -> None:
        """Wait until everybody is ready."""
        everybody = (*self.workers, self.learner)
        until(lambda: all(one.check() and one.status("/readyz") == 200 for one in everybody), "all are ready")  # noqa: PLR2004


def _written(policy: Path) -> Path:
    policy.write_text(POLICY, encoding="utf-8")
    return policy
