"""Segments: chosen for separation and stability, named truly, valued by what customers brought, and moving."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.labels import LabelStart
from features.log import write_log
from offline.chapters.segments.clustering import (
    agreement,
    choose,
    dense_groups,
    dense_stability,
    hierarchy,
    kmeans,
    nearest,
    silhouette,
)
from offline.chapters.segments.history import history_at
from offline.chapters.segments.movement import NOT_YET, movement
from offline.chapters.segments.names import name_rows
from offline.chapters.segments.section import segment, segment_log_section
from offline.chapters.segments.segmented import segment_customers
from offline.chapters.workspace import Workspace
from offline.datasets import load_online_retail
from offline.examples.examples import Context
from offline.exceptions import TrainingError
from offline.views.net_orders import CustomerView
from tests.data_sets import data_set
from tests.offline.lab.problems import DAY_MS, START_MS, event, log_of, shop_log, visits, write_csv

START: LabelStart = "0"
CONTEXT = Context(30 * DAY_MS, START)


def clouds(centers: list[tuple[float, float]], each: int = 150, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(center, 0.3, (each, 2)) for center in centers])


def bought(number: int, customer: str, day: float, value: float) -> dict[str, object]:
    return event(number, "purchase", customer, START_MS + int(day * DAY_MS), value=value, currency="EUR")


def test_the_number_of_clouds_is_found() -> None:
    found = choose(clouds([(0, 0), (5, 0), (0, 5), (5, 5)]))
    assert found.number == 4
    assert np.bincount(found.members).tolist() == [150] * 4
    assert found.tried.set_index("segments").loc[4, "stability"] == pytest.approx(1.0)


def test_a_handful_far_away_is_no_segment() -> None:
    points = np.concatenate([clouds([(0, 0), (4, 0), (0, 4)]), np.full((3, 2), 500.0)])
    cut_off = nearest(points, kmeans(points, 2, 0))
    assert np.bincount(cut_off).min() == 3
    assert silhouette(points, cut_off) > 0.9
    found = choose(points)
    assert found.number == 3
    assert sorted(np.bincount(found.members)) == [150, 150, 153]


def test_all_alike_cannot_be_divided() -> None:
    with pytest.raises(TrainingError, match="100 rows to divide into segments, 1 of them different"):
        choose(np.ones((100, 2)))


def test_a_hierarchy_and_density_find_the_same_clouds() -> None:
    points = clouds([(0, 0), (5, 0), (0, 5)])
    truth = np.repeat([0, 1, 2], 150)
    assert agreement([hierarchy(points, 3).members, truth]) == 1.0
    sample, dense = dense_groups(points)
    assert len(sample) == len(points)
    assert agreement([dense[dense >= 0], truth[dense >= 0]]) > 0.95
    assert silhouette(points, truth) > 0.8


def test_dense_groups_are_steady_where_there_are_clouds_and_not_where_there_are_none() -> None:
    assert dense_stability(clouds([(0, 0), (5, 0), (0, 5)])) > 0.9
    assert dense_stability(np.random.default_rng(0).uniform(size=(600, 2))) < 0.6


def test_every_number_of_segments_is_tried_with_a_hierarchy_too() -> None:
    tried = choose(clouds([(0, 0), (5, 0), (0, 5), (5, 5)])).tried.set_index("segments")
    assert tried["ward"].idxmax() == 4
    assert tried.loc[4, "ward"] == pytest.approx(tried.loc[4, "silhouette"], abs=0.01)


def test_names_fit_what_a_column_measures() -> None:
    centroids = pd.DataFrame({"Page_Views": [1.0, -1.0], "Visit_Duration": [0.8, -0.8]})
    assert name_rows(centroids) == [
        "Many page views, long visit duration",
        "Few page views, short visit duration",
    ]


def test_names_do_not_say_one_thing_twice() -> None:
    centroids = pd.DataFrame({"Info": [2.0, -1.0], "Info_Duration": [1.9, -0.9], "Bounces": [-0.8, 0.7]})
    assert name_rows(centroids) == ["High info, low bounces", "Low info, high bounces"]


def test_history_knows_nothing_of_what_comes_later() -> None:
    log = log_of([bought(0, "a", 1, 10.0), bought(1, "a", 5, 20.0), bought(2, "b", 6, 5.0)])
    then = history_at(CustomerView.of(log, CONTEXT), pd.Timestamp("2025-01-04"))
    assert then["frequency"].tolist() == [1.0]
    assert then["monetary"].tolist() == [10.0]
    assert then["recency"].tolist() == [pytest.approx(2.0)]


def test_money_given_back_is_taken_off_the_order_it_was_for() -> None:
    log = log_of(
        [
            bought(0, "a", 1, 70.0),
            bought(1, "a", 2, 10.0),
            event(2, "refund", "a", START_MS + 3 * DAY_MS, value=70.0, currency="EUR"),
            bought(3, "b", 1, 30.0),
            event(4, "refund", "b", START_MS + 2 * DAY_MS, value=12.0, currency="EUR"),
        ]
    )
    view = CustomerView.of(log, CONTEXT)
    assert view.net_orders()["value"].tolist() == [18.0, 10.0]
    before = view.net_orders(pd.Timestamp("2025-01-03 12:00"))
    assert sorted(before["value"]) == [10.0, 18.0, 70.0]


def test_customers_move_between_segments_and_none_is_lost() -> None:
    view = CustomerView.of(shop_log(300, days=120), CONTEXT)
    segments = segment_customers(view)
    found = movement(view, segments)
    assert found.sizes["moment"].is_monotonic_increasing
    assert found.moves.to_numpy().sum() == len(segments.frame)
    assert found.moves.loc[NOT_YET].sum() == len(segments.frame) - found.sizes[segments.names].iloc[-2].sum()
    assert found.sizes[segments.names].iloc[-1].tolist() == segments.sizes().tolist()


def test_equal_seeds_give_equal_segments() -> None:
    view = CustomerView.of(shop_log(200), CONTEXT)
    assert (
        segment_customers(view, seed=3).members.tolist() == segment_customers(view, seed=3).members.tolist()
    )


def test_the_number_of_segments_can_be_told() -> None:
    assert segment_customers(CustomerView.of(shop_log(200), CONTEXT), count=5).count == 5


def test_the_section_of_a_table_leaves_the_target_out(tmp_path: Path) -> None:
    frame = visits(900).assign(told=lambda v: (v["bought"] == "yes") * 5.0)
    path = write_csv(tmp_path, frame.to_csv(index=False))
    workspace = Workspace(path, tmp_path)
    section = segment(workspace)
    assert list(workspace.problem.leaks) == ["told"]
    assert "told" not in section.figures["columns"]
    assert section.figures["profile"]["positive"].sum() == int((frame["bought"] == "yes").sum())
    words = next(part for part in section.parts if part.title == "Segments in words")
    assert all("(all: " in text for text in words.frame["what sets them apart"])  # type: ignore[union-attr]


def test_the_section_of_a_log_shows_every_picture(tmp_path: Path) -> None:
    write_log(tmp_path / "log.parquet", shop_log(300, days=120))
    section = segment(Workspace(tmp_path / "log.parquet", tmp_path))
    titles = [part.title for part in section.parts]
    for wanted in (
        "Segments in two principal components",
        "Dendrogram",
        "Profile of every segment",
        "Movement between segments",
        "Three ways of dividing",
        "Three ways of dividing, in two principal components",
        "Customers and revenue by segment",
    ):
        assert wanted in titles
    compared = section.figures["compared"]
    assert compared["way"].tolist() == ["K-means", "hierarchical (Ward)", "density (HDBSCAN)"]
    assert compared["stability"].between(-1, 1).all()


def test_online_retail_is_divided_on_the_log_scale() -> None:
    log = load_online_retail(data_set("online_retail.parquet")).log()
    view = CustomerView.of(log, Context(30 * DAY_MS, "next-day", "Europe/London", "GBP"))
    section = segment_log_section(view, segment_customers(view))
    tried = section.figures["tried"].set_index("segments")["silhouette"]
    assert tried.loc[[2, 3, 4, 5]].tolist() == pytest.approx([0.433, 0.337, 0.337, 0.316], abs=0.01)
    assert section.figures["raw"]["smallest"] < 0.02
    assert section.figures["profile"]["share"].min() > 0.1
