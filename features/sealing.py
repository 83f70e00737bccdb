"""A seal: eight bytes behind a value in Redis that tell whether it is still what was written.

Redis keeps what it is given, but others may write to it: a tool, a person, a restored backup of something else. A state
with other numbers in it would be scored like any other, so a checksum says that it is damaged before it is used. It is
no secret: it finds accidents, not forgeries.
"""

from __future__ import annotations

from typing import Final

from xxhash import xxh3_64_digest

#: Length of the seal.
SEAL_BYTES: Final = 8


def sealed(value: bytes) -> bytes:
    """Return a value and its seal.

    Examples
    --------
    >>> unsealed(sealed(b"ada")), unsealed(b"adb" + sealed(b"ada")[3:])
    (b'ada', None)
    """
    return value + xxh3_64_digest(value)


def unsealed(value: bytes) -> bytes | None:
    """Return what was `sealed`, ``None`` where the seal does not fit."""
    content = value[:-SEAL_BYTES]
    return content if xxh3_64_digest(content) == value[-SEAL_BYTES:] else None
