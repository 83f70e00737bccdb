from __future__ import annotations

from aiokafka import ConsumerRecord

from features.events import Reason, Rejection
from stream.dead_letters import dead_letter, dead_letter_headers, parse


def _record(
    headers: list[tuple[str, bytes]], key: bytes | None = b"ada", value: bytes | None = b"{"
) -> ConsumerRecord:
    return ConsumerRecord("events", 3, 17, 1_772_366_400_000, 1, key, value, None, 0, 0, tuple(headers))


def test_a_letter_is_read_as_it_was_written() -> None:
    own = [("trace", b"\xff\x00"), ("reason", b"mine"), ("original.x", b"")]
    letter = dead_letter(_record(own), "events", 3, Rejection(0, Reason.NOT_JSON, "no JSON: 'ü'"))
    read = parse(_record(letter.headers))
    assert read == letter._replace(original_headers=tuple(own))
    assert (read.reason, read.partition, read.offset) == ("not_json", 3, 17)
    assert read.arrived_at == 1_772_366_400_000


def test_the_arrival_that_a_replay_names_is_the_letters_arrival() -> None:
    record = _record([("arrived_at", b"5")])
    assert dead_letter(record, "events", 3, Rejection(0, Reason.LATE, "")).arrived_at == 5


def test_headers_are_text_whatever_the_detail_quotes() -> None:
    headers = dict(
        dead_letter_headers("late", "\ud800" + "x" * 9000, topic="t", partition=0, offset=0, arrived_at=0)
    )
    assert headers["detail"].decode().startswith("\\ud800xxx")
    assert len(headers["detail"]) < 1000


def test_a_record_without_the_headers_is_no_letter() -> None:
    whole = dead_letter_headers("late", "", topic="t", partition=0, offset=0, arrived_at=0)
    assert parse(_record(whole)) is not None
    for name, _ in whole:
        assert parse(_record([header for header in whole if header[0] != name])) is None
    assert parse(_record([*whole[:4], ("offset", b"many"), whole[5]])) is None


def test_bytes_that_are_no_text_can_be_shown() -> None:
    letter = dead_letter(_record([], b"\xff", None), "events", 3, Rejection(0, Reason.NOT_JSON, ""))
    assert letter.as_dict()["key"] == "\\xff"
    assert letter.as_dict()["value"] is None
