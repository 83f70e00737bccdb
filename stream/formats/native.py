"""Our own form, where another one wraps it."""

from __future__ import annotations

from typing import Final

from features.identity import IDENTIFY
from stream.formats.contract import Message, Translation
from stream.formats.values import read_object


class Native:
    """An event of `features.events`, as it is."""

    name: Final = "native"
    origins: Final[dict[str, str]] = {}

    def translate(self, message: Message) -> Translation:
        """See `stream.formats.contract.Format.translate`."""
        found = read_object(message.value, "event")
        return Translation(logins=[found]) if found.get("type") == IDENTIFY else Translation([found])
