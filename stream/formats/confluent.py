"""JSON in the frame that Confluent's serializers write for the Schema Registry.

A value begins with a zero byte and the schema's id (4 bytes, big-endian); JSON follows. Newer serializers can write
the id into the header ``__value_schema_id`` instead, and the value is then plain JSON. The registry is not asked: the
fields are checked here in any case. Avro and Protobuf (whose frame goes on with message indexes) are refused.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

from features.events import Reason, RejectedEvent
from stream.formats.contract import Format, Message, Translation
from stream.formats.native import Native

_FRAME: Final = struct.Struct(">bI")
#: Bytes before the JSON.
FRAME_BYTES: Final = _FRAME.size
_MAGIC: Final = 0
_SCHEMA_HEADER: Final = "__value_schema_id"


class Confluent:
    """See the module.

    Parameters
    ----------
    inside
        The form of the JSON.
    """

    title: Final = "confluent"

    def __init__(self, inside: Format | None = None) -> None:
        self._inside: Format = inside or Native()

    @property
    def name(self) -> str:
        """See `stream.formats.contract.Format`."""
        inside = self._inside.name
        return self.title if inside == Native.name else f"{self.title}+{inside}"

    @property
    def origins(self) -> Mapping[str, str]:
        """See `stream.formats.contract.Format`."""
        return self._inside.origins

    def translate(self, message: Message) -> Translation:
        """See `stream.formats.contract.Format.translate`."""
        return self._inside.translate(message._replace(value=_unframed(message)))


def _unframed(message: Message) -> bytes:
    value = message.value
    if value[:1] in (b"{", b"[") and any(name == _SCHEMA_HEADER for name, _ in message.headers):
        return value
    if len(value) < _FRAME.size or value[0] != _MAGIC:
        raise RejectedEvent(
            Reason.INVALID_FIELD,
            f"the value has no frame of the Schema Registry (it begins with {value[:5]!r}): a zero byte and the "
            "schema's id come before the JSON",
        )
    payload, schema = value[_FRAME.size :], _FRAME.unpack_from(value)[1]
    if payload.lstrip()[:1] not in (b"{", b"["):
        raise RejectedEvent(
            Reason.NOT_JSON,
            f"what follows the schema id {schema} is not JSON: Avro and Protobuf are not read, use the serializer "
            "for JSON Schema",
        )
    return payload
