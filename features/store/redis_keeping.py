"""Whether a Redis keeps what it is given: one that evicts states when memory runs short forgets customers silently."""

from __future__ import annotations

import logging
from typing import Any, Final

import redis

from features.exceptions import StoreEvicts
from features.store.redis_client import Client, servers, store_errors

logger = logging.getLogger(__name__)

_POLICY: Final = "maxmemory-policy"


def check_keeping(client: Client) -> None:
    """Ask Redis how it is configured; log a warning where that can't be asked, or where a crash would lose states.

    Raises
    ------
    StoreEvicts
        Redis may evict any key.
    """
    for fault in faults_of_keeping(client):
        logger.warning("%s", fault)


def faults_of_keeping(client: Client) -> list[str]:
    """Return a sentence for each way in which Redis may lose something that it should keep; of a cluster, any primary.

    Raises
    ------
    StoreEvicts
        Redis may evict any key.
    """
    with store_errors(client):
        found = [fault for server in servers(client) for fault in _faults(server)]
    return list(dict.fromkeys(found))


def _faults(server: redis.Redis) -> list[str]:
    try:
        found = {name: _setting(server, name) for name in (_POLICY, "appendonly", "save")}
    except redis.ResponseError as error:  # forbidden, or unknown, as managed servers have it
        return [
            f"Redis does not tell its configuration ({error}): see to it that {_POLICY} is noeviction, and "
            "appendonly yes"
        ]
    policy = found[_POLICY]
    if policy.startswith("allkeys"):
        raise StoreEvicts(
            f"Redis has {_POLICY} {policy}: when its memory runs short it would drop customers' states without a word; "
            f"set it to noeviction (`redis-cli CONFIG SET {_POLICY} noeviction`, and in redis.conf)"
        )
    faults = []
    if policy.startswith("volatile"):
        faults.append(
            f"Redis has {_POLICY} {policy}: states are safe, but it may drop offers and the learner's lease; set it to "
            "noeviction"
        )
    if found["appendonly"] == "no" and not found["save"]:
        faults.append(
            "Redis writes nothing to disk (appendonly no, save empty): its next restart loses all states; "
            "set appendonly to yes"
        )
    return faults


def _setting(server: redis.Redis, name: str) -> str:
    answer: Any = server.config_get(name)
    return str(answer.get(name, ""))
