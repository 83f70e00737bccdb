"""Looks at Kafka: brokers, topics, and how far consumer groups have come."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from typing import Any, Final, NamedTuple

from aiokafka.client import AIOKafkaClient
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError

from features.durations import duration_short
from features.exceptions import StoreError
from features.store.redis_store import RedisStore
from stream.checkup.finding import Finding, good, told, warning, wrong
from stream.checkup.lags import Lag, learner_lag, records_at, worker_lag
from stream.exceptions import ANSWER_SECONDS, BrokerUnavailable, SettingsError, TopicMismatch
from stream.kafka.broker import broker_errors
from stream.kafka.diagnosis import unavailable
from stream.kafka.topics import creation, topic_configs
from stream.messages.dead_letter import LETTER_BYTES
from stream.settings import Settings
from stream.texts import counted

# A broker on the same network answers within milliseconds.
_CONNECT_SECONDS: Final = 3.0
_POLL_MS: Final = 2_000
_PAUSE_SECONDS: Final = 0.2
# What the events are that a group is behind.
_BEHIND: Final = {
    "worker": "in Kafka and not scored yet",
    "learner": "scored, and not learned from yet; the learner reads what became of an event when its horizon has "
    "passed, so those of the last horizon are always there",
}
# Clocks that are set by NTP differ by less.
_CLOCK_MS: Final = 1_000


def kafka_checks(settings: Settings) -> Iterator[Finding]:
    """Yield what Kafka is like; where no broker answers, nothing more than that."""
    try:
        brokers = asyncio.run(_advertised(settings))
    except SettingsError as error:
        yield told("settings", error)
        return
    except BrokerUnavailable:
        yield told("broker", unavailable(settings.kafka, settings.kafka_python_security()))
        return
    yield good("broker", f"answers at {settings.kafka}")
    if (settings.security_protocol, settings.sasl_mechanism or "PLAIN") == ("SASL_PLAINTEXT", "PLAIN"):
        yield warning(
            "login", "the password of Kafka is sent unencrypted", "set INTENT_SECURITY_PROTOCOL to SASL_SSL"
        )
    apart = [address for address in brokers if not _listens(address)]
    if apart:
        yield wrong(
            "advertised address",
            f"the broker tells clients to connect to {', '.join(apart)}, where nobody answers from here",
            "change advertised.listeners of the broker (KAFKA_ADVERTISED_LISTENERS in Docker) to an address that this "
            "machine reaches, or set INTENT_KAFKA to another listener",
        )
        return
    yield good("advertised address", f"{', '.join(brokers)} answers")
    admin = KafkaAdminClient(
        bootstrap_servers=settings.kafka,
        client_id="intent-doctor",
        bootstrap_timeout_ms=int(ANSWER_SECONDS * 1000),
        **settings.kafka_python_security(),
    )
    try:
        found = _Topics.of(admin, settings)
        yield from _topic_checks(found, settings, len(brokers))
        if settings.events_topic in found.partitions:
            yield from _group_checks(admin, settings, found.partitions[settings.events_topic])
    except KafkaError as error:
        yield wrong("broker", f"refused a request: {error}", "allow the user to describe topics and groups")
    finally:
        admin.close()


async def _advertised(settings: Settings) -> list[str]:
    """Return the addresses that brokers tell clients to connect to."""
    client = AIOKafkaClient(bootstrap_servers=settings.kafka, **settings.aiokafka_security())
    try:
        with broker_errors(settings.kafka):
            async with asyncio.timeout(ANSWER_SECONDS):
                await client.bootstrap()
        return sorted(f"{broker.host}:{broker.port}" for broker in client.cluster.brokers())
    finally:
        await client.close()


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with suppress(OSError), socket.create_connection((host, int(port)), _CONNECT_SECONDS):
        return True
    return False


class _Topics(NamedTuple):
    """What topics are like, by name: partitions, the least number of replicas, and configuration."""

    partitions: Mapping[str, int]
    replicas: Mapping[str, int]
    configs: Mapping[str, Mapping[str, str]]

    @classmethod
    def of(cls, admin: Any, settings: Settings) -> _Topics:
        """Ask for all that are there."""
        there = sorted(topic_configs(settings).keys() & set(admin.list_topics()))
        if not there:
            return cls({}, {}, {})
        described = {one["name"]: one["partitions"] for one in admin.describe_topics(there)}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in there]
        configs = admin.describe_configs(resources, config_filter="all")["topic"]
        return cls(
            {name: len(partitions) for name, partitions in described.items()},
            {
                name: min(len(one["replica_nodes"]) for one in partitions)
                for name, partitions in described.items()
            },
            {
                name: {key: str(entry["value"]) for key, entry in own.items()}
                for name, own in configs.items()
                if own
            },
        )


def _topic_checks(found: _Topics, settings: Settings, brokers: int) -> Iterator[Finding]:
    wanted = topic_configs(settings)
    missing = sorted(wanted.keys() - found.partitions.keys())
    if missing:
        yield wrong("topics", f"{', '.join(missing)} missing", "run `intent topics create`")
    else:
        yield good("topics", f"all {len(wanted)} are there")
    counts = set(found.partitions.values())
    if len(counts) > 1:
        told_counts = ", ".join(f"{name} has {count}" for name, count in sorted(found.partitions.items()))
        yield wrong(
            "partitions",
            f"topics must have the same number of partitions, but {told_counts}",
            "delete those that differ and run `intent topics create`, or set another INTENT_TOPIC_PREFIX",
        )
    elif counts:
        yield good("partitions", f"{counts.pop()} of each topic")
    hidden = sorted(found.partitions.keys() - found.configs.keys())
    if hidden:
        yield wrong(
            "configuration",
            f"Kafka does not tell that of {', '.join(hidden)}",
            "allow this user to describe it (DESCRIBE_CONFIGS, kafka-acls.sh)",
        )
    events = found.configs.get(settings.events_topic)
    if events is not None:
        kind = events["message.timestamp.type"]
        if kind == "LogAppendTime":
            yield good("timestamps", f"{settings.events_topic} has the broker's time")
        else:
            yield told(
                "timestamps", TopicMismatch.of_producers_time(settings.events_topic, kind, settings.kafka)
            )
    yield from _retention(found, settings, wanted)
    yield from _other_settings(found, settings, wanted)
    alone = [name for name, count in found.replicas.items() if count == 1]
    if brokers > 1 and alone:
        yield warning(
            "replicas",
            f"{counted(len(alone), 'topic')} with one replica on {brokers} brokers: the loss of one loses records",
            "set INTENT_REPLICATION, and reassign the partitions",
        )


def _retention(
    found: _Topics, settings: Settings, wanted: Mapping[str, Mapping[str, str]]
) -> Iterator[Finding]:
    short = 0
    for name, own in found.configs.items():
        kept, needed = int(own["retention.ms"]), int(wanted[name]["retention.ms"])
        if not 0 <= kept < needed:
            continue
        short += 1
        text = f"{name} keeps records for {duration_short(kept)}, not for {duration_short(needed)}"
        if name in (settings.examples_topic, settings.outcomes_topic) and settings.learning:
            yield wrong(
                "retention",
                f"{text}: labels need horizon, lateness and 7 days",
                f"run `{creation(settings)}`, or set INTENT_LEARNING=off",
            )
        elif name == settings.events_topic:
            yield warning(
                "retention", f"{text}: states can only be built again from what is kept", _raise(name)
            )
        else:
            yield warning("retention", text, _raise(name))
    if found.configs and not short:
        yield good("retention", "records are kept for as long as they are needed")


def _raise(topic: str) -> str:
    return f"raise retention.ms of {topic}, unless it is meant so"


def _other_settings(
    found: _Topics, settings: Settings, wanted: Mapping[str, Mapping[str, str]]
) -> Iterator[Finding]:
    letters = found.configs.get(settings.dead_letters_topic, {})
    # What a letter has besides its parts; see `stream.messages.dead_letter`.
    if letters and int(letters["max.message.bytes"]) < LETTER_BYTES + 20_000:
        yield wrong(
            "dead letters",
            f"{settings.dead_letters_topic} takes records of {int(letters['max.message.bytes']):,} bytes, letters are "
            f"larger than {LETTER_BYTES:,}",
            f"set max.message.bytes of {settings.dead_letters_topic} to "
            f"{wanted[settings.dead_letters_topic]['max.message.bytes']}",
        )
    for name, own in found.configs.items():
        policy, meant = own["cleanup.policy"], wanted[name]["cleanup.policy"]
        if set(policy.split(",")) != set(meant.split(",")):
            harmful = "compact" in policy and "compact" not in meant
            finding, loss = (wrong, ", which loses all but a key's last record") if harmful else (warning, "")
            yield finding(
                "cleanup",
                f"{name} has cleanup.policy={policy}{loss}",
                f"set cleanup.policy of {name} to {meant}",
            )


def _group_checks(admin: Any, settings: Settings, partitions: int) -> Iterator[Finding]:
    groups = {"worker": (settings.group, settings.events_topic)}
    if settings.learning:
        groups["learner"] = (settings.learner_group, settings.examples_topic)
    with _consumer(settings) as consumer:
        for name, (group, topic) in groups.items():
            tps = [TopicPartition(topic, number) for number in range(partitions)]
            known = consumer.partitions_for_topic(topic)
            if known and len(known) == partitions:
                done = _committed(admin, group, tps)
                lag = worker_lag if name == "worker" else learner_lag
                yield _standing(admin, name, group, lag(consumer, settings, tps, done))
                if name == "worker":
                    yield from _records_there(settings, done)
        yield from _broker_clock(consumer, settings, partitions)


def _consumer(settings: Settings) -> Any:
    return _Closing(
        KafkaConsumer(
            bootstrap_servers=settings.kafka,
            client_id="intent-doctor",
            enable_auto_commit=False,
            allow_auto_create_topics=False,
            **settings.kafka_python_security(),
        )
    )


class _Closing:
    """Closes a consumer at the end of a block."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    def __enter__(self) -> Any:
        return self._consumer

    def __exit__(self, *error: object) -> None:
        self._consumer.close(timeout_ms=_POLL_MS)


def _committed(admin: Any, group: str, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
    """Return how far a group has read, by partition, where it has begun."""
    committed = _patiently(lambda: admin.list_group_offsets({group: tps})).get(group, {})
    return {tp: entry.offset for tp, entry in committed.items() if entry.offset >= 0}


def _records_there(settings: Settings, done: Mapping[TopicPartition, int]) -> Iterator[Finding]:
    """Yield whether Redis knows the partitions whose events workers have read: without that, none of them starts."""
    read = sorted(tp.partition for tp, offset in done.items() if offset)
    try:
        with closing(RedisStore(settings.redis_url, settings.redis_prefix)) as store:
            lost = [str(partition) for partition in read if store.record(partition) is None]
    except StoreError:  # the look at Redis tells it
        return
    if lost:
        which = f"partition{'s' if len(lost) > 1 else ''} {', '.join(lost)}"
        yield wrong(
            "states",
            f"Redis has no record of {which}, but Kafka has commits of the worker: its states were lost, and workers "
            "refuse to start",
            "restore Redis, or build the states again with `intent worker --rebuild`",
        )
    elif read:
        yield good("states", "Redis has a record of each partition that was read")


def _standing(admin: Any, name: str, group: str, lag: Lag) -> Finding:
    members = len(_patiently(lambda: admin.describe_groups([group]))[group]["members"])
    state = f"{counted(members, 'member')} in group {group}, {counted(lag.events, 'event')} behind"
    if lag.events:
        state += f" ({_BEHIND[name]})"
    if not members:
        waiting = "; it then takes what waits" if lag.events else ""
        return warning(
            name, f"no {name} runs: {state}", f"start `intent {name}`, unless it is meant so{waiting}"
        )
    return warning(name, state, lag.remedy) if lag.remedy else good(name, state)


def _patiently(ask: Callable[[], Any]) -> Any:
    """Return an answer about a group; a broker that never had one needs a moment for it."""
    ends = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            return ask()
        except KafkaError as error:
            if not error.retriable or time.monotonic() > ends:
                raise
        time.sleep(_PAUSE_SECONDS)


def _broker_clock(consumer: Any, settings: Settings, partitions: int) -> Iterator[Finding]:
    """Compare the clock with the broker's time of the last events: what was appended lies in the past."""
    tps = [TopicPartition(settings.events_topic, number) for number in range(partitions)]
    ends, begins = consumer.end_offsets(tps), consumer.beginning_offsets(tps)
    held = [tp for tp in tps if ends[tp] > begins[tp]]
    newest = 0
    for tp in held:
        newest = max([newest, *(record.timestamp for record in records_at(consumer, tp, ends[tp] - 1))])
    ahead = newest - time.time_ns() // 1_000_000
    if ahead > _CLOCK_MS:
        yield wrong(
            "broker's clock",
            f"the newest event was appended {ahead / 1000:.1f} s after now: this clock or the broker's is wrong",
            "set both by NTP",
        )
    elif newest:
        yield good("broker's clock", "no event was appended after now")
