"""The job in Bytewax: a stateful map in memory, without recovery, and Kafka as source and sink."""

from __future__ import annotations

from typing import Any

import bytewax.operators as op
import msgspec
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.run import cli_main

from benchmarks.peers.job import Network, State, Task, fold

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def build(task: Task) -> Dataflow:
    """Return the dataflow."""
    network = Network(task.bundle)

    def event_of(message: KafkaSourceMessage[bytes, bytes]) -> tuple[str, dict[str, Any]]:
        event = _decode(message.value)
        return event["customer_id"], event

    def score(state: State | None, event: dict[str, Any]) -> tuple[State, dict[str, Any]]:
        state = {} if state is None else state
        fold(state, event)
        return state, network.score(state, event)

    def message_of(keyed: tuple[str, dict[str, Any]]) -> KafkaSinkMessage[bytes, bytes]:
        return KafkaSinkMessage(keyed[0].encode(), _encode(keyed[1]))

    flow = Dataflow("bench")
    messages = op.input("events", flow, KafkaSource([task.kafka], [task.source]))
    events = op.map("decode", messages, event_of)
    scores = op.stateful_map("score", events, score)
    op.output("scores", op.map("encode", scores, message_of), KafkaSink([task.kafka], task.sink))
    return flow


if __name__ == "__main__":
    cli_main(build(Task.from_environment()))
