from __future__ import annotations

import random
import struct
import tracemalloc
from typing import Any

import aiokafka.codec as codecs
import pytest
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition
from hypothesis import example, given
from hypothesis import strategies as st

from features.events import Reason
from stream.kafka.decompressing import BATCH_BYTES, TooLarge, decompress
from stream.kafka.parsing import BATCH_RECORDS, LenientRecords
from stream.kafka.record_columns import RecordColumns
from stream.kafka.unreadable import Unreadable, escaped_name, name_bytes, own_headers, unreadable
from tests.stream.packing import columns_of, parts_of

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


@pytest.mark.parametrize("codec", CODECS)
def test_packed_batches_hold_the_same_records(codec: int) -> None:
    raw = built(0, [[("a", b"1"), ("b", None)], []], codec) + built(5, [[]] * 100, codec)
    records = columns_of(raw)
    assert isinstance(records, RecordColumns)
    assert parts_of(records) == parts_of(parsed(raw))
    assert parts_of(records[3:50]) == parts_of(parsed(raw)[3:50])


@given(st.binary(max_size=40), st.integers(HEADER, 120), st.integers(0, 4))
def test_whatever_stands_in_a_batch_packing_changes_no_record(junk: bytes, at: int, codec: int) -> None:
    whole = built(0, [[("a", b"1")], [], [("b", None)]], codec)
    raw = sealed(whole[:at] + junk + whole[at + len(junk) :], 0)
    raw = raw[:8] + struct.pack(">i", len(raw) - 12) + raw[12:]
    assert parts_of(columns_of(raw)) == parts_of(parsed(raw))


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


def test_a_control_batch_without_a_marker_is_records_like_others() -> None:
    batch = bytearray(built(0, [[], []]))
    batch[22] |= 0x20  # the flag of control batches, whose first key is a marker: two numbers
    batch = bytearray(sealed(bytes(batch).replace(b"k0", b"k\xff"), 0))
    assert [(one.key, one.value) for one in parsed(bytes(batch))] == [(b"k\xff", b"v0"), (b"k1", b"v1")]


def test_a_message_of_an_old_kafka_with_a_bad_length_is_corrupt() -> None:
    old = LegacyRecordBatchBuilder(1, 0, 1 << 20)
    old.append(0, 1000, b"key", b"value")
    raw = bytearray(old.build())
    at = raw.index(b"key") - 4
    raw[at : at + 4] = struct.pack(">i", -77)
    with pytest.raises(CorruptRecordException, match="old format"):
        parsed(bytes(raw))


def test_a_batch_that_cannot_be_decompressed_is_one_record() -> None:
    good = built(0, [[], []], codec=1)
    raw = sealed(good[:HEADER] + b"no gzip" + good[HEADER:], 0) + built(2, [[]])
    raw = raw[:8] + struct.pack(">i", struct.unpack(">i", raw[8:12])[0] + 7) + raw[12:]
    broken, following = parsed(raw)
    assert (broken.offset, broken.key, following.offset) == (0, None, 2)
    assert "offsets 0 to 1 cannot be decompressed" in unreadable(broken).detail


def compressed(codec: int, body: bytes) -> bytes:
    """Return bytes as a producer compresses them."""
    encode = {1: codecs.gzip_encode, 2: codecs.snappy_encode, 3: codecs.lz4_encode, 4: codecs.zstd_encode}
    return encode[codec](body)


def holding(first: int, body: bytes, codec: int, count: int = 1) -> bytes:
    """Return a batch that says it has ``count`` records, and holds ``body`` compressed."""
    header = built(first, [[]], codec)[:HEADER]
    data = compressed(codec, body)
    batch = header[:8] + struct.pack(">i", HEADER - 12 + len(data)) + header[12:23]
    return sealed(
        batch + struct.pack(">i", count - 1) + header[27:57] + struct.pack(">i", count) + data, first
    )


@pytest.mark.parametrize("codec", CODECS[1:])
def test_a_batch_that_expands_beyond_the_bound_is_one_record_and_takes_no_more_memory(codec: int) -> None:
    bomb = holding(0, bytes(4 * BATCH_BYTES), codec)
    tracemalloc.start()
    try:
        [record] = parsed(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (record.offset, record.key, record.value) == (0, None, bomb[HEADER:])
    assert f"it holds more than {BATCH_BYTES} bytes" in unreadable(record).detail
    assert peak < 2 * BATCH_BYTES + 8 * len(bomb)


@pytest.mark.parametrize("codec", CODECS[1:])
def test_a_batch_just_within_the_bound_is_decompressed_and_one_byte_more_is_not(codec: int) -> None:
    data = bytes(BATCH_BYTES)
    assert len(decompress(codec, memoryview(compressed(codec, data)), b"head")) == BATCH_BYTES + 4
    with pytest.raises(TooLarge):
        decompress(codec, memoryview(compressed(codec, data + b"x")))


@pytest.mark.parametrize("codec", CODECS[1:])
def test_compressed_bytes_that_end_too_early_are_refused(codec: int) -> None:
    data = compressed(codec, random.Random(1).randbytes(100_000))
    with pytest.raises(Exception, match=r".") as refusal:
        decompress(codec, memoryview(data[:-1000]))
    assert refusal.type is not TooLarge


def test_gzip_of_several_members_and_snappy_without_blocks_are_decompressed() -> None:
    members = compressed(1, b"one") + compressed(1, b" and two") + bytes(8)
    assert decompress(1, memoryview(members)) == b"one and two"
    plain = codecs.snappy_encode(b"one and two", xerial_compatible=False)
    assert decompress(2, memoryview(plain)) == b"one and two"


def test_a_snappy_block_of_no_length_does_not_hang() -> None:
    with pytest.raises(ValueError, match="a block of -4 bytes"):
        decompress(2, memoryview(compressed(2, b"x")[:16] + struct.pack(">i", -4)))


def test_a_batch_that_says_it_has_too_many_records_is_one_record() -> None:
    raw = holding(0, bytes(100), 1, BATCH_RECORDS + 1)
    [record] = parsed(raw)
    assert f"{BATCH_RECORDS + 1} records, more than {BATCH_RECORDS}" in unreadable(record).detail


def test_a_fetch_ends_where_it_has_expanded_to_the_bound_and_the_next_one_goes_on() -> None:
    bomb = holding(1, bytes(2 * BATCH_BYTES), 4)
    raw = built(0, [[]], 4) + bomb + built(2, [[]], 4)
    assert [record.offset for record in parsed(raw)] == [0, 1]
    assert [record.offset for record in parsed(raw[raw.index(bomb) + len(bomb) :])] == [2]


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
