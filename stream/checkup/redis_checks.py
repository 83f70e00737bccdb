"""Looks at Redis: whether it answers, and keeps what it is given."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

import redis

from features.exceptions import StoreEvicts, StoreUnavailable
from features.store.redis_client import connect, store_errors
from features.store.redis_keeping import faults_of_keeping
from stream.addresses import masked_url
from stream.checkup.finding import Finding, good, told, warning, wrong
from stream.settings import Settings

_CLOCK_SECONDS: Final = 1.0
_NEARLY_FULL: Final = 0.8


def redis_checks(settings: Settings) -> Iterator[Finding]:
    """Yield what Redis is like; where it does not answer, nothing more than that."""
    try:
        with closing(connect(settings.redis_url)) as client:
            with store_errors(client):
                began = time.time()
                seconds, microseconds = client.time()
                now = (began + time.time()) / 2
            yield good("redis", f"answers at {masked_url(settings.redis_url)}")
            yield _clock(seconds + microseconds / 1e6 - now)
            yield from _keeping(client)
            yield from _memory(client)
    except StoreUnavailable as error:
        yield told("redis", error)


def _clock(ahead: float) -> Finding:
    if abs(ahead) <= _CLOCK_SECONDS:
        return good("redis' clock", "agrees with this machine's")
    return wrong(
        "redis' clock",
        f"is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} this machine's",
        "set both by NTP",
    )


def _keeping(client: redis.Redis) -> Iterator[Finding]:
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


def _memory(client: redis.Redis) -> Iterator[Finding]:
    with store_errors(client):
        found: Any = client.info("memory")
    used, most = int(found.get("used_memory", 0)), int(found.get("maxmemory", 0))
    if most and used > _NEARLY_FULL * most:
        yield warning(
            "redis' memory",
            f"{used / most:.0%} of maxmemory is used",
            "raise maxmemory, or lower INTENT_STATE_TTL",
        )
