"""The transport on a real broker: what lies in the log reaches the job, whole, raw and in order."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

import pytest
from aiokafka import AIOKafkaProducer
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient
from kafka.structs import TopicPartition

from features import state
from features.store.customer_store import Loaded
from features.store.memory_store import MemoryStore
from features.store.partition_record import NO_WATERMARK, PartitionRecord
from stream.exceptions import OffsetOutsideLog
from stream.kafka.batches import RecordBatch
from stream.kafka.parsing import LenientRecords
from stream.kafka.transport import BatchedApp, serve
from stream.ownership.job import StateChanges
from stream.ownership.partitions import Ownership
from stream.settings import Settings
from tests.integration.workers import PATIENCE
from tests.stream.fakes import Counted, Read

EXPECTED = list(range(400))


class Collecting:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.batches: list[RecordBatch] = []

    def read(self, batches: Sequence[RecordBatch], watermarks: Sequence[int]) -> Read:
        self.batches += batches
        return Read(batches, watermarks, [() for _ in batches], reached=[NO_WATERMARK] * len(batches))

    def score(self, read: Read, loaded: Sequence[Loaded]) -> Counted:
        return Counted(read.batches, [StateChanges((), state.empty(0), 0) for _ in read.batches])

    async def publish(self, counted: Counted) -> None:
        """Nothing is published."""

    async def act(self, promised: Sequence[tuple[int, bytes]]) -> None:
        """Nothing is promised."""
        raise NotImplementedError

    def values(self, partition: int = 0) -> list[bytes | None]:
        return [one.value for batch in self.batches if batch.partition == partition for one in batch.records]


def consume(
    settings: Settings,
    until: Callable[[Ownership, Collecting], bool],
    store: MemoryStore | None = None,
    meanwhile: Callable[[], None] | None = None,
    batch_max: int = 50,
    *,
    ready: bool = True,
) -> tuple[Ownership, Collecting]:
    """Run a worker in this process until the fact holds, once it is ``ready``."""

    async def main() -> tuple[Ownership, Collecting]:
        job = Collecting()
        ownership = Ownership(store or MemoryStore(), job, topic=settings.events_topic, batch_max=batch_max)
        stop = asyncio.Event()
        app = BatchedApp(
            settings.kafka,
            settings.group,
            settings.events_topic,
            ownership,
            security=settings.aiokafka_security(),
            datadir=settings.bundle / "faust",
        )
        worker = asyncio.create_task(serve(app, stop))
        async with asyncio.timeout(PATIENCE):
            while ready and not worker.done() and not ownership.ready:
                await asyncio.sleep(0.01)
            if meanwhile:
                await asyncio.to_thread(meanwhile)
            while not worker.done() and not until(ownership, job):
                await asyncio.sleep(0.01)
        stop.set()
        await worker
        return ownership, job

    return asyncio.run(main())


def producer(settings: Settings, **options: object) -> KafkaProducer:
    return KafkaProducer(bootstrap_servers=settings.kafka, linger_ms=5, **options)


def all_read(ownership: Ownership, job: Collecting) -> bool:
    return sum(ownership.lag().values()) == 0 and len(ownership.lag()) == 3


def test_aborted_transactions_are_left_out_and_their_holes_are_passed(topics: Settings) -> None:
    shop = producer(topics, transactional_id=topics.group)
    shop.init_transactions()
    for start in range(0, 400, 20):
        shop.begin_transaction()
        for number in range(start, start + 20):
            shop.send(topics.events_topic, value=b"%d" % number, partition=0)
        shop.flush()  # or an abort would leave nothing in the log
        if start % 60 == 0:
            shop.abort_transaction()
        else:
            shop.commit_transaction()
    shop.begin_transaction()
    shop.send(topics.events_topic, value=b"last, aborted", partition=0)
    shop.flush()
    shop.abort_transaction()
    shop.close()
    ownership, job = consume(topics, all_read)
    assert [int(value or b"") for value in job.values()] == [
        number for number in range(400) if number // 20 * 20 % 60 != 0
    ]
    starts = [batch.start for batch in job.batches]
    stops = [batch.stop for batch in job.batches]
    assert all(stop <= start for stop, start in zip(stops, starts[1:], strict=False))
    assert ownership.progress()[0] == 400 + 20 + 2, "markers and aborted records are part of the log"


def test_bytes_that_nobody_can_decode_reach_the_job_as_they_are(topics: Settings) -> None:
    odd = [b"", b"\xff\xfe", b"{", b"\x00" * 60_000, None, b"null", b"1"]
    shop = producer(topics)
    for value in odd:
        shop.send(topics.events_topic, key=b"\xff", value=value, partition=0, headers=[("h", b"\xff")])
    shop.close()
    _, job = consume(topics, lambda ownership, job: len(job.values()) == len(odd))
    assert job.values() == odd
    assert {(one.key, tuple(one.headers)) for batch in job.batches for one in batch.records} == {
        (b"\xff", (("h", b"\xff"),))
    }


@pytest.mark.parametrize("compression", [None, "gzip", "lz4", "snappy", "zstd"])
def test_every_compression_is_read(topics: Settings, compression: str | None) -> None:
    async def emit() -> None:
        async with AIOKafkaProducer(bootstrap_servers=topics.kafka, compression_type=compression) as shop:
            sent = [await shop.send(topics.events_topic, b"%d" % number, partition=0) for number in EXPECTED]
            await asyncio.gather(*sent)

    asyncio.run(emit())
    _, job = consume(topics, lambda ownership, job: len(job.values()) == len(EXPECTED))
    assert [int(value or b"") for value in job.values()] == EXPECTED
    assert max(len(batch.records) for batch in job.batches) <= 50


def test_events_that_come_one_by_one_on_a_running_worker_are_read_at_once(topics: Settings) -> None:
    shop = producer(topics)

    def emit() -> None:
        for number in range(30):
            shop.send(topics.events_topic, value=b"%d" % number, partition=number % 3).get(PATIENCE)

    _, job = consume(
        topics, lambda ownership, job: sum(map(len, map(job.values, range(3)))) == 30, meanwhile=emit
    )
    shop.close()
    assert job.values(1) == [b"%d" % number for number in range(1, 30, 3)]


def test_reading_starts_at_the_earliest_offset_that_is_left(topics: Settings) -> None:
    shop = producer(topics)
    for number in range(100):
        shop.send(topics.events_topic, value=b"%d" % number, partition=0)
    shop.close()
    delete_before(topics, 40)
    _, job = consume(topics, lambda ownership, job: len(job.values()) == 60)
    assert [int(value or b"") for value in job.values()] == list(range(40, 100))


def test_events_that_expired_before_they_were_read_are_refused(topics: Settings) -> None:
    shop = producer(topics)
    for number in range(100):
        shop.send(topics.events_topic, value=b"%d" % number, partition=0)
    shop.close()
    delete_before(topics, 40)
    store = MemoryStore()
    store.claim(0, None, PartitionRecord(1, bytes(16), 39, NO_WATERMARK, 3))
    with pytest.raises(OffsetOutsideLog, match="next one to read is 39"):
        consume(topics, lambda ownership, job: False, store)


def delete_before(settings: Settings, offset: int) -> None:
    client = KafkaAdminClient(bootstrap_servers=settings.kafka)
    client.delete_records({TopicPartition(settings.events_topic, 0): offset})
    client.close()


def test_a_partition_that_arrives_corrupt_waits_and_is_shown_while_the_others_go_on(
    topics: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def corrupted(raw: bytes) -> LenientRecords:
        return LenientRecords(raw if healed.is_set() else raw.replace(b"corrupt", b"corrupT"))

    healed = threading.Event()
    write_each(topics, 0, [b"whole", b"corrupt", b"behind"])
    write_each(topics, 1, [b"other"])
    monkeypatch.setattr("stream.kafka.parsing.LenientRecords", corrupted)
    shown: list[str] = []

    def until(ownership: Ownership, job: Collecting) -> bool:
        if ownership.trouble and job.values(1):
            shown.append(ownership.trouble)
            healed.set()
        return job.values(0)[-1:] == [b"behind"] and ownership.ready

    _, job = consume(topics, until, ready=False)  # what is corrupt may show before
    assert (job.values(0), job.values(1)) == ([b"whole", b"corrupt", b"behind"], [b"other"])
    assert f"{topics.events_topic}-0 cannot be read from offset 1 on: the batch at offsets 1 to 1" in shown[0]
    assert sum("cannot be read from offset 1" in message for message in caplog.messages) == 1


def write_each(settings: Settings, partition: int, values: list[bytes]) -> None:
    """Write values, each in a batch of its own."""
    producer = KafkaProducer(bootstrap_servers=settings.kafka)
    for value in values:
        producer.send(settings.events_topic, value, partition=partition).get(timeout=PATIENCE)
    producer.close()
