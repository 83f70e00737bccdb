"""One way to Redis for every store: time limits, TLS, and errors translated into those of `features.exceptions`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import redis
from redis import exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from features.exceptions import StoreConflict, StoreUnavailable

# Bounds one answer of Redis. The longest ones, on a good day: a batch of 4,000 states is 4 MB and takes 10-20 ms, a
# script that writes 1,000 items 2 ms, a learner's snapshot has about a megabyte. A stop or a revocation waits for an
# answer under way, so this and the next one stay under `stream.kafka.contract.RELEASE_SECONDS`.
_ANSWER_SECONDS: Final = 4.0
# Bounds the wait for a connection, TLS included.
_CONNECT_SECONDS: Final = 2.0


def connect(url: str) -> redis.Redis:
    """Return a client; the connection is made at the first command.

    Parameters
    ----------
    url
        Where Redis is, as ``redis://[[user]:password@]host:port/database``. With ``rediss://`` the connection is
        encrypted; add ``?ssl_ca_certs=FILE`` if the server's certificate is signed by an authority of your own.

    Raises
    ------
    StoreUnavailable
        The URL cannot be read.
    """
    # No retries in the client: an EXEC sent twice is two saves, and only the record tells what became of the first.
    try:
        return redis.Redis.from_url(
            url,
            protocol=2,
            socket_timeout=_ANSWER_SECONDS,
            socket_connect_timeout=_CONNECT_SECONDS,
            **({} if url.startswith("unix:") else {"socket_keepalive": True}),
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError:  # its text may hold a piece of the password
        raise StoreUnavailable(
            "the URL of Redis cannot be read: set INTENT_REDIS to redis://[[user]:password@]host:port/database"
        ) from None


@contextmanager
def store_errors(client: redis.Redis) -> Iterator[None]:
    """Translate what redis-py raises; the message names the address, never the password.

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
    except redis.RedisError as error:
        raise StoreUnavailable(f"Redis at {_address(client)} failed ({error}): {_advice(error)}") from error


def _advice(error: redis.RedisError) -> str:
    """Return what to do about an error."""
    kinds: tuple[tuple[type[Exception], str], ...] = (
        (redis.OutOfMemoryError, "its memory is full: raise its maxmemory, or make room"),
        (redis.AuthenticationError, "check name and password in INTENT_REDIS"),
        (exceptions.NoPermissionError, "allow the user in INTENT_REDIS all commands on its keys (ACL)"),
        (redis.ReadOnlyError, "it is a replica: set INTENT_REDIS to the primary"),
        (redis.BusyLoadingError, "it is still loading its data: wait until it has"),
        (redis.TimeoutError, "see whether it hangs or is overloaded, or set INTENT_REDIS"),
        (redis.ConnectionError, "start it, or set INTENT_REDIS"),
    )
    if "MISCONF" in str(error):
        return "it cannot write to its disk: look into its log, and make room"
    named = (advice for kind, advice in kinds if isinstance(error, kind))
    return next(named, "it answers, but refuses: look into its log and its settings")


def _address(client: redis.Redis) -> str:
    options: dict[str, Any] = client.connection_pool.connection_kwargs
    if "path" in options:
        return str(options["path"])
    return f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
