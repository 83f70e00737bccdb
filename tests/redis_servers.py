"""Redis as people run it, from the embedded server: a cluster, one that sentinels watch, sockets, users, and TLS.

The embedded server speaks no TLS; `TlsEnd` ends it before the server, as stunnel or a load balancer would.
"""

from __future__ import annotations

import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import redis
from redis.crc import key_slot

from features.exceptions import StoreUnavailable
from stream.exceptions import ServiceError
from stream.services.embedded import RedisServer, redis_server
from stream.services.process import LOCALHOST, ServerProcess, free_port
from tests.certificates import Authority

_SLOTS: Final = 16_384
# A failover takes the time after which a server counts as dead, and some more.
_DEAD_MS: Final = 1_000
_PATIENCE: Final = 60.0
_ATTEMPTS: Final = 3

T = TypeVar("T")


class ConfiguredRedis(RedisServer):
    """A server with more options than the embedded one has."""

    def __init__(self, directory: Path, **options: str) -> None:
        super().__init__(directory)
        self.options = options

    def command(self) -> list[str]:
        """Return the server's command line."""
        return super().command() + [
            word for name, value in self.options.items() for word in (f"--{name.replace('_', '-')}", value)
        ]


class SentinelServer(ServerProcess):
    """A sentinel, which watches the primary ``shop``."""

    name = "Sentinel"
    start_seconds = _PATIENCE

    def __init__(self, directory: Path, primary: int, quorum: int) -> None:
        super().__init__(directory)
        self._primary, self._quorum = primary, quorum

    def command(self) -> list[str]:
        """Write the configuration, unless the sentinel itself has, and return the command line."""
        file = self.directory / "sentinel.conf"
        if not file.exists():
            file.write_text(
                f"bind {LOCALHOST}\nport {self.port}\ndir {self.directory}\n"
                f"sentinel monitor shop {LOCALHOST} {self._primary} {self._quorum}\n"
                f"sentinel down-after-milliseconds shop {_DEAD_MS}\nsentinel failover-timeout shop 3000\n"
            )
        return [redis_server(), str(file), "--sentinel"]

    def answers(self) -> bool:
        """Whether it answers a ping."""
        with suppress(redis.RedisError), redis.Redis(LOCALHOST, self.port) as client:
            return bool(client.ping())
        return False


class Watched:
    """A primary and a replica, and three sentinels that watch them."""

    def __init__(self, directory: Path) -> None:
        self.primary = ConfiguredRedis(directory / "primary")
        self.replica = ConfiguredRedis(
            directory / "replica", replicaof=f"{LOCALHOST} {self.primary.port}", repl_diskless_sync_delay="0"
        )
        self.sentinels = [SentinelServer(directory / f"s{n}", self.primary.port, 2) for n in range(3)]
        self._open = ExitStack()

    @property
    def url(self) -> str:
        """Names the primary by the sentinels."""
        return f"redis+sentinel://{','.join(f'{LOCALHOST}:{one.port}' for one in self.sentinels)}/shop"

    def __enter__(self) -> Self:
        with ExitStack() as servers, redis.Redis(LOCALHOST, self.sentinels[0].port) as client:
            for one in (self.primary, self.replica, *self.sentinels):
                servers.enter_context(one)
            _until(lambda: self._seen(client), "the sentinels see the replica and each other")
            self._open = servers.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @staticmethod
    def _seen(client: redis.Redis) -> bool:
        found: Any = client.sentinel_master("shop")
        return int(found["num-slaves"]) == 1 and int(found["num-other-sentinels"]) == 2  # noqa: PLR2004


class Cluster:
    """Three primaries; with ``replicas``, one of each; ``options`` are those of every node."""

    def __init__(self, directory: Path, *, replicas: bool = False, **options: str) -> None:
        self._directory, self._count = directory, 6 if replicas else 3
        self._options = options
        self.nodes: list[ConfiguredRedis] = []
        self._open = ExitStack()

    def _node(self, directory: Path) -> ConfiguredRedis:
        return ConfiguredRedis(
            directory, cluster_enabled="yes", cluster_port=str(free_port()), cluster_node_timeout=str(_DEAD_MS),
            repl_diskless_sync_delay="0", **self._options,
        )  # fmt: skip

    @property
    def url(self) -> str:
        """Names two nodes, the others are found."""
        return f"redis+cluster://{','.join(f'{LOCALHOST}:{one.port}' for one in self.nodes[:2])}"

    def __enter__(self) -> Self:
        for attempt in range(_ATTEMPTS):
            self.nodes = [
                self._node(self._directory / f"{attempt}-{number}") for number in range(self._count)
            ]
            try:
                return self._started()
            except ServiceError:  # a port was taken after it was found free: of so many, one now and then is
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError

    def _started(self) -> Self:
        with ExitStack() as servers, ExitStack() as asked:
            for node in self.nodes:
                servers.enter_context(node)
            self._join([asked.enter_context(redis.Redis(LOCALHOST, node.port)) for node in self.nodes])
            self._open = servers.pop_all()
        return self

    def _join(self, clients: Sequence[redis.Redis]) -> None:
        """Make one cluster of the nodes."""
        first = self.nodes[0]
        for number, client in enumerate(clients):
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number:
                client.execute_command(
                    "CLUSTER", "MEET", LOCALHOST, first.port, first.options["cluster_port"]
                )
        bounds = [0, _SLOTS // 3, 2 * _SLOTS // 3, _SLOTS]
        for client, low, high in zip(clients, bounds, bounds[1:], strict=False):
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", low, high - 1)
        for number, client in enumerate(clients[3:]):
            name = clients[number].execute_command("CLUSTER", "MYID")
            _until(lambda c=client, n=name: self._follows(c, n), "a replica knows its primary")
        for client in clients:
            _until(lambda c=client: self._whole(c), "the cluster is whole")
        for client in clients[3:]:
            _until(lambda c=client: self._copies(c), "a replica has what its primary has")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def home(self, key: str) -> tuple[int, int]:
        """Return which of the three primaries a key is given to in the beginning, and its slot."""
        slot = key_slot(key.encode())
        return min(3 * slot // _SLOTS, 2), slot

    def move(self, slot: int, source: int, target: int) -> None:
        """Move an empty or a full slot from one node to another, as `redis-cli --cluster reshard` does."""
        with (
            redis.Redis(LOCALHOST, self.nodes[source].port) as old,
            redis.Redis(LOCALHOST, self.nodes[target].port) as new,
        ):
            names = [one.execute_command("CLUSTER", "MYID") for one in (old, new)]
            new.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", names[0])
            old.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", names[1])
            while keys := old.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
                old.execute_command(
                    "MIGRATE", LOCALHOST, self.nodes[target].port, "", 0, 5_000, "KEYS", *keys
                )
            for node in self.nodes:
                with (
                    redis.Redis(LOCALHOST, node.port) as client,
                    suppress(redis.ResponseError),
                ):  # replicas refuse
                    client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", names[1])

    @staticmethod
    def _follows(client: redis.Redis, primary: Any) -> bool:
        with suppress(redis.ResponseError):
            client.execute_command("CLUSTER", "REPLICATE", primary)
            return True
        return False

    @staticmethod
    def _copies(client: redis.Redis) -> bool:
        """Whether a replica gets what its primary is told; until then it could not take its place."""
        found: Any = client.info("replication")
        return bool(found.get("master_link_status") == "up")

    @staticmethod
    def _whole(client: redis.Redis) -> bool:
        info: Any = client.execute_command("CLUSTER", "INFO")
        known: Any = client.execute_command("CLUSTER", "SLOTS")
        return b"cluster_state:ok" in info and len(known) == 3  # noqa: PLR2004 (primaries)


class TlsEnd:
    """Ends TLS before a server: what comes encrypted goes on in the clear, on this machine."""

    def __init__(self, directory: Path, server: RedisServer) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        authority = Authority(directory)
        self.authority = authority.path
        certificate, key = authority.signed("redis")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._listener = context.wrap_socket(
            socket.create_server((LOCALHOST, 0)), server_side=True, do_handshake_on_connect=False
        )
        self._to = (LOCALHOST, server.port)

    @property
    def url(self) -> str:
        """Names who is trusted."""
        port = self._listener.getsockname()[1]
        return f"rediss://{LOCALHOST}:{port}/0?ssl_ca_certs={self.authority}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: ssl.SSLSocket) -> None:
        with near, suppress(OSError):  # one of the two has gone
            near.do_handshake()
            with socket.create_connection(self._to) as far:
                threading.Thread(target=_pump, args=(far, near), daemon=True).start()
                _pump(near, far)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65_536):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


def _until(fact: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not fact():
        assert time.monotonic() < deadline, f"not within {_PATIENCE:.0f} s: {what}"
        time.sleep(0.05)


@contextmanager
def frozen(server: RedisServer) -> Iterator[None]:
    """Let a server hang (SIGSTOP): it keeps its connections, takes new ones, and answers none."""
    assert server.pid is not None
    os.killpg(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(server.pid, signal.SIGCONT)


def role(server: RedisServer) -> str:
    """Return whether a server is a ``master`` or a ``slave``."""
    with redis.Redis.from_url(server.url) as client:
        found: Any = client.role()
    return str(found[0].decode())


def in_the_end(work: Callable[[], T]) -> T:
    """Do something again until Redis answers."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return work()
        except StoreUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.1)
