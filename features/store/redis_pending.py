"""Timers, outbox and prices of a partition in Redis: what a save writes of them, and how an owner asks for them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from features.exceptions import UnreadableRecord
from features.price_table import PriceTable
from features.sealing import sealed, unsealed
from features.store.customer_store import Due, DueRequest, Pending, Save
from features.store.keys import outbox_key, prices_key, record_key, timers_key
from features.store.partition_record import PartitionRecord, check_guard
from features.store.redis_client import Client, server_of, store_errors
from features.store.redis_transactions import by_slot


def promised(prefix: str, save: Save) -> Iterator[tuple[Any, ...]]:
    """Yield the commands that write a save's timers, outbox and prices; none where it changes none of them.

    They come before those that delete what customers leave who have no state any more.
    """
    timers = timers_key(prefix, save.partition, save.new.incarnation)
    if save.erased:
        yield ("ZREM", timers, *save.erased)
    moments = dict(zip(*save.timers, strict=True))
    if removed := [customer for customer, moment in moments.items() if not moment]:
        yield ("ZREM", timers, *removed)
    if due := [part for customer, moment in moments.items() if moment for part in (moment, customer)]:
        yield ("ZADD", timers, *due)
    if save.outbox:
        yield ("SET", outbox_key(prefix, save.partition), sealed(save.outbox))
    elif save.outbox is not None:
        yield ("DEL", outbox_key(prefix, save.partition))
    prices = prices_key(prefix, save.partition, save.new.incarnation)
    if kept := [part for item, price in save.prices.items() if price is not None for part in (item, price)]:
        yield ("HSET", prices, *kept)
    if gone := [item for item, price in save.prices.items() if price is None]:
        yield ("HDEL", prices, *gone)


def pending_of(client: Client, prefix: str, partition: int, expected: PartitionRecord) -> Pending:
    """See `features.store.customer_store.CustomerStore.pending`."""
    key = outbox_key(prefix, partition)
    pipeline: Any
    server = server_of(client, record_key(prefix, partition))
    with store_errors(client), server.pipeline(transaction=True) as pipeline:
        pipeline.execute_command("MGET", record_key(prefix, partition), key)
        pipeline.zrange(timers_key(prefix, partition, expected.incarnation), 0, 0, withscores=True)
        pipeline.hgetall(prices_key(prefix, partition, expected.incarnation))
        (stored, outbox), first, prices = pipeline.execute()
    check_guard(partition, stored, expected)
    content = None if outbox is None else unsealed(outbox)
    if outbox is not None and content is None:
        name = shlex.quote(key)
        raise UnreadableRecord(
            f"{name} in Redis is damaged, which holds the last actions of partition {partition}: put its value back "
            f"from a backup, or give them up with `redis-cli DEL {name}`"
        )
    return Pending(content, _moment(first), _read_prices(prices, prefix, partition, expected))


def due_of(client: Client, prefix: str, requests: Sequence[DueRequest]) -> list[Due]:
    """See `features.store.customer_store.CustomerStore.due_many`."""
    answered: list[Any] = []
    for group in by_slot(client, requests):
        server = server_of(client, record_key(prefix, group[0].partition))
        with store_errors(client), server.pipeline(transaction=True) as pipeline:
            for one in group:
                timers = timers_key(prefix, one.partition, one.expected.incarnation)
                pipeline.get(record_key(prefix, one.partition))
                pipeline.zrangebyscore(timers, "-inf", one.moment, one.start, one.limit)
                pipeline.zrangebyscore(timers, f"({one.moment}", "+inf", 0, 1, withscores=True)
            answered += pipeline.execute()
    answers = iter(answered)
    found = []
    for one in requests:
        stored, due, later = next(answers), next(answers), next(answers)
        check_guard(one.partition, stored, one.expected)
        found.append(Due([customer.decode() for customer in due], _moment(later)))
    return found


def _read_prices(
    stored: Mapping[bytes, bytes], prefix: str, partition: int, record: PartitionRecord
) -> PriceTable:
    name = shlex.quote(prices_key(prefix, partition, record.incarnation))
    try:
        return PriceTable.of({item.decode(): price for item, price in stored.items()})
    except (UnicodeDecodeError, UnreadableRecord) as error:
        raise UnreadableRecord(
            f"{name} in Redis is damaged, which holds the prices of partition {partition} ({error}): put it back from "
            f"a backup, give that price up with `redis-cli HDEL`, or all of them with `redis-cli DEL {name}`"
        ) from None


def _moment(first: Sequence[tuple[bytes, float]]) -> int:
    """Return the moment of the first of some timers, 0 if there is none."""
    return int(first[0][1]) if first else 0
