"""Products: figures that can be counted by hand, pairs that are more than chance, waits that the log cuts short."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from features.items import ItemNames, write_items
from features.log import write_log
from offline.chapters.products.lines import order_lines
from offline.chapters.products.next_order import next_order, waiting
from offline.chapters.products.refunds import by_period, refunds, share_given_back
from offline.chapters.products.section import describe_products
from offline.chapters.products.sellers import PRODUCTS_FILE, categories, sold
from offline.chapters.products.together import pairs, together
from offline.chapters.workspace import Workspace
from offline.examples.examples import Context
from offline.exceptions import TrainingError
from offline.lab.differences import supported
from offline.views.net_orders import CustomerView
from tests.offline.lab.problems import DAY_MS, START_MS, event, log_of

CONTEXT = Context(30 * DAY_MS, "next-day", "UTC", "EUR")


def line(item: str, price: float = 2.0, quantity: int = 1, category: str | None = None) -> dict[str, Any]:
    return {"item_id": item, "price": price, "quantity": quantity, "category": category}


def orders(baskets: list[tuple[str, list[str]]]) -> pa.Table:
    """Return an order for each customer and basket, a day apart."""
    return log_of(
        [
            event(n, "purchase", who, START_MS + n * 60_000, items=[line(item) for item in basket])
            for n, (who, basket) in enumerate(baskets)
        ]
    )


def test_money_is_what_remains_after_refunds_and_other_currencies_are_no_money() -> None:
    log = log_of(
        [
            event(0, "purchase", "a", START_MS, items=[line("cup", 3.0, 2), line("pan", 10.0)], value=16.0),
            event(1, "purchase", "b", START_MS + 1, items=[line("cup", 3.0)], value=3.0),
            event(2, "purchase", "c", START_MS + 2, items=[line("cup", 500.0)], currency="JPY"),
            event(3, "purchase", "c", START_MS + 3, item_id="pan", value=9.0),
            event(4, "refund", "a", START_MS + 4, items=[line("cup", 3.0)], value=3.0),
        ]
    )
    frame = sold(order_lines(log, CONTEXT), "item")
    assert frame.loc["pan", ["customers", "orders", "money"]].tolist() == [2, 2, 19.0]
    assert frame.loc["cup", ["customers", "orders", "pieces", "money", "given back"]].tolist() == [
        3,
        3,
        4,
        6,
        3,
    ]


def test_hundreds_of_products_of_which_none_came_back_have_their_money() -> None:
    lines = order_lines(orders([(f"c{n}", [f"i{n}"]) for n in range(300)]), CONTEXT)
    frame = sold(lines, "item")
    assert len(frame) == 300
    assert frame["money"].eq(2.0).all()
    assert frame["given back"].eq(0.0).all()


def test_categories_are_shown_where_there_are_two() -> None:
    events = [
        event(n, "purchase", f"c{n}", START_MS + n, items=[line(f"i{n}", 2.0, 1, "tea" if n else "cake")])
        for n in range(3)
    ]
    frame = categories(order_lines(log_of(events), CONTEXT), "EUR").figures
    assert frame.set_index("category")["customers"].to_dict() == {"tea": 2, "cake": 1}
    assert not categories(order_lines(log_of(events[1:]), CONTEXT), "EUR").parts


def test_a_log_without_items_says_so() -> None:
    with pytest.raises(TrainingError, match="names an item"):
        order_lines(log_of([event(0, "purchase", "a", START_MS, value=3.0)]), CONTEXT)


def baskets(seed: int, *, tied: bool, customers: int = 300) -> list[tuple[str, list[str]]]:
    """Return small and very large orders of items at random; tied: whoever takes i0 mostly also takes i1."""
    rng = np.random.default_rng(seed)
    found = []
    for customer in range(customers):
        for _ in range(2):
            size = int(rng.choice([1, 2, 20]))
            chosen = [f"i{k}" for k in rng.choice(40, size, replace=False)]
            if tied and "i0" in chosen and "i1" not in chosen and rng.random() < 0.8:
                chosen.append("i1")
            found.append((f"c{customer}", chosen))
    return found


def test_a_pair_that_belongs_together_is_found_among_large_orders() -> None:
    lines = order_lines(orders(baskets(0, tied=True)), CONTEXT)
    found = together(lines, {"i0": "Cup", "i1": "Saucer"})
    best = found.figures["pairs"].iloc[0]
    assert {best["product"], best["bought with"]} == {"i0", "i1"}
    by_order = lines.groupby("event")["item"].agg(set)
    assert best["orders"] == sum({"i0", "i1"} <= basket for basket in by_order)
    assert "Cup (i0)" in found.summary[0]
    assert "Saucer (i1)" in found.summary[0]


def test_pairs_at_random_are_told_in_at_most_one_shop_of_twenty() -> None:
    # Without regard to the size of orders, every pair would have a lift above 1.5.
    told = sum(
        len(together(order_lines(orders(baskets(seed, tied=False)), CONTEXT), {}).figures["pairs"]) > 0
        for seed in range(20)
    )
    assert told <= 2


def test_a_pair_of_one_busy_customer_is_no_pair() -> None:
    found = [("busy", ["i0", "i1"])] * 200 + [(f"c{n}", [f"i{n % 2}"]) for n in range(200)]
    assert not len(pairs(order_lines(orders(found), CONTEXT))[0])


def refunded(share_before: float, share_after: float) -> CustomerView:
    events: list[dict[str, Any]] = []
    for n in range(400):
        at = START_MS + n * DAY_MS // 4
        events.append(event(len(events), "purchase", f"c{n}", at, value=10.0))
        share = share_before if n < 200 else share_after
        if (n % 10) < 10 * share:
            events.append(event(len(events), "refund", f"c{n}", at + 1000, value=10.0))
    return CustomerView.of(log_of(events), CONTEXT)


def test_refunds_are_shares_of_money_by_month_and_growth_is_told_when_it_is_more_than_chance() -> None:
    grown = refunds(refunded(0.2, 0.5))
    assert grown.figures["share"]["value"] == pytest.approx(0.35)
    assert supported(grown.claims) == [True]
    assert "grow: 50.0%" in grown.claims[0].sentence
    assert supported(refunds(refunded(0.3, 0.3)).claims) == [False]
    months = by_period(refunded(0.2, 0.5))
    assert months["share"].iloc[0] == pytest.approx(0.2, abs=0.01)
    assert months["whole"].tolist() == [True, True, True, False]


def test_the_interval_of_a_share_is_near_that_of_a_bootstrap() -> None:
    rng = np.random.default_rng(0)
    paid = pd.Series(rng.lognormal(3, 0.5, 500))
    back = (paid * (rng.random(500) < 0.2))[lambda some: some > 0]
    share = share_given_back(paid, back)
    both = np.column_stack([paid, back.reindex(paid.index, fill_value=0.0)])
    drawn = [both[rng.integers(0, 500, 500)].sum(axis=0) for _ in range(1_000)]
    low, high = np.quantile([b / p for p, b in drawn], [0.025, 0.975])
    assert (share.low, share.high) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))


def test_a_wait_that_the_log_cuts_short_counts_as_long_as_it_was_seen() -> None:
    # 20 order again after 10 days; 20 come 5 days before the end and are not known to wait longer.
    events = [event(n, "purchase", f"a{n}", START_MS, value=1.0) for n in range(20)]
    events += [event(100 + n, "purchase", f"a{n}", START_MS + 10 * DAY_MS, value=1.0) for n in range(20)]
    events += [event(200 + n, "purchase", f"b{n}", START_MS + 20 * DAY_MS, value=1.0) for n in range(20)]
    events += [event(300, "view_item", "z", START_MS + 25 * DAY_MS)]
    view = CustomerView.of(log_of(events), CONTEXT)
    curve = waiting(view, 0)
    assert curve is not None
    assert len(curve.time) == 40
    assert curve.quantile(0.5) == 10.0  # 20 of 40, but all who were seen for so long
    assert "within 10 days" in next_order(view).summary[0]


def test_an_order_that_was_given_back_and_a_second_one_on_the_same_day_are_no_next_orders() -> None:
    events = []
    for n in range(40):
        events += [
            event(10 * n, "purchase", f"a{n}", START_MS, value=5.0),
            event(10 * n + 1, "purchase", f"a{n}", START_MS + 1000, value=7.0),
            event(10 * n + 2, "purchase", f"a{n}", START_MS + 3 * DAY_MS, value=9.0),
            event(10 * n + 3, "refund", f"a{n}", START_MS + 4 * DAY_MS, value=9.0),
            event(10 * n + 4, "purchase", f"a{n}", START_MS + (6 + n % 2) * DAY_MS, value=4.0),
        ]
    curve = waiting(CustomerView.of(log_of(events), CONTEXT), 0)
    assert curve is not None
    assert sorted(set(curve.time)) == [6.0, 7.0]


def test_the_chapter_names_products_and_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    write_log(path, orders(baskets(0, tied=True)))
    names = ItemNames()
    names.add("i1", "Saucer")
    write_items(path, names.table())
    section = describe_products(Workspace(path, tmp_path))
    assert section.summary[0].startswith(
        "40 products have about as many buyers each as chance would give them"
    )
    shown = next(part for part in section.parts if part.title == "Products by customers")
    assert "Saucer (i1)" in set(shown.frame["product"])  # type: ignore[union-attr]
    written = pd.read_csv(tmp_path / PRODUCTS_FILE)
    assert len(written) == 40
    assert set(written["product"]) >= {"Saucer (i1)", "i2"}
    assert any("no refunds" in sentence for sentence in section.summary)
