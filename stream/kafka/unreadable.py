"""Records that could not be parsed as they are: the mark that they carry, and header names that are not UTF-8."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

from features.refusals import Reason

#: Header, always the first, of a record that could not be parsed as it is: ``<reason>: <sentence>``.
UNREADABLE: Final = "intent.unreadable"

_ESCAPE: Final = re.compile(rb"\\(?:\\|x([0-9a-f]{2}))")


class Unreadable(NamedTuple):
    """Why a record could not be parsed as it is: a reason, and a sentence for people."""

    reason: Reason
    detail: str

    @property
    def header(self) -> tuple[str, bytes]:
        """The header that says so."""
        return UNREADABLE, f"{self.reason}: {self.detail}".encode(errors="backslashreplace")


class _Headed(Protocol):
    @property
    def headers(self) -> Any: ...


def unreadable(record: _Headed) -> Unreadable | None:
    """Return why a record could not be parsed as it is, ``None`` for one that could."""
    if not record.headers or record.headers[0][0] != UNREADABLE:
        return None
    reason, _, detail = (record.headers[0][1] or b"").decode(errors="replace").partition(": ")
    known = Reason.BAD_HEADERS if reason == Reason.BAD_HEADERS else Reason.UNREADABLE
    return Unreadable(known, detail)


def escaped_name(raw: bytes) -> str:
    r"""Return a header name as text: a backslash is doubled, a byte that is not UTF-8 becomes ``\xff``.

    Examples
    --------
    >>> print(escaped_name(b"caf\xe9\\"))
    caf\xe9\\
    >>> name_bytes(escaped_name(b"caf\xe9\\")) == b"caf\xe9\\"
    True
    """
    return raw.replace(b"\\", b"\\\\").decode(errors="backslashreplace")


def name_bytes(escaped: str) -> bytes:
    """Return the bytes of a header name that `escaped_name` made a text of."""
    return _ESCAPE.sub(lambda found: bytes.fromhex((found[1] or b"5c").decode()), escaped.encode())


def own_headers(record: _Headed) -> Sequence[tuple[str, bytes]]:
    """Return the headers that a record came with, without the mark that it could not be parsed."""
    headers: Sequence[tuple[str, bytes]] = record.headers
    return headers[1:] if unreadable(record) else headers
