"""A few of Kafka's requests and answers [1]_ as bytes, for who asks a broker without a client.

.. [1] The Kafka protocol guide, https://kafka.apache.org/protocol
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Self

from stream.addresses import Address

_CLIENT: Final = "intent-diagnosis"
_CORRELATION: Final = 1


class Request:
    """The bytes of a request, as they are written."""

    def __init__(self) -> None:
        self.written = b""

    def text(self, text: str) -> None:
        """Write a text."""
        encoded = text.encode()
        self.written += struct.pack(">h", len(encoded)) + encoded

    def data(self, data: bytes) -> None:
        """Write bytes."""
        self.written += struct.pack(">i", len(data)) + data

    def texts(self, texts: Sequence[str]) -> None:
        """Write a list of texts."""
        self.written += struct.pack(">i", len(texts))
        for text in texts:
            self.text(text)

    def flag(self, *, flag: bool) -> None:
        """Write a flag."""
        self.written += struct.pack(">?", flag)


def request_of(api: int, version: int, write: Callable[[Request], None]) -> bytes:
    """Return a request with its header and its length, whose body is what ``write`` writes."""
    request = Request()
    request.written = struct.pack(">hhi", api, version, _CORRELATION)
    request.text(_CLIENT)
    write(request)
    return struct.pack(">i", len(request.written)) + request.written


class Answer:
    """An answer, without its length, read from the front."""

    def __init__(self, data: bytes) -> None:
        self._whole = data
        self._at = 4  # behind the correlation id

    def int16(self) -> int:
        """Read a number."""
        return int(self._take(">h"))

    def int32(self) -> int:
        """Read a number."""
        return int(self._take(">i"))

    def flag(self) -> bool:
        """Read a flag."""
        return bool(self._take(">?"))

    def text(self) -> str:
        """Read a text; null is empty."""
        return self._piece(self.int16()).decode(errors="replace")

    def data(self) -> bytes:
        """Read bytes; null is empty."""
        return self._piece(self.int32())

    def texts(self) -> list[str]:
        """Read a list of texts."""
        return [self.text() for _ in range(self.int32())]

    def int32s(self) -> list[int]:
        """Read a list of numbers."""
        return [self.int32() for _ in range(self.int32())]

    def _take(self, form: str) -> Any:
        (value,) = struct.unpack_from(form, self._whole, self._at)
        self._at += struct.calcsize(form)
        return value

    def _piece(self, size: int) -> bytes:
        start, self._at = self._at, self._at + max(size, 0)
        return self._whole[start : self._at]


class Metadata(NamedTuple):
    """What a broker says of its cluster (version 4 of the answer).

    Attributes
    ----------
    brokers
        Where it sends clients.
    topics
        The error code of each topic that was asked for.
    """

    brokers: Sequence[Address]
    topics: Mapping[str, int]

    @classmethod
    def of(cls, answer: Answer) -> Self:
        """Read an answer."""
        answer.int32()  # for how long the client was throttled
        brokers = []
        for _ in range(answer.int32()):
            answer.int32()  # its id
            brokers.append(Address(answer.text(), answer.int32()))
            answer.text()  # its rack
        answer.text()  # the cluster's id
        answer.int32()  # the controller's id
        topics = {}
        for _ in range(answer.int32()):
            error, name, _ = answer.int16(), answer.text(), answer.flag()
            topics[name] = error
            for _ in range(answer.int32()):
                answer.int16(), answer.int32(), answer.int32()  # of a partition: error, id, leader
                answer.int32s(), answer.int32s()  # its replicas, and those in sync
        return cls(brokers, topics)
