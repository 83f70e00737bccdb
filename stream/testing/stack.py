"""A real Kafka, a real Redis and a worker, and what they make of events."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from features.exceptions import StoreError
from features.store.redis_client import connect
from features.store.redis_store import RedisStore
from stream.clients.emit import EventEmitter
from stream.exceptions import ServiceError
from stream.kafka.topics import create_topics, topic_configs
from stream.logs.replay import send_records
from stream.messages.action import Action, decode_action
from stream.messages.dead_letter import DeadLetter, parse, parse_erasure
from stream.messages.score import Score
from stream.ownership.promised import unpack_outbox
from stream.settings import Settings
from stream.testing.events import AnyLog, records_of, rows_of
from stream.testing.results import ByCustomer, Messages, Results
from stream.testing.servers import Services
from stream.testing.worker_process import WorkerProcess, variables, without_settings

# The worker moves while it works; a silence this long means that it hangs.
_SILENCE_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.02
_POLL_MS: Final = 200
_PARTITION: Final = 0


class Stack:
    """A broker, Redis, topics and a worker; use it as a context manager.

    There is one partition, so that all customers have one order and one watermark. As long as the stack is there, the
    environment names it: `EventEmitter()` and `load_settings()` of the shop's own code find it.

    Parameters
    ----------
    services
        The servers.
    settings
        How to score; where the servers are, topics, keys and the group are replaced.
    folder
        For the worker's log.
    """

    def __init__(self, services: Services, settings: Settings, folder: Path) -> None:
        self.services = services
        self.settings = settings
        self._given = settings
        self._folder = folder
        self._environment: Mapping[str, str] = {}
        self._prefixes: list[str] = []
        self._worker: WorkerProcess | None = None
        self._emitter: EventEmitter | None = None
        self._store: RedisStore | None = None
        self._consumer: Any = None
        self._read = Messages()
        self._positions: dict[str, int] = {}

    @property
    def emitter(self) -> EventEmitter:
        """An emitter of the stack's own."""
        if self._emitter is None:
            self._emitter = EventEmitter(self.settings)
        return self._emitter

    @property
    def scores(self) -> ByCustomer[Score]:
        """The scores by customer, oldest first."""
        return ByCustomer(lambda: self._finished().scores)

    @property
    def actions(self) -> ByCustomer[Action]:
        """The actions by customer, oldest first, once each."""
        return ByCustomer(lambda: self._finished().by_customer())

    @property
    def letters(self) -> list[DeadLetter]:
        """What was refused."""
        return list(self._finished().letters)

    @property
    def results(self) -> Results:
        """All that has come out since the beginning, or since `renew`."""
        return Results(self.scores, self.actions, self.letters)

    @property
    def used(self) -> bool:
        """Whether anything was sent."""
        return self._end() > 0

    def replay(self, log: AnyLog) -> Results:
        """Send a log, wait until all of it is scored, and return all that has come out so far.

        Parameters
        ----------
        log
            The path of a log (Parquet, CSV or JSON lines), a table in the log's schema, or a list of events: objects,
            dictionaries, or JSON as a shop sends it.
        """
        records = records_of(log)
        if records:
            send_records(self.settings, rows_of(records))
        self.finish()
        return self.results

    def finish(self) -> None:
        """Wait until all that the events topic holds is scored, and what came of it is published.

        Raises
        ------
        ServiceError
            The worker has ended, or it makes no progress.
        """
        self._flush()
        moved, before = time.monotonic(), -1
        while not self._done():
            assert self._worker is not None
            self._worker.check()
            now = self._saved()
            if now != before:
                moved, before = time.monotonic(), now
            elif time.monotonic() - moved > _SILENCE_SECONDS:
                raise ServiceError(
                    f"the worker made no progress for {_SILENCE_SECONDS:.0f} s:\n{self._worker.tail()}"
                )
            time.sleep(_LOOK_SECONDS)

    def renew(self) -> None:
        """Begin again with empty topics, unknown customers and another worker."""
        self._end_worker()
        self._begin()

    def _begin(self) -> None:
        name = f"shop-test-{uuid.uuid4().hex[:8]}"
        self._prefixes.append(name)
        self.settings = self._given.model_copy(
            update={
                "topic_prefix": f"{name}.",
                "actions_topic": f"{name}.actions",
                "redis_prefix": name,
                "group": name,
                "partitions": 1,
            }
        )
        os.environ.update(variables(self.settings))
        create_topics(self.settings)
        self._worker = WorkerProcess(self.settings, self._folder)
        self._store = RedisStore(self.settings.redis_url, self.settings.redis_prefix)
        self._consumer = KafkaConsumer(
            bootstrap_servers=self.settings.kafka,
            enable_auto_commit=False,
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            **self.settings.kafka_python_security(),
        )
        self._read, self._positions = Messages(), {}
        self._worker.wait_ready()

    def _end_worker(self) -> None:
        if self._emitter is not None:
            self._emitter.close()
        for part in (self._store, self._consumer):
            if part is not None:
                part.close()
        if self._worker is not None:
            self._worker.kill()
        self._emitter = self._store = self._consumer = self._worker = None

    def __enter__(self) -> Self:
        self._environment = dict(os.environ)
        others = without_settings(os.environ)
        for name in os.environ.keys() - others.keys():
            del os.environ[name]
        try:
            self._begin()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_worker()
        os.environ.clear()
        os.environ.update(self._environment)
        if self.services.way == "external":
            for name in self._prefixes:
                _remove(self.settings, name)

    def _flush(self) -> None:
        if self._emitter is not None:
            self._emitter.flush()

    def _end(self) -> int:
        tp = TopicPartition(self.settings.events_topic, _PARTITION)
        return int(self._consumer.end_offsets([tp])[tp])

    def _saved(self) -> int:
        assert self._store is not None
        record = self._store.record(_PARTITION)
        return 0 if record is None else record.next_offset

    def _done(self) -> bool:
        """Whether all is scored and saved, and what the last save has promised is published."""
        assert self._store is not None
        end = self._end()
        if end == 0:
            return True
        try:
            record = self._store.record(_PARTITION)
            if record is None or record.next_offset != end:
                return False
            promised = self._store.pending(_PARTITION, record).outbox
        except StoreError:  # another save came in between
            return False
        if not promised:
            return True
        actions, handed = unpack_outbox(promised)
        if handed:  # to this very partition: it will move the topic's end
            return False
        self._poll()
        published = {action_id for own in self._read.actions.values() for action_id in own}
        return all(value is None or decode_action(value).action_id in published for _, value in actions)

    def _finished(self) -> Messages:
        self.finish()
        self._poll()
        return self._read

    def _poll(self) -> None:
        """Read what the topics hold by now."""
        readers = {
            self.settings.scores_topic: self._take_score,
            self.settings.dead_letters_topic: self._take_letter,
        }
        if self.settings.actions_topic:
            readers[self.settings.actions_topic] = self._take_action
        tps = [TopicPartition(topic, _PARTITION) for topic in readers]
        self._consumer.assign(tps)
        ends = self._consumer.end_offsets(tps)
        for tp in tps:
            self._consumer.seek(tp, self._positions.get(tp.topic, 0))
        left = {tp for tp, end in ends.items() if end > self._positions.get(tp.topic, 0)}
        while left:
            for tp, records in self._consumer.poll(timeout_ms=_POLL_MS).items():
                for record in records:
                    readers[tp.topic](record)
                self._positions[tp.topic] = records[-1].offset + 1
            left = {tp for tp in left if self._consumer.position(tp) < ends[tp]}

    def _take_score(self, record: Any) -> None:
        self._read.take_score(record.key.decode(), record.value)

    def _take_action(self, record: Any) -> None:
        self._read.take_action(record.key.decode(), record.value)

    def _take_letter(self, record: Any) -> None:
        if (erasure := parse_erasure(record)) is not None:
            self._read.take_erasure(erasure.key)
        elif (letter := parse(record)) is not None:
            self._read.letters.append(letter)


def _remove(settings: Settings, name: str) -> None:
    """Remove topics and keys from servers that go on."""
    mine = settings.model_copy(update={"topic_prefix": f"{name}.", "actions_topic": f"{name}.actions"})
    with KafkaAdminClient(bootstrap_servers=settings.kafka, **settings.kafka_python_security()) as admin:
        admin.delete_topics(list(topic_configs(mine)))
    with closing(connect(settings.redis_url)) as client:
        for key in client.scan_iter(match=f"{name}*"):
            client.delete(key)
