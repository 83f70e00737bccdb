"""State exactly once, with workers that are processes and servers that are real: whatever is killed."""

from __future__ import annotations

import itertools
import random
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from aiokafka import ConsumerRecord
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from features import state
from features.exceptions import StoreConflict, StoreError, UnreadableRecord
from features.store import redis_store
from features.store.customer_store import Pending, Save, TimerChanges
from features.store.offer_store import OfferStore
from features.store.partition_record import PartitionRecord, check_guard
from features.store.redis_store import RedisStore
from stream.services.embedded import RedisServer
from stream.settings import Settings
from tests.features.store.contract import StoreContract, WriteItems, claimed, record, states
from tests.features.store.price_contract import PriceContract
from tests.features.store.timer_contract import TimerContract, due, timed
from tests.integration.workers import PATIENCE, until
from tests.stream.fakes import truth

ROOT = Path(__file__).parents[2]
EVENTS = 30_000
CUSTOMERS = [f"c{number}" for number in range(1_000)]
PARTITIONS = 3


class TestRedisStore(StoreContract, TimerContract, PriceContract):
    @pytest.fixture
    def store(self, settings: Settings) -> Iterator[RedisStore]:
        store = RedisStore(settings.redis_url, f"*[{settings.redis_prefix}?")  # as odd as a prefix may be
        yield store
        store.close()

    @pytest.fixture
    def write_items(self, settings: Settings) -> Iterator[WriteItems]:
        with closing(OfferStore(settings.redis_url, f"*[{settings.redis_prefix}?")) as store:
            yield store.write_items

    def test_a_claim_between_watch_and_exec_voids_timers_and_outbox_too(
        self, store: RedisStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mine, theirs = claimed(store), record(2)
        timed(store, mine, {"ada": 10})
        store.save(3, mine, mine, (), state.empty(0), outbox=b"mine")

        def passed(partition: int, stored: bytes | None, expected: PartitionRecord | None) -> None:
            check_guard(partition, stored, expected)
            monkeypatch.setattr(redis_store, "check_guard", check_guard)
            store.claim(partition, mine, theirs)

        monkeypatch.setattr(redis_store, "check_guard", passed)
        with pytest.raises(StoreConflict) as conflict:
            store.save(
                3, mine, mine, ["ada"], states(2), timers=TimerChanges(["ada"], [50]), outbox=b"another"
            )
        assert conflict.value.found == theirs
        assert store.pending(3, theirs) == Pending(b"mine", 10)
        assert due(store, theirs, 100) == (["ada"], 0)

    @pytest.mark.parametrize("by", ["us", "Redis"])
    def test_a_save_whose_connection_is_gone_is_prepared_again_and_still_guarded(
        self, store: RedisStore, settings: Settings, by: str
    ) -> None:
        mine, theirs = claimed(store), record(2)
        save = Save(3, mine, mine._replace(next_offset=5), ["ada"], states(1))

        pool: Any = store._redis.connection_pool
        pool.disconnect()
        pool.reset()
        pool.connection_kwargs["client_name"] = settings.redis_prefix

        def cut() -> None:
            if by == "us":
                pool.disconnect()
                return
            with redis.Redis.from_url(settings.redis_url) as server:  # others use it, too
                ours = [one["id"] for one in server.client_list() if one["name"] == settings.redis_prefix]
                assert ours
                for number in ours:
                    server.client_kill_filter(_id=number)

        prepared = store.prepare([save])
        store.claim(3, mine, theirs)
        cut()
        assert isinstance(prepared.commit({3})[3], StoreConflict)
        assert (store.record(3), store.peek(3, "ada")) == (theirs, None)
        mine, save = theirs, save._replace(expected=theirs, new=theirs._replace(next_offset=5))
        prepared = store.prepare([save])
        cut()
        assert prepared.commit({3}) == {}
        assert store.record(3) == save.new

    def test_what_one_command_of_a_save_is_refused_with_is_not_passed_over(
        self, store: RedisStore, settings: Settings
    ) -> None:
        mine = claimed(store)
        timed(store, mine, {"ada": 10})
        server = redis.Redis.from_url(settings.redis_url)
        keys = [key for key in server.scan_iter() if settings.redis_prefix.encode() in key]
        (timers,) = [key for key in keys if server.type(key) == b"zset"]
        server.set(timers, b"of another program")
        with pytest.raises(StoreError, match="WRONGTYPE"):
            timed(store, mine, {"bert": 20})

    def test_a_damaged_outbox_is_not_published(self, store: RedisStore, settings: Settings) -> None:
        mine = claimed(store)
        store.save(3, mine, mine, (), state.empty(0), outbox=b"mine")
        server = redis.Redis.from_url(settings.redis_url)
        (key,) = [
            key
            for key in server.scan_iter()
            if settings.redis_prefix.encode() in key and key.endswith(b".3}:outbox")
        ]
        server.setrange(key, 0, b"y")
        with pytest.raises(UnreadableRecord, match="redis-cli DEL .*outbox"):
            store.pending(3, mine)


class Shop:
    """A topic full of events, a Redis that may be killed, and workers."""

    def __init__(self, settings: Settings, server: RedisServer, directory: Path) -> None:
        self.settings, self.server, self.directory = settings, server, directory
        self.topic, self.prefix, self.group = settings.events_topic, settings.redis_prefix, settings.group
        self.store = RedisStore(server.url, self.prefix)
        self.workers: list[subprocess.Popen[str]] = []
        self._numbers = itertools.count()
        self._ends: dict[int, int] = {}

    def emit(self, count: int = EVENTS, seed: int = 1) -> None:
        chance = random.Random(seed)
        producer = KafkaProducer(bootstrap_servers=self.settings.kafka, linger_ms=20)
        for number in range(count):
            at = chance.randrange(len(CUSTOMERS))
            producer.send(
                self.topic, key=CUSTOMERS[at].encode(), value=b"%d" % number, partition=at % PARTITIONS
            )
        producer.flush()
        producer.close()

    def start(self, pause: float = 0.004, batch_max: int = 100) -> subprocess.Popen[str]:
        number = next(self._numbers)
        arguments = (
            self.settings.kafka, self.server.url, self.prefix, self.group, self.topic,
            str(self.directory / f"journal{number}"), str(batch_max), str(pause),
        )  # fmt: skip
        with (self.directory / f"log{number}").open("w") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.counting_worker", *arguments],
                cwd=ROOT, stdout=log, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
        self.workers.append(worker)
        return worker

    def end(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
            worker.communicate()
        self.store.close()

    def saved(self) -> int:
        """Return how many offsets are saved over all partitions."""
        try:
            records = [self.store.record(partition) for partition in range(PARTITIONS)]
        except Exception:  # noqa: BLE001 (a Redis that is down has saved nothing that counts)
            return 0
        return sum(record.next_offset for record in records if record)

    def owners(self) -> int:
        """Return how many workers' tokens the records carry."""
        records = [self.store.record(partition) for partition in range(PARTITIONS)]
        return len({record.token for record in records if record})

    def logs(self) -> str:
        return "".join(log.read_text() for log in sorted(self.directory.glob("log*")))

    def ends(self) -> dict[int, int]:
        consumer = KafkaConsumer(bootstrap_servers=self.settings.kafka)
        tps = [TopicPartition(self.topic, partition) for partition in range(PARTITIONS)]
        ends = {tp.partition: end for tp, end in consumer.end_offsets(tps).items()}
        consumer.close()
        return ends

    def finish(self) -> None:
        ends = sum(self.ends().values())
        until(lambda: self.saved() == ends, "all events are saved")

    def assert_exact(self) -> None:
        """Every event was counted once and in order, and processed at least once."""
        records = self.records()
        for partition, events in records.items():
            expected = truth(events)
            customers = sorted(expected)
            states = self.store.load(partition, customers)
            found = {
                customer: (int(row["events"]), int(np.uint64(row["event_ids"][0])))
                for customer, row in zip(customers, states, strict=True)
            }
            assert found == expected
        processed = defaultdict(set)
        for journal in self.directory.glob("journal*"):
            for line in journal.read_text().splitlines():
                partition, start, stop = map(int, line.split())
                processed[partition].update(range(start, stop))
        assert {p: {e.offset for e in events} - processed[p] for p, events in records.items()} == {
            p: set() for p in records
        }

    def records(self) -> dict[int, list[ConsumerRecord[bytes, bytes]]]:
        """Return what a plain consumer reads."""
        consumer = KafkaConsumer(
            bootstrap_servers=self.settings.kafka,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            group_id=None,
        )
        tps = [TopicPartition(self.topic, partition) for partition in range(PARTITIONS)]
        consumer.assign(tps)
        ends = consumer.end_offsets(tps)
        found: dict[int, list[ConsumerRecord[bytes, bytes]]] = {tp.partition: [] for tp in tps}
        while any(consumer.position(tp) < ends[tp] for tp in tps):
            for tp, records in consumer.poll(200).items():
                found[tp.partition] += records
        consumer.close()
        return found


@pytest.fixture
def shop(topics: Settings, tmp_path: Path) -> Iterator[Shop]:
    with RedisServer(tmp_path / "redis") as server:
        shop = Shop(topics, server, tmp_path)
        try:
            yield shop
        finally:
            shop.end()


def play(shop: Shop, scenes: list[str], seed: int) -> None:
    """Play scene after scene, each when a random share of the events has been saved since the last."""
    chance = random.Random(seed)
    alive: list[subprocess.Popen[str]] = []
    for scene in scenes:
        match scene:
            case "join":
                alive.append(shop.start())
            case "kill":
                alive.pop(0).send_signal(signal.SIGKILL)
            case "stop":
                worker = alive.pop(0)
                worker.send_signal(signal.SIGTERM)
                assert worker.wait(PATIENCE) == 0
            case "freeze":
                alive[0].send_signal(signal.SIGSTOP)
                until(lambda: shop.owners() == 1, "the other worker has taken over what the frozen one had")
                continue
            case "thaw":
                alive[0].send_signal(signal.SIGCONT)
            case "snapshot":
                redis.Redis.from_url(shop.server.url).save()
            case "kill redis":
                shop.server.kill()
                shop.server.start()
            case "finish":
                shop.finish()
                continue
        goal = shop.saved() + chance.randrange(EVENTS // 40, EVENTS // 10)
        until(lambda goal=goal: shop.saved() >= min(goal, EVENTS), f"events are saved after {scene!r}")  # type: ignore[misc]


@pytest.mark.parametrize(
    "scenes",
    [
        # One of each kind: tests/simulation tries the orders.
        ["join", "join", "kill", "join", "kill", "join", "stop", "finish"],
        ["join", "join", "freeze", "thaw", "finish"],
        ["join", "join", "snapshot", "kill", "kill redis", "join", "snapshot", "kill redis", "finish"],
    ],
    ids=", ".join,
)
def test_every_event_is_counted_once_in_order_and_none_goes_unprocessed(
    shop: Shop, scenes: list[str], seed: int
) -> None:
    shop.emit()
    play(shop, scenes, seed)
    shop.assert_exact()
    if "kill redis" in scenes:
        assert "fell back" in shop.logs(), "Redis lost nothing, so nothing was shown"


def test_a_stopped_worker_has_committed_what_it_saved_and_left_the_group(shop: Shop) -> None:
    shop.emit(2_000)
    worker = shop.start(pause=0.0)
    shop.finish()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE) == 0
    consumer = KafkaConsumer(bootstrap_servers=shop.settings.kafka, group_id=shop.group)
    committed = {p: consumer.committed(TopicPartition(shop.topic, p)) for p in range(PARTITIONS)}
    consumer.close()
    assert committed == shop.ends()
    client = admin(shop)
    group = client.describe_groups([shop.group])[shop.group]
    client.close()
    assert (group["group_state"], group["members"]) == ("Empty", []), "the next one waits for its session"
    shop.emit(100, seed=2)
    shop.start(pause=0.0)
    shop.finish()
    shop.assert_exact()


def admin(shop: Shop) -> KafkaAdminClient:
    return KafkaAdminClient(bootstrap_servers=shop.settings.kafka)


def lose_redis(shop: Shop) -> None:
    redis.Redis.from_url(shop.server.url).flushall()


def recreate_topic(shop: Shop) -> None:
    client = admin(shop)
    client.delete_topics([shop.topic])
    until(lambda: shop.topic not in client.list_topics(), "the topic is gone")
    until(lambda: _created(client, shop.topic), "the topic is there again")
    client.close()


def _created(client: KafkaAdminClient, topic: str) -> bool:
    try:
        client.create_topics([NewTopic(topic, PARTITIONS, 1)])
    except Exception:  # noqa: BLE001 (the broker is still deleting it)
        return False
    return True


def delete_topic(shop: Shop) -> None:
    client = admin(shop)
    client.delete_topics([shop.topic])
    client.close()


def more_partitions(shop: Shop) -> None:
    client = admin(shop)
    client.create_partitions({shop.topic: PARTITIONS + 2})
    until(lambda: len(client.describe_topics([shop.topic])[0]["partitions"]) > PARTITIONS, "more partitions")
    client.close()


def stop_redis(shop: Shop) -> None:
    shop.server.kill()


def name_no_broker(shop: Shop) -> None:
    shop.settings = shop.settings.model_copy(update={"kafka": "127.0.0.1:1"})


@pytest.mark.parametrize(
    ("disaster", "says"),
    [
        (lose_redis, "`intent worker --rebuild`"),
        (recreate_topic, "INTENT_REDIS_PREFIX"),
        (more_partitions, "5 partitions, but had 3"),
        (delete_topic, "`intent topics create`"),
        (stop_redis, "INTENT_REDIS"),
        (name_no_broker, "INTENT_KAFKA"),
    ],
)
def test_a_worker_that_must_not_go_on_ends_with_one_line(
    shop: Shop, disaster: Callable[[Shop], None], says: str
) -> None:
    shop.emit(500)
    worker = shop.start(pause=0.0)
    shop.finish()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE) == 0
    disaster(shop)
    worker = shop.start(pause=0.0)
    _, line = worker.communicate(timeout=PATIENCE)
    assert worker.returncode == 1
    assert line.count("\n") == 1
    assert says in line


def test_a_redis_that_loses_everything_under_a_running_worker_ends_it(shop: Shop) -> None:
    shop.emit(500)
    worker = shop.start(pause=0.0)
    shop.finish()
    consumer = KafkaConsumer(bootstrap_servers=shop.settings.kafka, group_id=shop.group)
    until(
        lambda: sum(consumer.committed(TopicPartition(shop.topic, p)) or 0 for p in range(PARTITIONS)) == 500,
        "the offsets are committed",
    )
    consumer.close()
    lose_redis(shop)
    shop.emit(10, seed=2)
    _, line = worker.communicate(timeout=PATIENCE)
    assert worker.returncode == 1
    assert "`intent worker --rebuild`" in line
