from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError
from aiokafka.structs import TopicPartition

from stream.kafka import epochs


class _Frozen:
    """A client of a broker that takes every request, and answers none."""

    cluster = SimpleNamespace(leader_for_partition=lambda tp: 1)

    async def send(self, node: int, request: Any) -> Any:
        await asyncio.Event().wait()


def test_a_broker_that_does_not_answer_is_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epochs, "ANSWER_SECONDS", 0.01)
    client: Any = _Frozen()
    tp = TopicPartition("events", 0)
    for asked in (epochs.epoch_end(client, tp, 3), epochs.stamp_at(client, tp, 5)):
        with pytest.raises(KafkaTimeoutError, match="broker 1 has not answered for 0 s"):
            asyncio.run(asked)
