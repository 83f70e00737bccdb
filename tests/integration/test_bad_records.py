"""Records that no parser, no letter and no watermark of the ordinary kind can take: the stream goes on, and says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from typer.testing import CliRunner

from features.log import read_log
from features.partition import partitions_of
from stream.cli import create_app
from stream.kafka.decompressing import BATCH_BYTES
from stream.kafka.unreadable import name_bytes
from stream.logs.archive import archive
from stream.logs.letters import read_letters
from stream.logs.resend import resend
from stream.messages.dead_letter import LETTER_BYTES, Cut, DeadLetter
from stream.scoring.score_log import score_log
from stream.settings import Settings
from tests.integration.outcome import assert_same_states, engine_for, read_topic, scores_by_event
from tests.integration.topics import configure, environment, held
from tests.integration.workers import Fleet
from tests.malformed import KEY, LENIENT, good

#: A day, epoch ms, at which a live event may be dated: the broker's clock is the wall clock.
YEAR_3018 = 33_077_930_400_000


class RawName(str):
    """A header name that is sent as other bytes than its text."""

    __slots__ = ("raw",)

    def __new__(cls, raw: bytes) -> RawName:
        name = super().__new__(cls, raw.decode("latin-1"))
        name.raw = raw
        return name

    def encode(self, *_: Any, **__: Any) -> bytes:
        return self.raw


class Shop:
    """A producer that sends whatever it is given, each call's records as one batch."""

    def __init__(self, settings: Settings, compression: str | None = None, limit: int = 16 << 20) -> None:
        self._topic = settings.events_topic
        self._home = int(partitions_of([KEY], settings.partitions)[0])
        self._producer = KafkaProducer(
            bootstrap_servers=settings.kafka,
            compression_type=compression,
            max_request_size=limit,
            batch_size=1 << 20,
            linger_ms=500,
        )

    def __enter__(self) -> Shop:
        return self

    def __exit__(self, *_: object) -> None:
        self._producer.close()

    def send(self, *records: tuple[bytes | None, Sequence[tuple[str, bytes]]], key: bytes = KEY) -> list[int]:
        """Send values with headers; return their offsets."""
        sent = [
            self._producer.send(
                self._topic, key=key, value=value, headers=list(headers), partition=self._home
            )
            for value, headers in records
        ]
        self._producer.flush()
        return [future.get(timeout=30).offset for future in sent]


def peak_memory(pid: int) -> int:
    """Return the most memory that a process has had so far, bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


def letters_of(settings: Settings) -> list[DeadLetter]:
    async def read() -> list[DeadLetter]:
        return [letter async for letter in read_letters(settings)]

    return sorted(asyncio.run(read()), key=lambda letter: letter.offset)


def scored(settings: Settings) -> list[str]:
    return sorted(scores_by_event(read_topic(settings, settings.scores_topic)))


def command(settings: Settings, *arguments: str) -> str:
    told = CliRunner(env=environment(settings)).invoke(
        create_app(), ["dead-letters", *arguments], catch_exceptions=False
    )
    assert told.exit_code == 0
    return told.stdout


def test_a_header_name_that_is_no_text_is_a_letter_and_its_batch_is_scored(
    fleet: Fleet, tmp_path: Path
) -> None:
    settings = fleet.settings
    worker = fleet.ready()
    names = [("trace", b"\x00"), (RawName(b"caf\xe9\\"), b"1"), ("", b"")]
    for first, compression in ((0, None), (3, "gzip"), (6, "lz4")):
        with Shop(settings, compression) as shop:
            shop.send((good(first), ()), (good(first + 1), names), (good(first + 2), [("x", b"")]))
    fleet.finish(worker)
    assert scored(settings) == [f"good-{number}" for number in (0, 2, 3, 5, 6, 8)]
    letters = letters_of(settings)
    assert [(letter.reason, letter.offset, letter.value) for letter in letters] == [
        ("bad_headers", offset, good(offset)) for offset in (1, 4, 7)
    ]
    assert name_bytes(letters[0].original_headers[1][0]) == b"caf\xe9\\"
    assert letters[0].original_headers == (("trace", b"\x00"), ("caf\\xe9\\\\", b"1"), ("", b""))
    assert archive(settings, tmp_path / "log.parquet").refused == {"bad_headers": 3}
    assert_same_states(settings, score_log(read_log(tmp_path / "log.parquet"), engine_for(settings)))
    assert resend(settings, reason="bad_headers").sent == {"bad_headers": 3}
    assert len(held(settings, settings.events_topic)) == 12, (
        "the transaction has ended, which moves the topic's end"
    )
    fleet.finish(worker)
    assert scored(settings) == [f"good-{number}" for number in range(9)], "names are sent escaped"
    assert worker.status("/readyz") == 200


def test_letters_of_huge_records_are_cut_and_their_originals_are_sent_again(fleet: Fleet) -> None:
    settings = fleet.settings
    worker = fleet.ready()
    huge = good(0)[:-1] + b',"x":"' + b"x" * (6 << 20) + b'"}'
    many = [("", b"")] * 480_000
    with Shop(settings, "gzip") as shop:
        assert shop.send((good(1), ()), (huge, [("trace", b"\x01")]), (good(2), ())) == [0, 1, 2]
    with Shop(settings) as shop:
        assert shop.send((b"no event", many), (good(3), ())) == [3, 4]
    fleet.finish(worker)
    assert scored(settings) == ["good-1", "good-2", "good-3"]
    large, headed = letters_of(settings)
    assert (large.reason, large.offset, large.cut) == ("too_large", 1, {"value": Cut.of(huge)})
    assert huge.startswith(large.value)
    assert LETTER_BYTES - 1000 < len(large.value) < LETTER_BYTES
    assert large.original_headers == (("trace", b"\x01"),)
    assert (headed.reason, headed.offset, headed.value, set(headed.cut)) == (
        "not_json",
        3,
        b"no event",
        {"headers"},
    )
    assert headed.cut["headers"].size == 480_000 * 8
    assert 0 < len(headed.original_headers) < 10_000
    assert "cut: value of 6,291," in " ".join(command(settings, "list").split())
    shown = json.loads(command(settings, "list", "--json", "--reason", "too_large"))
    assert shown["cut"] == {"value": {"bytes": len(huge), "sha256": large.cut["value"].sha256}}

    # The original is sent, so what comes back is a letter of the same size and hash.
    assert resend(settings, reason="too_large").sent == {"too_large": 1}
    assert len(held(settings, settings.events_topic)) == 6, (
        "the transaction has ended, which moves the topic's end"
    )
    fleet.finish(worker)
    again = letters_of(settings)[-1]
    assert (again.reason, again.cut) == ("too_large", large.cut)
    with KafkaAdminClient(bootstrap_servers=settings.kafka) as admin:
        admin.delete_records({TopicPartition(settings.events_topic, large.partition): again.offset + 1})
    told = json.loads(command(settings, "replay", "--json"))
    assert (told["sent"], told["gone"]) == ({}, {"not_json": 1, "too_large": 1})
    assert worker.status("/readyz") == 200
    assert worker.stop()[0] == 0


def test_an_arrival_beyond_the_brokers_clock_moves_no_watermark(fleet: Fleet) -> None:
    settings = fleet.settings
    worker = fleet.ready()
    with Shop(settings) as shop:
        arrived = [("arrived_at", b"%d" % YEAR_3018)]
        shop.send((good(0), ()), (good(1, YEAR_3018), arrived), (good(2), arrived))
    fleet.finish(worker)
    assert scored(settings) == ["good-0", "good-2"]
    assert [(letter.reason, letter.offset) for letter in letters_of(settings)] == [("future", 1)]
    assert worker.stop()[0] == 0


def test_bad_optional_fields_are_dropped_ignored_types_passed_over_and_the_archive_folds_the_same(
    fleet: Fleet, tmp_path: Path
) -> None:
    settings = fleet.settings
    worker = fleet.ready()
    lenient = [case.value.replace(b'"e"', b'"e%d"' % n) for n, case in enumerate(LENIENT)]
    ignored = [good(n).replace(b"view_item", b"page_view") for n in range(3)]
    with Shop(settings) as shop:
        shop.send(*((value, ()) for value in (good(0), *ignored, *lenient, good(1))))
    fleet.finish(worker)
    assert scored(settings) == sorted(["good-0", "good-1", *(f"e{n}" for n in range(len(LENIENT)))])
    assert letters_of(settings) == []
    metrics = worker.metrics()
    assert metrics["intent_ignored_total"] == len(ignored)
    dropped = {name for case in LENIENT for name in case.dropped}
    assert {name: metrics[f'intent_dropped_fields_total{{field="{name}"}}'] for name in dropped} == {
        name: sum(case.dropped.get(name, 0) for case in LENIENT) for name in dropped
    }
    report = archive(settings, tmp_path / "log.parquet")
    assert (report.ignored, report.refused) == (len(ignored), {})
    assert_same_states(settings, score_log(read_log(tmp_path / "log.parquet"), engine_for(settings)))
    assert worker.stop()[0] == 0


def test_a_topic_with_the_producers_time_is_refused_at_start(fleet: Fleet) -> None:
    settings = fleet.settings
    configure(settings, settings.events_topic, {"message.timestamp.type": "CreateTime"})
    worker = fleet.start()
    assert worker.wait() == 1
    assert "message.timestamp.type=CreateTime" in worker.tail()
    assert "kafka-configs.sh" in worker.tail()


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="reads a process's peak of memory from /proc"
)
def test_a_batch_that_expands_to_128_megabytes_is_a_letter_and_takes_no_memory(fleet: Fleet) -> None:
    settings = fleet.settings
    worker = fleet.ready()
    with Shop(settings, "gzip", limit=512 << 20) as shop:
        shop.send((good(0), ()))
        fleet.finish(worker)
        before = peak_memory(worker.process.pid)
        assert shop.send((bytes(128 << 20), ())) == [1]
        assert shop.send((good(1), ()), (good(2), ())) == [2, 3]
    fleet.finish(worker)
    assert scored(settings) == ["good-0", "good-1", "good-2"]
    [letter] = letters_of(settings)
    assert (letter.reason, letter.offset) == ("unreadable", 1)
    assert f"offsets 1 to 1 cannot be decompressed (it holds more than {BATCH_BYTES} bytes" in letter.detail
    assert worker.metrics()['intent_dead_letters_total{reason="unreadable"}'] == 1
    assert peak_memory(worker.process.pid) - before < 100 << 20
    assert worker.status("/readyz") == 200
