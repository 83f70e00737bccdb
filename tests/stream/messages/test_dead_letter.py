from __future__ import annotations

import hashlib
from collections import Counter
from io import StringIO
from types import SimpleNamespace

import pytest
from aiokafka import ConsumerRecord
from rich.console import Console

from features.events import Reason, Rejection
from stream.cli.dead_letters import table_of
from stream.kafka.records import arrival
from stream.messages.dead_letter import (
    LETTER_BYTES,
    DeadLetter,
    dead_letter,
    dead_letter_headers,
    parse,
    parse_erasure,
)


def _record(
    headers: list[tuple[str, bytes]], key: bytes | None = b"ada", value: bytes | None = b"{"
) -> ConsumerRecord:
    return ConsumerRecord("events", 3, 17, 1_772_366_400_000, 1, key, value, None, 0, 0, tuple(headers))


def _letter(record: ConsumerRecord, rejection: Rejection) -> DeadLetter:
    return dead_letter(record, "events", 3, rejection, arrived_at=arrival(record))


def test_a_letter_is_read_as_it_was_written() -> None:
    own = [("trace", b"\xff\x00"), ("reason", b"mine"), ("original.x", b"")]
    letter = _letter(_record(own), Rejection(0, Reason.NOT_JSON, "no JSON: 'ü'"))
    read = parse(_record(letter.headers))
    assert read == letter._replace(original_headers=tuple(own))
    assert (read.reason, read.partition, read.offset) == ("not_json", 3, 17)
    assert read.arrived_at == 1_772_366_400_000


def test_a_letter_has_the_headers_by_which_tools_for_kafka_connect_send_it_again() -> None:
    record = _record([("__connect.errors.topic", b"mine")])
    letter = _letter(record, Rejection(0, Reason.NOT_JSON, "no JSON"))
    told = {name: value for name, value in letter.headers if name.startswith("__connect.errors.")}
    assert told == {
        "__connect.errors.topic": b"events",
        "__connect.errors.partition": b"3",
        "__connect.errors.offset": b"17",
        "__connect.errors.connector.name": b"purchase-intent",
        "__connect.errors.task.id": b"3",
        "__connect.errors.exception.class.name": b"purchase-intent.not_json",
        "__connect.errors.exception.message": b"no JSON",
    }
    assert parse(_record(letter.headers)).original_headers == (("__connect.errors.topic", b"mine"),)


def test_a_letter_of_before_without_these_headers_is_read() -> None:
    letter = _letter(_record([]), Rejection(0, Reason.NOT_JSON, "no JSON"))
    before = [header for header in letter.headers if not header[0].startswith("__connect.")]
    assert len(before) == 6
    assert parse(_record(before)) == letter


def test_the_arrival_that_a_replay_names_is_the_letters_arrival() -> None:
    record = _record([("arrived_at", b"5")])
    assert _letter(record, Rejection(0, Reason.LATE, "")).arrived_at == 5


def test_headers_are_text_whatever_the_detail_quotes() -> None:
    headers = dict(
        dead_letter_headers("late", "\ud800" + "x" * 9000, topic="t", partition=0, offset=0, arrived_at=0)
    )
    assert headers["detail"].decode().startswith("\\ud800xxx")
    assert len(headers["detail"]) < 1000


def test_a_record_without_the_headers_is_no_letter() -> None:
    whole = dead_letter_headers("late", "", topic="t", partition=0, offset=0, arrived_at=0)
    assert parse(_record(whole)) is not None
    for name, _ in whole[:6]:
        assert parse(_record([header for header in whole if header[0] != name])) is None
    assert parse(_record([*whole[:4], ("offset", b"many"), whole[5]])) is None


def test_bytes_that_are_no_text_can_be_shown() -> None:
    letter = _letter(_record([], b"\xff", None), Rejection(0, Reason.NOT_JSON, ""))
    assert letter.as_dict()["key"] == "\\xff"
    assert letter.as_dict()["value"] is None


@pytest.mark.parametrize("reason", list(Reason))
def test_a_table_of_80_columns_keeps_every_word_of_reason_place_and_detail(reason: Reason) -> None:
    detail = "event time 2026-03-01T09:55:00Z is 2 h 5 min older than the watermark 2026-03-01T12:00:00Z"
    record = _record([], b"c-" + b"1" * 126, b'{"event_id":"' + b"e" * 100 + b'",\n"customer_id":"c-1"}')
    rejection = Rejection(0, reason, detail)
    letters = [dead_letter(record, "intent.events", 11, rejection, arrived_at=arrival(record))] * 3
    console = Console(file=StringIO(), width=80)
    console.print(table_of(letters, Counter({str(reason): 1200})))
    assert isinstance(console.file, StringIO)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    first = next(line for line in lines if "2026-03-01 12:00:00" in line)
    assert f" {reason} " in first
    assert sum("intent.events[11] 17" in line for line in lines) == 3
    assert " ".join(line[44:].strip() for line in lines).count(detail) == 3
    assert f"{reason}: 1,200" in lines[-1]
    assert "".join(line[25:41].strip() for line in lines).count("1" * 126) == 3  # a key, too, is never cut
    assert len(lines) <= 6 + 3 * 9


def _size(letter: DeadLetter) -> int:
    return len(letter.key or b"") + len(letter.value or b"") + sum(len(n) + len(v) for n, v in letter.headers)


BROKERS_LIMIT = 1_048_588  # max.message.bytes where nothing else is set


@pytest.mark.parametrize(
    ("key", "value", "headers", "cut"),
    [
        (b"k", b"v" * (LETTER_BYTES - 1), [], set()),
        (b"k", b"v" * LETTER_BYTES, [], {"value"}),
        (b"k" * 2_000_000, b"v", [], {"key"}),
        (b"k" * 2_000_000, b"v" * 2_000_000, [("h", b"x" * 2_000_000)], {"key", "value", "headers"}),
        (None, None, [("", b"")] * 480_000, {"headers"}),
        (b"k", None, [("a", b"1"), ("b" * 300_000, b""), ("c", b"x" * 900_000)], {"headers"}),
    ],
)
def test_a_letter_is_bounded_and_says_what_was_cut(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]], cut: set[str]
) -> None:
    record = _record(headers, key, value)
    letter = _letter(record, Rejection(0, Reason.TOO_LARGE, "x" * 9000))
    assert _size(letter) + 10 * len(letter.headers) < BROKERS_LIMIT
    assert set(letter.cut) == cut
    assert letter.is_of(record)
    assert (key or b"").startswith(letter.key or b"")
    assert (value or b"").startswith(letter.value or b"")
    if "value" in cut:
        assert letter.cut["value"] == (len(value), hashlib.sha256(value).hexdigest())
    back = parse(ConsumerRecord("l", 0, 0, 0, 1, letter.key, letter.value, None, 0, 0, letter.headers))
    assert back == letter._replace(detail="x" * 500, original_headers=tuple(letter.original_headers))
    assert back.as_dict()["cut"].keys() == cut


@pytest.mark.parametrize("changed", ["key", "value", "headers"])
def test_another_record_at_the_same_place_is_not_the_letters(changed: str) -> None:
    huge = b"x" * 2_000_000
    fields = {"key": huge, "value": huge, "headers": [("h", huge)]}
    letter = _letter(_record(**fields), Rejection(0, Reason.TOO_LARGE, ""))
    other = [("h", huge[:-1] + b"y")] if changed == "headers" else huge[:-1] + b"y"
    assert letter.is_of(_record(**fields))
    assert not letter.is_of(_record(**fields | {changed: other}))


def test_the_table_says_that_a_letter_was_cut() -> None:
    letter = _letter(_record([], b"k", b"v" * 2_000_000), Rejection(0, Reason.TOO_LARGE, "too large"))
    console = Console(file=StringIO(), width=80)
    console.print(table_of([letter], Counter(too_large=1)))
    assert "cut: value of 2,000,000 bytes" in console.file.getvalue()


def test_the_table_shows_a_letter_of_a_time_that_no_calendar_has() -> None:
    letter = _letter(_record([], b"k", b"v"), Rejection(0, Reason.NOT_JSON, "no"))
    console = Console(file=StringIO(), width=80)
    console.print(table_of([letter._replace(arrived_at=999_999_999_999_999)], Counter(not_json=1)))
    assert "999999999999999 ms" in console.file.getvalue()


@pytest.mark.parametrize("told", [None, b"", b"soon", b"-5", b"9" * 5000])
def test_a_hostile_time_makes_no_erasure(told: bytes | None) -> None:
    record = SimpleNamespace(offset=1, key=b"ada", value=None, headers=[("erased_at", told)])
    assert parse_erasure(record) is None  # type: ignore[arg-type]
