"""The prices of a partition: the same however the log is cut, whatever comes twice, and bounded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.exceptions import UnreadableRecord
from features.price_table import NO_PRICES, PriceTable, SaidPrice, item_hash
from features.state import CART_LIFE_MS, DAY_MS
from features.watermark import BEGINNING

HOUR = 3_600_000
ITEMS = ("tent", "rope", "客", "mug", "axe", "hat", "map")


@st.composite
def said_prices(draw: st.DrawFn) -> list[SaidPrice]:
    """Draw prices in the order of their records: often late, often the same again, some hardly any cart asks for."""
    watermark, said = 0, []
    for _ in range(draw(st.integers(0, 25))):
        watermark += HOUR * draw(st.sampled_from((0, 0, 1, 5, 24 * 20)))
        time = watermark + HOUR * draw(st.sampled_from((-24 * 15, -2, -1, 0, 1, 2)))
        said.append(
            SaidPrice(draw(st.sampled_from(ITEMS)), draw(st.sampled_from((5.0, 8.0, 10.0))), time, watermark)
        )
    return said


def seen(table: PriceTable, item: str, moment: int) -> tuple[float, int] | None:
    """Return price and beginning of what a timer of a moment sees."""
    own = table.of_items(np.array([item_hash(item)], np.uint64))
    own = own[own["noted"] < moment]
    return (float(own["price"][-1]), int(own["since"][-1])) if len(own) else None


def latest(table: PriceTable) -> dict[str, tuple[float, int] | None]:
    return {item: seen(table, item, 2**62) for item in ITEMS}


@settings(max_examples=100, deadline=None)
@given(said=said_prices(), cuts=st.lists(st.integers(0, 25), max_size=5), most=st.sampled_from((3, 5, 100)))
def test_a_table_does_not_depend_on_how_its_log_is_cut(
    said: list[SaidPrice], cuts: list[int], most: int
) -> None:
    whole, pieces, kept = NO_PRICES.after(said, most=most).table, NO_PRICES, dict[str, bytes]()
    ends = sorted(min(cut, len(said)) for cut in cuts)
    before = BEGINNING
    for start, stop in zip([0, *ends], [*ends, len(said)], strict=True):
        pieces, stored, _ = pieces.after(said[start:stop], before, most)
        kept = {item: raw for item, raw in (kept | stored).items() if raw is not None}
        assert PriceTable.of(kept) == pieces, "what is saved is what is known"
        reached = said[stop - 1].noted if stop else before
        moments = {one.noted + 1 for one in said} | {one.time + 1 for one in said}
        for moment in moments if most > len(said) else ():  # that a timer of this piece may have
            if before < moment <= reached:
                assert [seen(pieces, item, moment) for item in ITEMS] == [
                    seen(whole, item, moment) for item in ITEMS
                ]
        before = reached
    assert latest(pieces) == latest(whole)
    assert len(pieces) == len(whole) <= most
    assert pieces.stored() == kept


@settings(max_examples=100, deadline=None)
@given(said=said_prices(), at=st.integers(0, 25), again=st.integers(1, 25))
def test_prices_that_come_again_change_nothing(said: list[SaidPrice], at: int, again: int) -> None:
    end = said[-1].noted if said else 0
    repeated = [one._replace(noted=end) for one in said[at : at + again] if one.time >= end - CART_LIFE_MS]
    table = NO_PRICES.after(said).table
    after = table.after(repeated)
    alive = {one.item_id for one in said if one.time >= end - CART_LIFE_MS}
    assert {item: latest(after.table)[item] for item in alive} == {
        item: latest(table)[item] for item in alive
    }
    assert set(after.counts) <= {"known"}
    assert not after.stored


def test_a_price_that_is_said_again_holds_since_it_was_said_first() -> None:
    said = [SaidPrice("tent", 80.0, time, 0) for time in (1_000, 2_000, 3_000)]
    table, _, counts = NO_PRICES.after([*said, SaidPrice("tent", 90.0, 2_500, 0)])
    assert seen(table, "tent", 1_001) == (80.0, 1_000)
    assert counts == {"new": 1, "confirmed": 2, "known": 1}
    assert seen(table.after([SaidPrice("tent", 79.0, 3_000, 0)]).table, "tent", 3_001) == (79.0, 3_000)


def test_a_timer_sees_a_price_from_its_own_time_on_and_what_was_noted_before() -> None:
    table = NO_PRICES.after([SaidPrice("tent", 80.0, 1_000, 500), SaidPrice("tent", 70.0, 900, 1_200)]).table
    assert [seen(table, "tent", moment) for moment in (501, 1_000, 1_001)] == [None, None, (80.0, 1_000)]
    late = table.after([SaidPrice("tent", 60.0, 1_100, 1_200)], 1_000).table
    assert [seen(late, "tent", moment) for moment in (1_001, 1_200, 1_201)] == [
        (80.0, 1_000),
        (80.0, 1_000),
        (60.0, 1_100),
    ]


def test_a_price_that_rises_has_not_fallen_since() -> None:
    said = [SaidPrice("tent", price, time, 0) for time, price in enumerate((80.0, 70.0, 75.0, 75.0, 74.0), 1)]
    assert NO_PRICES.after(said).table.versions["fell"].tolist() == [1, 2, 2, 5]


def test_a_full_table_drops_its_oldest_items_and_those_that_no_cart_can_ask_for() -> None:
    said = [SaidPrice(f"i{number}", 1.0, number, 0) for number in range(100)]
    table, stored, _ = NO_PRICES.after(said, most=100)
    assert len(table) == 90
    assert {item for item, raw in stored.items() if raw is None} == {f"i{number}" for number in range(10)}
    much_later = 30 * DAY_MS
    new = [SaidPrice(f"n{number}", 1.0, much_later, much_later) for number in range(10)]
    emptied = table.after(new, most=100)
    assert len(emptied.table) == 10
    assert emptied.table.names == {item_hash(one.item_id): one.item_id for one in new}


def test_a_table_that_did_not_change_is_the_same_object_and_stores_nothing() -> None:
    table = NO_PRICES.after([SaidPrice("tent", 80.0, 1_000, 0)]).table
    same, stored, counts = table.after(
        [SaidPrice("tent", 70.0, 900, 0), SaidPrice("rope", 1.0, 0, 20 * DAY_MS)]
    )
    assert same is table
    assert not stored
    assert counts == {"known": 1, "old": 1}
    assert len(NO_PRICES) == 0


@pytest.mark.parametrize("damage", [b"", b"x", bytes(48)])
def test_a_damaged_price_is_not_read(damage: bytes) -> None:
    raw = NO_PRICES.after([SaidPrice("tent", 80.0, 1_000, 500)]).stored["tent"]
    assert raw is not None
    assert seen(PriceTable.of({"tent": raw}), "tent", 1_001) == (80.0, 1_000)
    for value in (damage, raw[:-1], raw + b"\0", bytes([raw[0] ^ 1]) + raw[1:]):
        with pytest.raises(UnreadableRecord, match="'tent'"):
            PriceTable.of({"rope": raw, "tent": value})
