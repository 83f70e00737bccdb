"""What every customer store has to do about prices; see `tests.features.store.contract`."""

from __future__ import annotations

import pytest

from features import state
from features.exceptions import StoreConflict, UnreadableRecord
from features.price_table import NO_PRICES, SaidPrice
from features.store.customer_store import CustomerStore
from features.store.partition_record import PartitionRecord
from tests.features.store.contract import claimed, record, states

CHANGED = NO_PRICES.after(
    [
        SaidPrice("tent:2", 80.0, 2_000, 500),
        SaidPrice("客", 9.5, 2_100, 500),
        SaidPrice("tent:2", 75.0, 2_200, 600),
    ]
)


def priced(
    store: CustomerStore, mine: PartitionRecord, prices: dict[str, bytes | None], partition: int = 3
) -> None:
    """Save prices, and nothing else."""
    store.save(partition, mine, mine, [], state.empty(0), prices=prices)


def stored(store: CustomerStore, mine: PartitionRecord) -> dict[str, bytes]:
    return store.pending(3, mine).prices.stored()


class PriceContract:
    """Derive from it and give the fixture ``store``, an empty one."""

    def test_a_partition_begins_without_prices(self, store: CustomerStore) -> None:
        assert len(store.pending(3, claimed(store)).prices) == 0

    def test_prices_come_back_as_they_were_saved(self, store: CustomerStore) -> None:
        mine = claimed(store)
        priced(store, mine, dict(CHANGED.stored))
        found = store.pending(3, mine).prices
        assert found.versions.tolist() == CHANGED.table.versions.tolist()
        assert found.names == CHANGED.table.names
        others = claimed(store, partition=4)
        assert len(store.pending(4, others).prices) == 0, "each partition has its own"

    def test_a_save_changes_the_prices_that_it_names_alone(self, store: CustomerStore) -> None:
        mine = claimed(store)
        priced(store, mine, dict(CHANGED.stored))
        after = CHANGED.table.after([SaidPrice("rope", 4.0, 3_000, 900)])
        priced(store, mine, {**after.stored, "客": None, "nothing": None})
        assert stored(store, mine).keys() == {"tent:2", "rope"}
        store.save(3, mine, mine, ["ada"], states(1))
        store.save(3, mine, mine, ["ada"], state.empty(1))
        assert stored(store, mine).keys() == {"tent:2", "rope"}, "they are nobody's"

    def test_prices_are_saved_together_with_the_record_or_not_at_all(self, store: CustomerStore) -> None:
        mine = claimed(store)
        with pytest.raises(StoreConflict):
            store.save(3, record(9), mine, [], state.empty(0), prices=dict(CHANGED.stored))
        assert not stored(store, mine)
        with pytest.raises(StoreConflict):
            store.pending(3, record(9))

    def test_another_incarnation_knows_no_prices_and_those_of_before_are_gone(
        self, store: CustomerStore
    ) -> None:
        mine = claimed(store)
        priced(store, mine, dict(CHANGED.stored))
        again = mine._replace(epoch=2)
        store.claim(3, mine, again)
        assert stored(store, again) == CHANGED.table.stored(), "another owner knows them"
        built = again._replace(epoch=3, incarnation=7)
        store.claim(3, again, built)
        assert not stored(store, built)
        priced(store, built, {"tent:2": CHANGED.stored["tent:2"]})
        assert stored(store, built).keys() == {"tent:2"}
        store.claim(3, built, mine)
        assert not stored(store, mine), "nothing is left behind"

    def test_a_damaged_price_is_named(self, store: CustomerStore) -> None:
        mine = claimed(store)
        priced(store, mine, {"tent:2": b"\0" * 48})
        with pytest.raises(UnreadableRecord, match="tent:2"):
            store.pending(3, mine)
