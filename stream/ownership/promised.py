"""The outbox of a partition as it is stored: what a save has promised to write to which topic, in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

#: A record of the actions topic: the customer, and the value; ``None`` is the tombstone of an erased customer.
ActionRecord = tuple[str, bytes | None]

#: A record of the events topic that tells another partition something: partition, key and value. What is handed over
#: (`features.identity`) has the customer as its key, a copy of a price (`features.prices`) the item.
HandOverRecord = tuple[int, str, bytes]


class Promised(NamedTuple):
    """What is to be published."""

    actions: Sequence[ActionRecord]
    handed: Sequence[HandOverRecord] = ()


# Where nothing is handed over, an outbox is as it was in version 1: workers of before can read it.
_VERSION: Final = 2
_ACTIONS_ALONE: Final = 1

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode


def pack_outbox(actions: Sequence[ActionRecord], handed: Sequence[HandOverRecord] = ()) -> bytes:
    """Return records as one value, empty if there are none.

    Examples
    --------
    >>> unpack_outbox(pack_outbox([("ada", b"{}"), ("grace", None)])).actions
    [('ada', b'{}'), ('grace', None)]
    """
    if handed:
        return _encode((_VERSION, actions, handed))
    return _encode((_ACTIONS_ALONE, actions)) if actions else b""


def unpack_outbox(outbox: bytes) -> Promised:
    """Return the records that `pack_outbox` took.

    Raises
    ------
    ValueError
        They were written by a later version of this program, or by something else.
    """
    version, *records = _decode(outbox)
    if version not in (_ACTIONS_ALONE, _VERSION):
        raise ValueError(
            f"an outbox has version {version}, this program reads {_ACTIONS_ALONE} and {_VERSION}"
        )
    return msgspec.convert(records, Promised)
