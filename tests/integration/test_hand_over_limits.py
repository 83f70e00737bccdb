"""An events topic that does not take what workers hand over: too large for it, or nothing of theirs at all."""

from __future__ import annotations

import asyncio
import signal
import time
import uuid
from collections.abc import Iterable
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaProducer
from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ConfigResource,
    ConfigResourceType,
    ResourcePattern,
    ResourceType,
)

from features.partition import partitions_of
from stream.kafka.topics import check_events, create_topics
from stream.messages.dead_letter import parse
from stream.services.embedded import KafkaServer
from stream.services.process import free_port
from stream.settings import Settings
from tests.bundles import save_bundle
from tests.integration.outcome import stored_states
from tests.integration.settling import settled
from tests.integration.topics import held
from tests.integration.workers import PATIENCE, Fleet, until

LIMIT = 6_000  # bytes; two states that are handed over
NOW = time.time_ns() // 1_000_000


def send(settings: Settings, *happened: dict[str, object]) -> None:
    """Write what happened in batches that the topic takes."""

    async def write() -> None:
        async with AIOKafkaProducer(bootstrap_servers=settings.kafka, max_batch_size=1_000) as producer:
            sent = []
            for number, fields in enumerate(happened):
                key = str(fields.get("anonymous_id", fields["customer_id"])).encode()
                value = msgspec.json.encode(
                    {"event_id": uuid.uuid4().hex, "event_time": NOW + number} | fields
                )
                home = int(partitions_of([key], settings.partitions)[0])
                sent.append(await producer.send(settings.events_topic, value, key=key, partition=home))
            await asyncio.gather(*sent)

    asyncio.run(write())


def view(customer: str, **fields: object) -> dict[str, object]:
    return {"type": "view_item", "customer_id": customer} | fields


def login(anonymous: str, customer: str) -> dict[str, object]:
    return {"type": "identify", "anonymous_id": anonymous, "customer_id": customer}


def lower(settings: Settings) -> None:
    change = {"max.message.bytes": str(LIMIT)}
    with KafkaAdminClient(bootstrap_servers=settings.kafka) as admin:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, settings.events_topic, change)])
    until(lambda: check_events(settings).batch_bytes == LIMIT, "the broker has taken the change over")


def test_what_is_too_large_for_a_topic_is_a_letter_and_the_partition_goes_on(fleet: Fleet) -> None:
    settings, people = fleet.settings, range(30)
    worker = fleet.ready()
    lower(settings)
    worker.send(signal.SIGSTOP)  # so that all of it comes at once
    send(settings, *(view(f"a-{n}") for n in people), *(login(f"a-{n}", f"c-{n}") for n in people))
    worker.send(signal.SIGCONT)
    known = {f"c-{n}" for n in people}
    until(
        lambda: set(stored_states(settings)) == known,
        "all are known, though their states are more than a batch",
        seconds=2 * PATIENCE,
    )
    assert not any("is parked" in line for line in worker.lines())
    assert worker.metrics()["intent_parked_partitions"] == 0
    assert any(f"now takes batches of {LIMIT} bytes" in line for line in worker.lines()), (
        "it was refused once"
    )

    line = {"item_id": "i" * 100, "category": "c" * 100}
    send(settings, view("a-0", items=[line] * 25), view("a-0", event_id="small"))
    handed = 'intent_identities_total{outcome="handed_on"}'
    settled(fleet, worker)
    assert worker.metrics()[handed] == 2, "both events are handed on"
    [letter] = [parse(record) for record in held(settings, settings.dead_letters_topic)]
    assert letter is not None
    assert (letter.key, letter.reason) == (b"c-0", "too_large")
    assert f"takes batches of {LIMIT}" in letter.detail
    metrics = worker.metrics()
    assert metrics['intent_identities_total{outcome="undelivered"}'] == 1
    assert metrics["intent_parked_partitions"] == 0
    assert metrics['intent_dead_letters_total{reason="too_large"}'] == 1
    assert worker.stop()[0] == 0
    again = fleet.ready()
    assert any(f"takes batches of {LIMIT} bytes" in line for line in again.lines()), "said at the start"


def deny(settings: Settings, operations: Iterable[ACLOperation]) -> list[ACL]:
    topic = ResourcePattern(ResourceType.TOPIC, settings.events_topic)
    rules = [ACL("User:ANONYMOUS", "*", one, ACLPermissionType.DENY, topic) for one in operations] + [
        ACL("User:ANONYMOUS", "*", ACLOperation.ALL, ACLPermissionType.ALLOW, topic)
    ]
    with KafkaAdminClient(bootstrap_servers=settings.kafka) as admin:
        admin.create_acls(rules)
    return rules


def test_a_worker_that_may_not_write_says_so_at_the_start_and_when_somebody_logs_in(
    settings: Settings, tmp_path: Path
) -> None:
    port = free_port()
    rules = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
    }
    server = KafkaServer(tmp_path / "kafka", port, properties=rules).start()
    try:
        own = settings.model_copy(update={"kafka": server.address})
        create_topics(own)
        save_bundle(own.bundle)
        send(own, view("a-1"), login("a-1", "ada"))
        denied = deny(own, [ACLOperation.WRITE])[0]
        until(lambda: not check_events(own).writable, "the rule holds")
        with Fleet(own, tmp_path / "fleet") as fleet:
            worker = fleet.start()
            until(lambda: any("is parked" in line for line in worker.lines()), "the partition is parked")
            told = [line for line in worker.lines() if f"may not write to {own.events_topic}" in line]
            assert "is parked" not in told[0], "at the start"
            assert "kafka-acls.sh --add --operation Write" in told[-1]
            assert "is parked" in told[-1]
            assert "Error" not in told[-1], "names of classes are for programs"
            with KafkaAdminClient(bootstrap_servers=own.kafka) as admin:
                pattern = denied.resource_pattern
                admin.delete_acls(
                    [ACLFilter("User:ANONYMOUS", "*", ACLOperation.WRITE, ACLPermissionType.DENY, pattern)]
                )
            until(lambda: set(stored_states(own)) == {"ada"}, "it goes on by itself")
            assert worker.stop()[0] == 0
    finally:
        server.kill()
