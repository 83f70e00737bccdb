"""What every customer store has to do about timers and the outbox; see `tests.features.store.contract`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from features import state
from features.exceptions import StoreConflict
from features.state import States
from features.store.customer_store import CustomerStore, Due, DueRequest, Pending, TimerChanges
from features.store.partition_record import PartitionRecord
from tests.features.store.contract import claimed, record, states


def timed(
    store: CustomerStore,
    mine: PartitionRecord,
    timers: Mapping[str, int],
    partition: int = 3,
    rows: States | None = None,
    erased: Sequence[str] = (),
) -> None:
    """Save customers with their timers."""
    changes = TimerChanges(list(timers), list(timers.values()))
    rows = states(*[1] * len(timers)) if rows is None else rows
    store.save(partition, mine, mine, list(timers), rows, erased, changes)


def due(
    store: CustomerStore, mine: PartitionRecord, moment: int, limit: int = 100, start: int = 0
) -> tuple[list[str], int]:
    (found,) = store.due_many([DueRequest(3, mine, moment, limit, start)])
    return found.customers, found.following


class TimerContract:
    """Derive from it and give the fixture ``store``, an empty one."""

    def test_a_partition_begins_without_timers_and_outbox(self, store: CustomerStore) -> None:
        mine = claimed(store)
        assert store.pending(3, mine) == Pending(None, 0)
        assert due(store, mine, 2**52) == ([], 0)

    def test_due_customers_come_in_the_order_of_their_moments(self, store: CustomerStore) -> None:
        mine, now = claimed(store), 1_709_510_400_000
        timers = {"joan": now + 2, "客": now, "a:b": now, "ada": now + 1, "grace": now + 3}
        timed(store, mine, timers)
        assert due(store, mine, now - 1) == ([], now)
        assert due(store, mine, now) == (["a:b", "客"], now + 1), "by name where the moment is the same"
        assert due(store, mine, now + 2) == (["a:b", "客", "ada", "joan"], now + 3)
        assert due(store, mine, now + 3) == (["a:b", "客", "ada", "joan", "grace"], 0)
        assert store.pending(3, mine).earliest == now

    def test_many_due_customers_come_in_pieces(self, store: CustomerStore) -> None:
        mine = claimed(store)
        timed(store, mine, {f"c{number:02}": 10 + number for number in range(25)})
        pieces = [due(store, mine, 31, 10, start) for start in (0, 10, 20, 30)]
        assert [len(customers) for customers, _ in pieces] == [10, 10, 2, 0]
        assert [name for customers, _ in pieces for name in customers] == [f"c{at:02}" for at in range(22)]
        assert {following for _, following in pieces} == {32}

    def test_a_timer_moves_and_is_removed(self, store: CustomerStore) -> None:
        mine = claimed(store)
        timed(store, mine, {"ada": 10, "grace": 20, "joan": 30})
        timed(store, mine, {"ada": 40, "grace": 0, "nobody": 0})
        assert due(store, mine, 100) == (["joan", "ada"], 0)
        store.save(3, mine, mine, ["joan"], states(2))
        assert due(store, mine, 100) == (["joan", "ada"], 0), "a save that names no timer moves none"
        assert store.pending(3, mine) == Pending(None, 30)

    def test_who_has_no_state_any_more_has_no_timer(self, store: CustomerStore) -> None:
        mine = claimed(store)
        timed(store, mine, {"ada": 10, "grace": 20, "joan": 30})
        store.save(3, mine, mine, ["ada"], state.empty(1))
        assert due(store, mine, 100) == (["grace", "joan"], 0)
        timed(store, mine, {"grace": 50}, rows=state.empty(1))
        assert due(store, mine, 100) == (["joan"], 0), "not even one that the save itself would set"

    def test_who_comes_back_in_the_batch_of_the_erasure_has_the_new_timer_or_none(
        self, store: CustomerStore
    ) -> None:
        mine = claimed(store)
        timed(store, mine, {"ada": 10, "grace": 20})
        store.save(3, mine, mine, ["ada"], states(1), ["ada", "nobody"])
        assert due(store, mine, 100) == (["grace"], 0)
        timed(store, mine, {"grace": 30}, erased=["grace"])
        assert due(store, mine, 100) == (["grace"], 0)
        assert store.pending(3, mine).earliest == 30

    def test_another_incarnation_has_no_timers_and_those_of_before_are_swept(
        self, store: CustomerStore
    ) -> None:
        mine = claimed(store)
        timed(store, mine, {"ada": 10, "grace": 20})
        again = mine._replace(epoch=2, incarnation=7)
        store.claim(3, mine, again)
        assert store.pending(3, again) == Pending(None, 0)
        assert due(store, again, 100) == ([], 0)
        timed(store, again, {"ada": 30})
        assert due(store, again, 100) == (["ada"], 0)
        swept(store, again, before=0)
        assert due(store, again, 100) == (["ada"], 0)
        store.claim(3, again, mine)
        assert due(store, mine, 100) == ([], 0), "nothing is left behind"

    def test_a_sweep_removes_the_timers_of_those_it_deletes(self, store: CustomerStore) -> None:
        mine = claimed(store)
        rows = states(1, 1)
        rows["last_time"] = 10, 1_000
        timed(store, mine, {"ada": 5_000, "grace": 6_000}, rows=rows)
        swept(store, mine, before=100)
        assert due(store, mine, 9_000) == (["grace"], 0)

    def test_an_outbox_stays_until_another_takes_its_place_or_an_empty_one_deletes_it(
        self, store: CustomerStore
    ) -> None:
        mine = claimed(store)
        first, second = bytes(range(256)), b"another"
        nobody = (), state.empty(0)
        store.save(3, mine, mine, *nobody, outbox=first)
        assert store.pending(3, mine).outbox == first
        store.save(3, mine, mine, *nobody)
        assert store.pending(3, mine).outbox == first
        store.save(3, mine, mine, *nobody, outbox=second)
        assert store.pending(3, mine).outbox == second
        again = mine._replace(epoch=2, incarnation=7)
        store.claim(3, mine, again)
        assert store.pending(3, again).outbox == second, "what a save has promised outlives its incarnation"
        store.save(3, again, again, *nobody, outbox=b"")
        assert store.pending(3, again) == Pending(None, 0)

    def test_under_another_record_timers_and_outbox_are_neither_changed_nor_told(
        self, store: CustomerStore
    ) -> None:
        mine = claimed(store)
        timed(store, mine, {"ada": 10})
        store.save(3, mine, mine, (), state.empty(0), outbox=b"mine")
        theirs = record(2)
        store.claim(3, mine, theirs)
        with pytest.raises(StoreConflict):
            timed(store, mine, {"ada": 50, "grace": 20})
        with pytest.raises(StoreConflict):
            store.save(3, mine, mine, ["ada"], state.empty(1), ["ada"], outbox=b"")
        with pytest.raises(StoreConflict) as conflict:
            store.pending(3, mine)
        assert conflict.value.found == theirs
        with pytest.raises(StoreConflict) as conflict:
            due(store, mine, 100)
        assert conflict.value.found == theirs
        assert store.pending(3, theirs) == Pending(b"mine", 10)
        assert due(store, theirs, 100) == (["ada"], 0)

    def test_partitions_have_timers_and_outboxes_of_their_own(self, store: CustomerStore) -> None:
        mine, other = claimed(store, 3), claimed(store, 33)
        timed(store, mine, {"ada": 10})
        timed(store, other, {"joan": 20}, partition=33)
        store.save(3, mine, mine, (), state.empty(0), outbox=b"mine")
        asked = [DueRequest(33, other, 100, 10), DueRequest(3, mine, 5, 10)]
        assert store.due_many(asked) == [Due(["joan"], 0), Due([], 10)]
        assert (store.pending(3, mine).outbox, store.pending(33, other).outbox) == (b"mine", None)

    def test_all_moments_that_events_can_have_are_exact(self, store: CustomerStore) -> None:
        mine, late = claimed(store), int(np.datetime64("2200-01-01", "ms").astype(int))
        timed(store, mine, {"ada": late, "grace": late + 1})
        assert due(store, mine, late) == (["ada"], late + 1)


def swept(store: CustomerStore, mine: PartitionRecord, before: int) -> None:
    """Sweep a partition once."""
    while not store.sweep(3, mine, before=before, count=1_000).ended:
        pass
