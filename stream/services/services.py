"""Kafka and Redis for development and tests, without anything but Python.

Use `EmbeddedServices` for both servers at once; `KafkaServer` and `RedisServer` where a test stops, kills and
restarts them one by one::

    with EmbeddedServices() as services:
        settings = Settings(kafka=services.kafka, redis=services.redis)
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from stream.services.embedded import KAFKA_VERSION, KafkaServer, RedisServer, kafka_jars
from stream.services.folder_lock import FolderLock
from stream.services.process import refuse_taken_ports

__all__ = ["KAFKA_VERSION", "EmbeddedServices", "KafkaServer", "RedisServer", "kafka_jars"]


class EmbeddedServices:
    """A Kafka broker and a Redis server, as a context manager.

    Parameters
    ----------
    directory
        Where both keep their files, which are there again at the next start. Default: a temporary directory
        that is removed at the end.
    kafka_port, redis_port
        Free ports where none are given.
    jars
        Directory of Kafka's jars; see `kafka_jars`.
    java_options
        Further options of the broker's Java virtual machine.

    Attributes
    ----------
    kafka_server, redis_server
        The servers, to be stopped, killed and restarted one by one.
    """

    kafka_server: KafkaServer
    redis_server: RedisServer

    def __init__(
        self,
        directory: Path | str | None = None,
        *,
        kafka_port: int | None = None,
        redis_port: int | None = None,
        jars: Path | None = None,
        java_options: Sequence[str] = (),
    ) -> None:
        self._java_options = java_options
        self._directory = None if directory is None else Path(directory)
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._kafka_port, self._redis_port = kafka_port, redis_port
        self._jars = jars
        self._lock: FolderLock | None = None
        self._servers: list[KafkaServer | RedisServer] = []

    @property
    def kafka(self) -> str:
        """The broker's bootstrap server, ``host:port``."""
        return self.kafka_server.address

    @property
    def redis(self) -> str:
        """The URL of the Redis database, ``redis://host:port/0``."""
        return self.redis_server.url

    def start(self, on_progress: Callable[[int, int], None] | None = None) -> Self:
        """Start both servers and return when they answer.

        Parameters
        ----------
        on_progress
            Called with the number of Kafka's jars that are there and the number of all.

        Raises
        ------
        ServiceError
            Another process uses the directory or a port, or a server cannot be started.
        """
        directory = self._directory
        if directory is not None:
            self._lock = FolderLock(directory)
        try:
            self._start(directory, on_progress)
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self, directory: Path | None, on_progress: Callable[[int, int], None] | None) -> None:
        named = {"Kafka": self._kafka_port, "Redis": self._redis_port}
        refuse_taken_ports({name: port for name, port in named.items() if port is not None})
        jars = kafka_jars(self._jars, on_progress)
        if directory is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="intent-", ignore_cleanup_errors=True)
            directory = Path(self._temporary.name)
        self.redis_server = RedisServer(directory / "redis", self._redis_port, appendonly=True)
        self.kafka_server = KafkaServer(
            directory / "kafka", self._kafka_port, jars=jars, java_options=self._java_options
        )
        self._servers = [self.kafka_server, self.redis_server]
        self.redis_server.start()
        self.kafka_server.start()

    def check(self) -> None:
        """Raise `ServiceError` if a server has ended by itself."""
        for server in self._servers:
            server.check()

    def stop(self) -> None:
        """End both servers: in order where their files are kept, at once where they are thrown away."""
        for server in self._servers:
            if self._temporary is None:
                server.stop()
            else:
                server.kill()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
