"""Customer states, saved together with the progress of the partition that changed them.

A partition has one writer. What it has folded, and how far it has read, are one fact: `CustomerStore.save`
writes the changed states and the partition's `PartitionRecord` in one transaction, which is void unless the
stored record is still the one that the writer expects. `RedisStore` keeps them in Redis, `MemoryStore` in
this process (tests, ``intent score``); both are held to the same contract tests.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, compress
from typing import Any, Final, NamedTuple, Protocol, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from features import state
from features.exceptions import SchemaMismatch, StoreConflict, StoreUnavailable
from features.state import STATE, States

#: The watermark of a partition that has seen no event.
NO_WATERMARK: Final = -(2**63)

TOKEN_BYTES: Final = 16
_RECORD_VERSION: Final = 1
_RECORD: Final = struct.Struct(f"<BQ{TOKEN_BYTES}sqqI")

# Bounds one answer of Redis: a batch of 4,000 states is 4 MB, 10-20 ms on a good day. A stop or a revocation
# waits for an answer under way, so these stay under `stream.ownership.RELEASE_SECONDS`.
_ANSWER_SECONDS: Final = 4.0
_CONNECT_SECONDS: Final = 2.0


class PartitionRecord(NamedTuple):
    """Who owns a partition and how far its states have come.

    Attributes
    ----------
    epoch
        Raised by one with every claim.
    token
        16 random bytes of the owner.
    next_offset
        The offset of the first record that the states don't contain yet.
    watermark
        The highest accepted event time, epoch milliseconds; `NO_WATERMARK` before any event.
    partitions
        The topic's partition count when this was written.
    """

    epoch: int
    token: bytes
    next_offset: int
    watermark: int
    partitions: int

    def to_bytes(self) -> bytes:
        """Return the stored form."""
        return _RECORD.pack(_RECORD_VERSION, *self)

    @classmethod
    def from_bytes(cls, raw: bytes) -> PartitionRecord:
        """Return the record that `to_bytes` wrote.

        Raises
        ------
        SchemaMismatch
            ``raw`` was written by another version of this program, or by something else.
        """
        if len(raw) != _RECORD.size or raw[0] != _RECORD_VERSION:
            raise SchemaMismatch(
                f"a partition record has {len(raw)} bytes and version {raw[:1].hex() or 'none'}, ours "
                f"{_RECORD.size} and {_RECORD_VERSION:02x}: set another INTENT_REDIS_PREFIX"
            )
        return cls(*_RECORD.unpack(raw)[1:])


class CustomerStore(Protocol):
    """Where the states of a topic's customers live. Synchronous, and safe to call from several threads.

    Every method raises `StoreUnavailable` where the store does not answer.
    """

    def record(self, partition: int) -> PartitionRecord | None:
        """Return the partition's record, ``None`` before its first claim."""
        ...

    def claim(self, partition: int, found: PartitionRecord | None, new: PartitionRecord) -> None:
        """Replace the record ``found`` by ``new``; `StoreConflict` where another one is stored."""
        ...

    def load(
        self, partition: int, customers: Sequence[str], expected: PartitionRecord | None = None
    ) -> States:
        """Return one state per customer, an empty one for a customer that has none.

        A writer gives the record that it ``expected``, read in one with the states: the guard of `save` alone
        would not see a store that fell back and came forward again in between, and would let a worker that
        has lost the partition score with its successor's states.

        Raises
        ------
        StoreConflict
            The stored record is not ``expected``.
        SchemaMismatch
            A state was written with another layout.
        """
        ...

    def save(
        self,
        partition: int,
        expected: PartitionRecord,
        new: PartitionRecord,
        customers: Sequence[str],
        states: States,
    ) -> None:
        """Write ``states`` and the record ``new``, or nothing.

        An empty state (``events == 0``) is deleted.

        Raises
        ------
        StoreConflict
            The stored record is not ``expected``, or the connection broke on the way: read the record to know
            which.
        """
        ...

    def sweep(
        self, partition: int, expected: PartitionRecord, before: int, cursor: int, count: int
    ) -> tuple[int, int]:
        """Delete states whose last event is older than ``before`` (epoch milliseconds), guarded like `save`.

        Looks at about ``count`` keys from ``cursor`` on (0 to begin with) and returns the next cursor (0 at
        the end) and how many states were deleted.
        """
        ...

    def peek(self, partition: int, customer: str) -> States | None:
        """Return one customer's state as an array of one, ``None`` where there is none."""
        ...


def check_guard(partition: int, stored: bytes | None, expected: PartitionRecord | None) -> None:
    """Raise `StoreConflict` unless the ``stored`` record is the ``expected`` one, byte by byte."""
    if stored != (None if expected is None else expected.to_bytes()):
        found = None if stored is None else PartitionRecord.from_bytes(stored)
        raise StoreConflict(
            f"partition {partition} has {_text(found)} where {_text(expected)} was expected", found=found
        )


def _text(record: PartitionRecord | None) -> str:
    if record is None:
        return "no record"
    return f"epoch {record.epoch} of owner {record.token.hex()[:8]} at offset {record.next_offset}"


class MemoryStore:
    """The customer store in this process: for tests, and for scoring a log without a Redis.

    Examples
    --------
    >>> store = MemoryStore()
    >>> mine = PartitionRecord(1, bytes(16), 0, NO_WATERMARK, 12)
    >>> store.claim(3, None, mine)
    >>> states = store.load(3, ["ada"])
    >>> states["version"], states["events"] = state.STATE_VERSION, 1
    >>> store.save(3, mine, mine._replace(next_offset=1), ["ada"], states)
    >>> int(store.load(3, ["ada"])["events"][0]), store.record(3).next_offset
    (1, 1)
    """

    def __init__(self) -> None:
        self._records: dict[int, bytes] = {}
        self._states: dict[int, dict[str, bytes]] = {}
        self._lock = threading.Lock()

    def record(self, partition: int) -> PartitionRecord | None:
        """See `CustomerStore.record`."""
        raw = self._records.get(partition)
        return None if raw is None else PartitionRecord.from_bytes(raw)

    def claim(self, partition: int, found: PartitionRecord | None, new: PartitionRecord) -> None:
        """See `CustomerStore.claim`."""
        with self._lock:
            check_guard(partition, self._records.get(partition), found)
            self._records[partition] = new.to_bytes()

    def load(
        self, partition: int, customers: Sequence[str], expected: PartitionRecord | None = None
    ) -> States:
        """See `CustomerStore.load`."""
        with self._lock:
            if expected is not None:
                check_guard(partition, self._records.get(partition), expected)
            stored = self._states.get(partition, {})
            return state.from_bytes([stored.get(customer) for customer in customers])

    def save(
        self,
        partition: int,
        expected: PartitionRecord,
        new: PartitionRecord,
        customers: Sequence[str],
        states: States,
    ) -> None:
        """See `CustomerStore.save`."""
        with self._lock:
            check_guard(partition, self._records.get(partition), expected)
            stored = self._states.setdefault(partition, {})
            for customer, value, events in zip(
                customers, state.to_bytes(states), states["events"], strict=True
            ):
                if events:
                    stored[customer] = value
                else:
                    stored.pop(customer, None)
            self._records[partition] = new.to_bytes()

    def sweep(
        self, partition: int, expected: PartitionRecord, before: int, cursor: int, count: int
    ) -> tuple[int, int]:
        """See `CustomerStore.sweep`."""
        with self._lock:
            check_guard(partition, self._records.get(partition), expected)
            stored = self._states.get(partition, {})
            customers = sorted(stored)[cursor : cursor + count]
            states = state.from_bytes([stored[customer] for customer in customers])
            expired = [c for c, time in zip(customers, states["last_time"], strict=True) if time < before]
            for customer in expired:
                del stored[customer]
            following = cursor + len(customers) - len(expired)
            return (0 if following >= len(stored) else following), len(expired)

    def peek(self, partition: int, customer: str) -> States | None:
        """See `CustomerStore.peek`."""
        states = self.load(partition, [customer])
        return states if states["events"][0] else None

    def customers(self, partition: int) -> list[str]:
        """Return the customers that have a state, in order."""
        with self._lock:
            return sorted(self._states.get(partition, {}))


class RedisStore:
    """The customer store in Redis: ``{prefix.partition}:record`` and ``{prefix.partition}:c:<customer id>``.

    All keys of a partition carry one hash tag, so that its transactions hold on a Redis Cluster too.

    Parameters
    ----------
    url
        Where Redis is, as ``redis://[[user]:password@]host:port/database``.
    prefix
        What the keys start with; every deployment on one Redis needs its own.
    """

    def __init__(self, url: str, prefix: str = "intent") -> None:
        # No retries in the client: an EXEC sent twice is two saves, and only the record tells what became of
        # the first.
        self._redis = redis.Redis.from_url(
            url,
            protocol=2,
            socket_timeout=_ANSWER_SECONDS,
            socket_connect_timeout=_CONNECT_SECONDS,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),
        )
        self._prefix = prefix
        options = self._redis.connection_pool.connection_kwargs
        self._address = f"{options.get('host') or options.get('path', url)}:{options.get('port', '')}".rstrip(
            ":"
        )

    def ping(self) -> None:
        """Raise `StoreUnavailable` unless Redis answers."""
        with self._answers():
            self._redis.ping()

    def close(self) -> None:
        """Close all connections."""
        self._redis.close()

    def record(self, partition: int) -> PartitionRecord | None:
        """See `CustomerStore.record`."""
        with self._answers():
            raw = cast("bytes | None", self._redis.get(self._record_key(partition)))
        return None if raw is None else PartitionRecord.from_bytes(raw)

    def claim(self, partition: int, found: PartitionRecord | None, new: PartitionRecord) -> None:
        """See `CustomerStore.claim`."""
        self._commit(partition, found, [("SET", self._record_key(partition), new.to_bytes())])

    def load(
        self, partition: int, customers: Sequence[str], expected: PartitionRecord | None = None
    ) -> States:
        """See `CustomerStore.load`."""
        keys = [self._record_key(partition).encode(), *self._keys(partition, customers)]
        with self._answers():
            stored, *values = cast("list[bytes | None]", self._redis.mget(keys))  # atomic
        if expected is not None:
            check_guard(partition, stored, expected)
        return state.from_bytes(values)

    def save(
        self,
        partition: int,
        expected: PartitionRecord,
        new: PartitionRecord,
        customers: Sequence[str],
        states: States,
    ) -> None:
        """See `CustomerStore.save`."""
        keys, values = self._keys(partition, customers), state.to_bytes(states)
        commands: list[tuple[Any, ...]] = [("SET", self._record_key(partition), new.to_bytes())]
        alive = states["events"] > 0
        if not alive.all():
            commands.append(("DEL", *compress(keys, ~alive)))
            keys, values = list(compress(keys, alive)), list(compress(values, alive))
        if keys:
            commands.append(("MSET", *chain.from_iterable(zip(keys, values, strict=True))))
        self._commit(partition, expected, commands)

    def sweep(
        self, partition: int, expected: PartitionRecord, before: int, cursor: int, count: int
    ) -> tuple[int, int]:
        """See `CustomerStore.sweep`."""
        pattern = "".join(f"[{c}]" if c in "*?[" else c for c in self._tag(partition)) + ":c:*"
        with self._answers():
            found: tuple[int, list[bytes]] = cast(Any, self._redis.scan(cursor, match=pattern, count=count))
            following, keys = found
            values = cast("list[bytes | None]", self._redis.mget(keys)) if keys else []
        held = [(key, value) for key, value in zip(keys, values, strict=True) if value is not None]
        states = state.from_bytes([value for _, value in held])
        expired = [key for (key, _), time in zip(held, states["last_time"], strict=True) if time < before]
        if expired:
            self._commit(partition, expected, [("DEL", *expired)])
        return following, len(expired)

    def peek(self, partition: int, customer: str) -> States | None:
        """See `CustomerStore.peek`."""
        states = self.load(partition, [customer])
        return states if states["events"][0] else None

    def _tag(self, partition: int) -> str:
        return f"{{{self._prefix}.{partition}}}"

    def _record_key(self, partition: int) -> str:
        return f"{self._tag(partition)}:record"

    def _keys(self, partition: int, customers: Sequence[str]) -> list[bytes]:
        start = f"{self._tag(partition)}:c:"
        return [(start + customer).encode() for customer in customers]

    def _commit(
        self, partition: int, expected: PartitionRecord | None, commands: Sequence[tuple[Any, ...]]
    ) -> None:
        """Run ``commands`` in a transaction that is void unless the record is ``expected``: two round trips.

        redis-py's own pipeline takes three, and each of them makes this thread wait for the interpreter.
        """
        key = self._record_key(partition)
        with self._answers():
            connection: Any = self._redis.connection_pool.get_connection()
            try:
                connection.send_packed_command(connection.pack_commands([("WATCH", key), ("GET", key)]))
                connection.read_response()
                check_guard(partition, cast("bytes | None", connection.read_response()), expected)
                connection.send_packed_command(connection.pack_commands([("MULTI",), *commands, ("EXEC",)]))
                for _ in range(len(commands) + 1):
                    connection.read_response()
                if connection.read_response() is None:
                    raise redis.WatchError("the record changed between WATCH and EXEC")
            except BaseException:
                connection.disconnect()  # also ends WATCH, and drops answers that were not read
                raise
            finally:
                self._redis.connection_pool.release(connection)

    @contextmanager
    def _answers(self) -> Iterator[None]:
        try:
            yield
        except redis.WatchError as error:
            raise StoreConflict(f"the transaction was void ({error}): read the partition's record") from error
        except redis.RedisError as error:
            raise StoreUnavailable(
                f"Redis at {self._address} failed ({error}): start it, or set INTENT_REDIS"
            ) from error


__all__ = [
    "NO_WATERMARK",
    "STATE",
    "CustomerStore",
    "MemoryStore",
    "PartitionRecord",
    "RedisStore",
    "check_guard",
]
