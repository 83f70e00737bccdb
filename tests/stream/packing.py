"""Records as columns, as the worker gets them: written by a producer, and packed as they are fetched."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition

from features.columns import EventColumns
from stream.kafka.batches import RecordBatch
from stream.kafka.parsing import LenientRecords
from stream.kafka.record_columns import Packed, Record, unpacked
from stream.kafka.record_scan import Packer
from stream.scoring.batch import Batch

_MOST = 64 << 20


def packed(part: RecordBatch) -> RecordBatch | None:
    """Return the batch with its records as columns; ``None`` where they are not as most are."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, _MOST)
    for at, one in enumerate(part.records):
        builder.append(at, one.timestamp, one.key, one.value, list(one.headers))
    raw = bytearray(builder.build())
    struct.pack_into(">q", raw, 0, part.start)
    fetch = LenientRecords(bytes(raw))
    fetch.pack = Packer(bytes(raw))
    found = next(iter(fetch.next_batch()))
    return part._replace(records=found.records) if isinstance(found, Packed) else None


def columns_of(raw: bytes) -> Sequence[Record]:
    """Return the records of a fetch as the worker gets them, its batches packed where they can be."""
    fetch = LenientRecords(raw)
    fetch.pack = Packer(raw)
    found = PartitionRecords(TopicPartition("t", 0), fetch, [], 0, None, None, True, 1)
    found._consumer_record = lambda _, record: record
    return unpacked(list(found), 0)


def parts_of(records: Sequence[Any]) -> list[Any]:
    """Return what records say, however they are held."""
    return [
        (one.offset, one.timestamp, one.timestamp_type, one.key, one.value, tuple(one.headers))
        for one in records
    ]


def assert_same(one: Batch, other: Batch) -> None:
    """Check that two ways to read the same records have made the same of them."""
    for name in ("watermarks", "rejections", "identities", "prices", "customers", "customer_slices"):
        assert getattr(one, name) == getattr(other, name), name
    assert dict(one.dropped) == dict(other.dropped)
    assert dict(one.without_counterpart) == dict(other.without_counterpart)
    for name in ("partition", "offset", "appended", "arrival", "status", "rows", "still", "slots", "bounds"):
        _assert_equal(getattr(one, name), getattr(other, name), name)
    assert_same_columns(one.columns, other.columns)


def assert_same_columns(one: EventColumns, other: EventColumns) -> None:
    """Check that two ways to read the same events have made the same columns of them."""
    assert list(one.customers) == list(other.customers)
    assert list(one.event_ids) == list(other.event_ids)
    for name in (
        "time",
        "type",
        "channel",
        "money",
        "quantity",
        "event_hash",
        "item_hash",
        "cart_hash",
        "foreign",
        "bot",
    ):
        _assert_equal(getattr(one, name), getattr(other, name), name)
    rows = range(len(one))
    assert [one.items.of(row, None) for row in rows] == [other.items.of(row, None) for row in rows]


def _assert_equal(one: Any, other: Any, name: str) -> None:
    assert one.dtype == other.dtype, name
    np.testing.assert_array_equal(one, other, err_msg=name)
