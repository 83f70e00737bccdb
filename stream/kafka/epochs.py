"""Which log this is: the topic's id, where a leader epoch ends, and which record stands at an offset.

aiokafka asks for none of these, so the requests are here (versions that brokers from 2.8 to 4.x know), sent over the
consumer's own connections; and it forgets the leader epoch that stands in the header of each fetched batch, so
`epoch_before` reads it there.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Any, Final, NamedTuple

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    IncompatibleBrokerVersion,
    KafkaTimeoutError,
    LeaderNotAvailableError,
    OffsetOutOfRangeError,
    for_code,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.types import (
    AbstractType,
    Array,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    String,
    TaggedFields,
)
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from features.store.log_mark import UNKNOWN_EPOCH
from stream.exceptions import ANSWER_SECONDS
from stream.kafka.contract import Stamp, TooOld

# Base offset, length and leader epoch open a batch; the format's version follows.
_HEAD: Final = struct.Struct(">qii")
_BEFORE_LENGTH: Final = 12
_MAGIC_AT: Final = 16
_WITH_EPOCH: Final = 2

_UUID_BYTES: Final = 16
_NO_ID: Final = bytes(_UUID_BYTES)

# One batch comes whatever its size; more is not wanted.
_ONE_BATCH: Final = 1


def epoch_before(fetched: bytes, offset: int) -> int:
    """Return the leader epoch of the last fetched batch that begins below ``offset``, or `UNKNOWN_EPOCH`.

    Parameters
    ----------
    fetched
        The batches of one partition as the broker sent them.
    """
    at, epoch = 0, UNKNOWN_EPOCH
    while at + _MAGIC_AT < len(fetched):
        base, length, written = _HEAD.unpack_from(fetched, at)
        if base >= offset or fetched[at + _MAGIC_AT] < _WITH_EPOCH:
            break
        epoch = written
        at += _BEFORE_LENGTH + length
    return int(epoch)


class _Uuid(AbstractType[bytes]):  # type: ignore[misc]
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: Any) -> bytes:
        return bytes(data.read(_UUID_BYTES))


class _MetadataResponse(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", CompactArray(
            ("node_id", Int32), ("host", CompactString()), ("port", Int32), ("rack", CompactString()),
            ("tags", TaggedFields))),
        ("cluster_id", CompactString()),
        ("controller_id", Int32),
        ("topics", CompactArray(
            ("error_code", Int16), ("topic", CompactString()), ("topic_id", _Uuid), ("is_internal", Boolean),
            ("partitions", CompactArray(
                ("error_code", Int16), ("partition", Int32), ("leader", Int32), ("leader_epoch", Int32),
                ("replicas", CompactArray(Int32)), ("isr", CompactArray(Int32)), ("offline", CompactArray(Int32)),
                ("tags", TaggedFields))),
            ("authorized_operations", Int32),
            ("tags", TaggedFields))),
        ("authorized_operations", Int32),
        ("tags", TaggedFields),
    )  # fmt: skip


class _MetadataRequestStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("topic", CompactString()), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_MetadataRequestStruct]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def build(self, request_struct_class: type[_MetadataRequestStruct]) -> _MetadataRequestStruct:
        return request_struct_class([(_NO_ID, self._topic, {})], False, False, False, {})


class _EpochEndResponse(Response):  # type: ignore[misc]
    API_KEY = 23
    API_VERSION = 2
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("topics", Array(
            ("topic", String("utf-8")),
            ("partitions", Array(
                ("error_code", Int16), ("partition", Int32), ("leader_epoch", Int32), ("end_offset", Int64))))),
    )  # fmt: skip


class _EpochEndRequestStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 23
    API_VERSION = 2
    RESPONSE_TYPE = _EpochEndResponse
    SCHEMA = Schema(
        ("topics", Array(
            ("topic", String("utf-8")),
            ("partitions", Array(
                ("partition", Int32), ("current_leader_epoch", Int32), ("leader_epoch", Int32))))),
    )  # fmt: skip


class _EpochEndRequest(Request[_EpochEndRequestStruct]):  # type: ignore[misc]
    API_KEY = 23

    def __init__(self, tp: TopicPartition, epoch: int) -> None:
        self._asked = [(tp.topic, [(tp.partition, UNKNOWN_EPOCH, epoch)])]

    def build(self, request_struct_class: type[_EpochEndRequestStruct]) -> _EpochEndRequestStruct:
        return request_struct_class(self._asked)


class Topic(NamedTuple):
    """A topic as a broker knows it at this moment: its id, 16 bytes, and how many partitions it has."""

    topic_id: bytes
    partitions: int


async def described(client: AIOKafkaClient, topic: str) -> Topic:
    """Return what a topic is now, whatever the client believes.

    Raises
    ------
    TooOld
        The broker gives topics no ids: it is older than 2.8.
    """
    node = client.get_random_node()
    if node is None:
        raise LeaderNotAvailableError
    response = await answered(client, node, _MetadataRequest(topic))
    for error, name, found, _, partitions, *_ in response.topics:
        if name == topic:
            check(client, error)
            return Topic(bytes(found), len(partitions))
    raise LeaderNotAvailableError


async def epoch_end(client: AIOKafkaClient, tp: TopicPartition, epoch: int) -> int | None:
    """Return the offset after the last record of a leader epoch, and of all before it; ``None`` if it is unknown.

    Raises
    ------
    TooOld
        The broker is older than 2.1.
    """
    response = await answered(client, await leader_of(client, tp), _EpochEndRequest(tp, epoch))
    ((_, ((error, _, _, end),)),) = response.topics
    check(client, error)
    return None if end < 0 else int(end)


async def stamp_at(client: AIOKafkaClient, tp: TopicPartition, offset: int) -> Stamp | None:
    """Return which record stands at ``offset``, or is the first one after it in the same batch; ``None`` if none."""
    wanted = (tp.partition, offset, _ONE_BATCH)
    request = FetchRequest(0, 0, _ONE_BATCH, 0, [(tp.topic, [wanted])])
    response = await answered(client, await leader_of(client, tp), request)
    ((_, ((_, error, *_, data),)),) = response.topics
    if error == OffsetOutOfRangeError.errno:
        return None
    check(client, error)
    records = MemoryRecords(data or b"")
    while records.has_next():
        batch = records.next_batch()
        if batch is not None and batch.next_offset > offset:
            epoch = epoch_before(data, batch.next_offset)
            return next(
                (Stamp(one.offset, one.timestamp, epoch) for one in batch if one.offset >= offset), None
            )
    return None


async def leader_of(client: AIOKafkaClient, tp: TopicPartition) -> int:
    """Return the broker that leads a partition."""
    leader = client.cluster.leader_for_partition(tp)
    if leader is None or leader < 0:
        await client.force_metadata_update()
        leader = client.cluster.leader_for_partition(tp)
    if leader is None or leader < 0:
        raise LeaderNotAvailableError
    return int(leader)


async def answered(client: AIOKafkaClient, node: int, request: Request[Any]) -> Any:
    """Return the answer to a request.

    Raises
    ------
    KafkaTimeoutError
        The broker has not answered within `ANSWER_SECONDS`.
    TooOld
        It does not know the request.
    """
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await client.send(node, request)
    except TimeoutError:
        raise KafkaTimeoutError(f"broker {node} has not answered for {ANSWER_SECONDS:.0f} s") from None
    except (IncompatibleBrokerVersion, NotImplementedError) as error:
        raise TooOld(str(error)) from None


def check(client: AIOKafkaClient, code: int) -> None:
    """Raise the error that a broker answered, if it did."""
    if code:
        client.force_metadata_update()  # the leader may have moved
        raise for_code(code)
