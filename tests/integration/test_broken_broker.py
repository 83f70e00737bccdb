"""Brokers of this machine that answer and take records, but no transactions."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from features.events import Reason
from stream.exceptions import BrokerError
from stream.kafka.topics import create_topics
from stream.logs.resend import resend
from stream.services.process import LOCALHOST, free_port
from stream.services.services import KafkaServer
from stream.settings import Settings
from tests.integration.letters import write_letter
from tests.integration.workers import PATIENCE

STEP_SECONDS, STOP_SECONDS = 3.0, 1.0
# What an error may take beyond them, on a busy machine.
SLACK_SECONDS = 15.0


def unreachable_for_itself(port: int) -> dict[str, str]:
    """Return properties that give clients the right address, and the broker a wrong one of its own."""
    names = ("PLAINTEXT", "CONTROLLER", "INTERNAL")
    addresses = {name: f"{LOCALHOST}:{free_port()}" for name in names} | {"PLAINTEXT": f"{LOCALHOST}:{port}"}
    return {
        "listeners": ",".join(f"{name}://{address}" for name, address in addresses.items()),
        "advertised.listeners": (
            f"PLAINTEXT://{addresses['PLAINTEXT']},INTERNAL://{LOCALHOST}:{free_port()}"
        ),
        "controller.quorum.voters": f"1@{addresses['CONTROLLER']}",
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in names),
        "inter.broker.listener.name": "INTERNAL",
    }


async def begin(broker: str) -> None:
    """Have the broker make its log of transactions, which takes a busy machine longer than `STEP_SECONDS`."""
    async with (
        asyncio.timeout(PATIENCE),
        AIOKafkaProducer(bootstrap_servers=broker, transactional_id="first"),
    ):
        pass


def without_transaction_log(port: int) -> dict[str, str]:
    return {"transaction.state.log.replication.factor": "3"}


def without_groups(port: int) -> dict[str, str]:
    return {"offsets.topic.replication.factor": "3"}


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (unreachable_for_itself, r" \(.*NotEnoughReplicasError.*\)"),
        (without_transaction_log, ""),
        (without_groups, r" \(there is no coordinator at this moment\)"),
    ],
    ids=["unreachable-for-itself", "without-transaction-log", "without-groups"],
)
def test_a_broker_that_takes_no_transactions_ends_the_run_with_one_line(
    broken: Callable[[int], dict[str, str]], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.logs.resend._STEP_SECONDS", STEP_SECONDS)
    monkeypatch.setattr("stream.logs.resend._STOP_SECONDS", STOP_SECONDS)
    port, name = free_port(), uuid.uuid4().hex[:8]
    server = KafkaServer(tmp_path / "kafka", port, properties=broken(port)).start()
    try:
        settings = Settings(_env_file=None, kafka=server.address, topic_prefix=f"test-{name}.", partitions=1)
        create_topics(settings)
        write_letter(settings, 1, Reason.LATE)
        if broken is not without_transaction_log:
            asyncio.run(begin(server.address))
        began = time.monotonic()
        with pytest.raises(BrokerError, match=f"finished no transaction within 3 s{said}: look") as error:
            resend(settings)
        assert time.monotonic() - began < STEP_SECONDS + 2 * STOP_SECONDS + SLACK_SECONDS
        assert "\n" not in str(error.value)
    finally:
        server.kill()
