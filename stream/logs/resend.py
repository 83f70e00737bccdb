"""Send dead letters to the events topic again, each once.

What has been sent again is remembered by a consumer group, whose offsets are committed in the same transaction
as the records: a run that breaks off repeats nothing and loses nothing. Letters of one reason can be sent
before those of another: the offset is that of the reason that is behind, its metadata name those ahead of it, and the
topic's id: in a topic that was created again, nothing has been sent yet.
Kafka forgets offsets some time after the last run (``offsets.retention.minutes``, by default 7 days, while
letters are kept for 30): after that, a run sends all letters again that are still there.

**A letter that is refused again comes back** as a new dead letter, which the next run sends once more. One
run never meets its own returns: it ends where the topic ended when it began. So mend the cause first, and
name the reason that was mended: an event that is not JSON stays that way, and a late one only gets later.

Of a letter that was cut, the original record is sent, from where the letter says that it stood, as long as its topic
keeps it, its hash is the letter's, and it fits into a message when it is compressed. Else the letter cannot be sent
again, and is counted. A letter of a customer who was erased since is not sent. A record that was refused
for header names that are not UTF-8 is sent with the names escaped, and so is no longer refused.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, cast

import kafka.errors
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import ProducerFenced
from aiokafka.structs import OffsetAndMetadata
from kafka import KafkaAdminClient
from kafka import TopicPartition as KafkaPartition
from kafka.structs import OffsetAndMetadata as KafkaOffset

from features.causes import cause
from features.identity import is_hand_over
from features.partition import partitions_of
from features.prices import is_price_copy
from features.refusals import NO_EVENTS, Reason
from stream.exceptions import ANSWER_SECONDS, BrokerError
from stream.kafka.broker import broker_errors
from stream.kafka.reading import TopicReader
from stream.kafka.records import ARRIVED_AT
from stream.logs.letters import is_erased, read_erasures
from stream.logs.originals import Originals
from stream.messages.dead_letter import DeadLetter, parse, parse_erasure
from stream.settings import Settings

# Letters of the learner's topics are no events, and stay where they are.
_REASONS: Final = [str(known) for known in Reason if known not in NO_EVENTS]

_log = logging.getLogger(__name__)

# One transaction, or one look at what earlier ones remember. It takes milliseconds, and aiokafka never gives up:
# it repeats what the broker refuses for the time being.
_STEP_SECONDS: Final = 30.0
# The broker ends a transaction that takes longer. Ours ends sooner: else that would look like another run.
_TRANSACTION_MS: Final = 60_000
# Undoing and stopping wait for the broker too.
_STOP_SECONDS: Final = 5.0
# Between two looks for a coordinator that is not there yet.
_RETRY_SECONDS: Final = 0.2
_NO_TRANSACTIONS: Final = (
    "Kafka at {} answers, but has finished no transaction within {:g} s{}: look whether the broker reaches itself "
    "at the address that its inter-broker listener advertises, and whether there are as many brokers as "
    "transaction.state.log.replication.factor and offsets.topic.replication.factor ask for; then run again, "
    "nothing is sent twice"
)
# A record before it is compressed. The broker judges by what is left then, and takes 1 MiB (`stream.kafka.topics`).
_REQUEST_BYTES: Final = 64 * 1024 * 1024
_COMPRESSED_BYTES: Final = 1_000_000
# In the metadata of an offset: the id of the topic whose letters were sent.
_TOPIC: Final = "topic"


@dataclass(slots=True)
class ResendReport:
    """What became of the dead letters.

    Attributes
    ----------
    sent
        Letters sent again, by reason.
    already
        Letters that earlier runs have sent, or have left out for one of the reasons below.
    erased
        Letters of customers who were erased since, by reason. They are not looked at again.
    foreign
        Records that are no dead letters.
    gone
        Letters that cannot be sent again, by reason: they were cut and their original record is no longer there, or is
        too large, or only a worker writes it. They are not looked for again.
    """

    sent: dict[str, int] = field(default_factory=dict)
    already: int = 0
    erased: dict[str, int] = field(default_factory=dict)
    foreign: int = 0
    gone: dict[str, int] = field(default_factory=dict)


def resend(
    settings: Settings,
    *,
    reason: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> ResendReport:
    """Send dead letters that have not been sent again yet; they arrive now.

    The key and value are the original bytes and the headers the original ones, save the arrival; the
    partition is the key's own, which heals a wrong one.

    Parameters
    ----------
    reason
        Only letters with this reason; by default all.

    Raises
    ------
    BrokerError
        Kafka does not answer or takes no transactions, or another run has taken over.
    """
    clients, heard = [logging.getLogger(name) for name in ("aiokafka", "kafka")], _Heard()
    for client in clients:
        client.addHandler(heard)
    try:
        return asyncio.run(_resend(settings, reason, on_progress, heard))
    finally:
        for client in clients:
            client.removeHandler(heard)


class _Heard(logging.Handler):
    """Keeps the clients' latest warning: they give one at every repetition, a reader needs the last one.

    Where a program has set up logging, all of them are logged too.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.latest = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message."""
        self.latest = f" ({' '.join(record.getMessage().split())})"


async def _resend(
    settings: Settings,
    reason: str | None,
    on_progress: Callable[[int, int], None] | None,
    heard: _Heard,
) -> ResendReport:
    asyncio.get_running_loop().set_exception_handler(_told_already)
    report, sent, gone, erased = ResendReport(), Counter[str](), Counter[str](), Counter[str]()
    reasons = [reason] if reason is not None else _REASONS
    async with (
        _Again(settings, heard) as again,
        TopicReader(settings, settings.dead_letters_topic) as reader,
        Originals(settings) as originals,
    ):
        erasures = await read_erasures(settings)
        passed = await again.passed(reader.begins, reader.topic_id)
        starts = {number: min(offsets[name] for name in reasons) for number, offsets in passed.items()}
        async for partition, records in reader.read(starts, on_progress):
            letters: list[DeadLetter] = []
            for record in records:
                letter = parse(record)
                if letter is None:
                    report.foreign += parse_erasure(record) is None
                elif letter.reason in reasons and record.offset < passed[partition][letter.reason]:
                    report.already += 1
                elif letter.reason in reasons and is_erased(letter, erasures):
                    erased[letter.reason] += 1
                elif letter.reason in reasons:
                    letters.append(letter)
            whole = [_sendable(await originals.whole(letter)) for letter in letters]
            gone.update(letter.reason for letter, found in zip(letters, whole, strict=True) if found is None)
            letters = [letter for letter in whole if letter is not None]
            stop = records[-1].offset + 1
            reached = {name: max(passed[partition][name], stop) for name in reasons}
            await again.send(partition, letters, passed[partition] | reached)
            passed[partition] |= reached
            sent.update(letter.reason for letter in letters)
    report.sent, report.gone, report.erased = (dict(sorted(c.items())) for c in (sent, gone, erased))
    return report


def _told_already(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Keep back the errors of futures for which nobody waits any more: the first one has ended the run."""
    _log.debug("%s", context.get("message"), exc_info=context.get("exception"))


def _sendable(letter: DeadLetter | None) -> DeadLetter | None:
    """Return the letter if the broker takes it as a record, and so would a worker."""
    if letter is None or is_hand_over(letter.value or b"") or is_price_copy(letter.value or b""):
        return None  # what came later from the same partition was taken meanwhile, and only workers know where it goes
    fields = [letter.key or b"", letter.value or b""]
    fields += [name.encode() + (value or b"") + bytes(2) for name, value in letter.original_headers]
    size = sum(map(len, fields))
    if size > _REQUEST_BYTES or (size > _COMPRESSED_BYTES and _gzipped(b"".join(fields)) > _COMPRESSED_BYTES):
        return None
    return letter


def _gzipped(raw: bytes) -> int:
    return len(gzip.compress(raw))


class _Again:
    """A transactional producer of records, and of the offsets of the group that remembers them."""

    def __init__(self, settings: Settings, heard: _Heard) -> None:
        self._settings = settings
        self._heard = heard
        self._topic = settings.dead_letters_topic
        self._topic_id = ""
        self._partitions = 0
        self._producer: AIOKafkaProducer | None = None
        # One group for all reasons: aiokafka tells the broker of the first group of a transaction only, and a
        # second one's offsets are refused unless they happen to lie on the same partition as the first one's.
        self._group = f"{self._topic}-resend"

    async def __aenter__(self) -> _Again:
        async with TopicReader(self._settings, self._settings.events_topic) as events:
            self._partitions = events.partitions
        producer = AIOKafkaProducer(
            bootstrap_servers=self._settings.kafka,
            client_id="intent-resend",
            # One run at a time: a second one fences the first, whose open transaction is void.
            transactional_id=f"{self._settings.dead_letters_topic}-resend",
            transaction_timeout_ms=_TRANSACTION_MS,
            max_request_size=_REQUEST_BYTES,
            compression_type="gzip",  # a record that was cut came compressed, too
            **self._settings.aiokafka_security(),
        )
        try:
            async with self._bounded():
                await producer.start()
        except BaseException:
            await producer.stop()  # at once: nothing has been sent
            raise
        self._producer = producer
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        producer = self._sending()
        if not await _ends(producer.stop()):  # it waits for records that the broker refuses
            await producer.client.close()

    async def passed(self, begins: dict[int, int], topic_id: str) -> dict[int, dict[str, int]]:
        """Return by partition and reason the offset before which all letters of this topic have been sent."""
        self._topic_id = topic_id
        partitions = [KafkaPartition(self._topic, number) for number in begins]
        async with self._bounded():
            while True:
                try:
                    committed = await asyncio.to_thread(self._committed, partitions)
                except kafka.errors.KafkaError as error:
                    if not error.retriable:
                        raise BrokerError(f"Kafka at {self._settings.kafka} refused: {error}") from error
                    self._heard.latest = f" ({cause(error)})"
                    await asyncio.sleep(_RETRY_SECONDS)
                else:
                    break
        return {
            tp.partition: {name: max(at, begins[tp.partition]) for name, at in self._unpack(found).items()}
            for tp, found in committed.items()
        }

    def _committed(self, partitions: list[KafkaPartition]) -> dict[KafkaPartition, KafkaOffset]:
        """Ask kafka-python: to aiokafka a coordinator that is still loading looks like one without offsets."""
        with KafkaAdminClient(
            bootstrap_servers=self._settings.kafka,
            client_id="intent-resend",
            bootstrap_timeout_ms=int(ANSWER_SECONDS * 1000),
            request_timeout_ms=int(ANSWER_SECONDS * 1000),
            **self._settings.kafka_python_security(),
        ) as admin:
            found: dict[KafkaPartition, KafkaOffset] = admin.list_group_offsets({self._group: partitions})[
                self._group
            ]
            return found

    def _unpack(self, committed: KafkaOffset) -> dict[str, int]:
        offset = max(committed.offset, 0)  # -1: none
        try:
            ahead = dict(json.loads(committed.metadata or "{}"))
        except (TypeError, ValueError) as error:
            raise BrokerError(
                f"group {self._group} has an offset of another program ({committed.metadata!r}): delete the "
                "group, and all dead letters that are still there are sent again"
            ) from error
        known = ahead.pop(_TOPIC, "")
        if known and self._topic_id and known != self._topic_id:
            _log.warning("%s was created again: none of its letters has been sent", self._topic)
            offset, ahead = 0, {}
        return {name: offset for name in _REASONS} | ahead

    def _pack(self, passed: dict[str, int]) -> OffsetAndMetadata:
        offset = min(passed.values())
        told: dict[str, int | str] = {name: at for name, at in passed.items() if at > offset}
        if self._topic_id:
            told[_TOPIC] = self._topic_id
        return OffsetAndMetadata(offset, json.dumps(told) if told else "")

    async def send(self, partition: int, letters: list[DeadLetter], passed: dict[str, int]) -> None:
        """Send letters of one partition, and remember by reason the offset before which all are sent."""
        producer = self._sending()
        async with self._bounded(), self._transaction():
            for letter in letters:
                await producer.send(
                    self._settings.events_topic,
                    key=letter.key,
                    value=letter.value,
                    partition=self._partition(letter),
                    headers=[(name, value) for name, value in letter.original_headers if name != ARRIVED_AT],
                )
            offsets = {TopicPartition(self._topic, partition): self._pack(passed)}
            await producer.send_offsets_to_transaction(offsets, self._group)

    def _partition(self, letter: DeadLetter) -> int | None:
        """Return the key's partition; where there is no key, any will do to refuse the event again."""
        return None if letter.key is None else int(partitions_of([letter.key], self._partitions)[0])

    def _sending(self) -> AIOKafkaProducer:
        return cast(AIOKafkaProducer, self._producer)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        """Commit at the end, abort after an error; the broker or the next run ends what cannot be aborted."""
        producer = self._sending()
        await producer.begin_transaction()
        try:
            yield
        except BaseException:
            await _ends(producer.abort_transaction())
            raise
        await producer.commit_transaction()

    @asynccontextmanager
    async def _bounded(self) -> AsyncIterator[None]:
        """Turn errors, and a wait that takes too long, into one line."""
        with broker_errors(self._settings.kafka):
            try:
                async with asyncio.timeout(_STEP_SECONDS):
                    yield
            except TimeoutError as error:
                raise BrokerError(
                    _NO_TRANSACTIONS.format(self._settings.kafka, _STEP_SECONDS, self._heard.latest)
                ) from error
            except ProducerFenced as error:
                raise BrokerError(
                    "another run sends dead letters again: wait until it has ended, then run this again"
                ) from error


async def _ends(work: Coroutine[Any, Any, None]) -> bool:
    """Whether ``work`` ends soon, in whatever way: it cleans up after an error, which says more than its own."""
    done, _ = await asyncio.wait([asyncio.ensure_future(work)], timeout=_STOP_SECONDS)
    for task in done:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.debug("could not clean up", exc_info=error)
    return bool(done)
