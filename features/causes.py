"""What errors of libraries mean, in words for people: no names of classes stand in a message."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["cause"]

# By the names of classes, as both Kafka libraries have them and neither is imported here. The first along the classes
# that an error belongs to is told.
_CAUSES: Final = {
    "TopicAuthorizationFailedError": "the user of INTENT_KAFKA has no permission for the topic",
    "GroupAuthorizationFailedError": "the user of INTENT_KAFKA has no permission for the consumer group",
    "ClusterAuthorizationFailedError": "the user of INTENT_KAFKA has no permission for the cluster",
    "TransactionalIdAuthorizationFailedError": "the user of INTENT_KAFKA has no permission for the transaction",
    "SaslAuthenticationFailed": "user or password is wrong",
    "SaslAuthenticationFailedError": "user or password is wrong",
    "AuthenticationFailedError": "user or password is wrong",
    "UnknownTopicOrPartitionError": "the topic or the partition does not exist",
    "NotLeaderForPartitionError": "the partition is moving to another broker",
    "LeaderNotAvailableError": "the partition has no leader at this moment",
    "NotEnoughReplicasError": "too few replicas are in step",
    "NotEnoughReplicasAfterAppendError": "too few replicas are in step",
    "GroupCoordinatorNotAvailableError": "there is no coordinator at this moment",
    "CoordinatorNotAvailableError": "there is no coordinator at this moment",
    "CoordinatorLoadInProgressError": "there is no coordinator at this moment",
    "NotCoordinatorForGroupError": "the consumer group is moving to another broker",
    "NotCoordinatorError": "the consumer group is moving to another broker",
    "InvalidTimestampError": "the topic takes no record of that time",
    "MessageSizeTooLargeError": "a record is larger than the topic takes",
    "RecordTooLargeError": "a record is larger than the topic takes",
    "NodeNotReadyError": "the broker is not ready",
    "NoBrokersAvailable": "no broker answers",
    "KafkaConnectionError": "the connection to the broker was lost",
    "RequestTimedOutError": "no answer came in time",
    "KafkaTimeoutError": "no answer came in time",
    "TimeoutError": "no answer came in time",
    "ConnectTimeout": "no answer came in time",
    "ReadTimeout": "no answer came in time",
    "ConnectError": "nothing listens there",
    "ReadError": "the connection was lost",
    "RemoteProtocolError": "the connection was lost",
    "ConnectionRefusedError": "nothing listens there",
    "ConnectionResetError": "the connection was lost",
    "ConnectionError": "the connection was lost",
    "MemoryError": "there is not enough memory",
    "KilledWorker": "it was killed",
}
_FAULTS: Final = (
    ArithmeticError, AssertionError, AttributeError, LookupError, NameError, NotImplementedError, TypeError,
)  # fmt: skip
_NUMBER: Final = re.compile(r"\[Error -?\d+\] ")
# pyarrow names the file once more, by its whole path, where the message around it has named it.
_OPENING: Final = re.compile(r"Failed to open local file '.*'\. Detail: \[errno \d+\] ")
_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


def cause(error: BaseException) -> str:
    """Return in one line what an error means.

    Examples
    --------
    >>> cause(TimeoutError()), cause(ConnectionResetError(104, "Connection reset by peer"))
    ('no answer came in time', 'the connection was lost')
    >>> cause(ValueError("offset 7 is too high")), cause(ValueError())
    ('offset 7 is too high', 'value error')
    >>> cause(OSError("Failed to open local file '/a/b.parquet'. Detail: [errno 13] Permission denied"))
    'Permission denied'
    >>> cause(KeyError("segment"))
    "a fault of this program (KeyError: 'segment')"
    """
    names = [kind.__name__ for kind in type(error).__mro__]
    if "IntentError" in names:
        return str(error)  # written for people
    text = _OPENING.sub("", _NUMBER.sub("", str(error), count=1)).removeprefix(names[0]).lstrip(": ")
    if names[0].endswith("AuthorizationFailedError") and " " in text:
        return text  # a sentence of ours: libraries give the name of the topic alone
    for name in names:
        if name in _CAUSES:
            return _CAUSES[name]
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, _FAULTS):
        named = f"{names[0]}: {error}" if str(error) else names[0]
        return f"a fault of this program ({named})"  # who mends it needs the name
    lines = text.splitlines()
    return lines[0] if lines else _HUMP.sub(" ", names[0]).lower()
