"""The dead letter: a record that could not be folded, kept with its original bytes, and why.

The record in the dead-letter topic has the original key and value. Its headers, all of them text, say the rest:

============== ===========================================================================
``reason``     a `features.events.Reason`
``detail``     a sentence for people
``topic``, ``partition``, ``offset``  where the record stood
``arrived_at`` its arrival, epoch milliseconds
``original.*`` the record's own headers, each under its name with this prefix
============== ===========================================================================

`stream.logs.letters` reads them, `stream.logs.resend` sends them to the events topic again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

from features.events import Rejection

#: Prefix of the original record's own headers.
ORIGINAL: Final = "original."

# A detail may quote a value of the event; the value itself is in the record.
_DETAIL_CHARACTERS: Final = 500

_COORDINATES: Final = ("partition", "offset", "arrived_at")

Headers = Sequence[tuple[str, bytes]]


class Record(Protocol):
    """What a dead letter is made of, or read from: a Kafka record, whoever parsed it."""

    @property
    def offset(self) -> int:
        """Where it stands in its partition."""
        ...

    @property
    def key(self) -> bytes | None:
        """The key's bytes."""
        ...

    @property
    def value(self) -> bytes | None:
        """The value's bytes."""
        ...

    @property
    def headers(self) -> Headers:
        """Names and bytes, in order."""
        ...


class DeadLetter(NamedTuple):
    """A record that could not be folded, and why.

    Attributes
    ----------
    key, value
        The original bytes.
    reason, detail
        Why it was refused: a `features.events.Reason`, and a sentence for people.
    topic, partition, offset
        Where the record stood.
    arrived_at
        Its arrival, epoch milliseconds.
    original_headers
        The record's own headers.
    """

    key: bytes | None
    value: bytes | None
    reason: str
    detail: str
    topic: str
    partition: int
    offset: int
    arrived_at: int
    original_headers: Headers = ()

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """The headers of the record in the dead-letter topic."""
        return dead_letter_headers(
            self.reason,
            self.detail,
            topic=self.topic,
            partition=self.partition,
            offset=self.offset,
            arrived_at=self.arrived_at,
            original=self.original_headers,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the letter as plain values; bytes that are not UTF-8 are escaped."""
        return {
            "reason": self.reason,
            "detail": self.detail,
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "arrived_at": self.arrived_at,
            "key": _text(self.key),
            "value": _text(self.value),
            "headers": {name: _text(value) for name, value in self.original_headers},
        }


def dead_letter(
    record: Record, topic: str, partition: int, rejection: Rejection, *, arrived_at: int
) -> DeadLetter:
    """Return the dead letter of a record that was rejected.

    Parameters
    ----------
    topic, partition
        Where the record stands.
    arrived_at
        Its arrival, epoch ms.
    """
    return DeadLetter(
        record.key,
        record.value,
        str(rejection.reason),
        rejection.detail,
        topic,
        partition,
        record.offset,
        arrived_at,
        record.headers,
    )


def dead_letter_headers(
    reason: str,
    detail: str,
    *,
    topic: str,
    partition: int,
    offset: int,
    arrived_at: int,
    original: Headers = (),
) -> list[tuple[str, bytes]]:
    """Return the headers of a record in the dead-letter topic.

    Examples
    --------
    >>> dead_letter_headers("late", "an hour", topic="t", partition=1, offset=7, arrived_at=5)[3:]
    [('partition', b'1'), ('offset', b'7'), ('arrived_at', b'5')]
    """
    texts = {
        "reason": reason,
        "detail": detail[:_DETAIL_CHARACTERS],
        "topic": topic,
        "partition": str(partition),
        "offset": str(offset),
        "arrived_at": str(arrived_at),
    }
    headers = [(name, text.encode(errors="backslashreplace")) for name, text in texts.items()]
    return headers + [(ORIGINAL + name, value) for name, value in original]


def parse(record: Record) -> DeadLetter | None:
    """Return the letter that a record holds, ``None`` if its headers are not those of a dead letter."""
    named = {
        name: value for name, value in record.headers if not name.startswith(ORIGINAL) and value is not None
    }
    if not {"reason", "detail", "topic", *_COORDINATES} <= named.keys():
        return None
    try:
        partition, offset, arrived_at = (int(named[name]) for name in _COORDINATES)
    except ValueError:
        return None
    return DeadLetter(
        record.key,
        record.value,
        named["reason"].decode(errors="replace"),
        named["detail"].decode(errors="replace"),
        named["topic"].decode(errors="replace"),
        partition,
        offset,
        arrived_at,
        tuple((name[len(ORIGINAL) :], value) for name, value in record.headers if name.startswith(ORIGINAL)),
    )


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode(errors="backslashreplace")
