"""Reads states beside their owners: many customers of many partitions by one round trip, and nothing is written.

An owner loads states to change them, and must not meet another one's. Who only looks takes what is saved at the moment:
record, states, items and links of a partition come from one command, so they are of one save.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from redis.asyncio.cluster import RedisCluster as AsyncCluster

from features.exceptions import UnreadableRecord
from features.price_table import NO_PRICES, PriceTable
from features.sealing import unsealed
from features.state import States
from features.store.keys import items_keys, link_keys, outbox_key, prices_key, record_key, state_keys
from features.store.packed_states import read_packed
from features.store.partition_record import PartitionRecord
from features.store.redis_client import close_async, connect_async, store_errors

Command = tuple[Any, ...]


class Read(NamedTuple):
    """What `StateReader.read` returns of one partition.

    Attributes
    ----------
    record
        The partition's record, ``None`` where no worker has ever had it.
    states
        One per customer; of one without a state, or with one that cannot be read, an empty one.
    faults
        What is wrong with a state, by the position of the customer.
    items, links
        The stored `features.offers.CustomerItems` and `features.links.Link` of each customer, ``None`` for none.
    """

    record: PartitionRecord | None
    states: States
    faults: Mapping[int, str]
    items: Sequence[bytes | None]
    links: Sequence[bytes | None]


class StateReader:
    """Reads states in Redis, within an event loop: no thread waits, and none has to be woken.

    Parameters
    ----------
    url
        Where Redis is; see `features.store.redis_client.connect`.
    prefix
        What the keys start with, as for `features.store.redis_store.RedisStore`.
    """

    def __init__(self, url: str, prefix: str = "intent") -> None:
        self._redis = connect_async(url)
        self._prefix = prefix
        self._incarnations: dict[int, int] = {}  # as found last; each answer tells whether it still holds

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await close_async(self._redis)

    async def records(self, partitions: Sequence[int]) -> list[PartitionRecord | None]:
        """Return the records of partitions.

        Raises
        ------
        UnreadableRecord
            A record is damaged, or of another version of this program.
        """
        stored = await self._asked([("GET", record_key(self._prefix, partition)) for partition in partitions])
        return [self._record(partition, raw) for partition, raw in zip(partitions, stored, strict=True)]

    async def promised(self, partitions: Sequence[int]) -> list[tuple[PartitionRecord | None, bytes]]:
        """Return the records of partitions, and what the last save of each has promised to publish.

        All are of one moment: what one partition has handed over and another one has taken is seen of both, or of none.
        In a cluster no transaction spans partitions; there, what was read twice and had not changed was of one moment.

        Raises
        ------
        UnreadableRecord
            One is damaged, or of another version of this program.
        """
        commands: list[Command] = [
            ("MGET", record_key(self._prefix, partition), outbox_key(self._prefix, partition))
            for partition in partitions
        ]
        if isinstance(self._redis, AsyncCluster):
            before, stored = None, await self._asked(commands)
            while stored != before:
                before, stored = stored, await self._asked(commands)
        else:
            stored = await self._asked(commands, transaction=True)
        return [
            (self._record(partition, raw), self._outbox(partition, outbox))
            for partition, (raw, outbox) in zip(partitions, stored, strict=True)
        ]

    async def price(self, partition: int, record: PartitionRecord, item: str) -> PriceTable:
        """Return what a partition knows of the price of an item.

        Raises
        ------
        UnreadableRecord
            It is damaged.
        """
        [raw] = await self._asked([("HGET", prices_key(self._prefix, partition, record.incarnation), item)])
        return NO_PRICES if raw is None else PriceTable.of({item: raw})

    async def read(self, wanted: Mapping[int, Sequence[str]]) -> dict[int, Read]:
        """Return what is known of customers, by partition.

        Raises
        ------
        UnreadableRecord
            A record is damaged, or of another version of this program.
        """
        found: dict[int, Read] = {}
        while missing := [partition for partition in wanted if partition not in found]:
            asked = {partition: self._incarnations.get(partition, 0) for partition in missing}
            answers = await self._asked(
                [self._question(partition, wanted[partition], number) for partition, number in asked.items()]
            )
            for (partition, incarnation), (raw, *values) in zip(asked.items(), answers, strict=True):
                record = self._record(partition, raw)
                self._incarnations[partition] = 0 if record is None else record.incarnation
                if self._incarnations[partition] == incarnation:
                    found[partition] = _read(record, values, len(wanted[partition]))
        return found

    def _question(self, partition: int, customers: Sequence[str], incarnation: int) -> Command:
        return (
            "MGET",
            record_key(self._prefix, partition),
            *state_keys(self._prefix, partition, customers, incarnation),
            *items_keys(self._prefix, partition, customers),
            *link_keys(self._prefix, partition, customers, incarnation),
        )

    async def _asked(self, commands: Sequence[Command], *, transaction: bool = False) -> list[Any]:
        """Return the answers to some commands, by one round trip; most often it is one command."""
        with store_errors(self._redis):
            if len(commands) == 1:
                return [await self._redis.execute_command(*commands[0])]
            pipeline: Any = self._redis.pipeline(transaction=transaction)
            for command in commands:
                pipeline.execute_command(*command)
            return list(await pipeline.execute())

    def _record(self, partition: int, raw: bytes | None) -> PartitionRecord | None:
        try:
            return None if raw is None else PartitionRecord.from_bytes(raw)
        except UnreadableRecord as error:
            raise UnreadableRecord(f"{record_key(self._prefix, partition)} in Redis: {error}") from None

    def _outbox(self, partition: int, raw: bytes | None) -> bytes:
        if raw is None:
            return b""
        if (content := unsealed(raw)) is None:
            raise UnreadableRecord(f"{outbox_key(self._prefix, partition)} in Redis is damaged")
        return content


def _read(record: PartitionRecord | None, values: Sequence[bytes | None], count: int) -> Read:
    states, faults = read_packed(values[:count])
    return Read(record, states, faults, values[count : 2 * count], values[2 * count :])
