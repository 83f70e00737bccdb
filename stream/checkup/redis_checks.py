"""Looks at Redis: whether it answers, and keeps what it is given."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

import redis
from redis.cluster import RedisCluster

from features.exceptions import StoreError, StoreEvicts, StoreUnavailable
from features.store.redis_client import Client, connect, servers, store_errors
from features.store.redis_keeping import faults_of_keeping
from features.store.redis_store import RedisStore
from stream.addresses import masked_url
from stream.checkup.cluster_checks import cluster_checks
from stream.checkup.finding import Finding, good, told, warning, wrong
from stream.settings import Settings

_CLOCK_SECONDS: Final = 1.0
_NEARLY_FULL: Final = 0.8


def redis_checks(settings: Settings) -> Iterator[Finding]:
    """Yield what Redis is like; where it does not answer, nothing more than that."""
    try:
        yield from cluster_checks(settings)
        with closing(connect(settings.redis_url)) as client:
            with store_errors(client):
                ahead = max((_ahead(server) for server in servers(client)), key=abs)
            yield good("redis", f"answers at {masked_url(settings.redis_url)}")
            yield _usable(settings, client)
            yield _clock(ahead)
            yield from _keeping(client)
            with store_errors(client):
                yield from [fault for server in servers(client) for fault in _memory(server)]
    except StoreUnavailable as error:
        yield told("redis", error)


def _usable(settings: Settings, client: Client) -> Finding:
    """Return whether a worker could write there."""
    [server, *_] = servers(client)
    with store_errors(client):
        said: Any = server.execute_command("HELLO")  # type: ignore[no-untyped-call]
    told_of = dict(zip(said[::2], said[1::2], strict=True)) if isinstance(said, list) else said
    mode, role = ((told_of.get(name) or b"").decode() for name in (b"mode", b"role"))
    if mode == "cluster" and not isinstance(client, RedisCluster):
        return wrong(
            "redis' kind", "it is a node of a cluster", "set INTENT_REDIS to redis+cluster://HOST:PORT"
        )
    if role not in ("master", ""):
        return wrong("redis' kind", "it is a replica", "set INTENT_REDIS to the primary, or to its sentinels")
    try:
        with closing(RedisStore(settings.redis_url, settings.redis_prefix)) as store:
            store.record(0)
    except StoreError as error:
        return told("redis' keys", error)
    return good("redis' keys", f"those of {settings.redis_prefix} can be read")


def _ahead(server: redis.Redis) -> float:
    """Return by how many seconds a server's clock is ahead of this machine's."""
    began = time.time()
    seconds, microseconds = server.time()
    return float(seconds + microseconds / 1e6 - (began + time.time()) / 2)


def _clock(ahead: float) -> Finding:
    if abs(ahead) <= _CLOCK_SECONDS:
        return good("redis' clock", "agrees with this machine's")
    return wrong(
        "redis' clock",
        f"is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} this machine's",
        "set both by NTP",
    )


def _keeping(client: Client) -> Iterator[Finding]:
    try:
        warnings = faults_of_keeping(client)
    except StoreEvicts as error:
        text, _, remedy = str(error).partition("; ")
        yield wrong("maxmemory-policy", text, remedy)
        return
    for text in warnings:
        found, _, remedy = text.rpartition("; " if "; " in text else ": ")
        yield warning("redis' files" if "disk" in found else "maxmemory-policy", found, remedy)
    if not warnings:
        yield good("redis' files", "no state is evicted, and a restart keeps them")


def _memory(server: redis.Redis) -> Iterator[Finding]:
    try:
        found: Any = server.info("memory")
    except redis.ResponseError as error:  # forbidden, as managed servers have it
        yield warning("redis' memory", f"is not told ({error})", "see to it that there is enough")
        return
    used, most = int(found.get("used_memory", 0)), int(found.get("maxmemory", 0))
    if most and used > _NEARLY_FULL * most:
        yield warning(
            "redis' memory",
            f"{used / most:.0%} of maxmemory is used",
            "raise maxmemory, or lower INTENT_STATE_TTL",
        )
