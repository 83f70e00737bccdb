"""The second pass: a piece of the log is checked, judged, and dealt out into buckets by customer."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash
from numpy.typing import NDArray

from features.columns import PASS, from_table
from features.encoded_texts import by_text
from features.events import epoch_ms
from features.exceptions import LogError
from features.hashes import hashes_of
from features.identity import IDENTITY_TYPES, HandOver, Identify, decode_identity
from features.log import ERASED, conform, few_texts, own_columns, validate, without_identities
from features.logins import newest_before
from features.prices import PRICE_TYPES
from features.usual_days import UsualDays
from features.watermark import ACCEPTED, BEGINNING
from features.whole_files import writing
from offline.examples.buckets.scan import Piece, Watermarks, partitions_of_rows

#: What of an event the fold needs, as `features.columns.EventColumns` names it, and where the event came from. It is
#: not compressed: it is read once, and compressing takes more time than writing and reading. ``several`` says whether
#: the event has several items, so that its ``cart_hash`` is 0.
SPILL_SCHEMA: Final = pa.schema(
    [
        ("row", pa.int64()),
        ("partition", pa.int32()),
        ("verdict", pa.uint8()),
        ("customer_id", pa.string()),
        ("time", pa.int64()),
        ("type", pa.uint8()),
        ("channel", pa.uint8()),
        ("money", pa.float64()),
        ("quantity", pa.float64()),
        ("event_hash", pa.uint64()),
        ("item_hash", pa.uint64()),
        ("several", pa.bool_()),
        ("bot", pa.bool_()),
    ]
)
#: What is known beside of rows where people log in: what they say, of which other id, and what is known of time then.
_LOGIN_SCHEMA: Final = (
    pa.field("says", pa.uint8()),
    pa.field("other", pa.string()),
    pa.field("newest", pa.int64()),
)
#: What a spilled row says: an event, one that was handed on, a login, or what was handed over.
EVENT, HANDED_ON, LOGIN, HANDED_OVER = range(4)
_FOLDED: Final = (
    "time",
    "type",
    "channel",
    "money",
    "quantity",
    "event_hash",
    "item_hash",
    "bot",
)


class SpillTask(NamedTuple):
    """What all pieces of a log have in common.

    ``events`` says whether event ids are kept too (the exact probability of simulated logs needs them), ``families``
    for each id of a person with several ids which one's bucket is theirs, ``at_once`` how many rows are read together.
    """

    log: str
    folder: str
    buckets: int
    one_partition: bool
    lateness_ms: int
    currency: str
    events: bool
    usual: UsualDays
    families: Mapping[str, str]
    at_once: int


class Spilled(NamedTuple):
    """What a piece holds: rows, erased ones, event types, and its first and last event time (epoch ms)."""

    file: str
    rows: int
    erased: int
    types: frozenset[str]
    first: int
    last: int


def spill_schema(events: bool, logins: bool = False) -> pa.Schema:
    """Return the columns of spilled rows, with event ids or not, and of a log in which people log in or not."""
    more = [*([pa.field("event_id", pa.string())] if events else []), *(_LOGIN_SCHEMA if logins else [])]
    return pa.schema([*SPILL_SCHEMA, *more])


def bucket_of(customer: str, buckets: int) -> int:
    """Return a customer's bucket: the same on every machine and in every run.

    Examples
    --------
    >>> bucket_of("c1", 16) == bucket_of("c1", 16) < 16
    True
    """
    return xxhash.xxh3_64_intdigest(customer.encode()) % buckets


def spill_piece(task: SpillTask, number: int, piece: Piece) -> Spilled:
    """Write a piece's rows to a file of its own, as record batches: for every part read, one for each bucket.

    The file appears when it is complete, so that the task can be done again after a worker was lost.
    """
    watermarks = Watermarks(piece.watermarks, task.lateness_ms, task.usual)
    done, erased, others, types = piece.start, 0, 0, set()
    first, last = np.iinfo(np.int64).max, np.iinfo(np.int64).min
    final = Path(task.folder) / f"piece-{number:05d}.arrow"
    partial = final.with_name(f"{final.name}.{uuid.uuid4().hex}")
    with (
        writing(final),
        pq.ParquetFile(task.log, read_dictionary=few_texts(task.log)) as file,
        pa.OSFile(str(partial), "wb") as sink,
        pa.ipc.new_file(sink, spill_schema(task.events, bool(task.families))) as writer,
    ):
        groups, columns = list(piece.groups), own_columns(file)
        for batch in file.iter_batches(task.at_once, row_groups=groups, columns=columns, use_threads=False):
            table = _checked(batch, task.log, done)
            found = _judged(table, task, watermarks, done)
            for part in _dealt(found, task.buckets, task.families):
                writer.write_batch(part)
            own = without_identities(table.select(["type", "event_time", "identity"]))
            times = own["event_time"].cast(pa.int64()).to_numpy()
            first, last = int(times.min(initial=first)), int(times.max(initial=last))
            types.update(pc.unique(own["type"]).to_pylist())
            erased += int(np.count_nonzero(_among(table, [ERASED])))
            others += len(table) - len(own)
            done += len(table)
    partial.replace(final)
    return Spilled(str(final), done - piece.start - others, erased, frozenset(types), first, last)


def _checked(batch: pa.RecordBatch, path: str, start: int) -> pa.Table:
    table = conform(pa.Table.from_batches([batch]), encoded=True)
    try:
        validate(table)
    except LogError as error:
        raise LogError(f"{path}, counted from row {start}: {error}") from None
    return table


def _judged(table: pa.Table, task: SpillTask, watermarks: Watermarks, start: int) -> pa.Table:
    """Return the rows that are not erased, as they are spilled: events, and in their order what says who is who."""
    partitions = partitions_of_rows(table, task.one_partition)
    times, arrivals = (table[name].cast(pa.int64()).to_numpy() for name in ("event_time", "arrived_at"))
    own = pc.is_null(table["identity"]).to_numpy()
    before = dict(watermarks.at)
    verdicts = np.full(len(table), ACCEPTED, np.uint8)
    verdicts[own] = watermarks.judge(times[own], arrivals[own], partitions[own])
    others = _among(table, [ERASED, *IDENTITY_TYPES, *PRICE_TYPES])
    kept = np.flatnonzero(~others if task.families else ~others & own)
    alive = table if len(kept) == len(table) else table.take(kept)
    columns = from_table(alive, task.currency, with_ids=False)
    arrays = {
        "row": start + kept,
        "partition": partitions[kept],
        "verdict": verdicts[kept],
        "customer_id": alive["customer_id"],
        **{name: getattr(columns, name) for name in _FOLDED},
        "several": columns.cart_hash != columns.item_hash,
        **({"event_id": alive["event_id"]} if task.events else {}),
    }
    if not task.families:
        return pa.table(arrays, schema=spill_schema(task.events))
    schema = spill_schema(task.events, logins=True)
    said = np.flatnonzero(~own & ~_among(table, PRICE_TYPES))
    accepted = np.flatnonzero(own & (verdicts == ACCEPTED))
    newest = np.full(len(table), BEGINNING)
    newest[said] = newest_before(
        said, partitions[said], accepted, times[accepted], partitions[accepted],
        {number: watermark + task.lateness_ms for number, watermark in before.items()},
    )  # fmt: skip
    arrays |= {
        "says": np.where(own[kept], EVENT, HANDED_ON),
        "other": pa.nulls(len(kept), pa.string()),
        "newest": newest[kept],
    }
    events = pa.table(arrays, schema=schema)
    rows = [_of_identity(table, int(at), start, int(partitions[at]), int(newest[at])) for at in said.tolist()]
    identities = pa.Table.from_pylist([row for row in rows if row is not None], schema)
    both = pa.concat_tables([identities, events])
    return both.take(np.argsort(both["row"].to_numpy(), kind="stable"))


def _among(table: pa.Table, types: Sequence[str]) -> NDArray[np.bool_]:
    found = by_text(table["type"], lambda texts: pc.is_in(texts, pa.array(types)))
    among: NDArray[np.bool_] = found.to_numpy()
    return among


def _of_identity(
    table: pa.Table, at: int, start: int, partition: int, newest: int
) -> dict[str, object] | None:
    """Return the spilled row of a login, or of a state that was handed over; ``None`` where a row is neither."""
    said = decode_identity(table["identity"][at].as_py().encode())
    if table["type"][at].as_py() not in IDENTITY_TYPES or (isinstance(said, HandOver) and said.erase):
        return None
    login = isinstance(said, Identify)
    of = {
        "says": LOGIN if login else HANDED_OVER,
        "customer_id": said.anonymous_id if login else said.customer_id,
        "other": said.customer_id if login else said.anonymous_id,
        "time": epoch_ms(said.event_time),
    }
    zeros = dict.fromkeys(("verdict", "channel", "event_hash", "item_hash"), 0)
    return {
        **zeros, "row": start + at, "partition": partition, "newest": newest, "type": PASS, "money": 0.0,
        "quantity": 0.0, "several": False, "bot": False, **of,
    }  # fmt: skip


def _dealt(table: pa.Table, buckets: int, families: Mapping[str, str]) -> list[pa.RecordBatch]:
    """Return one record batch for each bucket, rows in order of arrival; all of a family are in one."""
    encoded = table["customer_id"].combine_chunks().dictionary_encode()
    names = encoded.dictionary
    if families:
        names = pa.array([families.get(name, name) for name in names.to_pylist()], pa.string())
    # Numbers of two bytes or one are sorted by radix.
    own = (hashes_of(names) % buckets).astype(np.min_scalar_type(buckets))
    bucket = own[encoded.indices.to_numpy()]
    order = np.argsort(bucket, kind="stable")
    ends = np.cumsum(np.bincount(bucket, minlength=buckets))
    sorted_rows = table.take(order).combine_chunks()
    whole = sorted_rows.to_batches()[0] if len(table) else pa.RecordBatch.from_pylist([], schema=table.schema)
    return [whole.slice(start, end - start) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
