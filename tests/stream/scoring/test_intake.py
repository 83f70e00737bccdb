"""From records to events: what is let in, what is not, and in which order."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.columns import ERASE
from features.events import MAX_TIME_MS, MIN_TIME_MS, Reason
from features.watermark import BEGINNING, MAX_AHEAD_MS
from stream.formats.contract import NATIVE
from stream.formats.registry import format_of
from stream.kafka.records import arrival
from stream.kafka.unreadable import Unreadable
from stream.scoring.batch import Batch, RecordStatus
from stream.scoring.engine import Engine
from stream.scoring.intake import read_batches
from stream.texts import moment
from tests.bundles import random_bundle
from tests.malformed import LENIENT, MALFORMED, Malformed, good
from tests.stream.records import NOW, PARTITIONS, batch, home, record

MINUTE = 60_000
LATENESS = 15 * MINUTE


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder: Path = tmp_path_factory.mktemp("bundle")
    return Engine(random_bundle(folder), lateness_ms=LATENESS, ttl_ms=400 * 86_400_000, holdout=0.0)


def read(engine: Engine, *records: Any, watermark: int = BEGINNING) -> Batch:
    return read_batches([batch(*records)], [watermark], engine, partitions=PARTITIONS)


def reasons(intake: Batch) -> list[tuple[int, str]]:
    return [(rejection.index, rejection.reason.value) for rejection in intake.rejections]


@pytest.mark.parametrize("case", MALFORMED, ids=lambda case: case.name)
def test_a_malformed_record_is_rejected_for_its_reason_between_good_ones(
    engine: Engine, case: Malformed
) -> None:
    headers = [("arrived_at", b"%d" % case.arrived_at)]
    intake = read(
        engine,
        record(7, good(1)),
        record(8, case.value, case.key, headers=headers),
        record(9, good(2)),
    )
    assert reasons(intake) == [(1, case.reason)]
    assert intake.rejections[0].detail.strip()
    assert intake.columns.event_ids == ["good-1", "good-2"]
    assert intake.watermarks == [NOW - LATENESS]


@pytest.mark.parametrize(
    ("value", "key", "headers"),
    [
        (good(2), b"anna", [("arrived_at", b"9")]),
        (None, b"anna", []),
        (b"{", None, [("control", b"close")]),
        (None, None, []),
    ],
)
def test_a_record_marked_as_poison_is_rejected_unread(
    engine: Engine, value: bytes | None, key: bytes | None, headers: list[tuple[str, bytes]]
) -> None:
    other = (home(b"anna") + 1) % PARTITIONS
    marked = batch(record(8, value, key, headers=headers))._replace(poison="failed 5 times alone")
    parts = [batch(record(3, b"{", partition=other)), marked]
    intake = read_batches(parts, [BEGINNING, NOW], engine, partitions=PARTITIONS)
    assert reasons(intake) == [(0, Reason.NOT_JSON), (1, Reason.POISON)]
    assert intake.rejections[1].detail == "failed 5 times alone"
    assert (len(intake.columns), intake.watermarks) == (0, [BEGINNING, NOW])
    assert intake.records[1].value is value, "the letter has the original"


def test_all_malformed_records_at_once_are_rejected_in_their_order(engine: Engine) -> None:
    records = [record(0, good(0))]
    for number, case in enumerate(MALFORMED):
        headers = [("arrived_at", b"%d" % case.arrived_at)]
        records += [
            record(2 * number + 1, case.value, case.key, headers=headers),
            record(2 * number + 2, good(number + 1)),
        ]
    intake = read(engine, *records)
    assert reasons(intake) == [(2 * n + 1, case.reason) for n, case in enumerate(MALFORMED)]
    assert len(intake.columns) == len(MALFORMED) + 1


def test_a_batch_of_nothing_but_bad_records_keeps_the_watermark(engine: Engine) -> None:
    intake = read(engine, record(0, b"{"), record(1, b"[]"), watermark=NOW)
    assert (len(intake.columns), intake.watermarks) == (0, [NOW])
    assert reasons(intake) == [(0, Reason.NOT_JSON), (1, Reason.INVALID_FIELD)]


def test_a_key_on_another_partition_is_rejected_with_the_setting_to_change(engine: Engine) -> None:
    other = (home(b"anna") + 1) % PARTITIONS
    intake = read(engine, record(0, good(1), partition=other), record(1, None, partition=other))
    assert reasons(intake) == [(0, Reason.WRONG_PARTITION), (1, Reason.WRONG_PARTITION)]
    assert "partitioner=murmur2_random" in intake.rejections[0].detail
    assert f"partition {home(b'anna')}" in intake.rejections[0].detail


def test_a_null_value_erases_at_its_place_among_the_events(engine: Engine) -> None:
    intake = read(
        engine, record(0, None), record(1, good(1)), record(2, b"{"), record(3, None), record(4, good(2))
    )
    assert [kind == ERASE for kind in intake.columns.type.tolist()] == [True, False, True, False]
    assert intake.columns.customers == ["anna"] * 4
    assert reasons(intake) == [(2, Reason.NOT_JSON)]


def test_an_erasure_after_a_late_event_keeps_its_place(engine: Engine) -> None:
    late = good(2, NOW - LATENESS - 1)
    intake = read(engine, record(0, good(1)), record(1, late), record(2, None), record(3, good(3)))
    assert intake.columns.event_ids == ["good-1", "", "good-3"]
    assert reasons(intake) == [(1, Reason.LATE)]


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (None, Reason.MISSING_KEY),
        (b"", Reason.MISSING_KEY),
        (b"\xff\xfe", Reason.KEY_MISMATCH),
        (b"x" * 129, Reason.KEY_MISMATCH),
    ],
)
def test_a_null_value_without_a_customer_is_rejected(
    engine: Engine, key: bytes | None, reason: Reason
) -> None:
    intake = read(engine, record(0, None, key), record(1, good(1)))
    assert reasons(intake) == [(0, reason)]
    assert intake.columns.event_ids == ["good-1"]


def test_a_customer_id_of_128_characters_can_be_erased_whatever_its_bytes(engine: Engine) -> None:
    key = ("ä" * 128).encode()
    intake = read(engine, record(0, None, key, partition=home(key)))
    assert (reasons(intake), intake.columns.customers) == ([], ["ä" * 128])


def test_an_erasure_alone_keeps_the_watermark(engine: Engine) -> None:
    assert read(engine, record(0, None), watermark=NOW).watermarks == [NOW]


def test_each_event_is_judged_by_what_came_before_it(engine: Engine) -> None:
    times = [NOW, NOW - LATENESS, NOW + MINUTE, NOW - LATENESS, NOW - LATENESS + MINUTE]
    intake = read(engine, *(record(at, good(at, time)) for at, time in enumerate(times)))
    assert reasons(intake) == [(3, Reason.LATE)]
    assert intake.watermarks == [NOW + MINUTE - LATENESS]


def test_a_late_event_is_told_how_far_it_is_behind_the_watermark_that_it_met(engine: Engine) -> None:
    late = NOW - 140 * MINUTE
    records = [good(1), good(2, late), good(3, NOW + 5 * MINUTE), good(4, late)]
    intake = read(
        engine, *(record(at, value) for at, value in enumerate(records)), watermark=NOW - 60 * MINUTE
    )
    mark, later = moment(NOW - LATENESS), moment(NOW + 5 * MINUTE - LATENESS)
    said = [rejection.detail for rejection in intake.rejections]
    assert [detail.partition(" (")[0] for detail in said] == [
        f"event time {moment(late)} is 2 h 5 min older than the watermark {mark}",
        f"event time {moment(late)} is 2 h 10 min older than the watermark {later}",
    ]


def test_the_first_event_of_a_batch_meets_the_watermark_of_the_former_one(engine: Engine) -> None:
    intake = read(engine, record(0, good(1)), watermark=NOW + 1)
    assert f"1 ms older than the watermark {moment(NOW + 1)}" in intake.rejections[0].detail


def test_the_watermark_of_former_batches_counts(engine: Engine) -> None:
    intake = read(engine, record(0, good(1)), watermark=NOW + 1)
    assert reasons(intake) == [(0, Reason.LATE)]
    assert intake.watermarks == [NOW + 1]


def test_an_event_may_be_five_minutes_ahead_of_its_arrival(engine: Engine) -> None:
    edge = NOW + 5 * MINUTE
    intake = read(engine, record(0, good(1, edge)), record(1, good(2, edge + 1)))
    assert reasons(intake) == [(1, Reason.FUTURE)]
    assert intake.watermarks == [edge - LATENESS], "a rejected event moves no watermark"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], NOW),
        ([("arrived_at", b"1700000000000")], 1_700_000_000_000),
        ([("other", b"1"), ("arrived_at", b"1700000000000")], 1_700_000_000_000),
        ([("arrived_at", b"-1")], NOW),
        ([("arrived_at", b"soon")], NOW),
        ([("arrived_at", b"")], NOW),
        ([("arrived_at", None)], NOW),
        ([("arrived_at", b"9" * 40)], NOW),
        ([("arrived_at", "٣".encode())], NOW),
    ],
)
def test_the_arrival_is_what_a_replay_says_or_the_brokers_time(
    headers: list[tuple[str, bytes | None]], expected: int
) -> None:
    assert arrival(record(0, b"{}", headers=headers)) == expected


@given(st.integers(1, MAX_TIME_MS), st.binary(max_size=18) | st.integers(0, 10**16).map(lambda n: b"%d" % n))
def test_no_header_moves_the_watermark_beyond_the_brokers_clock(
    engine: Engine, time: int, claimed: bytes
) -> None:
    odd = record(1, good(1, max(time, MIN_TIME_MS)), headers=[("arrived_at", claimed)])
    intake = read(engine, record(0, good(0)), odd, record(2, good(2)))
    assert intake.watermarks[0] <= NOW + MAX_AHEAD_MS - LATENESS
    assert int(intake.arrival.max()) <= NOW
    assert intake.status[2] == RecordStatus.EVENT, "the event that follows is scored"


def test_records_that_could_not_be_parsed_are_letters_whatever_they_hold(engine: Engine) -> None:
    mark = [Unreadable(Reason.BAD_HEADERS, "a name").header]
    close = [*mark, ("control", b"close")]
    intake = read(
        engine,
        record(0, good(0)),
        record(1, good(1), headers=mark),
        record(2, None, headers=mark),
        record(3, None, None, headers=close),
        record(4, good(4)),
    )
    assert reasons(intake) == [(n, "bad_headers") for n in (1, 2, 3)]
    assert intake.rejections[0].detail == "a name"
    assert intake.columns.event_ids == ["good-0", "good-4"]


def test_ignored_types_and_dropped_fields_are_counted_and_nothing_else_happens(engine: Engine) -> None:
    page_view = good(1).replace(b"view_item", b"page_view")
    lenient = [record(n, case.value) for n, case in enumerate(LENIENT, 2)]
    intake = read(engine, record(0, good(0)), record(1, page_view, b"nobody"), *lenient)
    assert intake.rejections == []
    assert intake.where(RecordStatus.IGNORED).tolist() == [1]
    assert len(intake.columns) == 1 + len(LENIENT)
    assert intake.dropped == sum((Counter(case.dropped) for case in LENIENT), Counter())


def test_an_event_without_data_is_passed_over_and_its_customer_stays(engine: Engine) -> None:
    told = [(f"ce_{name}", b"x.y") for name in ("specversion", "id", "source", "type")]
    records = batch(record(7, None, headers=told), record(8, None), record(9, good(1), headers=[NATIVE]))
    intake = read_batches(
        [records], [BEGINNING], engine, partitions=PARTITIONS, form=format_of("cloudevents")
    )
    assert intake.status.tolist() == [RecordStatus.IGNORED, RecordStatus.ERASE, RecordStatus.EVENT]
    assert dict(intake.without_counterpart) == {"x.y": 1}


def test_no_record_arrived_later_than_its_batch_says(engine: Engine) -> None:
    """Its producer's clock ran ahead, and so did the event's time."""
    ahead = NOW + 60 * MINUTE
    odd = batch(record(0, good(0, ahead), timestamp=ahead), record(1, good(1), timestamp=NOW - 1))
    intake = read_batches([odd._replace(clock=NOW)], [BEGINNING], engine, partitions=PARTITIONS)
    assert intake.arrival.tolist() == [NOW, NOW - 1]
    assert reasons(intake) == [(0, Reason.FUTURE)]
