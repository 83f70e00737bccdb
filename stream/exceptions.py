"""Errors of the running system that a user can cause, or can mend.

::

    features.exceptions.IntentError
    ├── SettingsError         a setting has a value that cannot be used
    ├── PolicyError           a policy file, or the file of excluded customers, cannot be used
    ├── ServiceError          an embedded server cannot be had, or does not start
    ├── BrokerError           Kafka refused what was asked of it
    │   ├── BrokerUnavailable   no broker answers, none in time, or none lets this client in
    │   ├── InstanceTaken       another worker has this one's name in the group
    │   └── TopicMismatch       a topic is missing, or not as it has to be
    └── OwnershipError        a partition cannot go on until a person has acted
        ├── StoreLost           the store has no record, but Kafka has a commit
        ├── OffsetOutsideLog    the recorded offset is not in the topic
        ├── TopicRecreated      the topic was deleted and created again
        ├── LogCut              the log lost events that were read, and others took their place
        ├── RecordExists        states are to be restored where there are some
        ├── RestoreUnfinished   a restoring of states from a log was broken off
        └── PartitionsChanged   the topic has another partition count than the states

Every message says what was wrong, with which value, and what to do; the command line prints it as one line.
"""

from typing import Final, Self

from features.exceptions import IntentError

#: A broker that does not answer for so long counts as unavailable: a wrong address is an error within seconds.
ANSWER_SECONDS: Final = 10.0

#: What whoever asks for actions is told where none are published.
NO_ACTIONS: Final = "INTENT_ACTIONS_TOPIC is empty, so no actions are decided: name the topic"


class SettingsError(IntentError):
    """A setting has a value that cannot be used."""


class PolicyError(IntentError):
    """A policy file, or that of excluded customers, cannot be used; the message says where and why."""


class ServiceError(IntentError):
    """An embedded server cannot be had on this machine, or does not start."""


class BrokerError(IntentError):
    """Kafka refused what was asked of it."""


class BrokerUnavailable(BrokerError):
    """No broker answers at the address, none in time, or none that lets this client in."""

    @classmethod
    def at(cls, brokers: str) -> Self:
        """Return the error for brokers (host:port, separated by commas) of which none answers."""
        return cls(
            f"no Kafka broker answers at {brokers}: start one (`intent services`), or set INTENT_KAFKA"
        )

    @classmethod
    def silent(cls, brokers: str, *, listening: bool) -> Self:
        """Return the error for brokers that said nothing, of which one is ``listening`` or none."""
        return cls.slow(brokers) if listening else cls.at(brokers)

    @classmethod
    def slow(cls, brokers: str, seconds: float = ANSWER_SECONDS) -> Self:
        """Return the error for brokers that have not answered in time: nothing else is known of them."""
        return cls(
            f"Kafka at {brokers} did not answer within {seconds:.0f} s: if it is starting or busy, try again; "
            "else check INTENT_KAFKA"
        )

    @classmethod
    def advertised(cls, brokers: str, apart: str) -> Self:
        """Return the error for brokers that send clients to addresses where they cannot go."""
        return cls(
            f"Kafka at {brokers} tells clients to connect to {apart}, which cannot be reached from here: change "
            "advertised.listeners of the broker (KAFKA_ADVERTISED_LISTENERS in Docker) to an address that can, or set "
            "INTENT_KAFKA to another listener"
        )


class InstanceTaken(BrokerError):
    """Another worker has joined the group by this one's name."""


class TopicMismatch(BrokerError):
    """A topic is missing, or has another partition count or configuration than it has to have."""

    @classmethod
    def missing(cls, topic: str) -> Self:
        """Return the error for a topic that does not exist."""
        return cls(f"Kafka has no topic {topic}: create it with `intent topics create`")

    @classmethod
    def of_producers_time(cls, topic: str, kind: str, brokers: str) -> Self:
        """Return the error for a topic of events whose records carry their producer's time."""
        return cls(
            f"{topic} has message.timestamp.type={kind}, but the broker's time is the arrival of an event: run "
            f"`kafka-configs.sh --bootstrap-server {brokers} --alter --topic {topic} --add-config "
            "message.timestamp.type=LogAppendTime`, then try again"
        )


class OwnershipError(IntentError):
    """A partition cannot go on until a person has acted; the worker ends."""


class StoreLost(OwnershipError):
    """The store has no record of a partition that Kafka has a commit for."""


class OffsetOutsideLog(OwnershipError):
    """The recorded offset is not in the topic any more, or not yet."""


class TopicRecreated(OwnershipError):
    """The topic has another id than the one that was read: it was deleted and created again."""


class LogCut(OwnershipError):
    """The log lost events that were read, and others took their place."""


class RecordExists(OwnershipError):
    """States are to be restored where there are some already."""


class RestoreUnfinished(OwnershipError):
    """States were being restored from a log, and that was broken off."""


class PartitionsChanged(OwnershipError):
    """The topic has another partition count than when the states were written."""
