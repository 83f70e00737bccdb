"""Sentences of reports on data without any effect, and on data with a strong one: only the second are told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from features.log import write_log
from offline.chapters.budget.section import choose_customers
from offline.chapters.budget.trial import agreeing
from offline.chapters.insight.customer_looks import lifetime, valuable_customers
from offline.chapters.insight.driver_looks import Members, drivers_look, reasons_look, segments_look
from offline.chapters.insight.drivers import explain
from offline.chapters.insight.likeliest import likeliest_look
from offline.chapters.insight.model import InsightModel, fit_insight_model
from offline.chapters.insight.profit_look import known_of
from offline.chapters.insight.reasons import explain_customers
from offline.chapters.opening.cards import cards_of_log
from offline.chapters.products.lines import order_lines
from offline.chapters.products.sellers import sellers
from offline.chapters.recommendation.interactions import Interactions
from offline.chapters.recommendation.recommenders import QUICK_RECIPES
from offline.chapters.recommendation.section import _findings, _plain
from offline.chapters.recommendation.trial import try_out
from offline.chapters.segments.section import segment_log_section
from offline.chapters.segments.segmented import group_customers
from offline.chapters.workspace import ContactAssumptions, LabOptions, Workspace
from offline.examples.examples import Context
from offline.lab.differences import stratified
from offline.problems.holdout import hold_out
from offline.problems.problem import Problem
from offline.report.html import page
from offline.report.opening import Card, Opening
from offline.report.section import Section, Table
from offline.report.words import column_words
from offline.views.net_orders import CustomerView
from tests.offline.lab.problems import DAY_MS, START_MS, event, log_of

CONTEXT = Context(30 * DAY_MS, "next-day", "UTC", "EUR")
DAYS = 330


def order(number: int, customer: int, day: float, value: float, **more: Any) -> dict[str, Any]:
    at = START_MS + int(day * DAY_MS) + customer
    return event(number, "purchase", f"c{customer}", at, value=round(value, 2), currency="EUR", **more)


def steady(customers: int = 300, seed: int = 0) -> pa.Table:
    """Return orders of customers who do not differ, at a rate that never changes."""
    rng = np.random.default_rng(seed)
    days = [(c, day) for c in range(customers) for day in rng.uniform(0, DAYS, rng.poisson(5))]
    return log_of([order(n, c, day, rng.lognormal(3, 0.5)) for n, (c, day) in enumerate(days)])


def leaving(customers: int = 400, seed: int = 1) -> pa.Table:
    """Return orders of whom half stop for good at some day, a fifth order for ten times as much, and growing sales."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for c in range(customers):
        end = rng.uniform(30, DAYS) if c % 2 else DAYS
        days = np.sort(rng.uniform(0, DAYS, rng.poisson(20)))
        days = np.concatenate([days[days < end], rng.uniform(DAYS - 28, DAYS, 2) if not c % 2 else []])
        rows += [order(0, c, day, rng.lognormal(3, 0.5) * (10 if c % 5 == 0 else 1)) for day in days]
    return log_of([row | {"event_id": f"e{n}"} for n, row in enumerate(rows)])


def quitting(customers: int = 500, seed: int = 3) -> pa.Table:
    """Return orders of whom half stop for good at some day."""
    rng = np.random.default_rng(seed)
    rows = []
    for c in range(customers):
        days = rng.uniform(0, DAYS, rng.poisson(9))
        rows += [(c, day) for day in days[days < (rng.uniform(0, DAYS) if c % 2 else DAYS)]]
    return log_of([order(n, c, day, 20.0) for n, (c, day) in enumerate(rows)])


def with_huge(log: pa.Table) -> pa.Table:
    return pa.concat_tables([log, log_of([order(10**6, 7, 250.3, 250_000.0)])])


@pytest.fixture(scope="module")
def flat() -> CustomerView:
    return CustomerView.of(steady(), CONTEXT)


@pytest.fixture(scope="module")
def strong() -> CustomerView:
    return CustomerView.of(leaving(), CONTEXT)


def lines_of(strength: float, seed: int = 0) -> Problem:
    """Return one line for each customer, whose chance depends on money spent, or on nothing."""
    rng = np.random.default_rng(seed)
    columns = pd.DataFrame({name: rng.normal(0, 1, 1_200) for name in ("spend", "hour_sin", "hour_cos")})
    bought = rng.random(1_200) < 1 / (
        1 + np.exp(0.8 - strength * (columns["spend"] + 0.6 * columns["hour_cos"]))
    )
    kinds = dict.fromkeys(columns, "numeric")
    return Problem("made", columns, kinds, bought.to_numpy(), "purchase", "customer", groups=np.arange(1_200))  # type: ignore[arg-type]


def insight(strength: float, folder: Path) -> tuple[InsightModel, list[str], Sequence[Any], pd.DataFrame]:
    """Return the model, its sentences, findings and reasons; segments are divided by money spent."""
    problem = lines_of(strength)
    model = fit_insight_model(problem, hold_out(problem), quick=True)
    drivers = explain(model)
    rich = (drivers.columns["spend"] > 0).to_numpy().astype(np.int64)
    members = Members(["Poor", "Rich"], rich)
    found = explain_customers(model, problem, [f"c{at}" for at in range(1_200)], np.arange(200))
    looks = [
        drivers_look(model, drivers, log=True, seed=0),
        segments_look(model, drivers, members, log=True, seed=0),
        likeliest_look(model, "customer", explained=200, log=True),
        reasons_look(found, folder),
    ]
    said = [sentence for look in looks for sentence in look.summary]
    return model, said, [finding for look in looks for finding in look.findings], found.frame


def test_a_model_no_better_than_chance_says_nothing_of_drivers_segments_and_reasons(tmp_path: Path) -> None:
    model, said, findings, reasons = insight(0.0, tmp_path)
    assert not model.tells
    assert len(said) == 1 and said[0].startswith(
        "Nothing that is known tells buyers from others better than chance"
    )
    assert findings == []
    assert "reason 1" not in reasons


def test_a_model_that_tells_names_drivers_in_words_and_the_likeliest_segment(tmp_path: Path) -> None:
    model, said, findings, reasons = insight(1.5, tmp_path)
    assert model.tells
    assert said[0].startswith("What drives conversion most, by share of all effects: money spent so far (")
    assert "the more, the likelier); hour of the day (" in said[0]
    assert "sine" not in " ".join(said) and said[0].count("hour of the day") == 1
    assert said[1].startswith('The likeliest segment is "Rich" (') and 'the least likely "Poor" (' in said[1]
    assert [finding.what[:24] for finding in findings] == ["Of the likeliest tenth o"]
    told = " ".join(reasons.filter(like="reason").astype(str).to_numpy().ravel())
    assert "hour of the day (" in told and column_words("hour_cos", log=True) not in told


def test_segments_are_called_likeliest_only_where_prediction_and_what_happened_agree(tmp_path: Path) -> None:
    problem = lines_of(1.5)
    model = fit_insight_model(problem, hold_out(problem), quick=True)
    drivers = explain(model)
    happened = model.test.target[drivers.rows].astype(np.int64)
    turned = happened if np.corrcoef(happened, model.probabilities)[0, 1] < 0 else 1 - happened
    # Segments that mix: what happened differs, what was predicted does not follow it.
    low = model.probabilities < np.median(model.probabilities)
    mixed = np.where(low, happened, turned)
    kept = np.where((low & (happened == 1)) | (~low & (happened == 0)), mixed, -1)
    assert segments_look(model, drivers, Members(["A", "B"], kept), log=True, seed=0).summary == []


def test_of_segments_that_are_about_equal_none_is_called_likeliest() -> None:
    problem = lines_of(1.5)
    model = fit_insight_model(problem, hold_out(problem), quick=True)
    drivers = explain(model)
    rich = (drivers.columns["spend"] > 0).to_numpy()
    twins = np.where(rich, 1 + np.arange(len(rich)) % 2, 0)  # two of the rich, divided by nothing
    (said,) = segments_look(
        model, drivers, Members(["Poor", "Rich", "Wealthy"], twins), log=True, seed=0
    ).summary
    assert "likeliest" not in said and "least likely" not in said
    assert ' is likelier than "Poor": ' in said


def test_nobody_is_about_to_be_lost_where_customers_do_not_leave(
    flat: CustomerView, strong: CustomerView
) -> None:
    def lost(view: CustomerView) -> list[str]:
        section = segment_log_section(view, group_customers(view), "none are looked for")
        return [finding.sure for finding in section.findings if "about to be lost" in finding.what]

    assert lost(flat) == []
    (sure,) = lost(CustomerView.of(quitting(), CONTEXT))
    assert "of others with as many orders, the last of them lately," in sure


def test_a_group_is_compared_with_others_like_it_only() -> None:
    rng = np.random.default_rng(0)
    stratum = rng.integers(0, 2, 2_000)
    inside = rng.random(2_000) < np.where(stratum, 0.8, 0.2)
    happened = rng.random(2_000) < np.where(stratum, 0.7, 0.3)  # by stratum only
    found = stratified(inside, happened, stratum)
    assert found is not None and found.p_value > 0.05
    assert found.share == pytest.approx(found.others, abs=0.06)
    other = stratified(inside, happened | inside, stratum)
    assert other is not None and other.p_value < 1e-6
    assert stratified(inside[:40], happened[:40], stratum[:40]) is None


def test_a_tenth_of_the_buyers_is_a_finding_only_beyond_what_lots_would_give(
    flat: CustomerView, strong: CustomerView
) -> None:
    assert valuable_customers(flat).findings == []
    (finding,) = valuable_customers(strong).findings
    assert "drawn by lot" in finding.sure and finding.count == 40


def test_one_huge_order_is_named_and_decides_no_figure(flat: CustomerView) -> None:
    view = CustomerView.of(with_huge(steady()), CONTEXT)
    typical = known_of(ContactAssumptions(), flat, None).value
    known = known_of(ContactAssumptions(), view, None)
    assert known.value is not None and typical is not None and known.value < 1.2 * typical
    assert known.remark.startswith("One order of 250,000 EUR counts as ")
    section = segment_log_section(view, group_customers(view), "none are looked for")
    assert "One order of 250,000 EUR alone is 8" in section.summary[1]
    (said,) = valuable_customers(view).summary
    assert "One order of 250,000 EUR alone is 8" in said and "brought 8" not in said
    assert not any(
        "order of" in said for said in segment_log_section(flat, group_customers(flat), "").summary
    )


def test_one_huge_order_does_not_decide_lifetime_values(flat: CustomerView, tmp_path: Path) -> None:
    def total(view: CustomerView) -> tuple[float, str]:
        names = [f"c{at}" for at in range(400)]
        look = lifetime(view, group_customers(view), names, tmp_path)
        return look.figures["lifetime"]["total"], look.summary[0]

    own, said = total(flat)
    with_it, named = total(CustomerView.of(with_huge(steady()), CONTEXT))
    assert with_it < 1.3 * own
    assert "counts as" in named and "counts as" not in said
    assert pd.read_csv(tmp_path / "lifetime_values.csv")["spent so far"].max() > 250_000, (
        "what was spent is counted"
    )


def test_a_segment_that_rounds_to_nothing_is_not_listed_and_few_customers_are_no_sentence() -> None:
    events = [order(n, n % 400, n / 8, 20.0) for n in range(2_400)] + [order(2_400, 400, 1.0, 20.0)]
    view = CustomerView.of(log_of(events), CONTEXT)
    summary = segment_log_section(view, group_customers(view), "none are looked for").summary
    assert ": 0%" not in summary[0] and "the others less than 1% each" in summary[0]
    few = CustomerView.of(log_of([order(n, n % 8, n * 3.0, 39.8) for n in range(24)]), CONTEXT)
    assert "half of them" not in " ".join(segment_log_section(few, group_customers(few), "").summary)


def test_half_of_them_is_said_to_be_about() -> None:
    view = CustomerView.of(log_of([order(n, n % 50, n / 4, 39.8) for n in range(50)]), CONTEXT)
    summary = segment_log_section(view, group_customers(view), "none are looked for").summary
    assert "half of them spent about 40 EUR or more" in summary[1]


def test_a_change_that_may_be_chance_is_grey_and_says_so(flat: CustomerView, strong: CustomerView) -> None:
    assert not any(card.sure for card in cards_of_log(flat) if card.change and card.change != "unchanged")
    grown = {card.title: card for card in cards_of_log(strong)}
    assert grown["Orders"].sure and grown["Customers who ordered"].sure
    opening = Opening([Card("Orders", "9", "▲ 20%", sure=False), Card("Money", "5", "▲ 90%")], [], [])
    text = page("R", [Section("a", "A", ["One."], [], {})], opening=opening)
    assert '<div class="change chance">▲ 20%, may be chance</div>' in text
    assert '<div class="change">▲ 90%</div>' in text


def test_steady_shops_seldom_have_a_sure_change() -> None:
    sure = [
        any(
            card.sure
            for card in cards_of_log(CustomerView.of(steady(60, seed), CONTEXT))
            if "%" in card.change
        )
        for seed in range(40)
    ]
    assert sum(sure) <= 6


def shelf(weights: Sequence[float], seed: int = 0, customers: int = 250) -> pa.Table:
    """Return orders of one item each, drawn by weight."""
    rng = np.random.default_rng(seed)
    share = np.array(weights) / np.sum(weights)
    rows = []
    for n in range(5 * customers):
        item = f"sku-{rng.choice(len(share), p=share)}"
        lines = [{"item_id": item, "price": 20.0, "quantity": 1}]
        rows.append(order(n, n % customers, rng.uniform(0, DAYS), 20.0, items=lines))
    return log_of(rows)


def of_products(log: pa.Table, folder: Path) -> Sequence[str]:
    return sellers(order_lines(log, CONTEXT), {}, "EUR", folder).summary


def test_equal_products_have_no_bestseller(tmp_path: Path) -> None:
    equal = of_products(shelf([1.0] * 12), tmp_path)
    assert equal[0].startswith("12 products have about as many buyers each as chance would give them")
    assert equal[1].startswith("Half of the money comes from ")
    led = of_products(shelf([6.0, *[1.0] * 11]), tmp_path)
    assert led[0].startswith("The product with most buyers is sku-0: ") and "chance" not in led[0]
    assert led[1].startswith("sku-0 brought most money: ")
    close = of_products(shelf([6.0, 6.0, *[1.0] * 10]), tmp_path)
    assert "that it is ahead of sku-" in close[0] and close[0].endswith("may be chance.")
    assert of_products(shelf([6.0, 1.0], customers=20), tmp_path) == [
        "Half of the money comes from 1 of 2 products."
    ]


def test_recommended_items_are_a_finding_only_where_they_beat_popular_ones() -> None:
    few = try_out(Interactions.of(shelf([1.0] * 12)), QUICK_RECIPES)
    assert _findings(few, 250) == []
    assert "hardly more than the 10 that are recommended" in _plain(few, 250)[0]
    equal = try_out(Interactions.of(shelf([1.0] * 60)), QUICK_RECIPES)
    assert _findings(equal, 250) == []
    assert "popular ones do as well" in _plain(equal, 250)[0]
    popular = try_out(Interactions.of(shelf([9.0] * 8 + [1.0] * 72)), QUICK_RECIPES)
    (finding,) = _findings(popular, 250)
    assert finding.what.startswith("The most popular items do as well") and not finding.file
    rng = np.random.default_rng(2)
    rows = []
    for n in range(1_500):  # two tastes
        customer = n % 150
        lines = [
            {"item_id": f"i{2 * rng.integers(20) + customer % 2}", "price": 1.0, "quantity": 1}
            for _ in range(2)
        ]
        rows.append(order(n, customer, rng.uniform(0, DAYS), 2.0, items=lines))
    taste = try_out(Interactions.of(log_of(rows)), QUICK_RECIPES)
    (finding,) = _findings(taste, 150)
    assert "items that were chosen for them" in finding.what and finding.file


def budget(log: pa.Table, folder: Path) -> tuple[Section, pd.DataFrame]:
    write_log(folder / "log.parquet", log)
    section = choose_customers(Workspace(folder / "log.parquet", folder, LabOptions(quick=True)))
    return section, pd.read_csv(folder / "budget.csv")


def test_a_list_that_knows_nothing_gives_no_reasons_and_is_no_finding(tmp_path: Path) -> None:
    section, listed = budget(steady(), tmp_path)
    assert section.findings == []
    assert "reason" not in listed
    assert section.summary[1].startswith("Nothing that is known of customers tells who will buy")
    assert listed["probability"].sum() == pytest.approx(section.figures["expected"]["value"], abs=0.1)


def test_a_list_that_knows_something_gives_reasons_and_adds_up(tmp_path: Path) -> None:
    section, listed = budget(leaving(), tmp_path)
    (finding,) = section.findings
    assert "are expected to buy" in finding.what
    assert listed["reason"].str.len().gt(0).mean() > 0.9
    assert listed["probability"].sum() == pytest.approx(section.figures["expected"]["value"], abs=0.6)
    table = next(part for part in section.parts if isinstance(part, Table))
    assert "add up to the number that is expected" in table.caption


def test_probabilities_of_a_list_add_up_and_keep_their_order() -> None:
    own = np.array([0.9, 0.5, 0.1, 0.0])
    found = agreeing(own, 2.5)
    assert found.sum() == pytest.approx(2.5)
    assert (np.diff(found) < 0).all() and ((found >= 0) & (found <= 1)).all()
    assert agreeing(own, 0.0).sum() == pytest.approx(0.5)
