"""Up to where something was read, and in which log: an offset alone means nothing in a log that was changed."""

from __future__ import annotations

from typing import Final, NamedTuple

#: What a mark says where its writer did not know: there is nothing to compare.
UNKNOWN_TOPIC: Final = bytes(16)
UNKNOWN_EPOCH: Final = -1
#: The offset of the last record, and its time, where none is known.
NO_OFFSET: Final = -1

_VERSION: Final = "1"


class LogMark(NamedTuple):
    """Everything below an offset, and how to tell whether it is still there.

    Attributes
    ----------
    offset
        The one after the last that was read.
    topic_id
        Kafka's id of the topic, 16 bytes.
    epoch
        Kafka's leader epoch of the last batch below ``offset``.
    last_offset, last_time
        Offset and append time (epoch ms) of the last record below ``offset``.
    """

    offset: int
    topic_id: bytes = UNKNOWN_TOPIC
    epoch: int = UNKNOWN_EPOCH
    last_offset: int = NO_OFFSET
    last_time: int = NO_OFFSET

    def to_text(self) -> str:
        """Return the form that stands in the metadata of a commit."""
        return (
            f"{_VERSION} {self.offset} {self.topic_id.hex()} {self.epoch} {self.last_offset} {self.last_time}"
        )

    @classmethod
    def from_commit(cls, offset: int, text: str) -> LogMark:
        """Return the mark in the metadata of a commit; only its ``offset`` where the metadata is somebody else's."""
        version, *fields = text.split(" ") if text else ("",)
        try:
            at, topic_id, *others = fields
            epoch, last_offset, last_time = map(int, others)
            mark = cls(int(at), bytes.fromhex(topic_id), epoch, last_offset, last_time)
        except ValueError:
            return cls(offset)
        known = version == _VERSION and len(mark.topic_id) == len(UNKNOWN_TOPIC)
        return mark if known else cls(offset)
