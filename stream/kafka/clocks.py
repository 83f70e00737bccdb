"""Whose clock the time of a record is: the broker's, which appended it, or its producer's.

Kafka writes that into each batch, by the setting ``message.timestamp.type`` that the topic had at that moment. So a
topic can hold both, in any order.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from operator import attrgetter
from typing import Final

import numpy as np
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import OffsetOutOfRangeError, for_code
from aiokafka.protocol.admin import DescribeConfigsRequest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from numpy.typing import NDArray

from stream.exceptions import TopicMismatch
from stream.kafka import epochs
from stream.kafka.contract import Appended
from stream.kafka.record_columns import Record, RecordColumns

SETTING: Final = "message.timestamp.type"
APPENDED: Final = "LogAppendTime"

# What a batch says of itself: 1 for the broker's time, 0 for the producer's, nothing in the oldest format.
_APPENDED: Final = 1
# In a batch: its length after 8 bytes, its format after 16, and the lower byte of its attributes after 22.
_LENGTH: Final = struct.Struct(">8xi")
_MAGIC_AT, _ATTRIBUTES_AT, _APPENDED_BIT = 16, 22, 0x08
_WITH_ATTRIBUTES: Final = 2

_TOPIC: Final = 2  # a kind of resource
_SCAN_BYTES: Final = 1 << 20

_timestamp_type = attrgetter("timestamp_type")


def is_appended(record: Record) -> bool:
    """Whether the broker gave the record its time."""
    return bool(record.timestamp_type == _APPENDED)  # type: ignore[attr-defined]


def any_created(fetched: bytes | None, records: Sequence[Record]) -> bool:
    """Whether producers gave any of the records their time.

    Parameters
    ----------
    fetched
        The batches as the broker sent them, in which a look is cheaper.
    records
        Those of them that are meant.
    """
    if fetched is not None and not _may_be_created(fetched):
        return False
    return bool((_kinds(records) != _APPENDED).any())


def _kinds(records: Sequence[Record]) -> NDArray[np.int32]:
    """Return whose clock gave each record its time."""
    if isinstance(records, RecordColumns):
        kinds: NDArray[np.int32] = records.places["timestamp_type"]
        return kinds
    return np.fromiter(map(_timestamp_type, records), np.int32, len(records))


def _may_be_created(fetched: bytes) -> bool:
    at = 0
    while at + _ATTRIBUTES_AT < len(fetched):
        if fetched[at + _MAGIC_AT] < _WITH_ATTRIBUTES or not fetched[at + _ATTRIBUTES_AT] & _APPENDED_BIT:
            return True
        at += _LENGTH.size + _LENGTH.unpack_from(fetched, at)[0]
    return False


async def appended_after(client: AIOKafkaClient, tp: TopicPartition, offset: int) -> Appended:
    """Return the first record from ``offset`` on that has the broker's time."""
    while True:
        request = FetchRequest(0, 0, _SCAN_BYTES, 0, [(tp.topic, [(tp.partition, offset, _SCAN_BYTES)])])
        response = await epochs.answered(client, await epochs.leader_of(client, tp), request)
        ((_, ((_, error, *_, data),)),) = response.topics
        if error == OffsetOutOfRangeError.errno:
            return Appended(None, offset)
        epochs.check(client, error)
        records, before = MemoryRecords(data or b""), offset
        while records.has_next():
            batch = records.next_batch()
            if batch is None or batch.next_offset <= offset:
                continue
            if batch.timestamp_type == _APPENDED and not batch.is_control_batch:
                first = max(batch.base_offset, offset)
                return Appended(int(batch.max_timestamp), first)
            offset = batch.next_offset
        if offset == before:
            return Appended(None, offset)


async def check_appended(client: AIOKafkaClient, topic: str, brokers: str) -> None:
    """Check that the topic has the broker's time at this moment.

    Raises
    ------
    TopicMismatch
        It has the producers'.
    """
    node = client.get_random_node()
    response = await epochs.answered(client, node, DescribeConfigsRequest([(_TOPIC, topic, [SETTING])]))
    for error, _, _, _, entries in response.resources:
        if error:
            raise for_code(error)
        kind = dict(entry[:2] for entry in entries).get(SETTING, APPENDED)
        if kind != APPENDED:
            raise TopicMismatch.of_producers_time(topic, kind, brokers)


def alone(records: Sequence[Record]) -> tuple[int, bool]:
    """Return how many records from the first on have their time from the same clock, and whether from the broker's."""
    appended = _kinds(records) == _APPENDED
    others = np.flatnonzero(appended != appended[0])
    return int(others[0]) if len(others) else len(records), bool(appended[0])
