"""Looks at the parts of a Redis Cluster: whether each has a primary that answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

import redis

from features.store.redis_client import nodes
from features.store.redis_url import parse_redis_url
from stream.checkup.finding import Finding, good, warning, wrong
from stream.settings import Settings

_SLOTS: Final = 16_384
# Flags of a node that its cluster, or this node, has given up.
_GONE: Final = {"fail", "fail?"}


def cluster_checks(settings: Settings) -> Iterator[Finding]:
    """Yield what a cluster lacks, as the first of the nodes knows that answers; nothing where Redis is none."""
    if parse_redis_url(settings.redis_url).kind != "cluster":
        return
    for node in nodes(settings.redis_url):
        with closing(node):
            try:
                table: Any = node.execute_command("CLUSTER NODES")  # type: ignore[no-untyped-call]
            except redis.ResponseError as error:  # forbidden, or no cluster, which others say
                yield warning(
                    "redis' cluster", f"is not told ({error})", "see to it that each slot has a primary"
                )
                return
            except redis.RedisError:
                continue
        yield _of_table(table)
        return


def _of_table(table: dict[str, dict[str, Any]]) -> Finding:
    """Return what the nodes' table says, which redis-py gives by address."""
    flags = {address: set(one["flags"].split(",")) for address, one in table.items()}
    slots = {address: _count(one["slots"]) for address, one in table.items() if "master" in flags[address]}
    gone = sorted(address for address, count in slots.items() if count and flags[address] & _GONE)
    lacking = _SLOTS - sum(count for address, count in slots.items() if address not in gone)
    if not lacking:
        return good("redis' cluster", f"all slots have a primary, of {sum(map(bool, slots.values()))}")
    text = f"{lacking:,} of {_SLOTS:,} slots have no primary that answers"
    if not gone:
        return wrong("redis' cluster", text, "give them to a node (redis-cli --cluster fix)")
    which = f"{' and '.join(gone)} {'is' if len(gone) == 1 else 'are'} gone"
    remedy = "start what is gone, or give its slots to others (redis-cli --cluster fix)"
    return wrong("redis' cluster", f"{text}: {which}", remedy)


def _count(slots: list[list[str]]) -> int:
    return sum(int(ends[-1]) - int(ends[0]) + 1 for ends in slots)
