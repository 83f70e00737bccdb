"""How an id stands to others: whose it is, and who hands on to it (see `features.identity`)."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import structs

from features.exceptions import UnreadableState
from features.sealing import sealed, unsealed

#: Ids that are remembered to have been merged into one customer; of more, the oldest are forgotten.
MOST_MEMBERS: Final = 64

_LINK_VERSION: Final = 2
#: Also read: before 2 nobody was assigned by another id.
_READ_VERSIONS: Final = (1, _LINK_VERSION)


class Link(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How an id stands to others.

    Attributes
    ----------
    customer
        Whose id it is; empty where nobody's is.
    shared
        Whether several customers have logged in under it: then nothing is handed on.
    members
        Ids that hand on to this one.
    time
        Of the latest event that used it, about (epoch ms). Of an id that others hand on to, never before the id's own
        latest event: it lives as long as the state.
    since
        When it was linked, or found to be shared (epoch ms); 0 where that is not known.
    assigned
        By which id its person is assigned to an arm of the experiment; empty where it is the id itself.
    """

    customer: str = ""
    shared: bool = False
    members: tuple[str, ...] = ()
    time: int = 0
    since: int = 0
    assigned: str = ""

    def with_member(self, member: str, time: int) -> Link:
        """Return the link with another id that hands on to this one."""
        members = (*(one for one in self.members if one != member), member)[-MOST_MEMBERS:]
        return structs.replace(self, members=members, time=max(self.time, time))

    def to_bytes(self) -> bytes:
        """Return the stored form."""
        return sealed(_pack((_LINK_VERSION, self)))

    @classmethod
    def from_bytes(cls, raw: bytes) -> Link:
        """Return what `to_bytes` wrote.

        Raises
        ------
        UnreadableState
            It is damaged, or was written by a later version of this program.
        """
        content = unsealed(raw)
        try:
            version, link = _unpack(content or b"")
        except (msgspec.DecodeError, ValueError):
            version, link = -1, cls()
        if version not in _READ_VERSIONS:
            raise UnreadableState("a stored link is damaged, or of a later version of this program")
        return link


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[int, Link]).decode
