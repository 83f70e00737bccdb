"""The contenders of the comparison: our worker with more or less to do, and its peers."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.peers import jvm
from benchmarks.peers.job import Task

EVENTS: Final = "bench.events"
SCORES: Final = "bench.scores"
DEAD_LETTERS: Final = "bench.dead-letters"
ACTIONS: Final = "bench.actions"

# No contender that is quick enough for the whole topic takes this long.
_WHOLE_SECONDS: Final = 300.0
_POLICY: Final = Path(__file__).with_name("policy.yaml")


@dataclass(frozen=True)
class Contender:
    """A program that scores the events of a topic.

    Attributes
    ----------
    name, title
        For JSON, for people.
    command
        What starts it.
    seconds
        It is ended this long after its first score, unless it has scored everything by then.
    settings
        Environment variables, beside the usual ones.
    traced
        Whether it sends spans to a collector, a process beside it.
    checked
        Whether its scores are to be those of `benchmarks.peers.job`.
    """

    name: str
    title: str
    command: Sequence[str]
    seconds: float
    settings: Mapping[str, str] = field(default_factory=dict)
    traced: bool = False
    checked: bool = False

    @property
    def java(self) -> bool:
        """Whether it is one of the peers in Java."""
        return self.command[0] == "java"


WORKER: Final = (sys.executable, "-c", "from stream.cli import main; main()", "worker")


def _peer(name: str, title: str, module: str, seconds: float, *, checked: bool = True) -> Contender:
    command = (sys.executable, "-m", f"benchmarks.peers.{module}")
    return Contender(name, title, command, seconds, checked=checked)


def _java(name: str, title: str, *command: str) -> Contender:
    return Contender(name, title, jvm.command(*command), _WHOLE_SECONDS, jvm.SETTINGS, checked=True)


def contenders(seconds: float) -> dict[str, Contender]:
    """Return all contenders; those that take minutes for the whole topic are ended after ``seconds``.

    "offers" is our worker with items and offers in Redis for every customer: each score carries them. "scores", "acts"
    and "reasons" are our worker with ever more to do: nothing but scores, a policy with timers, and reasons as well.
    "traced" is "scores" with one round of a hundred traced.
    """
    whole = _WHOLE_SECONDS
    bare = {"INTENT_ACTIONS_TOPIC": "", "INTENT_REASONS": "off"}
    acts = {"INTENT_POLICY": str(_POLICY), "INTENT_REASONS": "off"}
    traces = bare | {"INTENT_TRACING": "otlp", "INTENT_TRACING_SAMPLE": "0.01"}
    listed = (
        Contender("ours", "intent worker", WORKER, whole),
        Contender("offers", "intent worker, items in every score", WORKER, whole),
        Contender("scores", "intent worker, no actions, no reasons", WORKER, whole, bare),
        Contender(
            "traced",
            "intent worker, no actions, no reasons, 1 % of rounds traced",
            WORKER,
            whole,
            traces,
            True,
        ),
        Contender("acts", "intent worker, policy and timers", WORKER, whole, acts),
        Contender(
            "reasons",
            "intent worker, policy, timers and reasons",
            WORKER,
            whole,
            acts | {"INTENT_REASONS": "medium"},
        ),
        _peer("plain", "consume and produce, no work", "plain", whole, checked=False),
        _peer("faust", "Faust, idiomatic, 32 at once", "faust_idiomatic", seconds),
        _peer("quix", "Quix Streams, RocksDB", "quix", seconds),
        _peer("bytewax", "Bytewax, in memory", "bytewax", seconds),
        _java("java", "Java by hand, no guarantees", "PlainPeer"),
        _java("streams", "Kafka Streams, in memory", "KafkaStreamsPeer", "exactly_once_v2", "memory"),
        _java("streams-rocksdb", "Kafka Streams, RocksDB", "KafkaStreamsPeer", "exactly_once_v2", "rocksdb"),
        _java("flink", "Flink, on the heap", "FlinkPeer"),
    )
    return {contender.name: contender for contender in listed}


def worker_environment(task: Task, prefix: str) -> dict[str, str]:
    """Return the worker's settings for a run with topics that start with ``prefix`` and states of its own."""
    return {
        "INTENT_KAFKA": task.kafka,
        "INTENT_LEARNING": "off",  # no peer does it; `make bench-learning` measures what it costs
        "INTENT_REDIS": task.redis,
        "INTENT_TOPIC_PREFIX": prefix,
        "INTENT_REDIS_PREFIX": f"bench-{task.run}",
        "INTENT_GROUP": f"bench-ours-{task.run}",
        "INTENT_BUNDLE": str(task.bundle),
        "INTENT_HTTP_PORT": "0",
    }
