"""Batches that a kernel frames: byte for byte what aiokafka's builder makes of the same records."""

from __future__ import annotations

import numpy as np
import pytest
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.text_column import TextColumn
from stream.kafka.framing import CODECS, FramedBatch, framed
from stream.kafka.keyed import ByteColumn, KeyedRecords

NOW = 1_800_000_000_123
PRODUCER = (12345, 7, 2_000_000_000)
BYTES = st.none() | st.binary(max_size=200) | st.integers(0, 20_000).map(bytes)
RECORDS = st.lists(st.tuples(BYTES, BYTES), max_size=40)

Records = list[tuple[bytes | None, bytes | None]]


def ours(records: Records, limit: int, codec: str | None = None) -> list[FramedBatch]:
    keys, values = (ByteColumn.of([record[at] for record in records]) for at in range(2))
    batches = list(framed(keys, values, NOW, limit, codec and CODECS[codec]))
    for batch in batches:
        batch._set_producer_state(*PRODUCER)
    return batches


def aiokafkas(records: Records, limit: int) -> list[BatchBuilder]:
    batches: list[BatchBuilder] = []
    for key, value in records:
        if not batches or batches[-1].append(timestamp=NOW, key=key, value=value, headers=[]) is None:
            batches.append(BatchBuilder(limit, 0))
            batches[-1].append(timestamp=NOW, key=key, value=value, headers=[])
    for batch in batches:
        batch._set_producer_state(*PRODUCER)
    return batches


def held(batch: FramedBatch) -> Records:
    """Return the records of a batch as aiokafka reads them."""
    fetched = MemoryRecords(bytes(batch._build())).next_batch()
    assert fetched.validate_crc()
    records = list(fetched)
    assert [(record.offset, record.timestamp, record.headers) for record in records] == [
        (offset, NOW, []) for offset in range(batch.record_count())
    ]
    return [(record.key, record.value) for record in records]


@settings(max_examples=200, deadline=None)
@given(records=RECORDS, limit=st.integers(62, 400) | st.integers(400, 30_000))
@example(records=[(b"k", b"v")] * 300, limit=30_000)  # offsets of two bytes
@example(records=[(None, None), (b"", b"")], limit=62)
def test_batches_are_those_of_aiokafka(records: Records, limit: int) -> None:
    mine, theirs = ours(records, limit), aiokafkas(records, limit)
    assert [batch.size() for batch in mine] == [batch.size() for batch in theirs]
    assert [batch.record_count() for batch in mine] == [batch.record_count() for batch in theirs]
    assert [bytes(batch._build()) for batch in mine] == [bytes(batch._build()) for batch in theirs]
    assert [record for batch in mine for record in held(batch)] == records


@settings(max_examples=60, deadline=None)
@given(records=RECORDS, codec=st.sampled_from(sorted(CODECS)))
def test_compressed_batches_hold_what_was_put_in(records: Records, codec: str) -> None:
    batches = ours(records, 10_000, codec)
    assert [record for batch in batches for record in held(batch)] == records
    for batch, plain in zip(batches, ours(records, 10_000), strict=True):
        assert batch._build() == plain._build() or batch.size() < plain.size()


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_what_becomes_smaller_is_compressed_and_what_would_grow_is_not(codec: str) -> None:
    small, large = ours([(b"k", bytes(10_000))], 1 << 20, codec), ours([(b"k", b"v")], 1 << 20, codec)
    attributes = [
        MemoryRecords(bytes(batch._build())).next_batch().compression_type for [batch] in (small, large)
    ]
    assert attributes == [CODECS[codec].number, 0]
    assert small[0].size() < 1_000


def test_a_batch_is_closed_and_built_once() -> None:
    [batch] = ours([(b"k", b"v")], 1000)
    built = batch._build()
    batch.close()
    assert batch.closed()
    assert batch.append(timestamp=NOW, key=b"k", value=b"v", headers=[]) is None
    assert (batch.record_count(), batch.size()) == (1, len(built))
    batch._set_producer_state(1, 1, 1)  # a batch that is sent for the second time keeps its numbers
    assert batch._build() is built


def test_texts_are_keys_in_utf_8_wherever_they_lie() -> None:
    names = ["ada", "", "Bärbel", "cäsar", "dora"]
    column = TextColumn.of(names)
    values = ByteColumn.of([b"%d" % at if at % 2 else None for at in range(5)])
    rows = np.array([4, 2, 2, 0])
    for keys, taken, wanted in (
        (column.take(rows), values.take(rows), rows.tolist()),
        (column[::-2], values[::-2], [4, 2, 0]),
    ):
        [batch] = framed(keys, taken, NOW, 1000)
        assert held(batch) == [(names[at].encode(), values[at]) for at in wanted]


def test_records_of_columns_read_as_a_list_does() -> None:
    listed = [("ada", b"1"), ("Bärbel", None), ("", b""), ("dora", b"4")]
    records = KeyedRecords.of(iter(listed))
    assert (list(records), len(records), records[1], records[-1]) == (listed, 4, listed[1], listed[-1])
    assert [list(records[part]) for part in (slice(1, 3), slice(0, 0), slice(None, None, 2))] == [
        listed[1:3], [], listed[::2],
    ]  # fmt: skip
    assert isinstance(records[1:], KeyedRecords)
