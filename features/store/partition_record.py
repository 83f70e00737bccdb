"""A partition's record: who owns its states, how far they have come, and in which log."""

from __future__ import annotations

import secrets
import struct
from typing import Final, NamedTuple

from features.exceptions import StoreConflict, UnreadableRecord
from features.sealing import SEAL_BYTES, sealed, unsealed
from features.store.log_mark import NO_OFFSET, UNKNOWN_EPOCH, UNKNOWN_TOPIC, LogMark

#: The watermark of a partition that has seen no event.
NO_WATERMARK: Final = -(2**63)

TOKEN_BYTES: Final = 16

#: The next offset of a partition whose states are being restored from a log: nobody can go on from there.
RESTORING: Final = -1

# Where nobody is linked, a record is as it was in version 4: workers of before can read it.
_RECORD_VERSION: Final = 5
_WITHOUT_LINKS: Final = 4
_FIRST: Final = struct.Struct(f"<BQ{TOKEN_BYTES}sqqI")  # version 1
_SECOND: Final = struct.Struct(f"<BQ{TOKEN_BYTES}sqqI16siqqIq")
_RECORD: Final = struct.Struct(f"<BQ{TOKEN_BYTES}sqqI16siqqIqiqq")
_TAKEN: Final = struct.Struct("<iqI")  # partition, offset, number
_UNSEALED: Final = {1: _FIRST, 2: _SECOND, 3: _RECORD}


class PartitionRecord(NamedTuple):
    """Who owns a partition, how far its states have come, and in which log.

    Attributes
    ----------
    epoch
        Raised by one with every claim.
    token
        16 random bytes of the owner.
    next_offset
        The offset of the first record that the states don't contain yet; `RESTORING` while they are restored.
    watermark
        The highest accepted event time minus the lateness, epoch milliseconds; `NO_WATERMARK` before any
        event.
    partitions
        The topic's partition count when this was written.
    topic_id
        Kafka's id of the topic (a UUID, 16 bytes): another one is a topic that was made again.
    leader_epoch
        Kafka's leader epoch of the last batch that was folded.
    last_offset, last_time
        Offset and append time (epoch ms) of the last record that was folded.
    incarnation
        Which of the stored states count; drawn by lot whenever they are built from the first event on.
    silent_until
        Events below this offset were scored before the states were built again: nothing is published of them.
    silent_epoch
        Kafka's leader epoch of the last batch below ``silent_until``.
    silent_offset, silent_time
        Offset and append time (epoch ms) of the last record below ``silent_until``.
    links
        Whether any id of the partition is linked, or was (`features.identity`).
    taken
        Of each partition that has handed something over: its number, and offset and number of the last hand-over taken.
    """

    epoch: int
    token: bytes
    next_offset: int
    watermark: int
    partitions: int
    topic_id: bytes = UNKNOWN_TOPIC
    leader_epoch: int = UNKNOWN_EPOCH
    last_offset: int = NO_OFFSET
    last_time: int = NO_OFFSET
    incarnation: int = 0
    silent_until: int = 0
    silent_epoch: int = UNKNOWN_EPOCH
    silent_offset: int = NO_OFFSET
    silent_time: int = NO_OFFSET
    links: bool = False
    taken: tuple[tuple[int, int, int], ...] = ()

    @classmethod
    def beginning(
        cls, offset: int, partitions: int, *, epoch: int = 0, silent_until: int = 0
    ) -> PartitionRecord:
        """Return the record of a partition whose states are built from ``offset`` on, in a new incarnation."""
        incarnation = secrets.randbits(31) + 1
        return cls(
            epoch, bytes(TOKEN_BYTES), offset, NO_WATERMARK, partitions,
            incarnation=incarnation, silent_until=silent_until,
        )  # fmt: skip

    @property
    def silent(self) -> bool:
        """Whether states are being built again from events that were scored before."""
        return self.next_offset < self.silent_until

    @property
    def read(self) -> LogMark:
        """What the states were made from."""
        return LogMark(self.next_offset, self.topic_id, self.leader_epoch, self.last_offset, self.last_time)

    @property
    def scored(self) -> LogMark:
        """What was scored: more than was `read` while the partition is `silent`."""
        if not self.silent:
            return self.read
        return LogMark(
            self.silent_until, self.topic_id, self.silent_epoch, self.silent_offset, self.silent_time
        )

    def silenced(self, mark: LogMark) -> PartitionRecord:
        """Return the record of which all below the ``mark`` was scored before."""
        return self._replace(
            silent_until=mark.offset, silent_epoch=mark.epoch,
            silent_offset=mark.last_offset, silent_time=mark.last_time,
        )  # fmt: skip

    def moved(self, offset: int) -> PartitionRecord:
        """Return the record with another next offset, chosen by a person: nothing is known of the log before it."""
        return self._replace(
            next_offset=offset, leader_epoch=UNKNOWN_EPOCH, last_offset=NO_OFFSET, last_time=NO_OFFSET
        )

    def to_bytes(self) -> bytes:
        """Return the stored form."""
        *fields, links, taken = self
        if not links and not taken:
            return sealed(_RECORD.pack(_WITHOUT_LINKS, *fields))
        places = b"".join(_TAKEN.pack(*place) for place in taken)
        return sealed(_RECORD.pack(_RECORD_VERSION, *fields) + bytes([links]) + places)

    @classmethod
    def from_bytes(cls, raw: bytes) -> PartitionRecord:
        """Return the record that `to_bytes` wrote, or an earlier version of it.

        Version 1 knew nothing of the log and of incarnations: such a record is of incarnation 0, its log is taken for
        the right one, and the next claim writes down which that is. Version 2 did not know in which log it was silent,
        so here, too, the next claim writes it down. Version 3 had no seal, version 4 no links.

        Raises
        ------
        UnreadableRecord
            ``raw`` is damaged, or was written by a later version of this program, or by something else.
        """
        version = raw[0] if raw else 0
        places = len(raw) - _RECORD.size - SEAL_BYTES - 1
        if (version == _WITHOUT_LINKS and places == -1) or (
            version == _RECORD_VERSION and places >= 0 and places % _TAKEN.size == 0
        ):
            content = unsealed(raw)
            if content is None:
                raise UnreadableRecord("the partition record is damaged: its checksum does not fit")
            fields, rest = _RECORD.unpack_from(content)[1:], content[_RECORD.size :]
            taken = tuple(_TAKEN.iter_unpack(rest[1:]))
            return cls(*fields)._replace(links=rest[:1] == b"\x01", taken=taken)
        form = _UNSEALED.get(version)
        if form is not None and len(raw) == form.size:
            return cls(*form.unpack(raw)[1:])
        raise UnreadableRecord(
            f"a partition record has {len(raw)} bytes and version {raw[:1].hex() or 'none'}, ours "
            f"{_RECORD.size + SEAL_BYTES} and {_RECORD_VERSION:02x}: set another INTENT_REDIS_PREFIX"
        )


def check_guard(partition: int, stored: bytes | None, expected: PartitionRecord | None) -> None:
    """Raise `StoreConflict` unless the ``stored`` record is the ``expected`` one in every field."""
    try:
        found = None if stored is None else PartitionRecord.from_bytes(stored)
    except UnreadableRecord as error:  # whoever reads the record next learns that it is
        raise StoreConflict(f"partition {partition}: {error}") from None
    if found != expected:
        raise StoreConflict(
            f"partition {partition} has {_text(found)} where {_text(expected)} was expected", found=found
        )


def _text(record: PartitionRecord | None) -> str:
    if record is None:
        return "no record"
    return f"epoch {record.epoch} of owner {record.token.hex()[:8]} at offset {record.next_offset}"
