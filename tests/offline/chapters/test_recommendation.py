"""Recommendations: learned from the past only, measured on what was taken up later, written as the stream reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from features.items import ItemNames, write_items
from features.log import conform, write_log
from offline.chapters.recommendation.interactions import Interactions
from offline.chapters.recommendation.offers import (
    BANDS,
    Groups,
    customer_items,
    offers_of,
    policy_of,
    stage_of,
)
from offline.chapters.recommendation.recommenders import (
    ALS,
    ITEM_ITEM,
    OWN,
    POPULAR,
    QUICK_RECIPES,
    RECENT,
    Recipe,
    fit,
)
from offline.chapters.recommendation.section import recommend
from offline.chapters.recommendation.trial import ground_truth, try_out
from offline.chapters.workspace import Workspace
from offline.exceptions import TrainingError
from offline.report.section import Table
from tests.offline.lab.problems import DAY_MS, START_MS, event, log_of

RECIPES = [
    Recipe(POPULAR),
    Recipe(RECENT),
    Recipe(OWN),
    Recipe(ITEM_ITEM, None, (("neighbours", 20),)),
    Recipe(ALS, None, (("factors", 8), ("alpha", 5))),
]


def tastes(customers: int = 120, days: int = 80, seed: int = 0) -> pa.Table:
    """Return orders of customers who like either even or odd items; orders have two items each."""
    rng = np.random.default_rng(seed)
    events: list[dict[str, Any]] = []
    for customer in range(customers):
        liked = np.arange(customer % 2, 40, 2)
        for day in np.sort(rng.choice(days, 8, replace=False)):
            items = [
                {"item_id": f"i{item}", "price": 3.0, "quantity": 1} for item in rng.choice(liked, 2, False)
            ]
            at = START_MS + int(day) * DAY_MS + customer
            events.append(event(len(events), "purchase", f"c{customer}", at, items=items, value=6.0))
    return conform(log_of(events))


@pytest.fixture(scope="module")
def known() -> Interactions:
    return Interactions.of(tastes())


def test_every_line_of_an_order_and_every_viewed_item_counts() -> None:
    lines = [{"item_id": f"i{at}"} for at in range(99)]
    log = log_of(
        [
            event(0, "purchase", "a", START_MS, items=lines),
            event(1, "view_item", "b", START_MS + 1, item_id="i7"),
            event(2, "search", "b", START_MS + 2, item_id="i8"),
        ]
    )
    found = Interactions.of(log)
    assert len(found) == 100
    assert found.weights.tolist() == [5.0] * 99 + [1.0]
    assert found.item_ids[found.items[-1]] == "i7"
    assert found.customer_ids[found.customers[-1]] == "b"


def test_a_log_without_items_is_refused() -> None:
    with pytest.raises(TrainingError, match="0 events of the log name an item"):
        Interactions.of(log_of([event(0, "purchase", "a", START_MS, value=3.0)]))


@pytest.mark.parametrize(
    ("validated", "tested", "told"),
    [
        (29, 40, "29 customers known before who came back between 75% and 87.5% of its time"),
        (40, 1, "1 customer known before who came back between 87.5% and 100% of its time"),
        (0, 0, "0 customers known before who came back between 75% and 87.5% of its time"),
    ],
)
def test_the_span_with_too_few_customers_is_the_one_that_is_told(
    validated: int, tested: int, told: str
) -> None:
    days = {10: 50, 80: validated, 95: tested}  # of 100
    customers = np.concatenate([[99], *(np.arange(count) for count in days.values()), [98]])
    when = np.concatenate([[0], np.repeat(list(days), list(days.values())), [100]])
    ids = [str(number) for number in range(100)]
    known = Interactions(
        ids, ["i"], customers, np.zeros_like(customers), START_MS + when * DAY_MS,
        np.ones(len(when)), np.zeros(len(when), np.bool_),
    )  # fmt: skip
    with pytest.raises(TrainingError, match=f"the log has {told}: .* fewer than 30; use a longer log"):
        try_out(known, RECIPES)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.kind)
def test_no_recommender_repeats_an_item_or_offers_known_ones_as_new(
    recipe: Recipe, known: Interactions
) -> None:
    fitted = fit(recipe, known, now_ms=int(known.time_ms[-1]) + 1)
    seen = known.matrix(now_ms=int(known.time_ms[-1]))
    customers = np.arange(30)
    for only_new in (False, True):
        made = fitted.recommend(customers, 10, only_new=only_new)
        for customer, row in zip(customers, made, strict=True):
            items = row[row >= 0]
            assert len(set(items)) == len(items)
            had = set(seen.indices[seen.indptr[customer] : seen.indptr[customer + 1]])
            assert not only_new or not had & set(items)


@pytest.mark.parametrize("recipe", RECIPES[3:], ids=lambda recipe: recipe.kind)
def test_models_tell_tastes_apart_where_popularity_cannot(recipe: Recipe, known: Interactions) -> None:
    fitted = fit(recipe, known, now_ms=int(known.time_ms[-1]) + 1)
    made = fitted.recommend(np.arange(60), 5, only_new=True)
    parity = np.array([int(name[1:]) % 2 for name in known.item_ids])
    liked = np.array([int(name[1:]) % 2 for name in known.customer_ids])[:60]
    known_items = made >= 0
    assert (parity[made] == liked[:, None])[known_items].mean() > 0.95


def test_nothing_of_the_test_span_is_learned(known: Interactions) -> None:
    end = int(known.time_ms[-1]) + 1
    later = ground_truth(known, end - 10 * DAY_MS, end, bought=True)
    before = known.take(known.time_ms < end - 10 * DAY_MS)
    for customer, items in zip(later.customers, later.items, strict=True):
        own = (known.customers == customer) & (known.time_ms >= end - 10 * DAY_MS)
        assert set(items) == set(known.items[own])
        assert customer in before.customers


def test_the_trial_finds_that_tastes_beat_popularity(known: Interactions) -> None:
    trial = try_out(known, QUICK_RECIPES)
    differences = trial.differences.set_index("recommender")
    for measure in ("NDCG", "new NDCG", "new hit rate"):
        assert differences.loc[ALS, f"{measure} low"] > 0
        assert differences.loc[ITEM_ITEM, f"{measure} low"] > 0
    assert differences.loc[ALS, "NDCG low"] < differences.loc[ALS, "NDCG"] < differences.loc[ALS, "NDCG high"]
    own = trial.scores.set_index("recommender")
    assert np.isnan(own.loc[OWN, "new NDCG"])
    assert trial.what == "bought"
    assert trial.best.kind in (ALS, ITEM_ITEM, OWN)
    assert trial.best_new.kind in (ALS, ITEM_ITEM)


def test_where_nothing_beats_popularity_beyond_chance_popularity_is_chosen() -> None:
    rng = np.random.default_rng(3)
    events: list[dict[str, Any]] = []
    for customer in range(100):
        for day in np.sort(rng.choice(80, 6, replace=False)):
            line = [{"item_id": f"i{rng.integers(30)}", "price": 3.0, "quantity": 1}]
            at = START_MS + int(day) * DAY_MS + customer
            events.append(event(len(events), "purchase", f"c{customer}", at, items=line, value=3.0))
    trial = try_out(Interactions.of(conform(log_of(events))), QUICK_RECIPES)
    assert trial.best.kind == trial.best_new.kind == POPULAR
    assert trial.scores.set_index("recommender").loc[POPULAR, ["chosen", "chosen for new"]].all()


def test_equal_seeds_give_equal_recommendations(known: Interactions) -> None:
    recipe = RECIPES[4]
    made = [list(customer_items(known, recipe, recipe, "v", seed=5)) for _ in range(2)]
    assert made[0] == made[1]


def test_every_segment_and_band_has_an_offer_with_items_of_the_segment(known: Interactions) -> None:
    members = np.array([int(name[1:]) % 2 for name in known.customer_ids])
    groups = Groups(["Even", "Odd"], members, ["loyal", "lapsed"])
    offers = offers_of(known, groups)
    assert {(o.segment, o.band) for o in offers} == {(s, b) for s in (0, 1) for b in BANDS}
    for offer in offers:
        assert offer.items
        assert {int(item[1:]) % 2 for item in offer.items} == {offer.segment}
    assert policy_of(known, groups, bundle="b", partitions=3).offer(1, "medium").offer == "win_back"  # type: ignore[union-attr]


def test_stages_follow_what_segments_do() -> None:
    assert stage_of("Lapsed one-time buyers", buyers=1.0, purchases=1.2, carts=0.0) == "lapsed"
    assert stage_of("Champions", buyers=1.0, purchases=13.0, carts=0.0) == "loyal"
    assert stage_of("Cart builders", buyers=0.0, purchases=0.0, carts=1.1) == "cart"
    assert stage_of("Window shoppers", buyers=0.0, purchases=0.0, carts=0.0) == "visitor"


def test_the_section_has_items_for_every_customer(tmp_path: Path) -> None:
    write_log(tmp_path / "log.parquet", tastes())
    names = ItemNames()
    for item in range(100):
        names.add(f"i{item}", f"Mug {item}")
    write_items(tmp_path / "log.parquet", names.table())
    section = recommend(Workspace(tmp_path / "log.parquet", tmp_path))
    assert section.figures["recommended_customers"] == 120
    offers, examples = (part.frame for part in section.parts[-2:] if isinstance(part, Table))
    for shown in (offers["items"], examples["items"]):
        assert shown.str.fullmatch(r"Mug \d+ \(i\d+\)(, Mug \d+ \(i\d+\))*").all(), "people read names"
    listed = pd.read_csv(tmp_path / "recommendations.csv")
    assert listed["customer"].nunique() == len(listed) == 120
    assert (listed["items"].str.split("|").str.len() == 10).all()
    assert {offer["band"] for offer in section.figures["offers"]} == set(BANDS)
    assert listed["names"].iloc[0].startswith("Mug ")
    # Every customer made 8 orders of 6 each; whoever is in a segment is counted once in each of its rows.
    assert listed["spent so far"].eq(48.0).all()
    first = offers[offers["intent"] == "high"]
    assert first["customers in segment"].sum() == 120
    assert first["money of segment"].sum() == pytest.approx(120 * 48.0)
    assert "customers" not in offers, "nobody has said who has which intent"


def test_offers_say_for_how_many_customers_and_how_much_money_they_are(tmp_path: Path) -> None:
    write_log(tmp_path / "log.parquet", tastes())
    workspace = Workspace(tmp_path / "log.parquet", tmp_path)
    workspace.handover.bands = {f"c{at}": "high" if at < 30 else "low" for at in range(120)}
    recommend(workspace)
    offers = pd.read_csv(tmp_path / "offers.csv")
    assert offers.groupby("intent")["customers"].sum().to_dict() == {"high": 30, "medium": 0, "low": 90}
    assert offers.groupby("intent")["money"].sum().to_dict() == {"high": 1440.0, "medium": 0.0, "low": 4320.0}
    listed = pd.read_csv(tmp_path / "recommendations.csv").set_index("customer")
    assert listed.loc["c3", "intent"] == "high"
    assert listed.loc["c3", "offer"] in set(offers.loc[offers["intent"] == "high", "offer"])
