"""Transactions that are void unless the record of their partition stands still.

On one server, those of several partitions are one transaction: as good as one each, and four times as quick for small
batches. In a cluster a partition lies in one slot, so it has its own, over its own connection (EXEC ends every WATCH of
a connection); all are under way at once. Two round trips: redis-py's own pipeline takes three, and each of them makes
this thread wait for the interpreter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import redis
from redis.cluster import RedisCluster

from features.exceptions import StoreConflict, StoreError
from features.store.redis_client import Client, server_of, store_errors

Command = tuple[Any, ...]
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


def commit(client: Client, writes: Mapping[int, Write]) -> dict[int, StoreError]:
    """Write what stands still; return what is wrong with the rest, by partition: nothing of it was written.

    A fault that is no `StoreConflict` leaves open whether something was written: the record tells.
    """
    exchanges = [
        _Exchange(client, {name: writes[name] for name in group}) for group in by_slot(client, list(writes))
    ]
    try:
        for step in (_Exchange.watch, _Exchange.check, _Exchange.execute, _Exchange.confirm):
            for exchange in exchanges:
                exchange.go_on(step)
    finally:
        for exchange in exchanges:
            exchange.release()
    return {name: fault for exchange in exchanges for name, fault in exchange.faults.items()}


def by_slot(client: Client, partitions: Sequence[T]) -> list[Sequence[T]]:
    """Return partitions in groups that one transaction may be about: in a cluster each alone."""
    if isinstance(client, RedisCluster):
        return [[one] for one in partitions]
    return [partitions]


class _Exchange:
    """One transaction over one connection.

    Attributes
    ----------
    faults
        By partition.
    """

    def __init__(self, client: Client, writes: Mapping[int, Write]) -> None:
        self.faults: dict[int, StoreError] = {}
        self._over = self._clean = (
            False  # whether nothing more is asked, and nothing is left on the connection
        )
        self._client = client
        self._writes = writes
        self._pool: Any = None
        self._connection: Any = None
        self._commands: list[Command] = []

    def go_on(self, step: Callable[[_Exchange], None]) -> None:
        """Take one more step, unless it is over."""
        if self._over:
            return
        try:
            with store_errors(self._client):
                step(self)
        except StoreError as error:
            self._over = True
            self.faults |= dict.fromkeys(self._writes.keys() - self.faults.keys(), error)

    def watch(self) -> None:
        """Ask for the records, and have them watched."""
        first = next(iter(self._writes.values()))
        self._pool = server_of(self._client, first.record_key).connection_pool
        self._connection = self._pool.get_connection()
        self._send([(name, one.record_key) for one in self._writes.values() for name in ("WATCH", "GET")])

    def check(self) -> None:
        """See which records are the expected ones."""
        stored = [self._connection.read_response() for _ in range(2 * len(self._writes))][1::2]
        for (partition, write), found in zip(self._writes.items(), stored, strict=True):
            try:
                write.check(cast("bytes | None", found))
                self._commands += write.commands
            except StoreConflict as conflict:
                self.faults[partition] = conflict

    def execute(self) -> None:
        """Send the commands."""
        if self._commands:
            self._send([("MULTI",), *self._commands, ("EXEC",)])
        else:
            self._connection.disconnect()  # ends WATCH
            self._over = self._clean = True

    def confirm(self) -> None:
        """Take the answers."""
        for _ in range(len(self._commands) + 1):
            self._connection.read_response()
        if self._connection.read_response() is None:
            raise redis.WatchError("a record changed between WATCH and EXEC")
        self._clean = True

    def release(self) -> None:
        """Give the connection back; one that was left may still watch, and have answers that nobody has read."""
        if self._connection is not None:
            if not self._clean:
                self._connection.disconnect()
            self._pool.release(self._connection)

    def _send(self, commands: Sequence[Command]) -> None:
        self._connection.send_packed_command(self._connection.pack_commands(commands))
