"""Random logs with every field."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa

from features.events import CHANNELS, EVENT_TYPES
from features.log import LOG_SCHEMA

START = 1_772_366_400_000  # 2026-03-01 12:00 UTC
TEXTS = ("Schuhe", 'with "quotes"', "back\\slash", "tab\there", "Größe 🛒", "\x7f", "\u2028", "日本")
# Identifiers: control characters are refused.
IDS = ("s-1", 'with "quotes"', "back\\slash", "a b", "Größe 🛒", "~", "\u2028", "日本")
MONEY = (0.0, -0.0, 0.1 + 0.2, 1e9, 5e-324, 1 / 3, 19.99, 123456789.123456)


def random_row(chance: random.Random, number: int, customers: int) -> dict[str, Any]:
    """Return an event with about half of the optional fields."""

    def maybe(value: Any) -> Any:
        return value if chance.random() < 0.5 else None

    def line() -> dict[str, Any]:
        return {
            "item_id": f"i-{chance.randrange(50)}",
            "category": maybe(chance.choice(TEXTS)),
            "price": maybe(chance.choice(MONEY)),
            "quantity": maybe(chance.randrange(5)),
        }

    time = START + number * 700 + chance.randrange(-5000, 5000)
    return {
        "event_id": f"e-{number}",
        "type": chance.choice(EVENT_TYPES),
        "customer_id": f"Kundin {chance.randrange(customers)} ä",
        "event_time": time,
        "item_id": maybe(f"i-{chance.randrange(50)}"),
        "category": maybe(chance.choice(TEXTS)),
        "price": maybe(chance.choice(MONEY)),
        "quantity": maybe(chance.randrange(1_000_000)),
        "items": maybe([line() for _ in range(chance.randrange(4))]),
        "value": maybe(chance.random() * 1e9),
        "currency": maybe(chance.choice(("EUR", "USD"))),
        "order_id": maybe(f"o-{number}"),
        "session_id": maybe(chance.choice(IDS)),
        "channel": maybe(chance.choice(CHANNELS)),
        "device": maybe(chance.choice(TEXTS)),
        "country": maybe(chance.choice(TEXTS)),
        "bot": maybe(chance.random() < 0.1),
        "partition": None,
        "offset": None,
        "arrived_at": max(time, START + number * 700) + 20,
    }


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    """Return rows, times in epoch milliseconds, as a log."""
    arrays = []
    for column in LOG_SCHEMA:
        values = [row.get(column.name) for row in rows]
        is_time = pa.types.is_timestamp(column.type)
        arrays.append(
            pa.array(values, pa.int64()).cast(column.type) if is_time else pa.array(values, column.type)
        )
    return pa.table(arrays, schema=LOG_SCHEMA)


def random_log(rows: int, seed: int, customers: int = 20) -> pa.Table:
    """Return a log of random events in order of arrival, up to ten seconds late."""
    chance = random.Random(seed)
    drawn = [random_row(chance, number, customers) for number in range(rows)]
    return table_of(sorted(drawn, key=lambda row: row["arrived_at"]))


def events_of(table: pa.Table) -> pa.Table:
    """Return a log without where and when its events stood in a topic."""
    return table.drop_columns(["partition", "offset", "arrived_at"]).replace_schema_metadata(None)
