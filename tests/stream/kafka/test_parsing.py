from __future__ import annotations

import struct
from typing import Any

import pytest
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition
from hypothesis import example, given
from hypothesis import strategies as st

from features.events import Reason
from stream.kafka.parsing import LenientRecords
from stream.kafka.unreadable import Unreadable, escaped_name, name_bytes, own_headers, unreadable

CODECS = [0, 1, 2, 3, 4]  # none, gzip, snappy, lz4, zstd
HEADER = 61  # bytes before the first record of a batch


def built(first: int, headers: list[list[tuple[str, bytes | None]]], codec: int = 0) -> bytes:
    """Return a batch of records as the broker keeps it, the first at offset ``first``."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 24)
    for at, own in enumerate(headers):
        builder.append(at, 1000 + at, b"k%d" % at, b"v%d" % at, own)
    return sealed(bytes(builder.build()), first)


def sealed(batch: bytes, first: int) -> bytes:
    """Return a batch with its offset and with the checksum of what it now holds."""
    return struct.pack(">q", first) + batch[8:17] + struct.pack(">I", calc_crc32c(batch[21:])) + batch[21:]


def parsed(raw: bytes, kind: Any = LenientRecords) -> list[Any]:
    """Return what aiokafka's fetcher makes of the bytes of a fetch."""
    return list(PartitionRecords(TopicPartition("t", 0), kind(raw), [], 0, None, None, True, 1))


@pytest.mark.parametrize("codec", CODECS)
def test_good_batches_are_parsed_as_aiokafka_parses_them(codec: int) -> None:
    raw = built(0, [[("a", b"1"), ("b", None)], []], codec) + built(5, [[]] * 100, codec)
    assert parsed(raw) == parsed(raw, MemoryRecords)


def test_a_header_name_that_is_not_utf_8_marks_its_record_and_no_other() -> None:
    raw = sealed(built(7, [[("ab", b"1")], [("ab", b"2"), ("n\\", None)], []]).replace(b"ab", b"\xffb", 1), 7)
    with pytest.raises(UnicodeDecodeError):
        parsed(raw, MemoryRecords)
    bad, *others = parsed(raw)
    assert [record.offset for record in (bad, *others)] == [7, 8, 9]
    assert (bad.key, bad.value, bad.timestamp) == (b"k0", b"v0", 1000)
    assert unreadable(bad).reason == Reason.BAD_HEADERS
    assert own_headers(bad) == (("\\xffb", b"1"),)
    assert [unreadable(record) for record in others] == [None, None]
    assert others[0].headers == (("ab", b"2"), ("n\\", None))


@pytest.mark.parametrize("at", range(3))
def test_a_record_that_cannot_be_parsed_keeps_its_bytes_and_the_others_are_whole(at: int) -> None:
    good = built(0, [[], [], []])
    size = (len(good) - HEADER) // 3
    start = HEADER + at * size
    # Length, attributes, time, offset, then the key's length: more than there is.
    raw = sealed(good[: start + 4] + bytes([100]) + good[start + 5 :], 0)
    records = parsed(raw)
    assert [record.offset for record in records] == [0, 1, 2]
    faults = [unreadable(record) for record in records]
    assert [fault is not None for fault in faults] == [number == at for number in range(3)]
    assert faults[at].reason == Reason.UNREADABLE
    assert (records[at].key, records[at].value) == (None, raw[start + 1 : start + size])


def test_a_batch_that_cannot_be_decompressed_is_one_record() -> None:
    good = built(0, [[], []], codec=1)
    raw = sealed(good[:HEADER] + b"no gzip" + good[HEADER:], 0) + built(2, [[]])
    raw = raw[:8] + struct.pack(">i", struct.unpack(">i", raw[8:12])[0] + 7) + raw[12:]
    broken, following = parsed(raw)
    assert (broken.offset, broken.key, following.offset) == (0, None, 2)
    assert "offsets 0 to 1 cannot be decompressed" in unreadable(broken).detail


def test_records_before_a_corrupt_batch_are_handed_over_and_then_it_is_an_error() -> None:
    corrupt = bytearray(built(3, [[], []]))
    corrupt[-3] ^= 1
    whole = built(0, [[], [], []])
    assert [record.offset for record in parsed(whole + bytes(corrupt) + built(5, [[]]))] == [0, 1, 2]
    with pytest.raises(CorruptRecordException, match=r"offsets 3 to 4 fails its checksum"):
        parsed(bytes(corrupt) + built(5, [[]]))


@given(st.data())
def test_whatever_a_batch_holds_its_offsets_are_handed_over_once_and_in_order(data: st.DataObject) -> None:
    good = built(0, [[("name", b"value")], [], [("x", None)], []])
    body = bytearray(good[HEADER:])
    for at in data.draw(st.lists(st.integers(0, len(body) - 1), min_size=1, max_size=4)):
        body[at] = data.draw(st.integers(0, 255))
    offsets = [record.offset for record in parsed(sealed(good[:HEADER] + bytes(body), 0))]
    assert offsets == sorted(set(offsets))
    assert offsets
    assert set(offsets) <= {0, 1, 2, 3}


@given(st.binary(max_size=20))
@example(b"\\xff")
@example(b"\\\\\xff")
def test_the_bytes_of_a_name_can_be_recovered(raw: bytes) -> None:
    assert name_bytes(escaped_name(raw)) == raw


def test_a_mark_that_somebody_else_made_is_a_refusal_too() -> None:
    record = parsed(built(0, [[("intent.unreadable", b"whatever")]]))[0]
    assert unreadable(record) == Unreadable(Reason.UNREADABLE, "")
