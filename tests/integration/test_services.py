"""The servers that everything else is tested with, and the topics on them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from features.durations import duration_ms
from stream.exceptions import BrokerError, BrokerUnavailable, ServiceError, TopicMismatch
from stream.kafka.topics import check_retention, create_topics
from stream.services.embedded import java, kafka_jars
from stream.services.folder_lock import FolderLock
from stream.services.prepared import PreparedBroker
from stream.services.preparing import prepare
from stream.services.process import free_port
from stream.services.services import EmbeddedServices, KafkaServer, RedisServer
from stream.settings import Settings
from stream.testing.servers import Services


def _records(kafka: str, topic: str, partition: int = 0) -> list[bytes]:
    consumer = KafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False)
    try:
        there = TopicPartition(topic, partition)
        consumer.assign([there])
        consumer.seek_to_beginning(there)
        end, values = consumer.end_offsets([there])[there], []
        while consumer.position(there) < end:
            for records in consumer.poll(timeout_ms=1_000).values():
                values += [record.value for record in records]
        return values
    finally:
        consumer.close()


def _produce(kafka: str, topic: str, value: bytes) -> None:
    producer = KafkaProducer(bootstrap_servers=kafka, max_request_size=8 << 20)
    try:
        producer.send(topic, value=value, partition=0).get(timeout=30)
    finally:
        producer.close()


def test_a_record_comes_back_from_kafka(topics: Settings) -> None:
    _produce(topics.kafka, topics.events_topic, b"hello")
    assert _records(topics.kafka, topics.events_topic) == [b"hello"]


def test_a_value_comes_back_from_redis(services: Services) -> None:
    with redis.Redis.from_url(services.redis) as client:
        client.set("test-services", b"\x00\xff")
        assert client.get("test-services") == b"\x00\xff"
        assert client.delete("test-services") == 1


def test_topics_are_created_once_and_found_again(settings: Settings) -> None:
    names = [
        settings.events_topic,
        settings.scores_topic,
        settings.dead_letters_topic,
        settings.examples_topic,
        settings.outcomes_topic,
        settings.alerts_topic,
        settings.actions_topic,
    ]
    assert create_topics(settings) == [(name, 3, True, None) for name in names]
    assert create_topics(settings) == [(name, 3, False, None) for name in names]


def test_topics_are_configured_for_their_use(topics: Settings) -> None:
    with KafkaAdminClient(bootstrap_servers=topics.kafka) as admin:
        names = (topics.events_topic, topics.scores_topic, topics.dead_letters_topic)
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        found = admin.describe_configs(resources, config_filter="all")["topic"]
    events, scores, letters = (found[name] for name in names)
    assert events["message.timestamp.type"]["value"] == "LogAppendTime"
    assert set(scores["cleanup.policy"]["value"].split(",")) == {"compact", "delete"}
    assert int(letters["max.message.bytes"]["value"]) > int(events["max.message.bytes"]["value"])


def test_a_longer_horizon_lengthens_what_the_learner_waits_with(topics: Settings) -> None:
    month = timedelta(days=30)
    check_retention(topics, topics.horizon)
    with pytest.raises(
        TopicMismatch,
        match="keeps records for 7 d.*labels need 37 d.*`intent topics create --bundle .*bundle",
    ):
        check_retention(topics, month)
    longer = {
        one.topic: one.lengthened for one in create_topics(topics.model_copy(update={"horizon": month}))
    }
    needed = duration_ms(month + topics.lateness + timedelta(days=7))
    assert {name for name, ms in longer.items() if ms} == {topics.examples_topic, topics.outcomes_topic}
    assert longer[topics.examples_topic] == needed
    check_retention(topics, month)
    assert not any(one.lengthened for one in create_topics(topics))
    check_retention(topics, month)


def test_a_dead_letter_may_be_larger_than_any_event(topics: Settings) -> None:
    value = bytes(1_100_000)
    with pytest.raises(Exception, match="MessageSizeTooLarge|larger"):
        _produce(topics.kafka, topics.events_topic, value)
    _produce(topics.kafka, topics.dead_letters_topic, value)
    assert _records(topics.kafka, topics.dead_letters_topic) == [value]


def test_another_partition_count_is_refused(topics: Settings) -> None:
    with pytest.raises(TopicMismatch, match="has 3.* INTENT_PARTITIONS is 4"):
        create_topics(topics.model_copy(update={"partitions": 4}))


def test_an_events_topic_without_the_brokers_time_is_refused(settings: Settings) -> None:
    with KafkaAdminClient(bootstrap_servers=settings.kafka) as admin:
        admin.create_topics({settings.events_topic: {"num_partitions": 3, "replication_factor": 1}})
        admin.wait_for_topics([settings.events_topic])
    with pytest.raises(TopicMismatch, match=r"message\.timestamp\.type=CreateTime"):
        create_topics(settings)


def test_more_replicas_than_brokers_are_refused_in_one_line(settings: Settings) -> None:
    with pytest.raises(BrokerError, match="replication factor of 9") as refused:
        create_topics(settings.model_copy(update={"replication": 9}))
    assert "\n" not in str(refused.value)


def test_a_topic_is_not_made_by_naming_it(settings: Settings) -> None:
    with KafkaAdminClient(bootstrap_servers=settings.kafka) as admin:
        admin.describe_topics([settings.events_topic])
        assert settings.events_topic not in admin.list_topics()


def test_a_broker_that_is_not_there_is_named(settings: Settings) -> None:
    kafka = f"localhost:{free_port()}"
    with pytest.raises(BrokerUnavailable, match=f"no Kafka broker answers at {kafka}"):
        create_topics(settings.model_copy(update={"kafka": kafka}))


# Embedded servers, whatever the others are


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[KafkaServer]:
    with KafkaServer(tmp_path / "kafka") as server:
        yield server


def test_kafka_keeps_its_records_over_a_stop_and_a_crash(broker: KafkaServer) -> None:
    settings = Settings(_env_file=None, kafka=broker.address, partitions=1)
    create_topics(settings)
    _produce(broker.address, settings.events_topic, b"before")
    broker.stop()
    assert not broker.running
    broker.start()
    _produce(broker.address, settings.events_topic, b"between")
    broker.kill()
    broker.start()
    assert _records(broker.address, settings.events_topic) == [b"before", b"between"]


def test_what_java_unpacks_is_in_the_brokers_folder_and_gone_at_its_next_start(broker: KafkaServer) -> None:
    def unpacked() -> list[Path]:
        return list(broker.directory.rglob("*.so"))

    settings = Settings(_env_file=None, kafka=broker.address, partitions=1)
    create_topics(settings)
    producer = KafkaProducer(bootstrap_servers=broker.address, compression_type="lz4")
    try:
        producer.send(settings.events_topic, value=bytes(1_000)).get(timeout=30)
    finally:
        producer.close()
    broker.kill()
    assert unpacked()
    broker.start()
    assert not unpacked()
    assert _records(broker.address, settings.events_topic) == [bytes(1_000)]


@pytest.mark.parametrize(("appendonly", "kept"), [(True, b"1"), (False, None)])
def test_redis_keeps_over_a_crash_what_it_was_told_to_keep(
    tmp_path: Path, appendonly: bool, kept: bytes | None
) -> None:
    with RedisServer(tmp_path, appendonly=appendonly, appendfsync="always") as server:
        with redis.Redis.from_url(server.url) as client:
            client.set("a", 1)
        server.kill()
        server.start()
        with redis.Redis.from_url(server.url) as client:
            assert client.get("a") == kept


def test_redis_goes_back_to_its_last_snapshot(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        with redis.Redis.from_url(server.url) as client:
            client.set("a", "saved")
            client.save()
            client.set("a", "lost")
        server.kill()
        server.start()
        with redis.Redis.from_url(server.url) as client:
            assert client.get("a") == b"saved"


def test_a_port_is_given_once_while_its_server_is_down() -> None:
    given = [free_port() for _ in range(500)]
    assert len(set(given)) == len(given)


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "a") as first:
        with pytest.raises(ServiceError, match=rf"Redis cannot listen on 127\.0\.0\.1:{first.port}"):
            RedisServer(tmp_path / "b", first.port).start()
        assert first.running


def test_a_failed_start_shows_the_end_of_the_log(tmp_path: Path) -> None:
    with pytest.raises(
        ServiceError, match="Redis on port .* ended with exit code 1: .*Invalid save"
    ) as failed:
        RedisServer(tmp_path, save="often").start()
    assert "\n" not in str(failed.value)
    assert str(tmp_path / "redis.log") in str(failed.value)


def test_a_broker_that_cannot_start_says_why(tmp_path: Path) -> None:
    server = KafkaServer(tmp_path, properties={"num.network.threads": "none"})
    with pytest.raises(ServiceError, match=r"Invalid value none for configuration num\.network\.threads"):
        server.start()
    assert not server.running


def test_a_folder_without_jars_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTENT_KAFKA_JARS", str(tmp_path))
    with pytest.raises(ServiceError, match=f"INTENT_KAFKA_JARS: no kafka_2.* in {tmp_path}"):
        EmbeddedServices().start()


def test_jars_of_a_folder_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for jar in kafka_jars():
        (tmp_path / jar.name).symlink_to(jar)
    monkeypatch.setenv("INTENT_KAFKA_JARS", str(tmp_path))
    with EmbeddedServices(tmp_path / "data") as embedded:
        assert create_topics(Settings(_env_file=None, kafka=embedded.kafka))[0].created


def test_without_the_network_the_message_names_the_other_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    import jgo

    def resolve(*_: object) -> None:
        raise ConnectionError("Max retries exceeded\nand more lines")

    monkeypatch.setattr(jgo, "resolve", resolve)
    with pytest.raises(
        ServiceError, match="INTENT_KAFKA and INTENT_REDIS.*docker compose.*INTENT_KAFKA_JARS"
    ) as no:
        kafka_jars()
    assert "\n" not in str(no.value)


_ABANDON = """
import os, signal, sys
from stream.services.services import RedisServer
server = RedisServer(sys.argv[1]).start()
print(server.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_servers_die_with_the_process_that_started_them(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _ABANDON, str(tmp_path)]
    parent = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert parent.returncode == -signal.SIGKILL, parent.stderr
    assert _gone(int(parent.stdout))


def _gone(pid: int) -> bool:
    """Wait up to ten seconds for the end of a process that is no child of this one."""
    stopwatch = subprocess.run(
        [
            "/bin/sh",
            "-c",
            f"for _ in $(seq 100); do kill -0 {pid} 2>/dev/null || exit 0; sleep 0.1; done; exit 1",
        ],
        check=False,
    )
    return stopwatch.returncode == 0


def test_the_services_command_prints_its_settings_and_ends_on_sigterm(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from stream.cli import main; main()", "services"]
    with subprocess.Popen(
        [*command, "--directory", str(tmp_path), "--kafka-port", "0", "--redis-port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("INTENT_")},
    ) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(2)]
            exports = dict(line.removeprefix("export ").strip().split("=", 1) for line in lines)
            settings = Settings(_env_file=None, kafka=exports["INTENT_KAFKA"], redis=exports["INTENT_REDIS"])
            assert [topic.created for topic in create_topics(settings)] == [False] * 7
            with redis.Redis.from_url(settings.redis_url) as client:
                assert client.ping()
        finally:
            for _ in range(2):  # as GNU timeout does: to the process, and to its group
                process.terminate()
            _, remarks = process.communicate(timeout=60)
    assert process.returncode == 0
    assert remarks.splitlines()[-1] == "Stopping Kafka and Redis."


def test_two_services_do_not_share_a_folder(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    with pytest.raises(ServiceError, match=f"{tmp_path} is in use by process {os.getpid()}: stop it"):
        EmbeddedServices(tmp_path).start()
    lock.release()
    FolderLock(tmp_path).release()


def test_a_taken_port_names_the_option(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = RedisServer(tmp_path, taken.getsockname()[1])
        with pytest.raises(ServiceError, match="--redis-port 0"):
            server.start()


def test_ports_that_are_taken_are_all_named_before_anything_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        kafka, redis_port = one.getsockname()[1], other.getsockname()[1]
        services = EmbeddedServices(tmp_path, kafka_port=kafka, redis_port=redis_port)
        with pytest.raises(ServiceError) as raised:
            services.start()
    assert f"Kafka cannot listen on 127.0.0.1:{kafka} (" in str(raised.value)
    assert f"and Redis cannot listen on 127.0.0.1:{redis_port} (" in str(raised.value)
    assert "`intent services --kafka-port 0 --redis-port 0`, which takes free ones" in str(raised.value)
    assert not (tmp_path / "redis").exists()
    FolderLock(tmp_path).release()


def test_a_prepared_broker_starts_with_what_java_kept_and_formats_nothing(tmp_path: Path) -> None:
    prepared = PreparedBroker(prepare())
    with KafkaServer(tmp_path) as broker:
        assert str(prepared.classes) in Path(f"/proc/{broker.pid}/maps").read_text()
        assert "Formatting" not in broker.log.read_text()
        with KafkaAdminClient(bootstrap_servers=broker.address) as admin:
            admin.create_topics({"kept": {"num_partitions": 1, "replication_factor": 1}})
            admin.wait_for_topics(["kept"])
        _produce(broker.address, "kept", b"hello")
        assert _records(broker.address, "kept") == [b"hello"]


def test_a_cache_that_java_cannot_use_only_costs_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    prepared = PreparedBroker.of(java(), kafka_jars())
    assert prepared is not None
    prepared.folder.mkdir(parents=True)
    prepared.classes.write_bytes(b"damaged")
    with KafkaServer(tmp_path / "broker") as broker:
        assert broker.answers()


def test_another_jar_is_another_preparation(tmp_path: Path) -> None:
    jar = tmp_path / "a.jar"
    jar.write_bytes(b"1")
    before = PreparedBroker.of(java(), [jar])
    again = PreparedBroker.of(java(), [jar])
    jar.write_bytes(b"12")
    other = PreparedBroker.of(java(), [jar])
    assert before is not None
    assert again is not None
    assert other is not None
    assert before.folder == again.folder != other.folder


def test_a_broker_starts_where_nobody_knows_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jars = kafka_jars()  # in a cache of their own

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.setattr("stream.services.preparing.kafka_jars", lambda: jars)
    with KafkaServer(tmp_path, jars=jars) as broker:
        assert broker.answers()
    with pytest.raises(ServiceError, match="set XDG_CACHE_HOME"):
        prepare()
