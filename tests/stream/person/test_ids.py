"""Under which ids a person is known."""

from __future__ import annotations

from features.links import Link
from features.state import STATE_VERSION, empty
from features.store.memory_store import MemoryStore
from features.store.partition_record import NO_WATERMARK, PartitionRecord
from stream.person.ids import Person, link_of, person_of


def store_with(**links: Link) -> MemoryStore:
    store, begun = MemoryStore(), PartitionRecord(1, bytes(16), 0, NO_WATERMARK, 1)
    store.claim(0, None, begun)
    states = empty(2)
    states["version"], states["events"] = STATE_VERSION, 1
    named = {name.replace("_", "-"): link.to_bytes() for name, link in links.items()}
    store.save(0, begun, begun, ["ada", "bob"], states, links=named)
    return store


def test_a_person_is_found_over_all_links_from_any_id() -> None:
    store = store_with(
        ada=Link(members=("a-1", "a-2")), a_1=Link("ada"), a_2=Link("ada", members=("a-3",)), a_3=Link("a-2")
    )
    assert person_of(store, 1, "bob") == Person(["bob"], [], True)
    assert person_of(store, 1, "eve") == Person(["eve"], [], False)
    assert person_of(store, 1, "ada") == Person(["ada", "a-1", "a-2", "a-3"], [], True)
    assert person_of(store, 1, "a-3") == Person(["a-3", "a-2", "ada", "a-1"], [], True)
    assert (link_of(store, 1, "eve"), link_of(store, 1, "a-1")) == (None, Link("ada"))


def test_a_device_that_several_have_used_is_named_and_leads_to_nobody_else() -> None:
    store = store_with(ada=Link(members=("a-1",)), bob=Link(members=("a-1",)), a_1=Link("ada", shared=True))
    assert person_of(store, 1, "ada") == Person(["ada"], ["a-1"], True)
    assert person_of(store, 1, "bob") == Person(["bob"], ["a-1"], True)
