"""Whatever a producer gets wrong becomes a dead letter with its reason, and never stops the stream."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from kafka import KafkaProducer

from features.events import MAX_BYTES
from features.partition import partitions_of
from features.refusals import NO_EVENTS, Reason
from stream.logs.letters import read_letters
from stream.messages.dead_letter import LETTER_BYTES, Cut, DeadLetter
from stream.settings import Settings
from tests.integration.outcome import Record, read_topic, scores_by_event
from tests.integration.workers import Fleet
from tests.malformed import KEY, MALFORMED, NOW, Malformed, good


class Bad(NamedTuple):
    """A record that must be refused; like `Malformed`, but the value may be null."""

    name: str
    value: bytes | None
    reason: str
    key: bytes | None = KEY
    arrived_at: int = NOW


class Sent(NamedTuple):
    """A record as it was produced, and where it came to stand."""

    case: Bad
    partition: int
    offset: int


class Shop:
    """A producer that lets everything through."""

    def __init__(self, settings: Settings) -> None:
        self._kafka, self._topic = settings.kafka, settings.events_topic
        self._partitions = settings.partitions
        self._producer = KafkaProducer(bootstrap_servers=settings.kafka, max_request_size=2 << 20)
        self.letters: list[Sent] = []
        self.good: list[str] = []

    def __enter__(self) -> Shop:
        return self

    def __exit__(self, *_: object) -> None:
        self._producer.close()

    def home(self, key: bytes) -> int:
        """Return the partition that a key belongs to."""
        return int(partitions_of([key], self._partitions)[0])

    def send(self, key: bytes | None, value: bytes | None, partition: int, arrived_at: int = NOW) -> int:
        headers = [("arrived_at", b"%d" % arrived_at), ("trace", b"\xff\x00")]
        if key is None and value is None:  # kafka-python sends no such thing
            return asyncio.run(self._send_nothing(partition, headers))
        future = self._producer.send(self._topic, key=key, value=value, partition=partition, headers=headers)
        return int(future.get(timeout=30).offset)

    async def _send_nothing(self, partition: int, headers: list[tuple[str, bytes]]) -> int:
        async with AIOKafkaProducer(bootstrap_servers=self._kafka) as producer:
            batch = producer.create_batch()
            batch.append(timestamp=None, key=None, value=None, headers=headers)
            sent = await producer.send_batch(batch, self._topic, partition=partition)
            return int((await sent).offset)

    def send_good(self, partition: int | None = None) -> None:
        self.send(KEY, good(len(self.good)), self.home(KEY) if partition is None else partition)
        self.good.append(f"good-{len(self.good)}")

    def send_bad(self, malformed: Malformed | Bad, partition: int | None = None) -> None:
        partition = self.home(KEY) if partition is None else partition
        case = Bad(*malformed)
        offset = self.send(case.key, case.value, partition, case.arrived_at)
        self.letters.append(Sent(case, partition, offset))


def letters_of(settings: Settings) -> list[Record]:
    return read_topic(settings, settings.dead_letters_topic)


async def _parsed(settings: Settings) -> list[DeadLetter]:
    return [letter async for letter in read_letters(settings)]


def assert_letters(settings: Settings, sent: list[Sent]) -> None:
    """The dead letters are exactly these, in order, with everything that they must carry."""
    found = letters_of(settings)
    wanted = sorted(sent, key=lambda one: (one.partition, one.offset))
    assert len(found) == len(wanted)
    for record, (case, partition, offset) in zip(found, wanted, strict=True):
        headers = dict(record.headers)
        assert len(headers) == len(record.headers), case.name
        detail = headers.pop("detail")
        assert detail.decode().strip(), case.name
        whole = len(case.value or b"") < LETTER_BYTES - 1000
        if not whole:
            size, sha256 = Cut.of(case.value)
            assert headers.pop("cut.value") == f"{size} {sha256}".encode()
        assert headers == {
            "reason": case.reason.encode(),
            "topic": settings.events_topic.encode(),
            "partition": b"%d" % partition,
            "offset": b"%d" % offset,
            "arrived_at": b"%d" % case.arrived_at,
            "original.arrived_at": b"%d" % case.arrived_at,
            "original.trace": b"\xff\x00",
            "__connect.errors.topic": settings.events_topic.encode(),
            "__connect.errors.partition": b"%d" % partition,
            "__connect.errors.offset": b"%d" % offset,
            "__connect.errors.connector.name": b"purchase-intent",
            "__connect.errors.task.id": b"%d" % partition,
            "__connect.errors.exception.class.name": b"purchase-intent." + case.reason.encode(),
            "__connect.errors.exception.message": detail,
        }, case.name
        assert record.key == case.key
        assert record.value == case.value if whole else case.value.startswith(record.value), case.name
        assert record.partition == partition


def test_there_are_enough_cases() -> None:
    assert len(MALFORMED) >= 40
    assert len({case.name for case in MALFORMED}) == len(MALFORMED)
    named = {case.reason for case in MALFORMED}
    of_the_broker = {
        Reason.WRONG_PARTITION,
        Reason.BAD_HEADERS,
        Reason.UNREADABLE,
        Reason.POISON,
        Reason.SEVERAL_EVENTS,
        Reason.BAD_SIGNATURE,
        *NO_EVENTS,
    }  # need a real topic or batch, another form of events, or keys
    assert set(Reason) - named == of_the_broker | {Reason.NEGATIVE}, "a negative amount is dropped"


def test_every_malformed_record_becomes_a_dead_letter_and_none_stops_the_stream(fleet: Fleet) -> None:
    settings = fleet.settings
    worker = fleet.ready()
    with Shop(settings) as shop:
        shop.send_good()
        for case in MALFORMED:
            shop.send_bad(case)
            shop.send_good()
        other = (shop.home(KEY) + 1) % settings.partitions
        shop.send_bad(Bad("on another partition", good(900), "wrong_partition"), other)
        shop.send_bad(Bad("erases on another partition", None, "wrong_partition"), other)
        shop.send_bad(Bad("nothing at all", None, "missing_key", key=None))
        shop.send_bad(Bad("erases nobody", None, "missing_key", key=b""))
        shop.send_bad(Bad("erases what is no identifier", None, "key_mismatch", key=b"\xff"))
        shop.send_good()
        fleet.finish(worker)
        assert_letters(settings, shop.letters)
        scores = scores_by_event(read_topic(settings, settings.scores_topic))
        assert sorted(scores) == sorted(shop.good), "those before, between and after are all scored"
        assert all(len(published) == 1 for published in scores.values())
        reasons = [sent.case.reason for sent in shop.letters]
    assert worker.status("/readyz") == 200
    metrics = worker.metrics()
    for reason in set(reasons):
        assert metrics[f'intent_dead_letters_total{{reason="{reason}"}}'] == reasons.count(reason)
    assert metrics["intent_events_total"] == len(reasons) + len(scores)
    assert metrics["intent_scored_total"] == len(scores)
    assert metrics["intent_erased_total"] == 0
    assert worker.stop()[0] == 0


def test_the_dead_letters_of_a_worker_can_be_read_back(fleet: Fleet) -> None:
    worker = fleet.start()
    with Shop(fleet.settings) as shop:
        for case in MALFORMED[:5]:
            shop.send_bad(case)
        fleet.finish(worker)
        letters = asyncio.run(_parsed(fleet.settings))
        assert [(letter.key, letter.value, letter.reason, letter.offset) for letter in letters] == [
            (case.key, case.value, case.reason, offset) for case, _, offset in shop.letters
        ]
        assert {letter.arrived_at for letter in letters} == {NOW}
        assert letters[0].original_headers[1] == ("trace", b"\xff\x00")


def test_a_record_as_large_as_the_topic_takes_becomes_a_dead_letter(fleet: Fleet) -> None:
    worker = fleet.start()
    with Shop(fleet.settings) as shop:
        shop.send_good()
        most = (1 << 20) - 200  # the topic's limit counts the batch's and the record's own headers
        shop.send_bad(Bad("as large as can be", good(901) + b" " * (most - 100), "too_large"))
        shop.send_good()
        shop.send_bad(Bad("noise", bytes(range(256)) * (MAX_BYTES // 256), "not_json"))
        for _ in range(5):
            shop.send_bad(Bad("large", b"[" + b"0," * 250_000 + b"0]", "too_large"))
        shop.send_good()
        fleet.finish(worker)
        assert_letters(fleet.settings, shop.letters)
        scores = scores_by_event(read_topic(fleet.settings, fleet.settings.scores_topic))
        assert sorted(scores) == sorted(shop.good)


def test_a_topic_of_nothing_but_bad_records_keeps_the_worker_ready(fleet: Fleet) -> None:
    worker = fleet.ready()
    with Shop(fleet.settings) as shop:
        for partition in range(fleet.settings.partitions):
            for case in (one for one in MALFORMED if one.reason == "not_json"):
                shop.send_bad(case, partition)
        fleet.finish(worker)
        assert_letters(fleet.settings, shop.letters)
    assert read_topic(fleet.settings, fleet.settings.scores_topic) == []
    assert worker.status("/readyz") == 200
