"""Requests of aiokafka's producers, whose bytes are joined once.

aiokafka joins them at every level of a request's schema, so each record is copied six times.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.types import Int32, String

# Of which on a request names a transaction.
_TRANSACTIONS_SINCE: Final = 3

_TEXT: Final = String()
# Acknowledgements, milliseconds, and how many topics there are.
_HEAD: Final = struct.Struct(">hii")
# The number of a partition, and how many bytes its batch has.
_PARTITION: Final = struct.Struct(">ii")


def join_once() -> None:
    """Have aiokafka's producers of this program join a request's bytes once: it has no other place to say so."""
    for version in ProduceRequest._CLASSES:
        if version.API_VERSION >= _TRANSACTIONS_SINCE:
            version.encode = _joined


def _joined(request: Any) -> bytes:
    """Return a request for the broker, as its schema says."""
    parts = [
        _TEXT.encode(request.transactional_id),
        _HEAD.pack(request.required_acks, request.timeout, len(request.topics)),
    ]
    for topic, partitions in request.topics:
        parts += _TEXT.encode(topic), Int32.encode(len(partitions))
        for number, batch in partitions:
            parts += _PARTITION.pack(number, len(batch)), batch
    return b"".join(parts)
