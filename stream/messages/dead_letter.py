"""The dead letter: a record that could not be folded, kept with its original bytes, and why.

The record in the dead-letter topic has the original key and value. Its headers, all of them text, say the rest:

============== ===========================================================================
``reason``     a `features.events.Reason`
``detail``     a sentence for people
``topic``, ``partition``, ``offset``  where the record stood
``arrived_at`` its arrival, epoch milliseconds
``original.*`` the record's own headers, each under its name with this prefix
``cut.*``      of a letter that was cut: ``<bytes> <SHA-256>`` of the original ``key``, ``value`` or ``headers``
``__connect.errors.*``  coordinates, reason and detail once more, as Kafka Connect writes them (`CONNECT`): by these,
               user interfaces for Kafka show letters and send them again
============== ===========================================================================

A letter is bounded: what would exceed `LETTER_BYTES` is cut at its end, first the key (`KEY_BYTES`), then the headers
(`HEADERS_BYTES`), then the value. The original is still where the letter's coordinates say, for as long as its topic
keeps it; the sizes and hashes tell whether it is the same record. The hash of headers is that of each name and value
in order, each after its length in 4 bytes (big-endian, -1 for a null), names with the prefix left out.

The names of a record with the reason ``bad_headers`` are escaped, see `stream.kafka.unreadable.escaped_name`.

Erasing a customer writes a record with its key, a null value and the header ``erased_at`` (the arrival of the
request, epoch milliseconds) to the topic: letters with that key that arrived before are neither shown nor sent again.

`stream.logs.letters` reads them, `stream.logs.resend` sends them to the events topic again.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

from features.refusals import Rejection
from stream.kafka.unreadable import own_headers

#: Prefix of the original record's own headers.
ORIGINAL: Final = "original."

#: Prefix of the size and hash of a part that was cut.
CUT: Final = "cut."

#: Prefix of the headers that Kafka Connect's dead letters have (``DeadLetterQueueReporter``).
CONNECT: Final = "__connect.errors."
# In place of the connector, and before the reason in place of the class of an exception.
_CONNECTOR: Final = "purchase-intent"

#: Header of the record that says that a customer was erased.
ERASED_AT: Final = "erased_at"
_TIME_DIGITS: Final = 15  # more are no time

#: Bytes of a letter's key, value and original headers together, at most. The broker's limit for a batch, unless a
#: topic is configured otherwise, is 1,048,588 bytes: reason, detail, coordinates and framing have the rest.
LETTER_BYTES: Final = 1_000_000
#: What is left of a key, and of all headers, of a letter that is cut.
KEY_BYTES: Final = 64 * 1024
HEADERS_BYTES: Final = 128 * 1024

# What a header costs besides its name and its value: two lengths, of up to 5 bytes each.
_FRAMING: Final = 10

# Before each name and value in what the headers' hash is of.
_SIZE: Final = struct.Struct(">i").pack
_NULL: Final = _SIZE(-1)

# A detail may quote a value of the event; the value itself is in the record.
_DETAIL_CHARACTERS: Final = 500

_COORDINATES: Final = ("partition", "offset", "arrived_at")

Headers = Sequence[tuple[str, bytes]]


class Cut(NamedTuple):
    """A part of a letter that was cut: the original's size in bytes, and its SHA-256 in hexadecimal digits."""

    size: int
    sha256: str

    @classmethod
    def of(cls, original: bytes) -> Cut:
        """Return size and hash of an original part."""
        return cls(len(original), hashlib.sha256(original).hexdigest())


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
    cut
        The parts (``key``, ``value``, ``headers``) that were cut.
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
    cut: Mapping[str, Cut] = MappingProxyType({})

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
            cut=self.cut,
        )

    def is_of(self, record: Record) -> bool:
        """Whether the letter was made of this record."""
        parts = {"key": (self.key, record.key), "value": (self.value, record.value)}
        whole = all(mine == its for name, (mine, its) in parts.items() if name not in self.cut)
        if "headers" not in self.cut:
            whole = whole and list(self.original_headers) == list(own_headers(record))
        return whole and all(Cut.of(_part(record, name)) == cut for name, cut in self.cut.items())

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
            "cut": {name: {"bytes": cut.size, "sha256": cut.sha256} for name, cut in self.cut.items()},
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
    letter = DeadLetter(
        record.key,
        record.value,
        str(rejection.reason),
        rejection.detail,
        topic,
        partition,
        record.offset,
        arrived_at,
        own_headers(record),
    )
    return letter if _fits(letter) else _bounded(letter, record)


def _fits(letter: DeadLetter) -> bool:
    left = LETTER_BYTES - len(letter.key or b"") - len(letter.value or b"")
    return left >= 0 and len(_leading(letter.original_headers, left)) == len(letter.original_headers)


def _leading(headers: Headers, room: int) -> Headers:
    """Return the first headers, as many as fit into ``room`` bytes."""
    for at, header in enumerate(headers):
        room -= _header_size(header)
        if room < 0:
            return headers[:at]
    return headers


def _header_size(header: tuple[str, bytes]) -> int:
    name, value = header
    return len(ORIGINAL) + len(name.encode()) + len(value or b"") + _FRAMING


def _bounded(letter: DeadLetter, record: Record) -> DeadLetter:
    """Return a letter that is too large with its key, headers and value cut."""
    key = letter.key and letter.key[:KEY_BYTES]
    headers = _leading(letter.original_headers, HEADERS_BYTES)
    left = LETTER_BYTES - len(key or b"") - sum(map(_header_size, headers))
    value = letter.value and letter.value[:left]
    shorter = {
        "key": key != letter.key, "value": value != letter.value, "headers": headers != letter.original_headers
    }  # fmt: skip
    return letter._replace(
        key=key,
        value=value,
        original_headers=headers,
        cut={name: Cut.of(_part(record, name)) for name, is_cut in shorter.items() if is_cut},
    )


def _part(record: Record, name: str) -> bytes:
    """Return the bytes of which a cut part's size and hash are given."""
    if name == "headers":
        raw = bytearray()
        for header, value in own_headers(record):
            named = header.encode()
            raw += _SIZE(len(named)) + named
            raw += _NULL if value is None else _SIZE(len(value)) + value
        return bytes(raw)
    return (record.key if name == "key" else record.value) or b""


def dead_letter_headers(
    reason: str,
    detail: str,
    *,
    topic: str,
    partition: int,
    offset: int,
    arrived_at: int,
    original: Headers = (),
    cut: Mapping[str, Cut] = MappingProxyType({}),
) -> list[tuple[str, bytes]]:
    """Return the headers of a record in the dead-letter topic.

    Examples
    --------
    >>> dead_letter_headers("late", "an hour", topic="t", partition=1, offset=7, arrived_at=5)[3:6]
    [('partition', b'1'), ('offset', b'7'), ('arrived_at', b'5')]
    """
    texts = {
        "reason": reason,
        "detail": detail[:_DETAIL_CHARACTERS],
        "topic": topic,
        "partition": str(partition),
        "offset": str(offset),
        "arrived_at": str(arrived_at),
        **{CUT + name: f"{part.size} {part.sha256}" for name, part in cut.items()},
        f"{CONNECT}topic": topic,
        f"{CONNECT}partition": str(partition),
        f"{CONNECT}offset": str(offset),
        f"{CONNECT}connector.name": _CONNECTOR,
        f"{CONNECT}task.id": str(partition),
        f"{CONNECT}exception.class.name": f"{_CONNECTOR}.{reason}",
        f"{CONNECT}exception.message": detail[:_DETAIL_CHARACTERS],
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
        cut = {name[len(CUT) :]: _parse_cut(text) for name, text in named.items() if name.startswith(CUT)}
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
        cut,
    )


class Erasure(NamedTuple):
    """What the dead-letter topic holds of an erased customer.

    Attributes
    ----------
    key
        The key of the customer's records.
    arrived_at
        The arrival of the request, epoch ms.
    """

    key: bytes
    arrived_at: int

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """The headers of the record in the dead-letter topic."""
        return [(ERASED_AT, str(self.arrived_at).encode())]


def parse_erasure(record: Record) -> Erasure | None:
    """Return the erasure that a record holds, ``None`` where it holds none.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> erasure = Erasure(b"ada", 7)
    >>> parse_erasure(SimpleNamespace(offset=1, key=b"ada", value=None, headers=erasure.headers)) == erasure
    True
    """
    told = dict(record.headers).get(ERASED_AT) or b""
    if record.key is None or record.value is not None or not told.isdigit() or len(told) > _TIME_DIGITS:
        return None
    return Erasure(record.key, int(told))


def _parse_cut(text: bytes) -> Cut:
    size, sha256 = text.decode(errors="replace").split()
    return Cut(int(size), sha256)


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode(errors="backslashreplace")
