"""Whether workers run, as their consumer group in Kafka says: for who waits for what they publish."""

from __future__ import annotations

import time
from typing import Final, NamedTuple

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError

from stream.settings import Settings

__all__ = ["WorkerGroup", "worker_group"]

# Nobody waits longer for what is only a hint.
_ANSWER_MS: Final = 5_000
_PAUSE_SECONDS: Final = 0.2


class WorkerGroup(NamedTuple):
    """The consumer group of the workers.

    Attributes
    ----------
    name
        Of the group.
    members
        Workers that run.
    behind
        Records of the events topic that they have not read yet.
    """

    name: str
    members: int
    behind: int

    def sentence(self) -> str:
        """Return why nothing may have come.

        Examples
        --------
        >>> WorkerGroup("intent-scorer", 0, 12).sentence()
        'no worker runs (group intent-scorer has no member): start `intent worker`'
        >>> WorkerGroup("intent-scorer", 2, 0).sentence()
        '2 workers run and have read all events: there was nothing new for them'
        """
        if not self.members:
            return f"no worker runs (group {self.name} has no member): start `intent worker`"
        run, have = ("a worker runs", "has") if self.members == 1 else (f"{self.members} workers run", "have")
        if self.behind:
            return f"{run} and {have} {self.behind:,} records still to read: they come when they are scored"
        them = "it" if self.members == 1 else "them"
        return f"{run} and {have} read all events: there was nothing new for {them}"


def worker_group(settings: Settings) -> WorkerGroup | None:
    """Return the consumer group of the workers; ``None`` where Kafka does not say, or not to everybody."""
    ends = time.monotonic() + _ANSWER_MS / 1000
    while True:
        try:
            return _asked(settings)
        except KafkaError as error:  # a broker that never had a group needs a moment for it
            if not error.retriable or time.monotonic() > ends:
                return None
        time.sleep(_PAUSE_SECONDS)


def _asked(settings: Settings) -> WorkerGroup:
    admin = KafkaAdminClient(
        bootstrap_servers=settings.kafka,
        client_id="intent-watcher",
        bootstrap_timeout_ms=_ANSWER_MS,
        request_timeout_ms=_ANSWER_MS,
        **settings.kafka_python_security(),
    )
    try:
        members = len(admin.describe_groups([settings.group])[settings.group]["members"])
        [topic] = admin.describe_topics([settings.events_topic])
        parts = [TopicPartition(settings.events_topic, at) for at in range(len(topic["partitions"]))]
        committed = admin.list_group_offsets({settings.group: parts}).get(settings.group, {})
        done = {part: entry.offset for part, entry in committed.items()}
        begins = admin.list_partition_offsets(dict.fromkeys(parts, OffsetSpec.EARLIEST))
        ends = admin.list_partition_offsets(dict.fromkeys(parts, OffsetSpec.LATEST))
        behind = sum(ends[one].offset - max(done.get(one, 0), begins[one].offset) for one in parts)
    finally:
        admin.close()
    return WorkerGroup(settings.group, members, max(behind, 0))
