from __future__ import annotations

import numpy as np
import pytest
from aiokafka import ConsumerRecord
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from stream.kafka.batches import Backlog, RecordBatch, bytes_of
from stream.kafka.record_columns import Packed, RecordColumns, unpacked
from tests.stream.fakes import record
from tests.stream.kafka.test_parsing import parsed, sealed
from tests.stream.packing import columns_of, parts_of


def batch(offsets: list[int], start: int | None = None, stop: int | None = None) -> RecordBatch:
    records = [record(0, offset) for offset in offsets]
    return RecordBatch(
        0, records, offsets[0] if start is None else start, offsets[-1] + 1 if stop is None else stop
    )


def taken(backlog: Backlog, expected: int) -> tuple[list[int], int, int] | None:
    found = backlog.take(expected)
    return None if found is None else ([record.offset for record in found.records], found.start, found.stop)


@pytest.mark.parametrize(
    ("waiting", "expected", "result"),
    [
        ([], 0, None),
        ([batch([0, 1])], 0, ([0, 1], 0, 2)),
        ([batch([0, 1]), batch([2, 3])], 0, ([0, 1, 2, 3], 0, 4)),
        ([batch([0, 1]), batch([3])], 0, ([0, 1], 0, 2)),  # not consecutive: what comes next was missed
        ([batch([0, 1, 2])], 1, ([1, 2], 1, 3)),
        ([batch([0, 1, 2])], 3, None),
        ([batch([0, 1]), batch([2])], 2, ([2], 2, 3)),
        ([batch([5])], 3, ([5], 5, 6)),  # above what is expected: the owner sees it by the start
        ([batch([5], start=3)], 3, ([5], 3, 6)),  # a hole before the record
        ([batch([5], stop=9), batch([12], start=9)], 5, ([5, 12], 5, 13)),
        ([batch([5, 9])], 7, ([9], 7, 10)),
        ([RecordBatch(0, (), 3, 7)], 3, ([], 3, 7)),  # nothing but a transaction's marker
        ([RecordBatch(0, (), 3, 7)], 5, ([], 5, 7)),
        ([RecordBatch(0, (), 3, 7), batch([7])], 3, ([7], 3, 8)),
    ],
)
def test_batches_are_trimmed_and_merged(
    waiting: list[RecordBatch], expected: int, result: tuple[list[int], int, int] | None
) -> None:
    backlog = Backlog(batch_max=100)
    for one in waiting:
        backlog.put(one)
    assert taken(backlog, expected) == result


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 100])
def test_more_than_the_maximum_is_taken_in_turns_without_loss(size: int) -> None:
    backlog = Backlog(batch_max=size)
    offsets = [0, 1, 4, 5, 6, 9, 10]
    backlog.put(batch(offsets[:4], stop=6))
    backlog.put(batch(offsets[4:], start=6, stop=15))
    expected, seen = 0, []
    while found := backlog.take(expected):
        assert len(found.records) <= size
        assert found.start == expected
        seen += [record.offset for record in found.records]
        expected = found.stop
    assert (seen, expected, backlog.records) == (offsets, 15, 0)


def sized(offset: int, size: int, headers: int = 0) -> ConsumerRecord[bytes, bytes]:
    own = (("", b""),) * headers
    return ConsumerRecord("events", 0, offset, offset, 0, None, bytes(size), None, 0, size, own)


@pytest.mark.parametrize(
    ("sizes", "taken_at_once"),
    [
        ([10, 10, 10, 10], [[0, 1, 2, 3]]),
        ([60, 60, 60, 60], [[0], [1], [2], [3]]),
        ([50, 50, 50, 50], [[0, 1], [2, 3]]),
        ([500, 10, 10, 500], [[0], [1, 2], [3]]),  # one alone may have more
        ([0, 0, 0, 0], [[0, 1, 2, 3]]),
    ],
)
def test_what_is_taken_at_once_is_bounded_in_bytes(sizes: list[int], taken_at_once: list[list[int]]) -> None:
    backlog = Backlog(batch_max=100, bytes_max=100)
    backlog.put(RecordBatch(0, [sized(at, size) for at, size in enumerate(sizes)], 0, len(sizes)))
    expected, seen = 0, []
    while found := backlog.take(expected):
        seen.append([one.offset for one in found.records])
        expected = found.stop
    assert seen == taken_at_once
    assert (expected, backlog.records, backlog.bytes) == (len(sizes), 0, 0)


def test_a_backlog_is_full_by_records_or_by_bytes_and_headers_count() -> None:
    for records in ([sized(0, 99)], [sized(0, 0, headers=1)], [sized(0, 50), sized(1, 50)]):
        backlog = Backlog(batch_max=100, bytes_max=99)
        assert not backlog.full
        backlog.put(RecordBatch(0, records, 0, 2))
        assert backlog.full
        backlog.clear()
        assert not backlog.full
    many = Backlog(batch_max=3)
    many.put(batch([0, 1]))
    assert not many.full
    many.put(batch([2]))
    assert many.full


def test_a_batch_is_cut_between_two_records() -> None:
    whole = batch([5, 9], start=3, stop=12)
    assert [one.offset for one in whole.until(9).records] == [5]
    assert (whole.until(9).start, whole.until(9).stop) == (3, 9)
    assert whole.until(12) == whole
    assert (whole.since(6).start, [one.offset for one in whole.since(6).records]) == (6, [9])


def test_what_is_put_back_comes_next() -> None:
    backlog = Backlog(batch_max=2)
    backlog.put(batch([4, 5]))
    backlog.put_back(batch([2, 3]))
    assert taken(backlog, 2) == ([2, 3], 2, 4)
    assert taken(backlog, 4) == ([4, 5], 4, 6)
    assert (backlog.records, backlog.bytes) == (0, 0)


def packed_events(count: int, codec: int = 0) -> bytes:
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 24)
    for at in range(count):
        builder.append(at, 1000 + at, b"ada", b"v" * (10 + at % 7), [("h", b"1")] if at % 5 == 0 else [])
    return sealed(bytes(builder.build()), 0)


@pytest.mark.parametrize("most", [1, 60, 200, 1000, 1 << 20])
def test_columns_are_taken_by_the_bytes_as_lists_are(most: int) -> None:
    raw = packed_events(100)
    stretches = []
    for records in (parsed(raw), columns_of(raw)):
        backlog = Backlog(batch_max=1000, bytes_max=most)
        backlog.put(RecordBatch(0, records, 0, 100))
        expected, seen = 0, []
        while found := backlog.take(expected):
            assert bytes_of(found.records) <= most or len(found.records) == 1
            seen += parts_of(found.records)
            expected = found.stop
        stretches.append(seen)
        assert (backlog.records, backlog.bytes) == (0, 0)
    assert stretches[0] == stretches[1] == parts_of(parsed(raw))


@pytest.mark.parametrize("codec", range(1, 5))
def test_a_small_compressed_batch_holds_no_large_buffer(codec: int) -> None:
    records = columns_of(packed_events(3, codec))
    assert isinstance(records, RecordColumns)
    owner = records.data
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    assert owner.nbytes < 1000


def test_columns_leave_a_buffer_that_holds_mostly_other_things() -> None:
    raw = packed_events(100)
    records = columns_of(raw)
    assert isinstance(records, RecordColumns)
    left = unpacked([Packed(99, records)], 97)
    assert isinstance(left, RecordColumns)
    assert parts_of(left) == parts_of(parsed(raw)[97:])
    assert len(left.data) < 100 < len(records.data)
    assert records.compact() is records


def test_a_machine_without_memory_is_no_fault_of_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> memoryview:
        raise MemoryError

    monkeypatch.setattr("stream.kafka.parsing.decompress", none_left)
    with pytest.raises(MemoryError):
        columns_of(packed_events(3, 3))
