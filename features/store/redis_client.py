"""One way to Redis for every store: time limits, TLS, and errors translated into those of `features.exceptions`.

Where Redis is a cluster, a client is one of the whole cluster; where sentinels watch it, one of whichever server is the
primary at the moment. `features.store.redis_url` says how each is named.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit
from weakref import WeakKeyDictionary

import redis
import redis.asyncio
from redis import exceptions
from redis.asyncio.cluster import ClusterNode as AsyncNode
from redis.asyncio.cluster import RedisCluster as AsyncCluster
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import MasterNotFoundError as AsyncMasterNotFoundError
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from features.exceptions import StoreConflict, StoreUnavailable
from features.store.redis_url import FILES, RedisUrl, parse_redis_url

# Bounds one answer of Redis. The longest ones, on a good day: a batch of 4,000 states is 4 MB and takes 10-20 ms, a
# script that writes 1,000 items 2 ms, a learner's snapshot has about a megabyte. A stop or a revocation waits for an
# answer under way, so this and the next one stay under `stream.kafka.contract.RELEASE_SECONDS`.
_ANSWER_SECONDS: Final = 4.0
# Bounds the wait for a connection, TLS included.
_CONNECT_SECONDS: Final = 2.0
# Bounds the wait for a node of a cluster before it is asked where the parts are: one that hangs is not asked.
_PROBE_SECONDS: Final = 0.5

Client = redis.Redis | RedisCluster
AsyncClient = redis.asyncio.Redis | AsyncCluster

_UNCOVERED: Final = "a part of the cluster has no primary that answers: `intent doctor` says which"

# What redis-py raises: a fault of a whole cluster is none of a server to it.
_ERRORS: Final = (redis.RedisError, exceptions.RedisClusterException)

# What each client was made of, for messages.
_addresses: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


def connect(url: str) -> Client:
    """Return a client; the connection is made at the first command, to a cluster at once.

    Parameters
    ----------
    url
        Where Redis is; see `features.store.redis_url`. With ``rediss://`` the connection is encrypted; add
        ``?ssl_ca_certs=FILE`` if the server's certificate is signed by an authority of your own.

    Raises
    ------
    StoreUnavailable
        The URL cannot be read, or no node of a cluster answers.
    """
    said = _said(url)
    options = _options(said, redis.connection.parse_url)
    # No retries in the client: an EXEC sent twice is two saves, and only the record tells what became of the first.
    options["retry"] = Retry(NoBackoff(), 0)
    client: Client
    if said.kind == "cluster":
        nodes = [ClusterNode(host, port) for host, port in said.nodes]  # type: ignore[no-untyped-call]
        try:
            client = RedisCluster(startup_nodes=nodes, **options)
        except _ERRORS as error:
            raise _unavailable(said.address, error) from error
    elif said.kind == "sentinel":
        watching: Any = Sentinel(list(said.nodes), sentinel_kwargs=_of_sentinels(said, options), **options)  # type: ignore[no-untyped-call]
        client = watching.master_for(said.name)
    else:
        client = redis.Redis.from_url(said.node_url, **options)
    _addresses[client] = said.address
    return client


def connect_async(url: str) -> AsyncClient:
    """Return a client for an event loop; see `connect`. Connections are made at the first command."""
    said = _said(url)
    options = _options(said, redis.asyncio.connection.parse_url)
    options["retry"] = AsyncRetry(NoBackoff(), 0)
    client: AsyncClient
    if said.kind == "cluster":
        # After a fault, a pipeline looks again where the parts of the cluster are only if it may also try again. Here
        # that repeats nothing but reading.
        options["retry"] = AsyncRetry(NoBackoff(), 1)
        client = AsyncCluster(startup_nodes=[AsyncNode(host, port) for host, port in said.nodes], **options)
    elif said.kind == "sentinel":
        watching: Any = AsyncSentinel(
            list(said.nodes), sentinel_kwargs=_of_sentinels(said, options), **options
        )  # type: ignore[no-untyped-call]
        client = watching.master_for(said.name)
    else:
        client = redis.asyncio.Redis.from_url(said.node_url, **options)
    _addresses[client] = said.address
    return client


def nodes(url: str) -> list[redis.Redis]:
    """Return a client of each node that the URL of a cluster names, to ask it alone."""
    said = _said(url)
    options = _options(said, redis.connection.parse_url) | {"retry": Retry(NoBackoff(), 0)}
    return [redis.Redis(host=host, port=port, **options) for host, port in said.nodes]


async def close_async(client: AsyncClient) -> None:
    """Close all connections, those to sentinels among them, which redis-py forgets."""
    await client.aclose()
    pool = getattr(client, "connection_pool", None)
    if isinstance(pool, SentinelConnectionPool):
        for sentinel in pool.sentinel_manager.sentinels:
            await sentinel.aclose()


def servers(client: Client) -> list[redis.Redis]:
    """Return a client of each server that takes writes: of a cluster every primary, else the one that there is."""
    if isinstance(client, RedisCluster):
        primaries: Any = client.get_primaries()  # type: ignore[no-untyped-call]
        return [client.get_redis_connection(node) for node in primaries]
    return [client]


def server_of(client: Client, key: str) -> redis.Redis:
    """Return a client of the server that has a key."""
    if isinstance(client, RedisCluster):
        node: Any = client.get_node_from_key(key)  # type: ignore[no-untyped-call]
        return client.get_redis_connection(node)
    return client


@contextmanager
def store_errors(client: Client | AsyncClient, *, looking: bool = True) -> Iterator[None]:
    """Translate what redis-py raises; the message names the address, never the password.

    Parameters
    ----------
    client
        Whose errors they are.
    looking
        After a fault, see where the parts of a cluster are now. Who asks several nodes at once does that once.

    Raises
    ------
    StoreConflict
        A transaction was void, or its answer was lost: reading the record again tells which.
    StoreUnavailable
        Redis did not answer, or refused.
    """
    try:
        yield
    except redis.WatchError as error:
        raise StoreConflict(
            f"Redis at {_address(client)} did not confirm a transaction ({error}): read the record again"
        ) from error
    except _ERRORS as error:
        if looking:
            look_again(client)
        raise _unavailable(_address(client), error) from error


def _address(client: Client | AsyncClient) -> str:
    """Return where Redis is; of a client that `connect` has not made, nobody knows."""
    return _addresses.get(client, "an unknown address")


def look_again(client: Client | AsyncClient) -> None:
    """See where the parts of a cluster are now: one may have moved, or have another primary.

    Nodes are asked that answer at once: redis-py takes any first, and waits for one that hangs.
    """
    if not isinstance(client, RedisCluster):
        return
    nodes: Any = client.nodes_manager
    known = dict(nodes.startup_nodes)
    awake = {name: node for name, node in known.items() if _is_awake(nodes, node)}
    if not awake:
        return
    nodes.startup_nodes = awake  # among which all that they know of will be
    try:
        nodes.initialize()
    except _ERRORS:  # the next command tells
        nodes.startup_nodes = known


def _is_awake(nodes: Any, node: Any) -> bool:
    """Whether a node of a cluster answers at once, over a connection of its own."""
    soon = {"socket_timeout": _PROBE_SECONDS, "socket_connect_timeout": _PROBE_SECONDS}
    try:
        with nodes.create_redis_node(node.host, node.port, **(nodes.connection_kwargs | soon)) as server:
            server.ping()
    except redis.ResponseError:  # it is loading its data, say
        return True
    except redis.RedisError:
        return False
    return True


def _said(url: str) -> RedisUrl:
    try:
        said = parse_redis_url(url)
    except ValueError as error:
        raise StoreUnavailable(f"the URL of Redis cannot be read: {error} (INTENT_REDIS)") from None
    for name, value in parse_qsl(urlsplit(said.node_url).query):
        if name in FILES and not Path(value).exists():
            raise StoreUnavailable(f"there is no {value}, which INTENT_REDIS names as {name}")
    return said


def _options(said: RedisUrl, parse: Any) -> dict[str, Any]:
    """Return what a connection is made with, in every kind of client."""
    options: dict[str, Any] = {
        "protocol": 2,
        "socket_timeout": _ANSWER_SECONDS,
        "socket_connect_timeout": _CONNECT_SECONDS,
        **({"socket_keepalive": True} if said.nodes else {}),
    }
    if said.kind == "server":
        return options
    found: dict[str, Any] = parse(said.node_url)
    encrypted = found.pop("connection_class", None) is not None
    for name in ("host", "port", *(["db"] if said.kind == "cluster" else [])):
        found.pop(name, None)
    return found | options | ({"ssl": True} if encrypted else {})


def _of_sentinels(said: RedisUrl, options: dict[str, Any]) -> dict[str, Any]:
    """Return what the connections to sentinels are made with: they have users and no database of their own."""
    kept = {name: value for name, value in options.items() if name not in {"username", "password", "db"}}
    login = {"username": said.sentinel_user, "password": said.sentinel_password}
    return kept | {name: value for name, value in login.items() if value}


def _unavailable(address: str, error: Exception) -> StoreUnavailable:
    if isinstance(
        error, MasterNotFoundError | AsyncMasterNotFoundError
    ):  # whose text describes redis-py's objects
        return StoreUnavailable(
            f"Redis at {address} failed (no sentinel names a primary): see whether they answer and agree on one, or "
            "set INTENT_REDIS"
        )
    reason = str(error)
    if isinstance(error, exceptions.SlotNotCoveredError):  # whose text is about an option of redis-py's
        reason = "nobody has the slot"
    elif node := _node_of(error):
        reason += "" if node in reason else f", {node}"
    return StoreUnavailable(f"Redis at {address} failed ({reason}): {_advice(error)}")


def _node_of(error: Exception) -> str:
    """Return which of several servers an error is of; empty where nobody has said."""
    of: Any = getattr(error, "connection", None)
    host = getattr(of, "host", None)
    return f"{host}:{of.port}" if host else ""


def _advice(error: Exception) -> str:
    """Return what to do about an error."""
    kinds: tuple[tuple[type[Exception], str], ...] = (
        (redis.OutOfMemoryError, "its memory is full: raise its maxmemory, or make room"),
        (redis.AuthenticationError, "check name and password in INTENT_REDIS"),
        (exceptions.NoPermissionError, "allow the user in INTENT_REDIS all commands on its keys (ACL)"),
        (redis.ReadOnlyError, "it is a replica: set INTENT_REDIS to the primary"),
        (redis.BusyLoadingError, "it is still loading its data: wait until it has"),
        (exceptions.MovedError, "it belongs to a cluster: set INTENT_REDIS to redis+cluster://HOST:PORT"),
        (exceptions.ClusterDownError, _UNCOVERED),
        (exceptions.SlotNotCoveredError, _UNCOVERED),
        (exceptions.RedisClusterException, "start it, or set INTENT_REDIS; is it a cluster?"),
        (redis.TimeoutError, "see whether it hangs, is overloaded, or speaks no TLS where rediss:// is said"),
        (redis.ConnectionError, "start it, or set INTENT_REDIS"),
    )
    if "unknown command" in str(error) and "SENTINEL" in str(error).upper():
        return "it is no sentinel: name the sentinels in INTENT_REDIS, often on port 26379"
    if "MISCONF" in str(error):
        return "it cannot write to its disk: look into its log, and make room"
    named = (advice for kind, advice in kinds if isinstance(error, kind))
    return next(named, "it answers, but refuses: look into its log and its settings")
