"""What simulated shops emit where prices change, and what partitions know of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from random import Random
from typing import Final

import msgspec

from features.partition import partitions_of
from features.price_table import PriceTable
from features.prices import PriceCopy, encode_price
from stream.kafka.record_columns import Record
from tests.simulation.logins import append
from tests.simulation.shop import CUSTOMERS, HOMES, LOGS, MINUTE_MS, PARTITIONS, START_MS

_ITEMS: Final = ("i-0", "i-1", "i-2")
_ITEM_HOMES: Final = dict(
    zip(_ITEMS, partitions_of([item.encode() for item in _ITEMS], PARTITIONS).tolist(), strict=True)
)
_TYPES: Final = ("view_item", "add_to_cart", "add_to_cart", "add_to_cart", "remove_from_cart", "purchase",
                "add_to_wishlist", "add_to_wishlist", "remove_from_wishlist")  # fmt: skip
_PRICE: Final = 0.35
_ERASURE: Final = 0.4


@lru_cache(4 * LOGS)
def emitted_with_prices(seed: int, count: int) -> Sequence[list[Record]]:
    """Return the records of each partition by offset: events of customers, what items cost, and erasures."""
    chance = Random(seed)
    partitions: list[list[Record]] = [[] for _ in range(PARTITIONS)]
    now = START_MS
    for number in range(count):
        now += chance.choice((0, 1, 2, 12)) * MINUTE_MS
        customer, item = chance.choice(CUSTOMERS[:3]), chance.choice(_ITEMS)
        kind = chance.random()
        fields: dict[str, object] = {"event_id": f"e-{number}", "event_time": now, "item_id": item}
        key, home = customer, HOMES[customer]
        if kind < _PRICE:
            key, home = item, _ITEM_HOMES[item]
            fields |= {"type": "price", "price": float(chance.choice((1, 10, 20, 30)))}
            fields["event_time"] = now - chance.choice((0, 0, 3)) * MINUTE_MS
        else:
            fields |= {"type": chance.choice(_TYPES), "customer_id": customer, "price": 30.0}
        value = None if _PRICE <= kind < _ERASURE else msgspec.json.encode(fields)
        append(partitions[home], home, key, value, now + seed)
    return partitions


def latest(table: PriceTable) -> dict[str, tuple[object, ...]]:
    """Return the last version of each item: what is stored beside it depends on how the log was cut."""
    return {table.names[version[0]]: version[1:] for version in table.versions.tolist()}


def wanted_copies(logs: Sequence[Sequence[Record]]) -> list[set[bytes]]:
    """Return the copies that the log of each partition should hold: of each price of another one."""
    wanted: list[set[bytes]] = [set() for _ in logs]
    for home, log in enumerate(logs):
        for record in log:
            if b'"type":"price"' not in (record.value or b""):
                continue
            fields = msgspec.json.decode(record.value or b"")
            copy = PriceCopy(
                event_id=fields["event_id"],
                item_id=fields["item_id"],
                price=fields["price"],
                event_time=fields["event_time"],
                source=(home, record.offset),
                type="price_copy",
            )
            for partition, told in enumerate(wanted):
                if partition != home:
                    told.add(encode_price(copy))
    return wanted


def copies(logs: Sequence[Sequence[Record]]) -> list[set[bytes]]:
    """Return the copies of prices in the log of each partition."""
    return [
        {value for record in log if b'"type":"price_copy"' in (value := record.value or b"")} for log in logs
    ]
