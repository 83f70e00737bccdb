"""Whose clock a record's time is stands in its batch."""

from __future__ import annotations

import struct

import pytest
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

from stream.kafka.clocks import any_created
from stream.kafka.parsing import LenientRecords


def built(first: int, *, appended: bool) -> bytes:
    """Return a batch of three records as the broker keeps it."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    for at in range(3):
        builder.append(at, 1000 + at, b"k", b"v", [])
    batch = bytearray(builder.build())
    batch[22] |= 0x08 * appended
    return struct.pack(">q", first) + batch[8:17] + struct.pack(">I", calc_crc32c(batch[21:])) + batch[21:]


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [([True, True], False), ([False], True), ([True, False], True), ([False, True], True)],
)
def test_a_batch_says_whose_time_its_records_have(kinds: list[bool], expected: bool) -> None:
    raw = b"".join(built(3 * at, appended=appended) for at, appended in enumerate(kinds))
    records = list(PartitionRecords(TopicPartition("t", 0), LenientRecords(raw), [], 0, None, None, True, 1))
    assert len(records) == 3 * len(kinds)
    assert any_created(raw, records) == any_created(None, records) == expected


def test_only_the_records_that_are_meant_count() -> None:
    raw = built(0, appended=False) + built(3, appended=True)
    records = list(PartitionRecords(TopicPartition("t", 0), LenientRecords(raw), [], 3, None, None, True, 1))
    assert [record.offset for record in records] == [3, 4, 5]
    assert not any_created(raw, records)
