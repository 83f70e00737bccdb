"""What simulated shops emit: few customers and every kind of record that the scorer treats in a way of its own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from random import Random

import msgspec
from aiokafka import ConsumerRecord

from features.partition import partitions_of
from stream.kafka.record_columns import Record

PARTITIONS = 2
LOGS = 64  # distinct ones, of which each schedule takes some
START_MS = 1_709_510_400_000  # 2024-03-04 00:00 UTC
MINUTE_MS = 60_000

CUSTOMERS = ("ada", "grace", "joan", "hedy", "mary", "rosa")
HOMES = dict(
    zip(CUSTOMERS, partitions_of([name.encode() for name in CUSTOMERS], PARTITIONS).tolist(), strict=True)
)
_TYPES = ("view_item", "search", "add_to_cart", "remove_from_cart", "begin_checkout", "purchase", "refund")


@lru_cache(4 * LOGS)
def emitted(seed: int, count: int) -> Sequence[list[Record]]:
    """Return the records of each partition by offset: good, late, repeated and broken events, and erasures.

    Nobody changes them: they are made once.
    """
    chance = Random(seed)
    partitions: list[list[Record]] = [[] for _ in range(PARTITIONS)]
    now = START_MS
    former: list[tuple[str, bytes]] = []
    for number in range(count):
        now += chance.choice((0, 1, 2, 12)) * MINUTE_MS
        customer = chance.choice(CUSTOMERS)
        kind = chance.random()
        value: bytes | None
        if kind < 0.05:  # noqa: PLR2004  (what share of records is unusual)
            value = None
        elif kind < 0.1:  # noqa: PLR2004
            value = b'{"event_id":"' + str(number).encode()
        elif kind < 0.15 and former:  # noqa: PLR2004
            customer, value = chance.choice(former[-4:])
        else:
            value = msgspec.json.encode(_event(chance, number, customer, now))
            former.append((customer, value))
        records = partitions[HOMES[customer]]
        key = customer.encode()
        records.append(
            ConsumerRecord(
                "events",
                HOMES[customer],
                len(records),
                now + seed,  # no two logs have a record of the same time at the same place
                1,
                key,
                value,
                None,
                len(key),
                len(value or b""),
                (),
            )  # fmt: skip
        )
    return partitions


def _event(chance: Random, number: int, customer: str, now: int) -> dict[str, object]:
    late = chance.choice((0, 0, 0, 0, 3, 40))
    return {
        "event_id": f"e-{number}",
        "type": chance.choice(_TYPES),
        "customer_id": customer,
        "event_time": now - late * MINUTE_MS,
        "item_id": f"i-{chance.randint(0, 5)}",
        "price": float(chance.randint(1, 50)),
        "quantity": 1,
    }
