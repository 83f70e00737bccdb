"""Segments: chosen for separation and stability, named truly, valued by what customers brought, and moving."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from offline.chapters.segments.names import TRUE_OF, name_clusters, name_rows
from offline.chapters.segments.rules import OFTEN, Bounds, rules
from offline.chapters.segments.section import segment, segment_log_section
from offline.chapters.segments.segmented import Clusters, group_customers, segment_customers
from offline.chapters.workspace import Workspace
from offline.datasets import load_online_retail
from offline.examples.examples import Context
from offline.exceptions import TrainingError
from offline.training.segmentation import Facts, name_segments
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


def rows_named(columns: dict[str, list[float]]) -> list[str]:
    """Return the names of two groups of rows, of fifty rows each."""
    points = np.repeat(np.array(list(columns.values())).T, 50, axis=0)
    return name_rows(
        points, np.repeat([0, 1], 50), list(columns), pd.DataFrame(points, columns=list(columns))
    )


def test_names_fit_what_a_column_measures() -> None:
    assert rows_named({"Page_Views": [1.0, -1.0], "Visit_Duration": [0.8, -0.8]}) == [
        "Many Page Views, long Visit Duration",
        "Few Page Views, short Visit Duration",
    ]


def test_names_do_not_say_one_thing_twice() -> None:
    assert rows_named({"Info": [2.0, -1.0], "Info_Duration": [1.9, -0.9], "Bounces": [-0.8, 0.7]}) == [
        "High Info, low Bounces",
        "Low Info, high Bounces",
    ]


NUMBER = r"(-?[\d.,]+(?:e[+-]\d+)?)"
SAID_OF_A_ROW = re.compile(rf"(high|low) column (\w)|column (\w) {NUMBER}(?: to {NUMBER})?", re.IGNORECASE)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_printed_name_is_true_of_four_in_five_rows_whatever_the_data(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size, groups = int(rng.integers(20, 200)), int(rng.integers(2, 6))
    raw = rng.normal(size=(size, 3)) ** int(rng.choice([1, 2, 3])) * rng.choice([0.01, 1, 1e4])
    raw[:, 0] = np.maximum(raw[:, 0], 0)  # more than half of a column may be the same
    members = np.append(np.arange(groups), rng.integers(0, groups, size - groups))
    points = (raw - raw.mean(axis=0)) / np.maximum(raw.std(axis=0), 1e-12)
    points += (members == 1)[:, None] * rng.normal(size=3) * 3
    columns = ["column_a", "column_b", "column_c"]
    names = name_rows(points, members, columns, pd.DataFrame(raw, columns=columns))
    assert len(set(names)) == groups
    for group, name in enumerate(names):
        own = members == group
        true = np.ones(own.sum(), np.bool_)
        found = list(SAID_OF_A_ROW.finditer(name))
        assert found, name
        for much, first, second, low, high in (match.groups() for match in found):
            at = "abc".index(first or second)
            if much:
                middle, value = np.median(points[:, at]), points[own, at]
                at_least = middle == points[:, at].min()
                true &= (
                    value > middle
                    if much.lower() == "high"
                    else (value <= middle if at_least else value < middle)
                )
            else:
                bounds = [float(end.replace(",", "")) for end in (low, high or low)]
                true &= (raw[own, at] >= bounds[0]) & (raw[own, at] <= bounds[1])
        assert true.mean() >= TRUE_OF, name


def history(rng: np.random.Generator, size: int) -> tuple[pd.DataFrame, float]:
    """Return what might be known of customers, whatever it is, and the length of the log in days."""
    watched = float(rng.choice([0.2, 10, 100, 1_000]))
    orders = rng.integers(0, 6, size) ** int(rng.integers(1, 3))
    since = np.where(orders > 0, rng.uniform(0, watched, size), np.inf)
    frame = pd.DataFrame(
        {
            "purchases": orders.astype(float),
            "recency": np.minimum(since, rng.uniform(0, watched, size)),
            "monetary": np.where(orders > 0, rng.lognormal(3, 2, size), 0.0).round(2),
            "sessions": orders + rng.integers(1, 5, size).astype(float),
            "since_order": since,
            "since_cart": np.where(rng.random(size) < 0.5, rng.uniform(0, watched, size), np.inf),
        }
    )
    return frame, watched


ORDERED = {
    "First visitors": (0, 0), "Repeat visitors": (0, 0), "Cart fillers": (0, 0), "Lapsed one-time buyers": (1, 1),
    "Lapsed regulars": (2, np.inf), "One-time buyers": (1, 1), "New customers": (1, 1), "At risk": (2, np.inf),
    "Growing customers": (2, OFTEN - 1), "Loyal customers": (OFTEN, np.inf), "Champions": (OFTEN, np.inf),
}  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_rules_hold_every_customer_once_and_say_what_is_true_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame, watched = history(rng, int(rng.integers(1, 200)))
    bounds = Bounds(20.0, 60.0, 50.0, True)
    found = rules(frame, bounds, watched=watched, browsing=bool(rng.integers(2)), currency="EUR")
    assert np.sum([rule.holds for rule in found], axis=0).tolist() == [1] * len(frame)
    for rule in found:
        own = frame[rule.holds]
        assert own["purchases"].between(*ORDERED[rule.name]).all()
        if rule.name.startswith("Lapsed"):
            assert (own["recency"] > 60).all()
        elif (own["purchases"] > 0).any():
            assert (own["recency"] <= 60).all()
        if rule.name in {"Champions", "Loyal customers", "Growing customers", "New customers"}:
            assert (own["since_order"] <= 20).all()
        if rule.name == "Champions":
            assert (own["monetary"] >= 50).all()
        if rule.name == "New customers":
            assert (own["since_order"] + 20 <= watched).all()


RANGES = re.compile(
    r"(?:(?P<no>No (?:order|visit))|(?P<orders>[\d,.e+]+(?: to [\d,.e+]+)?) (?P<what>order|visit)s?)"
    r", last (?:seen )?(?P<days>[\d,.e+]+(?: to [\d,.e+]+)?) days ago"
    r"(?:, spent (?P<spent>[\d,.e+-]+(?: to [\d,.e+-]+)?) EUR)?"
)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_clusters_name_is_true_of_four_in_five_customers_whatever_the_data(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame, watched = history(rng, int(rng.integers(10, 150)))
    found = rules(frame, Bounds(20.0, 60.0, 50.0, True), watched=watched, browsing=True, currency="EUR")
    of = np.select([rule.holds for rule in found], [rule.name for rule in found], "")
    split = np.arange(len(frame)) < len(frame) * rng.uniform(0.1, 0.9)
    if rng.integers(2):  # a cluster that is a group, but for some
        split = (of == of[0]) ^ (rng.random(len(frame)) < 0.1)
        split[:2] = [True, False]
    parts = [split, ~split]
    view = CustomerView.of(log_of([event(0, "view_item", "a", START_MS)]), Context(60_000, "0", "UTC", "EUR"))
    names = name_clusters([frame[part] for part in parts], [of[part] for part in parts], view)
    assert len(set(names)) == 2
    for name, part in zip(names, parts, strict=True):
        own = frame[part]
        if name.startswith("Mostly "):
            assert (pd.Series(of[part]).str.lower() == name.removeprefix("Mostly ").lower()).mean() >= TRUE_OF
            continue
        said = RANGES.match(name)
        if not said:  # only one range more tells the two apart
            assert re.fullmatch(
                r"(First seen|Last seen|Spent|Visits:) [\d.,e+]+( to [\d.,e+]+)?( EUR in all| days ago)?",
                name,
            )
            continue
        true = np.ones(len(own), np.bool_)
        column = "sessions" if (said["no"] or said["what"]).endswith("visit") else "purchases"
        spans = {
            column: "0" if said["no"] else said["orders"],
            "recency": said["days"],
            "monetary": said["spent"],
        }
        for column, span in spans.items():
            if span is not None:
                ends = [float(end.replace(",", "")) for end in span.split(" to ")]
                true &= own[column].between(ends[0], ends[-1]).to_numpy()
        assert true.mean() >= TRUE_OF, name


def test_names_of_clusters_that_are_alike_say_what_differs_and_never_count_up() -> None:
    view = CustomerView.of(log_of([event(0, "view_item", "a", START_MS)]), Context(60_000, "0", "UTC", "EUR"))
    one = pd.DataFrame(
        {"purchases": [2.0] * 40, "recency": 5.0, "monetary": 9.0, "sessions": 3.0, "tenure": 30.0}
    )
    parts = [one, one.assign(tenure=90.0), one.assign(sessions=7.0), one, one]
    names = name_clusters(parts, [np.array(["Loyal"] * 40, object)] * 5, view)
    assert len(set(names)) == 5
    assert not any("(2)" in name for name in names)
    assert names == ["Group A", "First seen 90 days ago", "Visits: 7", "Group D", "Group E"]
    points = np.zeros((120, 1))
    rows = name_rows(points, np.repeat([0, 1, 2], 40), ["x"], pd.DataFrame({"x": [np.nan] * 120}))
    assert rows == ["Group A", "Group B", "Group C"]


def test_nobody_has_lapsed_in_a_log_of_a_day() -> None:
    events = [bought(i, f"c{i % 40}", i / 200, 10.0 + i % 7) for i in range(160)]
    groups = group_customers(CustomerView.of(log_of(events), CONTEXT))
    assert not any(name.startswith(("Lapsed", "At risk", "New")) for name in groups.names)


def test_no_two_divisions_of_a_page_share_a_name() -> None:
    frame, watched = history(np.random.default_rng(0), 10)
    found = rules(frame, Bounds(20.0, 60.0, 50.0, True), watched=watched, browsing=True, currency="EUR")
    named = {rule.name for rule in found}
    rng = np.random.default_rng(1)
    for _ in range(200):
        facts = [Facts(*np.exp(rng.normal(0, 1.5, 7)) * [0.3, 1, 20, 1, 3, 0.3, 1e6]) for _ in range(5)]
        assert named.isdisjoint(name for name, _ in name_segments(facts))


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
    segments = group_customers(view)
    found = movement(view, segments)
    assert found.sizes["moment"].is_monotonic_increasing
    assert found.moves.to_numpy().sum() == len(segments.frame)
    assert found.moves.loc[NOT_YET].sum() == len(segments.frame) - found.sizes[segments.names].iloc[-2].sum()
    assert found.sizes[segments.names].iloc[-1].tolist() == segments.sizes().tolist()


def clusters_of(view: CustomerView, *, count: int | None = None, seed: int = 0) -> Clusters:
    return segment_customers(view, group_customers(view), count=count, seed=seed)


def test_equal_seeds_give_equal_segments() -> None:
    view = CustomerView.of(shop_log(200), CONTEXT)
    assert clusters_of(view, seed=3).members.tolist() == clusters_of(view, seed=3).members.tolist()


def test_the_number_of_segments_can_be_told() -> None:
    assert clusters_of(CustomerView.of(shop_log(200), CONTEXT), count=5).count == 5


def test_customers_who_are_all_alike_are_divided_by_rules_all_the_same(tmp_path: Path) -> None:
    write_log(tmp_path / "log.parquet", log_of([bought(i, f"c{i}", 1, 10.0) for i in range(40)]))
    section = segment(Workspace(tmp_path / "log.parquet", tmp_path))
    assert section.figures["profile"]["customers"].tolist() == [40]
    assert "No clusters of customers who are alike" in section.details[-1]


def test_the_section_of_a_table_leaves_the_target_out(tmp_path: Path) -> None:
    frame = visits(900).assign(told=lambda v: (v["bought"] == "yes") * 5.0)
    path = write_csv(tmp_path, frame.to_csv(index=False))
    workspace = Workspace(path, tmp_path)
    section = segment(workspace)
    assert list(workspace.problem.leaks) == ["told"]
    assert "told" not in section.figures["columns"]
    assert section.figures["profile"]["with bought"].sum() == int((frame["bought"] == "yes").sum())
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
    groups = group_customers(view)
    section = segment_log_section(view, groups, segment_customers(view, groups))
    tried = section.figures["tried"].set_index("segments")["silhouette"]
    assert tried.loc[[2, 3, 4, 5]].tolist() == pytest.approx([0.433, 0.337, 0.337, 0.316], abs=0.01)
    assert section.figures["raw"]["smallest"] < 0.02
    orders = (
        view.net_orders()
        .groupby("customer")
        .agg(n=("time", "size"), last=("time", "max"), spent=("value", "sum"))
    )
    bounds = groups.bounds
    lately = orders["last"] > view.last - pd.Timedelta(days=bounds.active)
    best = orders[lately & (orders["n"] >= OFTEN) & (orders["spent"] >= bounds.money)]
    profile = section.figures["profile"].set_index("segment")
    assert profile.loc["Champions", "customers"] == len(best)
    assert profile.loc["Champions", "spent (all)"] == pytest.approx(best["spent"].sum())
    assert not set(groups.names) & {row["name"] for row in section.figures["clusters"]}
