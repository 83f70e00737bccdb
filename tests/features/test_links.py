"""How ids stand to each other, as it is stored."""

from __future__ import annotations

import msgspec
import pytest

from features.exceptions import UnreadableState
from features.links import Link
from features.sealing import sealed

LINK = Link("ada", False, ("a1",), 5, 3, "a1")


def test_a_link_is_read_as_it_was_stored() -> None:
    assert Link.from_bytes(LINK.to_bytes()) == LINK


def test_a_link_of_before_people_were_assigned_is_read() -> None:
    old = sealed(msgspec.msgpack.encode((1, ["ada", False, ["a1"], 5, 3])))
    assert Link.from_bytes(old) == Link("ada", False, ("a1",), 5, 3, "")


def test_a_link_of_a_later_version_is_refused() -> None:
    with pytest.raises(UnreadableState):
        Link.from_bytes(sealed(msgspec.msgpack.encode((3, LINK))))
