"""The topics: what each is configured like, and their creation.

===============  ===========================================================================================
events           the broker's append time is an event's arrival; kept for 30 days, from which states can be
                 rebuilt and logs archived
scores           the last score of every customer is kept for 7 days; all scores for a day at least
actions          what is to be done, once each; kept for 30 days, all of a customer's until then
dead-letters     takes what fills a whole record of the events topic, and the headers; kept for 30 days
examples         scored events that wait for their labels: kept for the horizon, the lateness and 7 days more
outcomes         likewise
alerts           when the data or the network's errors have changed; kept for 30 days
===============  ===========================================================================================
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, NamedTuple

from kafka import KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError

from features.durations import duration_ms, duration_short
from features.shelf import bundle_folder
from stream.exceptions import ANSWER_SECONDS, BrokerError, BrokerUnavailable, TopicMismatch
from stream.kafka.diagnosis import check_access, unavailable
from stream.settings import Settings

__all__ = [
    "Created",
    "EventsTopic",
    "check_events",
    "check_retention",
    "create_topics",
    "creation",
    "topic_configs",
]

# Creation is acknowledged within a second; leaders of all partitions are there a moment later. A broker that starts, or
# was too busy to tell its controller that it lives, is fenced for some seconds: nothing can be created until then.
_CREATE_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.05
_FENCED_SECONDS: Final = 0.5

_EVENT_BYTES: Final = 1 << 20
# A record of the events topic as it was, and headers of a few hundred bytes.
_DEAD_LETTER_BYTES: Final = 4 << 20


# How long the learner may be away before examples expire that it has not learned.
_LEARNER_AWAY: Final = timedelta(days=7)


class Created(NamedTuple):
    """What `create_topics` did with one topic.

    Attributes
    ----------
    created
        ``False``: it was there already.
    lengthened
        Milliseconds for which it keeps records now, where it kept them too short; else ``None``.
    """

    topic: str
    partitions: int
    created: bool
    lengthened: int | None = None


def _ms(**duration: float) -> str:
    return str(duration_ms(timedelta(**duration)))


def topic_configs(settings: Settings) -> dict[str, dict[str, str]]:
    """Return the configuration of each topic, by its name."""
    waiting = {
        "cleanup.policy": "delete",
        "retention.ms": str(duration_ms(_needed(longest_horizon(settings), settings.lateness))),
    }
    configs = {
        settings.events_topic: {
            "cleanup.policy": "delete",
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": str(_EVENT_BYTES),
            "retention.ms": _ms(days=30),
        },
        settings.scores_topic: {
            "cleanup.policy": "compact,delete",
            "min.compaction.lag.ms": _ms(days=1),
            "retention.ms": _ms(days=7),
        },
        settings.dead_letters_topic: {
            "cleanup.policy": "delete",
            "max.message.bytes": str(_DEAD_LETTER_BYTES),
            "retention.ms": _ms(days=30),
        },
        settings.examples_topic: waiting,
        settings.outcomes_topic: waiting,
        settings.alerts_topic: {"cleanup.policy": "delete", "retention.ms": _ms(days=30)},
    }
    if settings.actions_topic:
        configs[settings.actions_topic] = {"cleanup.policy": "delete", "retention.ms": _ms(days=30)}
    return configs


def _learners(settings: Settings) -> tuple[str, str]:
    return settings.examples_topic, settings.outcomes_topic


def _needed(horizon: timedelta, lateness: timedelta) -> timedelta:
    return horizon + lateness + _LEARNER_AWAY


def longest_horizon(settings: Settings) -> timedelta:
    """Return the longer one of the setting and of the bundle, if there is one."""
    if not (bundle_folder(settings.bundle) / "manifest.json").is_file():
        return settings.horizon
    # Not at the top: reading a bundle takes numba and more, which `intent services` can do without.
    from features.bundle import read_manifest

    manifest = read_manifest(settings.bundle)
    return max(settings.horizon, timedelta(seconds=manifest.horizon_seconds if manifest else 0))


def creation(settings: Settings) -> str:
    """Return the command that creates topics, or keeps the learner's for as long as the bundle in use needs."""
    return f"intent topics create --bundle {shlex.quote(str(settings.bundle))}"


def check_retention(settings: Settings, horizon: timedelta) -> None:
    """Check that examples and outcomes are kept for as long as they can be needed.

    Parameters
    ----------
    horizon
        Of the bundle that scores.

    Raises
    ------
    TopicMismatch
        They are deleted too early.
    """
    needed = duration_ms(_needed(horizon, settings.lateness))
    with KafkaAdminClient(
        bootstrap_servers=settings.kafka,
        client_id="intent-topics",
        bootstrap_timeout_ms=int(ANSWER_SECONDS * 1000),
        **settings.kafka_python_security(),
    ) as admin:
        for topic in _learners(settings):
            kept = int(_config(admin, topic, "retention.ms"))
            if 0 <= kept < needed:
                raise TopicMismatch(
                    f"{topic} keeps records for {duration_short(kept)}, but labels need {duration_short(needed)} "
                    f"(horizon, lateness and 7 days): run `{creation(settings)}` to keep them longer, or set "
                    "INTENT_LEARNING=off"
                )


class EventsTopic(NamedTuple):
    """What the events topic takes of a worker, which writes to it what it hands to other partitions.

    Attributes
    ----------
    batch_bytes
        Bytes of a batch of records, at most.
    writable
        Whether the worker may write to it, as far as the broker tells.
    """

    batch_bytes: int
    writable: bool = True


def check_events(settings: Settings) -> EventsTopic:
    """Check that a record's time in the events topic is the broker's append time: the arrival of an event.

    With the producer's own time, a single wrong clock could move a watermark to any year. Return what the topic takes
    of a worker.

    Raises
    ------
    TopicMismatch
        It is the producer's time.
    """
    with KafkaAdminClient(
        bootstrap_servers=settings.kafka,
        client_id="intent-topics",
        bootstrap_timeout_ms=int(ANSWER_SECONDS * 1000),
        **settings.kafka_python_security(),
    ) as admin:
        _check_arrival(admin, settings)
        (described,) = admin.describe_topics([settings.events_topic])
        allowed = described.get("authorized_operations")
        return EventsTopic(
            int(_config(admin, settings.events_topic, "max.message.bytes")), not allowed or "WRITE" in allowed
        )


def create_topics(settings: Settings) -> list[Created]:
    """Create the topics that are missing, check the others, and lengthen how long the learner's are kept.

    Raises
    ------
    BrokerUnavailable
        No broker answers.
    BrokerError
        The broker refuses a topic, for example because it has fewer nodes than replicas are wanted.
    TopicMismatch
        A topic is there with another partition count, or the events topic without the broker's append time.
    """
    configs = topic_configs(settings)
    check_access(settings.kafka, settings.kafka_python_security())
    try:
        with KafkaAdminClient(
            bootstrap_servers=settings.kafka,
            client_id="intent-topics",
            bootstrap_timeout_ms=int(ANSWER_SECONDS * 1000),
            **settings.kafka_python_security(),
        ) as admin:
            missing = sorted(configs.keys() - set(admin.list_topics()))
            for name in missing:
                _create(admin, name, settings, configs[name])
            described = admin.describe_topics(list(configs))
            partitions = {topic["name"]: len(topic["partitions"]) for topic in described}
            _check(admin, settings, partitions)
            kept = {name: int(configs[name]["retention.ms"]) for name in _learners(settings)}
            lengthened = {name: ms for name, ms in kept.items() if _lengthen(admin, name, ms)}
    except KafkaError as error:
        if (getattr(error, "errno", None) or -1) > 0:  # an answer of the broker's
            raise BrokerError(
                f"Kafka at {settings.kafka} refused to list or create topics: {error}"
            ) from error
        raise unavailable(settings.kafka, settings.kafka_python_security()) from error
    return [Created(name, partitions[name], name in missing, lengthened.get(name)) for name in configs]


def _create(admin: Any, name: str, settings: Settings, configs: Mapping[str, str]) -> None:
    topic = {
        "num_partitions": settings.partitions,
        "replication_factor": settings.replication,
        "configs": dict(configs),
    }
    ends = time.monotonic() + _CREATE_SECONDS
    while True:
        answer = admin.create_topics(
            {name: topic}, timeout_ms=int(_CREATE_SECONDS * 1000), raise_errors=False
        )
        failed = answer["topics"][0]
        # Somebody else may have made it at the same moment; it is checked like all others.
        if failed["error_code"] in (0, TopicAlreadyExistsError.errno):
            break
        if "fenced" not in str(failed["error_message"]):
            raise BrokerError(
                f"Kafka at {settings.kafka} refused the topic {name}: {failed['error_message']}"
            )
        if time.monotonic() >= ends:
            raise BrokerUnavailable(
                f"Kafka at {settings.kafka} cannot create the topic {name}: for {_CREATE_SECONDS:.0f} s its controller "
                "has heard too little of the brokers (they are fenced). They are starting, or have too much to do: "
                "try again"
            )
        time.sleep(_FENCED_SECONDS)
    admin.wait_for_topics([name], timeout_ms=int(_CREATE_SECONDS * 1000))


def _check(admin: Any, settings: Settings, partitions: Mapping[str, int]) -> None:
    others = {name: count for name, count in partitions.items() if count != settings.partitions}
    if others:
        found = ", ".join(f"{name} has {count}" for name, count in sorted(others.items()))
        raise TopicMismatch(
            f"{found} partitions, but INTENT_PARTITIONS is {settings.partitions}: set it to what is "
            "there, or take another INTENT_TOPIC_PREFIX"
        )
    _check_arrival(admin, settings)


def _check_arrival(admin: Any, settings: Settings) -> None:
    kind = _config(admin, settings.events_topic, "message.timestamp.type")
    if kind != "LogAppendTime":
        raise TopicMismatch.of_producers_time(settings.events_topic, kind, settings.kafka)


def _lengthen(admin: Any, topic: str, needed_ms: int) -> bool:
    """Let a topic keep records for so long at least; return whether it kept them too short."""
    from kafka.admin import ConfigResource, ConfigResourceType

    if not 0 <= int(_config(admin, topic, "retention.ms")) < needed_ms:
        return False
    change = {"retention.ms": str(needed_ms)}
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=change)])
    # A broker takes a change over some moments after it has confirmed it; a worker that starts now must find it.
    ends = time.monotonic() + _CREATE_SECONDS
    while int(_config(admin, topic, "retention.ms")) < needed_ms and time.monotonic() < ends:
        time.sleep(_LOOK_SECONDS)
    return True


def _config(admin: Any, topic: str, name: str) -> str:
    from kafka.admin import ConfigResource, ConfigResourceType

    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    described = admin.describe_configs([resource], config_filter="all")
    value = described["topic"].get(topic, {}).get(name)
    if value is None:
        raise BrokerError(
            f"Kafka does not tell {name} of {topic}: allow this user to describe the topic's configuration "
            "(DESCRIBE_CONFIGS, kafka-acls.sh)"
        )
    return str(value["value"])
