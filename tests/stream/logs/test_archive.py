from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pytest
from aiokafka import ConsumerRecord

from features.log import ERASED, LOG_SCHEMA
from features.partition import partitions_of
from stream.logs.archive import FirstPass, merge, runs_of, take_events
from stream.logs.rows import encode_rows
from tests.stream.logs.logs import START, events_of, random_log, random_row, table_of

PARTITIONS = 3


def records_of(table: pa.Table, first_offset: int = 0) -> dict[int, list[ConsumerRecord]]:
    """Return a log's rows as the topic holds them, with a hole at every third offset."""
    encoded = encode_rows(table, PARTITIONS)
    topic: dict[int, list[ConsumerRecord]] = {number: [] for number in range(PARTITIONS)}
    for key, value, at, number in zip(
        encoded.keys, encoded.values, encoded.arrivals, encoded.partition.tolist(), strict=True
    ):
        topic[number].append(_record(number, first_offset + len(topic[number]) * 3 // 2, key, value, at))
    return topic


def _record(
    partition: int, offset: int, key: bytes | None, value: bytes | None, arrived_at: bytes = b"1"
) -> ConsumerRecord:
    headers = (("arrived_at", arrived_at),)
    appended = START + 10**9  # a replay's arrivals lie before
    return ConsumerRecord("events", partition, offset, appended, 1, key, value, None, 0, 0, headers)


def taken_of(
    topic: dict[int, list[ConsumerRecord]], folder: Path, batch: int = 7, since_ms: int | None = None
) -> FirstPass:
    taken = FirstPass(partitions=PARTITIONS)
    for number, records in topic.items():
        pieces = [records[start : start + batch] for start in range(0, len(records), batch)]
        tables = [take_events(taken, number, piece, since_ms) for piece in pieces]
        tables = [table for table in tables if len(table)]
        if not tables:
            continue
        taken.files[number] = folder / f"{number}.arrow"
        with pa.ipc.new_file(str(taken.files[number]), LOG_SCHEMA) as writer:
            for table in tables:
                writer.write_table(table)
    return taken


def archived(
    topic: dict[int, list[ConsumerRecord]], folder: Path, **options: int
) -> tuple[pa.Table, FirstPass]:
    taken = taken_of(topic, folder, **options)
    return pa.concat_tables([LOG_SCHEMA.empty_table(), *merge(runs_of(taken))]), taken


def test_a_topic_becomes_the_log_that_was_replayed_into_it(tmp_path: Path, seed: int) -> None:
    log = random_log(400, seed).sort_by("arrived_at")
    back, taken = archived(records_of(log), tmp_path)
    assert back["arrived_at"].equals(log["arrived_at"])
    by_id = [events_of(table).sort_by("event_id") for table in (log, back)]
    assert by_id[0].drop_columns("items").equals(by_id[1].drop_columns("items"))
    assert not taken.refused


def test_the_order_of_offsets_is_kept_where_arrivals_go_back_in_time(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    rows = [random_row(chance, number, 20) for number in range(300)]
    for row in rows:
        row["arrived_at"] += chance.randrange(-60_000, 60_000)
    back, _ = archived(records_of(table_of(rows)), tmp_path)
    assert len(back) == len(rows)
    for number in range(PARTITIONS):
        offsets = back.filter(pa.compute.equal(back["partition"], number))["offset"].to_pylist()
        assert offsets == sorted(offsets)
    assert back["partition"].to_pylist() != sorted(back["partition"].to_pylist())


def test_what_a_customer_did_before_being_erased_becomes_times_and_coordinates(tmp_path: Path) -> None:
    log = random_log(200, 3, customers=5)
    topic = records_of(log)
    gone = topic[1][0].key
    middle = len(topic[1]) // 2
    offset = topic[1][middle].offset + 1 if topic[1][middle].key == gone else topic[1][middle].offset
    topic[1].insert(middle + 1, _record(1, offset, gone, None))
    earlier = [r.offset for r in topic[1][: middle + 1] if r.key == gone and r.offset < offset]
    back, taken = archived(topic, tmp_path)
    erased = back.filter(pa.compute.equal(back["type"], ERASED))
    assert taken.erasures == 1
    assert erased["offset"].to_pylist() == earlier
    assert erased["event_time"].null_count == erased["arrived_at"].null_count == 0
    empty = set(back.column_names) - {"type", "event_time", "partition", "offset", "arrived_at"}
    assert all(erased[name].null_count == len(erased) for name in empty)
    later = [r.offset for r in topic[1] if r.key == gone and r.value is not None and r.offset >= offset]
    kept = back.filter(pa.compute.equal(back["customer_id"], gone.decode()))
    assert kept["offset"].to_pylist() == later
    assert len(back) == len(log)


def test_records_that_are_no_events_are_counted_by_the_workers_reasons(tmp_path: Path) -> None:
    key = b"ada"
    own = int(partitions_of([key], PARTITIONS)[0])
    value = b'{"event_id":"e","type":"search","customer_id":"ada","event_time":1772366400000}'
    wrong = (own + 1) % PARTITIONS
    topic = {
        own: [
            _record(own, 0, key, b"{"),
            _record(own, 1, None, value),
            _record(own, 2, b"eve", value),
            _record(own, 3, None, None),
            _record(own, 4, key, value),
        ],
        wrong: [_record(wrong, 0, key, value), _record(wrong, 1, key, None)],
    }
    back, taken = archived(topic, tmp_path)
    assert taken.refused == {"not_json": 1, "missing_key": 2, "key_mismatch": 1, "wrong_partition": 2}
    assert back["offset"].to_pylist() == [4]
    assert taken.erasures == 0


def test_only_what_arrived_since_a_moment_is_taken(tmp_path: Path) -> None:
    log = random_log(300, 5).sort_by("arrived_at")
    since = START + 100_000
    back, _ = archived(records_of(log), tmp_path, since_ms=since)
    wanted = log.filter(pa.compute.greater_equal(log["arrived_at"].cast(pa.int64()), since))
    assert 0 < len(wanted) < len(log)
    assert sorted(back["event_id"].to_pylist()) == sorted(wanted["event_id"].to_pylist())


@pytest.mark.parametrize(
    "time", ['"2026-03-01T13:00:00+01:00"', "1772366400000", '"2026-03-01T12:00:00.000999Z"']
)
def test_event_times_are_milliseconds_however_they_were_written(tmp_path: Path, time: str) -> None:
    value = f'{{"event_id":"e","type":"search","customer_id":"ada","event_time":{time}}}'.encode()
    own = int(partitions_of([b"ada"], PARTITIONS)[0])
    back, _ = archived({own: [_record(own, 0, b"ada", value)]}, tmp_path)
    assert back["event_time"].cast(pa.int64()).to_pylist() == [START]
