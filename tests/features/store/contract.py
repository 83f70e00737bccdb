"""What every customer store has to do: `MemoryStore` here, `RedisStore` in the integration tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from threading import Barrier, Thread

import numpy as np
import pytest

from features import state
from features.exceptions import StoreConflict
from features.links import Link
from features.state import STATE_VERSION, States
from features.store.customer_store import CustomerStore, LoadRequest, Save
from features.store.partition_record import NO_WATERMARK, PartitionRecord

WriteItems = Callable[[int, Mapping[str, bytes]], object]


def record(epoch: int = 1, offset: int = 0, token: bytes | None = None) -> PartitionRecord:
    return PartitionRecord(epoch, token or os.urandom(16), offset, NO_WATERMARK, 12)


def states(*counts: int, last_time: int = 1_000) -> States:
    rows = state.empty(len(counts))
    rows["version"] = STATE_VERSION
    rows["events"] = counts
    rows["last_time"] = last_time
    rows["event_ids"][:, 0] = counts  # anything that tells one row from another
    return rows


def claimed(store: CustomerStore, partition: int = 3, offset: int = 0) -> PartitionRecord:
    mine = record(offset=offset)
    store.claim(partition, store.record(partition), mine)
    return mine


def swept(store: CustomerStore, mine: PartitionRecord, *, before: int) -> int:
    """Sweep a partition once, however many keys lie between; return how many states were deleted."""
    deleted, ended = store.sweep(3, mine, before=before, count=1_000)
    while not ended:
        more, ended = store.sweep(3, mine, before=before, count=1_000)
        deleted += more
    return deleted


def items(store: CustomerStore, *customers: str, partition: int = 3) -> list[bytes | None]:
    (found,) = store.load_many([LoadRequest(partition, [], items_of=customers)])
    return list(found.items)


class StoreContract:
    """Derive from it and give the fixtures ``store``, an empty one, and ``write_items``, as offline jobs write."""

    def test_an_unclaimed_partition_has_no_record(self, store: CustomerStore) -> None:
        assert store.record(3) is None

    @pytest.mark.parametrize("watermark", [NO_WATERMARK, -1, 0, 2**62])
    def test_a_record_comes_back_as_it_was_written(self, store: CustomerStore, watermark: int) -> None:
        mine = PartitionRecord(
            2**40, os.urandom(16), 2**50, watermark, 4_000,
            os.urandom(16), 2**31 - 1, 2**50 - 1, 2**42, 2**31, 2**49,
        )  # fmt: skip
        store.claim(3, None, mine)
        assert store.record(3) == mine

    @pytest.mark.parametrize("found", [None, record()])
    def test_a_claim_on_what_is_no_longer_there_changes_nothing(
        self, store: CustomerStore, found: PartitionRecord | None
    ) -> None:
        mine = claimed(store)
        with pytest.raises(StoreConflict) as conflict:
            store.claim(3, found, record(2))
        assert conflict.value.found == mine
        assert store.record(3) == mine

    def test_of_two_claims_at_once_one_succeeds(self, store: CustomerStore) -> None:
        found = claimed(store)
        claims = [record(2), record(2)]
        conflicts: list[PartitionRecord] = []
        start = Barrier(2)

        def claim(mine: PartitionRecord) -> None:
            start.wait()
            try:
                store.claim(3, found, mine)
            except StoreConflict:
                conflicts.append(mine)

        threads = [Thread(target=claim, args=(mine,)) for mine in claims]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(conflicts) == 1
        assert store.record(3) in set(claims) - set(conflicts)

    @pytest.mark.parametrize(
        "customers", [[], ["ada"], ["", "a:b", "{x}", "*?[", "Zoë", "客", "\u0000", " a b\n"]]
    )
    def test_states_come_back_bit_for_bit_in_the_order_asked(
        self, store: CustomerStore, customers: Sequence[str]
    ) -> None:
        mine = claimed(store)
        rows = states(*range(1, len(customers) + 1))
        store.save(3, mine, mine._replace(next_offset=9, watermark=70), customers, rows)
        backwards = store.load(3, customers[::-1])
        assert backwards.tobytes() == rows[::-1].tobytes()
        assert store.record(3) == mine._replace(next_offset=9, watermark=70)

    def test_an_unknown_customer_has_an_empty_state_that_may_be_changed(self, store: CustomerStore) -> None:
        rows = store.load(3, ["nobody"])
        assert rows.tobytes() == state.empty(1).tobytes()
        rows["events"] += 1
        assert store.load(3, ["nobody"])["events"][0] == 0
        assert store.peek(3, "nobody") is None

    def test_a_save_under_another_record_changes_nothing(self, store: CustomerStore) -> None:
        mine = claimed(store)
        theirs = record(2)
        store.claim(3, mine, theirs)
        with pytest.raises(StoreConflict) as conflict:
            store.save(3, mine, mine._replace(next_offset=5), ["ada"], states(1))
        assert conflict.value.found == theirs
        assert store.record(3) == theirs
        assert store.load(3, ["ada"])["events"][0] == 0

    @pytest.mark.parametrize(
        "field",
        [
            {"epoch": 2},
            {"next_offset": 1},
            {"watermark": 0},
            {"partitions": 4},
            {"token": bytes(16)},
            {"topic_id": b"another topic id"},
            {"leader_epoch": 7},
            {"last_time": 7},
            {"incarnation": 7},
            {"silent_until": 7},
            {"silent_epoch": 7},
            {"silent_offset": 7},
            {"silent_time": 7},
        ],
    )
    def test_the_guard_compares_every_field(self, store: CustomerStore, field: dict[str, object]) -> None:
        mine = claimed(store)
        with pytest.raises(StoreConflict):
            store.save(3, mine._replace(**field), mine._replace(next_offset=5), ["ada"], states(1))
        assert store.load(3, ["ada"])["events"][0] == 0

    def test_a_load_under_another_record_is_refused(self, store: CustomerStore) -> None:
        mine = claimed(store)
        store.save(3, mine, mine, ["ada"], states(1))
        assert store.load(3, ["ada"], mine)["events"][0] == 1
        theirs = record(2)
        store.claim(3, mine, theirs)
        with pytest.raises(StoreConflict) as conflict:
            store.load(3, ["ada"], mine)
        assert conflict.value.found == theirs
        assert store.load(3, ["ada"])["events"][0] == 1

    def test_a_save_without_a_claim_changes_nothing(self, store: CustomerStore) -> None:
        with pytest.raises(StoreConflict) as conflict:
            store.save(3, record(), record(offset=5), ["ada"], states(1))
        assert conflict.value.found is None
        assert store.record(3) is None

    def test_nothing_to_save_is_no_fault(self, store: CustomerStore) -> None:
        assert store.save_many([]) == []

    def test_a_repeated_save_is_refused(self, store: CustomerStore) -> None:
        mine = claimed(store)
        new = mine._replace(next_offset=5)
        store.save(3, mine, new, ["ada"], states(1))
        with pytest.raises(StoreConflict) as conflict:
            store.save(3, mine, new, ["ada"], states(2))
        assert conflict.value.found == new
        assert store.load(3, ["ada"])["events"][0] == 1

    def test_an_empty_state_is_deleted(self, store: CustomerStore) -> None:
        mine = claimed(store)
        store.save(3, mine, mine, ["ada", "grace"], states(1, 2))
        store.save(3, mine, mine, ["ada"], state.empty(1))
        assert store.peek(3, "ada") is None
        grace = store.peek(3, "grace")
        assert grace is not None
        assert grace["events"][0] == 2

    def test_only_the_record_changes_where_no_state_does(self, store: CustomerStore) -> None:
        mine = claimed(store)
        store.save(3, mine, mine._replace(next_offset=5), (), state.empty(0))
        assert store.record(3) == mine._replace(next_offset=5)

    def test_partitions_are_apart(self, store: CustomerStore) -> None:
        mine, other = claimed(store, 3), claimed(store, 33)
        store.save(3, mine, mine._replace(next_offset=5), ["ada"], states(1))
        assert store.load(33, ["ada"])["events"][0] == 0
        assert store.record(33) == other

    def test_several_partitions_are_saved_and_loaded_in_one_go(self, store: CustomerStore) -> None:
        mine, other = claimed(store, 3), claimed(store, 33)
        saves = [
            Save(3, mine, mine._replace(next_offset=5), ["ada", "grace"], states(1, 2)),
            Save(33, other, other._replace(next_offset=7), ["joan"], states(3)),
        ]
        assert store.save_many(saves) == [None, None]
        loads = [LoadRequest(33, ["joan", "nobody"], saves[1].new), LoadRequest(3, ["grace"], saves[0].new)]
        assert [found.states["events"].tolist() for found in store.load_many(loads)] == [[3, 0], [2]]
        assert (store.record(3), store.record(33)) == (saves[0].new, saves[1].new)

    def test_a_partition_that_another_has_claimed_leaves_the_others_saves_alone(
        self, store: CustomerStore
    ) -> None:
        mine, other = claimed(store, 3), claimed(store, 33)
        theirs = record(2)
        store.claim(3, mine, theirs)
        fenced, saved = store.save_many(
            [
                Save(3, mine, mine._replace(next_offset=5), ["ada"], states(1)),
                Save(33, other, other._replace(next_offset=7), ["joan"], states(3)),
            ]
        )
        assert isinstance(fenced, StoreConflict)
        assert (fenced.found, saved) == (theirs, None)
        assert store.peek(3, "ada") is None
        assert store.load(33, ["joan"])["events"].tolist() == [3]

    def test_of_what_is_prepared_only_what_is_committed_is_written(self, store: CustomerStore) -> None:
        mine, other = claimed(store, 3), claimed(store, 33)
        saves = [
            Save(3, mine, mine._replace(next_offset=5), ["ada"], states(1)),
            Save(33, other, other._replace(next_offset=7), ["joan"], states(3)),
        ]
        assert store.prepare(saves).commit({33}) == {}
        assert (store.record(3), store.record(33)) == (mine, saves[1].new)
        assert (store.peek(3, "ada"), store.peek(33, "joan")) == (None, states(3))
        store.prepare(saves[:1]).release()
        assert store.prepare(saves[:1]).commit(()) == {}
        assert (store.record(3), store.peek(3, "ada")) == (mine, None)
        assert store.save_many(saves[:1]) == [None]

    def test_a_claim_after_a_save_was_prepared_voids_that_save_alone(self, store: CustomerStore) -> None:
        mine, other, theirs = claimed(store, 3), claimed(store, 33), record(2)
        saves = [
            Save(3, mine, mine._replace(next_offset=5), ["ada"], states(1)),
            Save(33, other, other._replace(next_offset=7), ["joan"], states(3)),
        ]
        prepared = store.prepare(saves)
        store.claim(3, mine, theirs)
        faults = prepared.commit({3, 33})
        assert list(faults) == [3]
        assert isinstance(fault := faults[3], StoreConflict)
        assert fault.found == theirs
        assert (store.record(3), store.peek(3, "ada")) == (theirs, None)
        assert (store.record(33), store.peek(33, "joan")) == (saves[1].new, states(3))

    def test_a_load_of_several_is_refused_if_one_record_is_another(self, store: CustomerStore) -> None:
        mine, other = claimed(store, 3), claimed(store, 33)
        store.claim(3, mine, record(2))
        with pytest.raises(StoreConflict):
            store.load_many([LoadRequest(33, ["joan"], other), LoadRequest(3, ["ada"], mine)])

    def test_a_sweep_deletes_what_is_older_and_nothing_else(self, store: CustomerStore) -> None:
        mine, other = claimed(store, 3), claimed(store, 33)
        customers = [f"c{number}" for number in range(300)]
        rows = states(*range(1, 301))
        rows["last_time"] = np.arange(300)
        store.save(3, mine, mine, customers, rows)
        store.save(33, other, other, customers, rows)
        deleted, steps, ended = 0, 0, False
        while not ended:
            gone, ended = store.sweep(3, mine, before=100, count=50)
            deleted += gone
            steps += 1
        assert deleted == 100
        assert steps > 1
        assert np.flatnonzero(store.load(3, customers)["events"] == 0).tolist() == list(range(100))
        assert (store.load(33, customers)["events"] > 0).all()

    def test_a_sweep_of_a_share_comes_round_in_as_many_steps(self, store: CustomerStore) -> None:
        mine = claimed(store)
        customers = [f"c{number}" for number in range(2_000)]
        store.save(3, mine, mine, customers, states(*range(1, 2_001)))
        steps = 1
        while not store.sweep(3, mine, before=0, count=1, share=0.125).ended:
            steps += 1
        assert (
            4 <= steps <= 12
        )  # Redis looks at whole buckets of its table, and other tests' keys are there, too

    def test_a_sweep_under_another_record_deletes_nothing(self, store: CustomerStore) -> None:
        mine = claimed(store)
        store.save(3, mine, mine, ["ada"], states(1))
        with pytest.raises(StoreConflict):
            while True:
                store.sweep(3, record(), before=5_000, count=50)
        assert store.peek(3, "ada") is not None

    def test_states_of_another_incarnation_are_empty_and_swept(
        self, store: CustomerStore, write_items: WriteItems
    ) -> None:
        mine = claimed(store)
        store.save(3, mine, mine, ["ada", "c7:grace", "joan"], states(1, 2, 3))
        write_items(3, {"ada": b"1", "c7:grace": b"2"})
        again = mine._replace(epoch=2, incarnation=7)
        store.claim(3, mine, again)
        assert (store.load(3, ["ada", "c7:grace"], again)["events"] == 0).all()
        assert store.peek(3, "joan") is None
        store.save(3, again, again, ["ada"], states(5, last_time=9_000))
        assert [int(count) for count in store.load(3, ["ada", "c7:grace"])["events"]] == [5, 0]
        (found,) = store.load_many([LoadRequest(3, ["ada"])])
        assert found.states["events"].tolist() == [5]
        assert swept(store, again, before=0) == 3
        assert items(store, "ada", "c7:grace") == [b"1", None], "those of customers who are known stay"
        write_items(3, {"ada": b"3", "joan": b"4"})
        assert items(store, "ada", "joan") == [b"3", None]
        store.claim(3, again, mine)  # nothing is left behind
        assert (store.load(3, ["ada", "c7:grace", "joan"])["events"] == 0).all()

    def test_links_are_stored_in_the_transaction_of_the_states_and_found_again(
        self, store: CustomerStore
    ) -> None:
        mine, link = claimed(store), Link("ada", members=("a-0",), time=5).to_bytes()
        new = mine._replace(next_offset=4, links=True, taken=((0, 17, 2), (11, 3, 0)))
        store.save(3, mine, new, (), state.empty(0), links={"a-1": link, "c:a-2": link})
        (found,) = store.load_many([LoadRequest(3, [], new, links_of=["a-1", "nobody", "c:a-2"])])
        assert list(found.links) == [link, None, link]
        assert store.record(3) == new
        with pytest.raises(StoreConflict):
            store.save(3, mine, new, (), state.empty(0), links={"a-1": None})
        store.save(3, new, new, ["ada"], states(1), links={"a-1": None})
        (found,) = store.load_many([LoadRequest(3, ["ada"], new, links_of=["a-1", "c:a-2"])])
        assert (list(found.links), found.states["events"].tolist()) == ([None, link], [1])

    def test_a_sweep_deletes_links_that_are_used_no_more_and_those_of_other_incarnations(
        self, store: CustomerStore
    ) -> None:
        mine = claimed(store)
        links = {name: Link("ada", time=time).to_bytes() for name, time in (("old", 50), ("new", 500))}
        store.save(3, mine, mine, (), state.empty(0), links=links)
        asked = LoadRequest(3, [], mine, links_of=["old", "new"])
        swept(store, mine, before=100)
        (found,) = store.load_many([asked])
        assert list(found.links) == [None, links["new"]]
        again = mine._replace(epoch=2, incarnation=7)
        store.claim(3, mine, again)
        (found,) = store.load_many([asked._replace(expected=again)])
        assert list(found.links) == [None, None]
        swept(store, again, before=0)
        store.claim(3, again, mine)
        (found,) = store.load_many([asked])
        assert list(found.links) == [None, None], "nothing is left behind"

    def test_items_are_written_only_beside_a_state(
        self, store: CustomerStore, write_items: WriteItems
    ) -> None:
        mine = claimed(store)
        store.save(3, mine, mine, ["ada", "Zoë"], states(1, 2))
        write_items(3, {"ada": b"1", "nobody": b"2", "Zoë": b"3"})
        assert items(store, "Zoë", "nobody", "ada") == [b"3", None, b"1"]
        assert items(store, "ada", partition=33) == [None]
        both = LoadRequest(3, ["nobody", "ada"], mine, items_of=["ada"])
        (found,) = store.load_many([both])
        assert (found.states["events"].tolist(), list(found.items)) == ([0, 1], [b"1"])
        (found,) = store.load_many([both._replace(items_of=())])
        assert list(found.items) == []

    def test_items_go_with_the_state(self, store: CustomerStore, write_items: WriteItems) -> None:
        mine = claimed(store)
        store.save(3, mine, mine, ["ada", "grace"], states(1, 2))
        write_items(3, {"ada": b"1", "grace": b"2"})
        store.save(3, mine, mine, ["ada"], states(5))
        assert items(store, "ada", "grace") == [b"1", b"2"]
        store.save(3, mine, mine, ["ada"], state.empty(1))
        assert items(store, "ada", "grace") == [None, b"2"]
        write_items(3, {"ada": b"3"})
        assert items(store, "ada") == [None], "a job that runs after the erasure brings nothing back"

    def test_who_comes_back_in_the_batch_of_the_erasure_has_a_state_and_no_items(
        self, store: CustomerStore, write_items: WriteItems
    ) -> None:
        mine = claimed(store)
        store.save(3, mine, mine, ["ada"], states(4))
        write_items(3, {"ada": b"1"})
        store.save(3, mine, mine, ["ada"], states(1), ["ada", "nobody"])
        assert store.load(3, ["ada"])["events"].tolist() == [1]
        assert items(store, "ada") == [None]

    def test_a_save_under_another_record_deletes_no_items(
        self, store: CustomerStore, write_items: WriteItems
    ) -> None:
        mine = claimed(store)
        store.save(3, mine, mine, ["ada"], states(4))
        write_items(3, {"ada": b"1"})
        with pytest.raises(StoreConflict):
            store.save(3, record(2), record(3), ["ada"], state.empty(1), ["ada"])
        assert items(store, "ada") == [b"1"]

    def test_a_sweep_deletes_items_with_the_states(
        self, store: CustomerStore, write_items: WriteItems
    ) -> None:
        mine = claimed(store)
        rows = states(1, 1)
        rows["last_time"] = 10, 1_000
        store.save(3, mine, mine, ["ada", "grace"], rows)
        write_items(3, {"ada": b"1", "grace": b"2"})
        assert swept(store, mine, before=100) == 1
        assert items(store, "ada", "grace") == [None, b"2"]

    def test_threads_on_different_partitions_do_not_disturb_each_other(self, store: CustomerStore) -> None:
        def work(partition: int) -> None:
            mine = claimed(store, partition)
            for offset in range(1, 30):
                rows = store.load(partition, ["ada"])
                rows["version"], rows["events"] = STATE_VERSION, rows["events"] + 1
                new = mine._replace(next_offset=offset)
                store.save(partition, mine, new, ["ada"], rows)
                mine = new

        threads = [Thread(target=work, args=(partition,)) for partition in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [int(store.load(p, ["ada"])["events"][0]) for p in range(4)] == [29] * 4
