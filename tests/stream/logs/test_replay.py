from __future__ import annotations

import asyncio

import numpy as np
import pyarrow as pa
import pytest
from kafka.partitioner.default import murmur2

from features.events import Event, decode, encode
from features.exceptions import IntentError, LogError
from stream.logs.pacing import Pace, parse_speed
from stream.logs.rows import Encoded, check_partitions, encode_rows
from tests.stream.logs.logs import START, events_of, random_log, table_of


class AdvancedClock:
    """A clock that stands still unless somebody sleeps."""

    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class Recorded:
    """Takes note of which rows were sent, and when."""

    def __init__(self, clock: AdvancedClock) -> None:
        self._clock = clock
        self.sent: list[tuple[float, int]] = []

    async def send(self, encoded: Encoded, start: int, stop: int) -> None:
        self.sent += [(self._clock.time - 100.0, row) for row in range(start, stop)]


def rebuilt(encoded: Encoded) -> pa.Table:
    rows = []
    for value in encoded.values:
        event = decode(value)
        row = {name: getattr(event, name) for name in Event.__struct_fields__}
        row["items"] = event.items and [
            {name: getattr(item, name) for name in item.__struct_fields__} for item in event.items
        ]
        rows.append(row)
    return table_of([row | {"arrived_at": int(at)} for row, at in zip(rows, encoded.arrivals, strict=True)])


def test_every_field_of_a_row_survives_as_json_to_the_last_bit(seed: int) -> None:
    log = random_log(500, seed)
    back = rebuilt(encode_rows(log, 12))
    # An empty list of lines and none at all are the same; everything else is equal, floats bit by bit.
    assert events_of(back).drop_columns("items").equals(events_of(log).drop_columns("items"))
    assert [row or None for row in back["items"].to_pylist()] == [
        row or None for row in log["items"].to_pylist()
    ]
    for name in ("price", "value"):
        bits = [np.asarray(table[name].drop_null()).view(np.uint64).tolist() for table in (back, log)]
        assert bits[0] == bits[1]
    assert back["arrived_at"].equals(log["arrived_at"])


def test_a_row_has_the_bytes_that_the_emitter_gives_its_event(seed: int) -> None:
    encoded = encode_rows(random_log(200, seed), 12)
    assert [encode(decode(value)) for value in encoded.values] == encoded.values


def test_a_row_goes_to_the_partition_that_kafkas_default_partitioner_names(seed: int) -> None:
    log = random_log(200, seed, customers=150)
    encoded = encode_rows(log, 7)
    customers = [customer.encode() for customer in log["customer_id"].to_pylist()]
    assert encoded.keys == customers
    assert encoded.partition.tolist() == [(murmur2(key) & 0x7FFFFFFF) % 7 for key in customers]


def test_an_empty_piece_of_a_log_is_no_record() -> None:
    assert encode_rows(random_log(3, 1).slice(0, 0), 12).values == []


def test_a_log_that_names_another_partition_for_a_customer_is_refused() -> None:
    log = random_log(50, 1)
    belongs = encode_rows(log, 4).partition
    at = log.column_names.index("partition")
    check_partitions(log.set_column(at, "partition", pa.array(belongs)), belongs, 0)
    wrong = belongs.copy()
    wrong[7] = (wrong[7] + 1) % 4
    with pytest.raises(LogError, match=f"row 1007 .* belongs to {belongs[7]} by murmur2"):
        check_partitions(log.set_column(at, "partition", pa.array(wrong)), belongs, 1000)


@pytest.mark.parametrize("text", ["", "fast", "0x", "-1x", "x", "60"])
def test_a_speed_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(IntentError, match="use max, real, or a multiple such as 60x"):
        parse_speed(text)


def paced(times: list[int], factor: float, pieces: int = 1) -> list[tuple[float, int]]:
    clock = AdvancedClock()
    recorded, pace = Recorded(clock), Pace(factor, clock)

    async def run() -> None:
        for piece in np.array_split(np.array(times) + START, pieces):
            await pace.send(recorded, Encoded([], [], [], np.zeros(0, np.int32), piece))

    asyncio.run(run())
    return recorded.sent


def test_events_come_at_the_pace_of_their_event_times() -> None:
    sent = paced([0, 60_000, 60_000, 180_000], factor=60)
    assert [row for _, row in sent] == [0, 1, 2, 3]
    assert [at for at, _ in sent] == pytest.approx([0, 1, 1, 3], abs=0.05)


def test_a_late_event_comes_with_those_it_came_after() -> None:
    sent = paced([0, 10_000, 4_000, 12_000], factor=1)
    assert [row for _, row in sent] == [0, 1, 2, 3]
    assert [at for at, _ in sent] == pytest.approx([0, 10, 10, 12], abs=0.05)


def test_a_paced_replay_tells_how_far_it_is_between_pieces() -> None:
    clock, told = AdvancedClock(), list[tuple[int, int]]()
    due = np.array([0, 60_000, 30_000, 120_000]) + START
    encoded = Encoded([], [], [], np.zeros(0, np.int32), due)
    asyncio.run(
        Pace(60, clock).send(Recorded(clock), encoded, lambda sent, time_ms: told.append((sent, time_ms)))
    )
    assert told == [(1, START), (3, START + 60_000), (4, START + 120_000)]


def test_the_pace_goes_on_from_one_piece_of_the_log_to_the_next() -> None:
    sent = paced([0, 10_000, 5_000, 20_000], factor=2, pieces=2)
    assert [at for at, _ in sent] == pytest.approx([0, 5, 5, 10], abs=0.05)
