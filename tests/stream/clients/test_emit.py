from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
from kafka.errors import KafkaTimeoutError
from kafka.future import Future
from typer.testing import CliRunner

from features.events import Event, Reason
from stream.cli import create_app
from stream.clients.emit import DeliveryError, EventEmitter, RefusedLine, emit_lines
from stream.exceptions import BrokerUnavailable
from stream.formats.confluent import Confluent
from stream.formats.ga4 import GA4

GOOD = b'{"event_id":"e%d","type":"search","customer_id":"c","event_time":1772366400000}\n'
LINES = [GOOD % 1, b"\n", b"not json\n", GOOD % 2, b'{"event_id":"e3"}\n', GOOD % 4]


class Recorded(EventEmitter):
    """An emitter that keeps what it is given."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def emit(self, event: Event | None = None, /, **fields: object) -> Event:
        assert event is not None
        self.ids.append(event.event_id)
        return event

    def flush(self) -> None:
        self.ids.append("flushed")


def test_a_bad_line_stops_the_emission_after_what_came_before() -> None:
    emitter, refused = Recorded(), list[RefusedLine]()
    report = emit_lines(emitter, LINES, on_refused=refused.append)
    assert emitter.ids == ["e1", "flushed"]
    assert (report.emitted, report.refused) == (1, 1)
    assert [(line.number, line.reason) for line in refused] == [(3, Reason.NOT_JSON)]


def test_bad_lines_are_named_by_number_and_reason_and_passed_over() -> None:
    emitter, refused = Recorded(), list[RefusedLine]()
    report = emit_lines(emitter, LINES, skip_invalid=True, on_refused=refused.append)
    assert emitter.ids == ["e1", "e2", "e4", "flushed"]
    assert (report.emitted, report.refused) == (3, 2)
    assert [(line.number, line.reason) for line in refused] == [
        (3, Reason.NOT_JSON),
        (5, Reason.MISSING_FIELD),
    ]
    assert "customer_id" in refused[1].detail or "type" in refused[1].detail


def test_a_line_of_another_form_is_all_its_events_or_none() -> None:
    two = (
        b'{"client_id":"c","timestamp_micros":1772366400000000,"events":[{"name":"search"},'
        b'{"name":"scroll"},{"name":"view_item","params":{"items":[{"item_id":"i","price":"x"}]}}]}'
    )
    nobody = two.replace(b'"client_id":"c",', b"")
    emitter, refused = Recorded(), list[RefusedLine]()
    report = emit_lines(emitter, [nobody, two], form=GA4(), skip_invalid=True, on_refused=refused.append)
    assert len(emitter.ids) == 3
    assert (report.emitted, report.refused) == (2, 1)
    assert (dict(report.without_counterpart), dict(report.dropped)) == ({"scroll": 1}, {"price": 1})
    assert refused[0].detail.endswith("(ga4: user_id, client_id, app_instance_id or user_pseudo_id)")


def test_a_schema_id_that_holds_a_line_end_cuts_no_line() -> None:
    framed = [b"\0\0\0\0\n", GOOD % 1, b"\0\0\n", b"\n\n", GOOD % 2, b"\0\0\0\0\x07" + GOOD % 3, b"\0\n"]
    emitter, refused = Recorded(), list[RefusedLine]()
    emit_lines(emitter, framed, form=Confluent(), skip_invalid=True, on_refused=refused.append)
    assert emitter.ids == ["e1", "e2", "e3", "flushed"]
    assert [line.number for line in refused] == [4]


def test_a_delivery_error_has_all_events_and_names_some() -> None:
    error = DeliveryError([f"e{number}" for number in range(9)], "timed out")
    assert len(error.event_ids) == 9
    assert str(error).startswith("Kafka did not accept 9 events (e0, e1, e2, e3, e4, ...): timed out")


def test_an_address_where_no_broker_listens_is_one_clear_line() -> None:
    program = "import stream.clients.emit; stream.clients.emit._CONNECT_MS = 300; from stream.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "emit"],
        env=os.environ | {"INTENT_KAFKA": "127.0.0.1:1"},
        input="",
        capture_output=True,
        text=True,
        check=False,
    )
    line = (
        "intent: no Kafka broker answers at 127.0.0.1:1: start one (`intent services`), or set INTENT_KAFKA\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", line)


def test_a_file_that_is_not_there_is_one_clear_error() -> None:
    ended = CliRunner().invoke(create_app(), ["emit", "nowhere.jsonl"], catch_exceptions=False)
    assert ended.exit_code == 2
    assert ended.stderr.startswith("intent emit: invalid value for 'FILE': nowhere.jsonl does not exist")
    assert ended.stderr.count("\n") == 1


class Delayed:
    """Stands for kafka-python's producer: what is sent fails when it is told to."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, Future]] = []

    def send(self, topic: str, *, key: bytes, value: bytes, headers: object) -> Future:
        self.sent.append((key, Future()))
        return self.sent[-1][1]

    def flush(self, timeout: float) -> None:
        """All is answered."""


def test_an_earlier_failure_is_raised_after_the_event_at_hand_was_sent() -> None:
    emitter = EventEmitter.__new__(EventEmitter)
    producer = Delayed()
    emitter.__dict__ |= {
        "topic": "events", "_producer": producer, "_failed": [], "_reason": "", "_pending": 0,
        "_room": threading.Condition(), "_headers": [], "_clock": lambda: 1_772_366_400_000,
    }  # fmt: skip
    emitter.emit(event_id="e1", type="search", customer_id="ada")
    producer.sent[0][1].failure(KafkaTimeoutError("too slow"))
    with pytest.raises(DeliveryError) as failed:
        emitter.emit(event_id="e2", type="search", customer_id="bob")
    assert failed.value.event_ids == ["e1"]
    assert [key for key, _ in producer.sent] == [b"ada", b"bob"], "the event at hand is on its way"
    emitter.flush()


class Stuck:
    """A producer of kafka-python whose broker has gone: it cannot end in order."""

    def __init__(self) -> None:
        self.closed, self.forced = 0, False
        self._sender = self

    def force_close(self) -> None:
        self.forced = True

    def flush(self, timeout: float) -> None:
        raise KafkaTimeoutError("cannot flush")

    def close(self, timeout: float) -> None:
        self.closed += self.forced
        if not self.forced:
            raise KafkaTimeoutError("cannot flush")


def test_an_emitter_ends_with_its_own_error_though_its_producer_cannot_end() -> None:
    emitter = EventEmitter.__new__(EventEmitter)
    producer = Stuck()
    emitter.__dict__ |= {
        "_producer": producer, "_room": threading.Condition(), "_failed": [], "_closed": False
    }  # fmt: skip
    with pytest.raises(BrokerUnavailable, match="the last events may be lost, emit them again"):
        emitter.close()
    emitter.close()
    assert producer.closed == 1
