"""Transactions that are void unless the record of their partition stands still.

On one server, those of several partitions are one transaction: as good as one each, and four times as quick for small
batches. In a cluster a partition lies in one slot, so it has its own, over its own connection (EXEC ends every WATCH of
a connection); all are under way at once. Two round trips: redis-py's own pipeline takes three, and each of them makes
this thread wait for the interpreter.

A server that hangs is waited for once, not by each exchange with it: a round of saves takes as long as one answer may.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar, cast

import hiredis
import redis
from redis.cluster import RedisCluster

from features.exceptions import StoreConflict, StoreError, StoreUnavailable
from features.store.redis_client import Client, look_again, server_of, store_errors

Command = tuple[Any, ...]
# As redis-py says it, so that partitions of one server have one reason.
_SILENT: Final = "Timeout reading from socket"

T = TypeVar("T")


class Write(NamedTuple):
    """What is written of one partition.

    Attributes
    ----------
    record_key
        The key that must stand still.
    check
        Called with what lies there; raises `StoreConflict` where that is not what was expected.
    commands
        What is done then. All keys are in the slot of ``record_key``.
    """

    record_key: str
    check: Callable[[bytes | None], None]
    commands: Sequence[Command]


class Transactions:
    """What is written of some partitions, in two halves: all that can be done before is done in the first.

    Parameters
    ----------
    client
        Of the Redis.
    writes
        By partition. What is wrong with one is told by `commit`.
    """

    def __init__(self, client: Client, writes: Mapping[int, Write]) -> None:
        self._client = client
        self._writes = writes
        self._exchanges: list[_Exchange] = []
        self._silent = _Silent()
        try:
            for group in by_slot(client, list(writes)):
                self._exchanges.append(_Exchange(client, {name: writes[name] for name in group}))
            self._go_on(_Exchange.watch, _Exchange.check)
        except BaseException:
            self.release()
            raise

    def commit(self, partitions: Collection[int]) -> dict[int, StoreError]:
        """Write what stands still of some of the partitions, and end.

        Returns
        -------
        dict
            What is wrong with the rest, by partition: nothing of it was written. A fault that is no `StoreConflict`
            leaves open whether something was written: the record tells.
        """
        faults = self._commit(partitions)
        void = {name: self._writes[name] for one in self._exchanges if one.void for name in one.ready}
        if not void:
            return faults
        # One record has changed, or the connection was lost before anything was sent: all of these have another try.
        others = {name: fault for name, fault in faults.items() if name not in void}
        return others | Transactions(self._client, void)._commit(void.keys())

    def _commit(self, partitions: Collection[int]) -> dict[int, StoreError]:
        try:
            for exchange in self._exchanges:
                exchange.leave_out(partitions)
            self._go_on(_Exchange.execute, _Exchange.confirm)
        finally:
            self.release()
        faults = {name: fault for one in self._exchanges for name, fault in one.faults.items()}
        if any(isinstance(fault, StoreUnavailable) for fault in faults.values()):
            look_again(self._client)
        return {name: fault for name, fault in faults.items() if name in partitions}

    def release(self) -> None:
        """Give the connections back, and write nothing more."""
        for exchange in self._exchanges:
            exchange.release()

    def _go_on(self, *steps: Callable[[_Exchange], None]) -> None:
        for step in steps:
            self._silent.in_this_step = False
            for exchange in self._exchanges:
                exchange.go_on(step, self._silent)


def commit(client: Client, writes: Mapping[int, Write]) -> dict[int, StoreError]:
    """Write what stands still, as `Transactions` does, in one go; return what is wrong with the rest."""
    return Transactions(client, writes).commit(writes.keys())


def by_slot(client: Client, partitions: Sequence[T]) -> list[Sequence[T]]:
    """Return partitions in groups that one transaction may be about: in a cluster each alone."""
    if isinstance(client, RedisCluster):
        return [[one] for one in partitions]
    return [partitions] if partitions else []


class _Silent:
    """The servers for which an exchange of a commit has waited in vain.

    Attributes
    ----------
    pools
        Their connection pools.
    in_this_step
        Whether one was waited for in this step: so long all others had time, too, which were asked before.
    """

    def __init__(self) -> None:
        self.pools: set[Any] = set()
        self.in_this_step = False

    def add(self, pool: Any) -> None:
        """Take a server for silent."""
        self.pools.add(pool)
        self.in_this_step = True


class _Exchange:
    """One transaction over one connection.

    Attributes
    ----------
    faults
        By partition.
    ready
        By partition how many commands write it, and their bytes.
    void
        Whether nothing was written for sure: a record did not stand still, or nobody watched it any more.
    """

    def __init__(self, client: Client, writes: Mapping[int, Write]) -> None:
        self.faults: dict[int, StoreError] = {}
        self.ready: dict[int, tuple[int, bytes]] = {}
        self.void = False
        # Whether nothing more is asked, and whether nothing is left on the connection.
        self._over = self._clean = False
        self._client = client
        self._writes = writes
        self._pool: Any = None
        self._silent = _Silent()
        self._connection: Any = None
        self._watched: Any = None  # the socket on which records are watched

    def go_on(self, step: Callable[[_Exchange], None], silent: _Silent) -> None:
        """Take one more step, unless it is over.

        Parameters
        ----------
        step
            One of the methods below.
        silent
            Those of all exchanges.
        """
        if self._over:
            return
        self._silent = silent
        try:
            with store_errors(self._client, looking=False):
                try:
                    step(self)
                except (redis.TimeoutError, redis.ConnectionError) as error:
                    if isinstance(error, redis.TimeoutError):
                        silent.add(self._pool)
                    told: Any = error
                    told.connection = self._connection  # redis-py does so, too: the message names the server
                    raise
        except StoreError as error:
            self._over = True
            self.faults |= dict.fromkeys(self._writes.keys() - self.faults.keys(), error)

    def watch(self) -> None:
        """Ask for the records, and have them watched."""
        first = next(iter(self._writes.values()))
        self._pool = server_of(self._client, first.record_key).connection_pool
        self._check_awake()
        self._connection = self._pool.get_connection()
        asked = [(name, one.record_key) for one in self._writes.values() for name in ("WATCH", "GET")]
        self._send(_packed(asked))
        self._watched = self._connection._sock

    def check(self) -> None:
        """See which records are the expected ones."""
        self._check_answered()
        stored = [self._connection.read_response() for _ in range(2 * len(self._writes))][1::2]
        for (partition, write), found in zip(self._writes.items(), stored, strict=True):
            try:
                write.check(cast("bytes | None", found))
            except StoreConflict as conflict:
                self.faults[partition] = conflict
            else:
                self.ready[partition] = len(write.commands), _packed(write.commands)

    def leave_out(self, partitions: Collection[int]) -> None:
        """Write nothing of any but these partitions."""
        self.ready = {name: ready for name, ready in self.ready.items() if name in partitions}

    def execute(self) -> None:
        """Send the commands."""
        if self.ready:
            self._check_awake()
            if self._is_lost():
                self.void = True
                raise redis.WatchError("the connection that watched the record is gone")
            self._send(_packed([("MULTI",)]), *(own for _, own in self.ready.values()), _packed([("EXEC",)]))
        else:
            self._connection.disconnect()  # ends WATCH
            self._over = self._clean = True

    def confirm(self) -> None:
        """Take the answers."""
        self._check_answered()
        for _ in range(sum(count for count, _ in self.ready.values()) + 1):
            self._connection.read_response()
        answers = self._connection.read_response()
        if answers is None:
            self.void = self._clean = True
            raise redis.WatchError("a record changed between WATCH and EXEC")
        self._clean = True
        # Of a key that holds another type, say: Redis does the other commands all the same.
        for answer in answers:
            if isinstance(answer, redis.ResponseError):
                raise answer

    def release(self) -> None:
        """Give the connection back; one that was left may still watch, and have answers that nobody has read."""
        connection, self._connection = self._connection, None
        if connection is not None:
            if not self._clean:
                connection.disconnect()
            self._pool.release(connection)

    def _is_lost(self) -> bool:
        """Whether nothing is watched any more: redis-py would send all the same, over a new connection."""
        if self._connection._sock is None or self._connection._sock is not self._watched:
            return True
        try:
            return bool(self._connection.can_read(0))  # nothing was asked: the other side has closed it
        except redis.ConnectionError:
            return True

    def _check_awake(self) -> None:
        """Refuse to ask a server that another exchange has found silent."""
        if self._pool in self._silent.pools:
            raise redis.TimeoutError(_SILENT)

    def _check_answered(self) -> None:
        """Refuse to wait where another exchange has waited for this server, or as long for another one."""
        silent = self._silent.in_this_step or self._pool in self._silent.pools
        if silent and not self._connection.can_read(0):
            raise redis.TimeoutError(_SILENT)

    def _send(self, *packed: bytes) -> None:
        self._connection.send_packed_command([b"".join(packed)])  # at once: each piece would wake the server


def _packed(commands: Iterable[Command]) -> bytes:
    """Return commands as they are sent. redis-py looks at each argument once more, which takes longer than this."""
    return b"".join([hiredis.pack_command(command) for command in commands])
