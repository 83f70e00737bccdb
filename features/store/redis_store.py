"""The customer store in Redis: see `features.store.customer_store` for what a store is."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, compress, islice
from math import ceil
from types import MappingProxyType
from typing import Any, Final, cast

from features.exceptions import StoreError, UnreadableRecord, UnreadableState
from features.links import Link
from features.state import States
from features.store.customer_store import (
    NO_TIMERS,
    Due,
    DueRequest,
    Loaded,
    LoadRequest,
    Pending,
    Save,
    Swept,
    TimerChanges,
)
from features.store.keys import (
    customer_of,
    in_incarnation,
    incarnation_of,
    is_link,
    items_key_of,
    items_keys,
    link_keys,
    prices_key,
    record_key,
    state_keys,
    state_pattern,
    sweep_key,
    timers_key,
    unreadable_state,
)
from features.store.packed_states import read_packed, to_packed
from features.store.partition_record import PartitionRecord, check_guard
from features.store.redis_client import connect, server_of, store_errors
from features.store.redis_keeping import check_keeping
from features.store.redis_pending import due_of, pending_of, promised
from features.store.redis_transactions import Transactions, Write, commit
from features.structured import concatenated

logger = logging.getLogger(__name__)

# A step of the sweep looks at so many keys at most: more of them would keep Redis from others for more than some ms.
_MOST_SWEPT: Final = 5_000

# So many states of several partitions, at most, are packed together; more would need new memory from the system.
_PACKED_TOGETHER: Final = 512

# So many keys of states that cannot be read are named in the log.
_TOLD: Final = 1_000


class RedisStore:
    """The customer store in Redis; `features.store.keys` names what lies where.

    Parameters
    ----------
    url
        Where Redis is; see `features.store.redis_client.connect`.
    prefix
        What the keys start with; every deployment on one Redis needs its own.
    """

    def __init__(self, url: str, prefix: str = "intent") -> None:
        self._redis = connect(url)
        self._prefix = prefix
        self._told: set[bytes] = set()  # keys that the log has named

    def ping(self) -> None:
        """Raise `StoreUnavailable` unless Redis answers."""
        with store_errors(self._redis):
            self._redis.ping()

    def check_keeping(self) -> None:
        """Raise `StoreEvicts` where Redis may drop states; warn where it does not say, or writes nothing to disk."""
        check_keeping(self._redis)

    def close(self) -> None:
        """Close all connections."""
        self._redis.close()

    def record(self, partition: int) -> PartitionRecord | None:
        """See `CustomerStore.record`."""
        key = self._record_key(partition)
        with store_errors(self._redis):  # to GET, a value of another type is an error like an outage
            (raw,) = cast("list[bytes | None]", self._redis.mget([key]))
        try:
            if raw is not None:
                return PartitionRecord.from_bytes(raw)
        except UnreadableRecord as error:
            raise UnreadableRecord(f"{key} in Redis: {error}") from None
        for fault in self._of_other_types([(0, key.encode())], "partition record").values():
            raise UnreadableRecord(f"{key} in Redis {fault}")
        return None

    def claim(self, partition: int, found: PartitionRecord | None, new: PartitionRecord) -> None:
        """See `CustomerStore.claim`."""
        commands: list[tuple[Any, ...]] = [("SET", self._record_key(partition), new.to_bytes())]
        if found is not None and found.incarnation != new.incarnation:
            commands.append(("UNLINK", prices_key(self._prefix, partition, found.incarnation)))
        self._commit_one(partition, found, commands)

    def load(
        self, partition: int, customers: Sequence[str], expected: PartitionRecord | None = None
    ) -> States:
        """See `CustomerStore.load`."""
        guess = expected or self.record(partition)
        while True:
            incarnation = 0 if guess is None else guess.incarnation
            keys = [self._record_key(partition).encode(), *self._keys(partition, customers, incarnation)]
            with store_errors(self._redis):
                stored, *values = cast("list[bytes | None]", self._redis.mget(keys))  # atomic
            if expected is not None:
                check_guard(partition, stored, expected)
            guess = None if stored is None else PartitionRecord.from_bytes(stored)
            if guess is None or guess.incarnation == incarnation:
                return self._read(partition, customers, keys[1:], values)

    def load_many(self, loads: Sequence[LoadRequest]) -> list[Loaded]:
        """See `CustomerStore.load_many`: one round trip, and one before it if a record is not known."""
        incarnations = [self._incarnation(load) for load in loads]
        pipeline: Any = self._redis.pipeline(
            transaction=False
        )  # each MGET is atomic, which is all that is needed
        asked = []
        for load, incarnation in zip(loads, incarnations, strict=True):
            keys = self._keys(load.partition, load.customers, incarnation)
            asked.append(keys)
            pipeline.execute_command("MGET", self._record_key(load.partition).encode(), *keys)
            if load.items_of:
                pipeline.execute_command("MGET", *items_keys(self._prefix, load.partition, load.items_of))
            if load.links_of:
                links = link_keys(self._prefix, load.partition, load.links_of, incarnation)
                pipeline.execute_command("MGET", *links)
        with store_errors(self._redis):
            answers = iter(pipeline.execute())
        found = []
        for load, keys in zip(loads, asked, strict=True):
            stored, *values = next(answers)
            if load.expected is not None:
                check_guard(load.partition, stored, load.expected)
            items = next(answers) if load.items_of else []
            links = next(answers) if load.links_of else []
            states = self._read(load.partition, load.customers, keys, values)
            found.append(Loaded(states, items, links=links))
        return found

    def _read(
        self,
        partition: int,
        customers: Sequence[str],
        keys: Sequence[bytes],
        values: Sequence[bytes | None],
    ) -> States:
        """Return the states that ``values`` hold, which is where customers have none what nobody has written."""
        states, faults = read_packed(values)
        faults |= self._of_other_types([(at, key) for at, key in enumerate(keys) if values[at] is None])
        for at, fault in faults.items():
            raise unreadable_state(fault, partition, customers[at], keys[at])
        return states

    def _of_other_types(self, missing: Sequence[tuple[int, bytes]], what: str = "state") -> dict[int, str]:
        """Return what is wrong with keys for which MGET has no value: it has none either for a list, a hash, ...

        As a rule nothing lies there, which one command says of all of them.
        """
        if not missing:
            return {}
        keys = [key for _, key in missing]
        with store_errors(self._redis):
            if not self._redis.exists(*keys):
                return {}
            pipeline = self._redis.pipeline(transaction=False)
            for key in keys:
                pipeline.type(key)
            types = cast("list[bytes]", pipeline.execute())
        return {
            at: f"is no {what} but a {kind.decode()}"
            for (at, _), kind in zip(missing, types, strict=True)
            if kind not in (b"none", b"string")
        }

    def save(
        self,
        partition: int,
        expected: PartitionRecord,
        new: PartitionRecord,
        customers: Sequence[str],
        states: States,
        erased: Sequence[str] = (),
        timers: TimerChanges = NO_TIMERS,
        outbox: bytes | None = None,
        links: Mapping[str, bytes | None] = MappingProxyType({}),
        prices: Mapping[str, bytes | None] = MappingProxyType({}),
    ) -> None:
        """See `CustomerStore.save`."""
        save = Save(partition, expected, new, customers, states, erased, timers, outbox, links, prices)
        (error,) = self.save_many([save])
        if error is not None:
            raise error

    def save_many(self, saves: Sequence[Save]) -> list[StoreError | None]:
        """See `CustomerStore.save_many`, and `features.store.redis_transactions`."""
        faults = self.prepare(saves).commit({save.partition for save in saves})
        return [faults.get(save.partition) for save in saves]

    def prepare(self, saves: Sequence[Save]) -> Transactions:
        """See `CustomerStore.prepare`: the records are asked for and watched, and all commands are packed."""
        return Transactions(
            self._redis,
            {
                save.partition: self._write(save.partition, save.expected, self._written(save, values))
                for save, values in zip(saves, _all_packed([save.states for save in saves]), strict=True)
            },
        )

    def _written(self, save: Save, values: list[bytes]) -> list[tuple[Any, ...]]:
        """Return the commands that write a save, whose states are stored as ``values``."""
        keys = self._keys(save.partition, save.customers, save.new.incarnation)
        commands: list[tuple[Any, ...]] = [("SET", self._record_key(save.partition), save.new.to_bytes())]
        alive = save.states["events"] > 0
        commands += promised(self._prefix, save)
        if save.links:
            commands += self._linked(save)
        if save.erased:
            commands.append(("DEL", *items_keys(self._prefix, save.partition, save.erased)))
        if not alive.all():
            gone = list(compress(keys, ~alive))
            commands.append(("DEL", *gone, *map(items_key_of, gone)))
            commands.append(("ZREM", self._timers(save.partition, save.new), *map(customer_of, gone)))
            keys, values = list(compress(keys, alive)), list(compress(values, alive))
        if keys:
            commands.append(("MSET", *chain.from_iterable(zip(keys, values, strict=True))))
        return commands

    def _linked(self, save: Save) -> list[tuple[Any, ...]]:
        """Return the commands that write a save's links."""
        keys = link_keys(self._prefix, save.partition, list(save.links), save.new.incarnation)
        stored = list(zip(keys, save.links.values(), strict=True))
        kept = [part for key, link in stored if link is not None for part in (key, link)]
        gone = [key for key, link in stored if link is None]
        return [*([("MSET", *kept)] if kept else []), *([("DEL", *gone)] if gone else [])]

    def pending(self, partition: int, expected: PartitionRecord) -> Pending:
        """See `CustomerStore.pending`."""
        return pending_of(self._redis, self._prefix, partition, expected)

    def due_many(self, requests: Sequence[DueRequest]) -> list[Due]:
        """See `CustomerStore.due_many`: one round trip."""
        return due_of(self._redis, self._prefix, requests)

    def timer_of(self, partition: int, record: PartitionRecord, customer: str) -> int:
        """Return when a customer's timer is due, epoch ms; 0 where there is none."""
        with store_errors(self._redis):
            due = self._redis.zscore(self._timers(partition, record), customer)
        return 0 if due is None else int(due)

    def sweep(
        self, partition: int, expected: PartitionRecord, before: int, count: int, share: float = 0.0
    ) -> Swept:
        """See `CustomerStore.sweep`."""
        pattern, place = state_pattern(self._prefix, partition), sweep_key(self._prefix, partition)
        with store_errors(self._redis):
            server = server_of(self._redis, place)
            kept, keys_there = cast(Any, server.get(place)), server.dbsize()
            cursor = int(kept) if kept is not None and kept.isdigit() else 0
            count = min(max(count, ceil(share * keys_there)), _MOST_SWEPT)
            found: tuple[int, list[bytes]] = cast(Any, server.scan(cursor, match=pattern, count=count))
            following, keys = found
        keys, dead = self._links_expired(keys, expected.incarnation, before)
        with store_errors(self._redis):
            own = [key for key in keys if incarnation_of(key) == expected.incarnation]
            values = cast("list[bytes | None]", self._redis.mget(own)) if own else []
        held = [(key, value) for key, value in zip(own, values, strict=True) if value is not None]
        states, faults = read_packed([value for _, value in held])
        for at, fault in faults.items():  # left where it is: the customer's next event parks the partition
            self._tell(held[at][0], fault)
        expired = [
            key
            for at, ((key, _), time) in enumerate(zip(held, states["last_time"], strict=True))
            if time < before and at not in faults
        ]
        left = [key for key in keys if incarnation_of(key) != expected.incarnation]
        gone = [
            *expired,
            *left,
            *map(items_key_of, expired),
            *self._items_left(left, expected.incarnation),
            *dead,
        ]
        if gone:
            commands: list[tuple[Any, ...]] = [("DEL", *gone)]
            if expired:
                commands.append(("ZREM", self._timers(partition, expected), *map(customer_of, expired)))
            if left:  # a set of another incarnation goes with the first of its states, whatever it holds
                others = {timers_key(self._prefix, partition, incarnation_of(key)) for key in left}
                commands.append(("UNLINK", *sorted(others)))
            self._commit_one(partition, expected, commands)
        with store_errors(self._redis):  # not before: what a fault has left is looked at again
            self._redis.set(place, following)
        return Swept(len(expired) + len(left), following == 0)

    def _links_expired(
        self, keys: Sequence[bytes], incarnation: int, before: int
    ) -> tuple[list[bytes], list[bytes]]:
        """Return the keys of states, and those of links that were used last before a moment or count no more."""
        links = [key for key in keys if is_link(key)]
        if not links:
            return list(keys), []
        with store_errors(self._redis):
            values = cast("list[bytes | None]", self._redis.mget(links))
        dead = []
        for key, value in zip(links, values, strict=True):
            try:
                if incarnation_of(key) != incarnation or (value and Link.from_bytes(value).time < before):
                    dead.append(key)
            except UnreadableState as error:
                self._tell(key, str(error))
        return [key for key in keys if not is_link(key)], dead

    def _tell(self, key: bytes, fault: str) -> None:
        """Log once that a state or a link cannot be read."""
        if key not in self._told and len(self._told) < _TOLD:
            self._told.add(key)
            logger.warning("the sweep leaves %s alone: it %s", key.decode(errors="replace"), fault)

    def _items_left(self, left: Sequence[bytes], incarnation: int) -> list[bytes]:
        """Return the items of customers who had a state in an earlier incarnation and have none in this one."""
        pipeline = self._redis.pipeline(transaction=False)
        for key in left:
            pipeline.exists(in_incarnation(key, incarnation))
        with store_errors(self._redis):
            alive = pipeline.execute()
        return [items_key_of(key) for key, lives in zip(left, alive, strict=True) if not lives]

    def peek(self, partition: int, customer: str) -> States | None:
        """See `CustomerStore.peek`."""
        states = self.load(partition, [customer])
        return states if states["events"][0] else None

    def _record_key(self, partition: int) -> str:
        return record_key(self._prefix, partition)

    def _timers(self, partition: int, record: PartitionRecord) -> str:
        return timers_key(self._prefix, partition, record.incarnation)

    def _keys(self, partition: int, customers: Sequence[str], incarnation: int) -> list[bytes]:
        return state_keys(self._prefix, partition, customers, incarnation)

    def _incarnation(self, load: LoadRequest) -> int:
        if load.expected is not None or not load.customers:
            return 0 if load.expected is None else load.expected.incarnation
        found = self.record(load.partition)
        return 0 if found is None else found.incarnation

    def _commit_one(
        self, partition: int, expected: PartitionRecord | None, commands: Sequence[tuple[Any, ...]]
    ) -> None:
        for fault in commit(self._redis, {partition: self._write(partition, expected, commands)}).values():
            raise fault

    def _write(
        self, partition: int, expected: PartitionRecord | None, commands: Sequence[tuple[Any, ...]]
    ) -> Write:
        return Write(
            self._record_key(partition), partial(check_guard, partition, expected=expected), commands
        )


def _all_packed(parts: Sequence[States]) -> Iterator[list[bytes]]:
    """Yield the values of the states of each part; those of a small round are packed in one go."""
    if not parts or sum(map(len, parts)) > _PACKED_TOGETHER:
        yield from map(to_packed, parts)
        return
    values = iter(to_packed(concatenated(parts)))
    for part in parts:
        yield list(islice(values, len(part)))
