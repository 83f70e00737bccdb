"""Signatures of what workers tell other partitions: nobody else can write such records.

That is what they hand over (`features.identity`), and copies of prices (`features.prices`).

A signature stands in a header: HMAC-SHA256 [RFC 2104] of the record's key and value. It says nothing of the partition,
so any record that a worker hands over can be signed and looked at in the same way. A file has the keys::

    # keys of the hand-overs
    6f1d...        64 hexadecimal digits or more; the first key signs, all of them are accepted
    unsigned until 2026-12-01T00:00:00Z

The last line, which may be left out, is for the records of before: without a signature, those that the broker appended
earlier are accepted.
"""

from __future__ import annotations

import datetime as dt
import hmac
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol, Self

from features.events import Reason, Rejection
from features.identity import HandOver, Identify
from features.prices import Price, PriceCopy
from stream.exceptions import SettingsError

#: Header of a record that a worker has handed over.
SIGNATURE: Final = "intent_signature"

# In front of what is signed: a signature of something else is none of a hand-over.
_PURPOSE: Final = b"purchase-intent hand-over 1\n"
_DIGITS: Final = 64
_UNSIGNED: Final = "unsigned until "
_NEW_KEY: Final = "make a key by `openssl rand -hex 32 > hand-over.key`"


class Signed(Protocol):
    """A record, as far as its signature is concerned."""

    @property
    def key(self) -> bytes | None:
        """See `aiokafka.ConsumerRecord`."""
        ...

    @property
    def value(self) -> bytes | None:
        """See `aiokafka.ConsumerRecord`."""
        ...

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """See `aiokafka.ConsumerRecord`."""
        ...

    @property
    def timestamp(self) -> int:
        """See `aiokafka.ConsumerRecord`."""
        ...


class HandOverKeys:
    """The keys by which workers know what they have handed to each other.

    Parameters
    ----------
    keys
        The first one signs, each is accepted.
    unsigned_until
        Until when records may be without a signature, epoch ms of the broker's append time.
    """

    def __init__(self, keys: Sequence[bytes], unsigned_until: int = 0) -> None:
        self._keys = tuple(keys)
        self._unsigned_until = unsigned_until

    @classmethod
    def of(cls, path: Path | None) -> Self | None:
        """Return the keys of a file, ``None`` where there is none; see `read`."""
        return None if path is None else cls.read(path)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file of keys.

        Raises
        ------
        SettingsError
            It cannot be read, holds no key, or a line that is none.
        """
        try:
            lines = path.read_text("ascii").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise _refused(path, f"cannot be read ({why}): {_NEW_KEY}") from None
        keys, until = list[bytes](), 0
        for number, line in enumerate(map(str.strip, lines), 1):
            if line.startswith(_UNSIGNED):
                until = _moment(path, number, line.removeprefix(_UNSIGNED).strip())
            elif line and not line.startswith("#"):
                if not re.fullmatch(rf"(?:[0-9a-fA-F]{{2}}){{{_DIGITS // 2},}}", line):
                    # Never show the line: it may be a key that was cut.
                    raise _refused(
                        path, f"line {number} is no key of {_DIGITS} hexadecimal digits: {_NEW_KEY}"
                    )
                keys.append(bytes.fromhex(line))
        if not keys:
            raise _refused(path, f"has no key: {_NEW_KEY}")
        return cls(keys, until)

    def header(self, key: bytes, value: bytes) -> tuple[str, bytes]:
        """Return the header that signs a record."""
        return SIGNATURE, _digest(self._keys[0], key, value)

    def fault(self, record: Signed) -> str:
        """Return why a record cannot be one that a worker has handed over; empty where it can."""
        signatures = [value or b"" for name, value in record.headers if name == SIGNATURE]
        if not signatures:
            # The broker's time: a producer can claim an earlier arrival.
            if record.timestamp < self._unsigned_until:
                return ""
            return "a worker's record has no signature: whoever wrote it has no key (INTENT_HAND_OVER_KEY)"
        wanted = [_digest(key, record.key or b"", record.value or b"") for key in self._keys]
        if any(hmac.compare_digest(one, found) for found in signatures for one in wanted):
            return ""
        return "the signature of a worker's record is of none of the keys in INTENT_HAND_OVER_KEY"


def signature_faults(
    controls: Mapping[int, Identify | HandOver | Price | PriceCopy],
    records: Sequence[Signed],
    keys: HandOverKeys | None,
) -> dict[int, Rejection]:
    """Return by the position of their record the hand-overs and copies that no worker wrote; none without keys."""
    if keys is None:
        return {}
    handed = [i for i, control in controls.items() if isinstance(control, HandOver | PriceCopy)]
    faults = {i: keys.fault(records[i]) for i in handed}
    return {i: Rejection(i, Reason.BAD_SIGNATURE, fault) for i, fault in faults.items() if fault}


def _digest(secret: bytes, key: bytes, value: bytes) -> bytes:
    told = b"%s%d\n%s%s" % (_PURPOSE, len(key), key, value)
    return hmac.digest(secret, told, "sha256").hex().encode()


def _moment(path: Path, number: int, text: str) -> int:
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise _refused(path, f"line {number}: {text[:40]!r} is no time with a zone: use 2026-12-01T00:00:00Z")
    return int(found.timestamp() * 1000)


def _refused(path: Path, why: str) -> SettingsError:
    return SettingsError(f"INTENT_HAND_OVER_KEY = {path}: the file {why}")
