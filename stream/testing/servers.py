"""Kafka and Redis for tests: running ones, in containers, or embedded."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from stream.exceptions import SettingsError
from stream.services.process import free_port
from stream.services.services import KAFKA_VERSION, EmbeddedServices

KAFKA_IMAGE: Final = f"apache/kafka:{KAFKA_VERSION}"
REDIS_IMAGE: Final = "redis:7.2"
WAYS: Final = ("external", "docker", "embedded")

#: What chooses the servers, and names running ones.
CHOICES: Final = ("INTENT_KAFKA", "INTENT_REDIS", "INTENT_SERVICES")

# A broker that lives for seconds gains nothing from the JVM's second compiler and parallel collector: a start takes two
# thirds of the CPU time without.
_JAVA_OPTIONS: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


class Services(NamedTuple):
    """Servers that answer."""

    way: str
    kafka: str
    redis: str


def choose(choices: Mapping[str, str | None]) -> str:
    """Return which way is taken: the one that is forced, otherwise the first that is there.

    Parameters
    ----------
    choices
        The values of `CHOICES`, ``None`` for what is not set.

    Raises
    ------
    SettingsError
        There is no such way, or it lacks the addresses of servers.
    """
    forced = choices["INTENT_SERVICES"] or "auto"
    named = bool(choices["INTENT_KAFKA"] and choices["INTENT_REDIS"])
    if forced == "external" and not named:
        raise SettingsError("INTENT_SERVICES=external needs INTENT_KAFKA and INTENT_REDIS")
    if forced in WAYS:
        return forced
    if forced != "auto":
        raise SettingsError(f"INTENT_SERVICES={forced}: take one of auto, {', '.join(WAYS)}")
    if named:
        return "external"
    return "docker" if docker_answers() else "embedded"


def docker_answers() -> bool:
    """Whether there is a Docker engine."""
    command = shutil.which("docker")
    if command is None:
        return _engine_at(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
    return subprocess.run([command, "version"], capture_output=True, timeout=20, check=False).returncode == 0


def _engine_at(host: str) -> bool:
    return not host.startswith("unix://") or Path(host.removeprefix("unix://")).is_socket()


@contextmanager
def running(way: str, choices: Mapping[str, str | None]) -> Iterator[Services]:
    """Start the servers, or take those that run."""
    if way == "external":
        yield Services(way, str(choices["INTENT_KAFKA"]), str(choices["INTENT_REDIS"]))
    elif way == "docker":
        with containers() as services:
            yield services
    else:
        with EmbeddedServices(java_options=_JAVA_OPTIONS) as embedded:
            yield Services(way, embedded.kafka, embedded.redis)


@contextmanager
def containers() -> Iterator[Services]:
    """Start both servers in containers."""
    from testcontainers.community.redis import RedisContainer
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import PortWaitStrategy

    # The broker tells clients its own address, so the port on the host is chosen before it starts. Within its
    # container nothing listens there, and it has to reach itself: it checks with the coordinator of a
    # transaction every record that belongs to one. So it has a second listener, for itself.
    port = free_port()
    kafka = DockerContainer(KAFKA_IMAGE).with_bind_ports(9092, port)
    host = kafka.get_docker_client().host()
    environment = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENERS": "HOST://:9092,CONTROLLER://:9093,INTERNAL://localhost:9094",
        "KAFKA_ADVERTISED_LISTENERS": f"HOST://{host}:{port},INTERNAL://localhost:9094",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "HOST:PLAINTEXT,CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT",
        "KAFKA_INTER_BROKER_LISTENER_NAME": "INTERNAL",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "5",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS": "5",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_HEAP_OPTS": "-Xmx512m",
    }
    for name, value in environment.items():
        kafka.with_env(name, value)
    kafka.waiting_for(PortWaitStrategy(9092).with_startup_timeout(90))
    redis = RedisContainer(REDIS_IMAGE)
    with ExitStack() as stack:
        stack.enter_context(kafka)
        stack.enter_context(redis)
        url = f"redis://{redis.get_container_host_ip()}:{redis.get_exposed_port(6379)}/0"
        yield Services("docker", f"{host}:{port}", url)
