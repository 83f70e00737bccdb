from __future__ import annotations

import pytest

from stream.kafka.batches import Backlog, RecordBatch
from tests.stream.fakes import record


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
