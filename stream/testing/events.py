"""Events as shops have them (files, dictionaries, JSON) as records of the events topic."""

from __future__ import annotations

import csv
import datetime as dt
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import msgspec

from features.events import Event, epoch_ms
from features.exceptions import LogError
from features.identity import IDENTIFY, Identify, is_identity_type
from features.prices import PRICE, Price, is_price_type

if TYPE_CHECKING:
    import pyarrow as pa

    from stream.logs.rows import Encoded

#: One event: an `Event`, an `Identify`, a `Price`, its fields, or its JSON, which is sent as it is, event or not.
AnyEvent: TypeAlias = Event | Identify | Price | Mapping[str, Any] | str | bytes
#: Events: the path of a log (Parquet, CSV or JSON lines), a table in the log's schema, or events one by one.
AnyLog: TypeAlias = "str | Path | pa.Table | Iterable[AnyEvent]"

_LINES: Final = frozenset({".jsonl", ".ndjson", ".json"})
_TABLES: Final = frozenset({".csv", ".tsv"})
_ROWS: Final = 20_000

# What the key of a record is, where it is not the customer.
_KEYS: Final = {IDENTIFY: "anonymous_id", PRICE: "item_id"}

_encode = msgspec.json.Encoder().encode


class SentRecord(NamedTuple):
    """A record of the events topic in our own form; ``arrived_at`` is its arrival, epoch ms."""

    key: bytes | None
    value: bytes | None
    arrived_at: int


def records_of(log: AnyLog) -> list[SentRecord]:
    """Return the records of a log, in its order.

    Each arrives when its event happened, as in a replayed log, unless that lies ahead.

    Raises
    ------
    LogError
        There is no such file, or it cannot be read.
    """
    if isinstance(log, (str, Path)):
        path = Path(log)
        if not path.is_file():
            raise LogError(f"there is no log at {path}")
        if path.suffix.lower() in _LINES:
            return [record_of(line) for line in path.read_bytes().splitlines() if line.strip()]
        if path.suffix.lower() in _TABLES:
            return [record_of(row) for row in _csv_rows(path)]
        return list(_logged(path))
    if hasattr(log, "schema") and hasattr(log, "column_names"):
        return list(_logged(log))
    return [record_of(event) for event in log]


def record_of(event: AnyEvent) -> SentRecord:
    """Return the record of one event; its key is what a correct producer takes."""
    value = (
        event if isinstance(event, bytes) else event.encode() if isinstance(event, str) else _encode(event)
    )
    try:
        fields = json.loads(value)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        return SentRecord(None, value, _now())
    key = fields.get(_KEYS.get(str(fields.get("type")), "customer_id"))
    return SentRecord(None if key is None else str(key).encode(), value, _arrival(fields.get("event_time")))


def rows_of(records: Sequence[SentRecord]) -> Encoded:
    """Return records as the rows of a log, for one partition; event times are the arrivals."""
    import numpy as np

    from stream.logs.rows import Encoded

    return Encoded(
        [record.key for record in records],
        [record.value for record in records],
        [b"%d" % record.arrived_at for record in records],
        np.zeros(len(records), np.int32),
        np.array([record.arrived_at for record in records], np.int64),
        [
            at
            for at, record in enumerate(records)
            if record.value is not None and (is_identity_type(record.value) or is_price_type(record.value))
        ],
    )


def _arrival(event_time: object) -> int:
    """Return when the event happened, or now where that lies ahead, or is not told: then it is no event anyway."""
    now = _now()
    if isinstance(event_time, int) and event_time > 0:
        return min(event_time, now)
    try:
        return min(epoch_ms(dt.datetime.fromisoformat(str(event_time))), now)
    except (TypeError, ValueError):
        return now


def _now() -> int:
    return time.time_ns() // 1_000_000


def _csv_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table whose columns are called like the fields of events; empty cells are left out."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
        missing = {"type", "customer_id", "event_time"} - set(rows.fieldnames or ())
        if missing:
            raise LogError(
                f"{path} has no column {sorted(missing)[0]!r}: call the columns as the fields of events are called, or "
                "make a log with `intent convert csv`"
            )
        for number, row in enumerate(rows, 1):
            fields = {name: _cell(name, text) for name, text in row.items() if name and text}
            yield {"event_id": f"{path.stem}-{number}"} | fields


def _cell(name: str, text: str) -> object:
    """Return a cell as JSON has it; what does not fit stays a text, and is told where events are checked."""
    try:
        if name in ("price", "value"):
            return float(text)
        if name == "quantity" or (name == "event_time" and text.isdigit()):
            return int(text)
        if name == "items":
            return json.loads(text)
    except ValueError:
        return text
    return {"true": True, "false": False}.get(text.lower(), text) if name == "bot" else text


def _logged(log: Path | pa.Table) -> Iterator[SentRecord]:
    """Yield the records of a log in the log's schema, as `intent replay` sends them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from features.log import ERASED, conform
    from features.sorted_log import iterate_in_order
    from stream.logs.rows import OF_SHOPS, encode_rows

    tables = iterate_in_order(log, _ROWS) if isinstance(log, Path) else [conform(log)]
    for table in tables:
        own = pc.or_(pc.is_null(table["identity"]), pc.is_in(table["type"], pa.array(OF_SHOPS)))
        rows = encode_rows(table.filter(pc.and_(own, pc.not_equal(table["type"], ERASED))), 1)
        yield from (
            SentRecord(key, value, int(arrived))
            for key, value, arrived in zip(rows.keys, rows.values, rows.arrivals, strict=True)
        )
