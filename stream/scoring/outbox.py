"""The outbox of a partition as it is stored: records of the actions topic, key and value, in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

#: A record: the customer, and the value; ``None`` is the tombstone of an erased customer.
ActionRecord = tuple[str, bytes | None]

_VERSION: Final = 1

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, list[ActionRecord]]).decode


def pack_outbox(records: Sequence[ActionRecord]) -> bytes:
    """Return records as one value, empty if there are none.

    Examples
    --------
    >>> unpack_outbox(pack_outbox([("ada", b"{}"), ("grace", None)]))
    [('ada', b'{}'), ('grace', None)]
    """
    return _encode((_VERSION, records)) if records else b""


def unpack_outbox(outbox: bytes) -> list[ActionRecord]:
    """Return the records that `pack_outbox` took.

    Raises
    ------
    ValueError
        They were written by a later version of this program, or by something else.
    """
    version, records = _decode(outbox)
    if version != _VERSION:
        raise ValueError(f"an outbox has version {version}, this program reads {_VERSION}")
    return records
