"""Insight: effects that add up, profit that follows from what is assumed, values tried on unseen time."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.log import write_log
from offline.chapters.insight.drivers import (
    by_group,
    dependence,
    dependence_by_group,
    effects,
    explain,
    reasons,
    shares_by_group,
)
from offline.chapters.insight.high_value import high_value
from offline.chapters.insight.lifetime import (
    GammaGamma,
    Histories,
    fit_gamma_gamma,
    histories_at,
)
from offline.chapters.insight.lifetime_check import MEAN, MODEL, check_lifetime
from offline.chapters.insight.model import InsightError, InsightModel, fit_insight_model, logits
from offline.chapters.insight.profit import Economics, profit_curve
from offline.chapters.insight.reasons import explain_customers, latest_rows
from offline.chapters.insight.section import _members, gain_insight
from offline.chapters.segments.section import segments_of
from offline.chapters.workspace import ContactAssumptions, LabOptions, Workspace
from offline.examples.examples import Context
from offline.exceptions import TrainingError
from offline.lab.bg_nbd import BgNbd, fit_bg_nbd
from offline.problems.holdout import hold_out
from offline.problems.problem import Problem
from offline.report.words import value_words
from offline.views.log_view import LogView
from tests.data_sets import data_set
from tests.offline.lab.problems import DAY_MS, START_MS, event, log_of, shop_log, visits, write_csv


def problem(rows: int = 3_000, seed: int = 0) -> Problem:
    """Return rows whose chance rises with ``x``, is higher for colour "red", and does not depend on ``noise``."""
    rng = np.random.default_rng(seed)
    x, noise = rng.normal(0, 1, rows), rng.normal(0, 1, rows)
    colour = rng.choice(["red", "blue"], rows)
    chance = 1 / (1 + np.exp(1 - 2 * x - 1.5 * (colour == "red")))
    columns = pd.DataFrame({"x": x, "noise": noise, "colour": pd.Categorical(colour)})
    kinds = {"x": "numeric", "noise": "numeric", "colour": "categorical"}
    return Problem("made", columns, kinds, rng.random(rows) < chance, "bought")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def model() -> InsightModel:
    made = problem()
    return fit_insight_model(made, hold_out(made))


def test_effects_of_a_row_add_up_to_its_log_odds(model: InsightModel) -> None:
    found = explain(model)
    assert found.values.sum(axis=1) + found.base == pytest.approx(
        logits(model.booster, found.columns), abs=1e-6
    )


def test_what_drives_is_told_from_noise(model: InsightModel) -> None:
    ranking = explain(model).ranking
    assert ranking["column"].tolist() == ["x", "colour", "noise"]
    assert ranking.set_index("column").loc["x", "direction"] > 0.9
    assert np.isnan(ranking.set_index("column").loc["colour", "direction"])


def test_dependence_follows_the_truth(model: InsightModel) -> None:
    rising = dependence(model, "x")
    assert np.corrcoef(rising.grid, rising.mean)[0, 1] > 0.9
    colours = dependence(model, "colour")
    assert (
        dict(zip(colours.grid, colours.mean, strict=True))["red"]
        > dict(zip(colours.grid, colours.mean, strict=True))["blue"]
    )


def test_reasons_are_the_largest_effects_and_groups_have_their_means(model: InsightModel) -> None:
    found = explain(model)
    own = reasons(found.columns, found.values, 5)
    effects = [abs(reason.effect) for reason in own]
    assert effects == sorted(effects, reverse=True)
    assert effects[0] == pytest.approx(np.abs(found.values[5]).max())
    red = (found.columns["colour"] == "red").to_numpy().astype(np.int64)
    frame = by_group(found, red, ["blue", "red"])
    assert frame.loc["colour", "red"] > 0 > frame.loc["colour", "blue"]
    shares = shares_by_group(found, red, ["blue", "red"])
    assert shares.sum().tolist() == pytest.approx([1.0, 1.0])
    assert (shares.idxmax() == "x").all()


def test_dependence_in_a_group_is_that_of_its_own_rows(model: InsightModel) -> None:
    found = explain(model)
    red = (found.columns["colour"] == "red").to_numpy().astype(np.int64)
    groups = dependence_by_group(model, found, "x", red, 3)
    assert set(groups) == {0, 1}  # the third has no rows
    assert groups[0].grid == groups[1].grid == dependence(model, "x").grid
    middle = slice(8, 17)
    assert (groups[1].mean[middle] > groups[0].mean[middle] + 0.1).all()


def test_every_customer_has_reasons_at_the_latest_row() -> None:
    made = problem(900)
    times = pd.Series(pd.date_range("2025-01-01", periods=900, freq="h", tz="UTC"))
    log = dataclasses.replace(made, groups=np.arange(900) % 90, times=times)
    assert latest_rows(log).tolist() == list(range(810, 900))
    fitted = fit_insight_model(made, hold_out(made))
    names = [f"c{at}" for at in range(90)]
    found = explain_customers(fitted, log, names, latest_rows(log), ["some"] * 90)
    assert sorted(found.frame["customer"]) == sorted(names)
    assert found.frame["probability"].is_monotonic_decreasing
    at = 810 + int(found.frame["customer"].iloc[0][1:])
    own = made.columns.iloc[[at]]
    values, base = effects(fitted, own)
    largest = reasons(own, values, 0)[0]
    assert found.frame["reason 1"].iloc[0].startswith(largest.column.replace("_", " "))
    assert f"({largest.effect:+.2f})" in found.frame["reason 1"].iloc[0]
    p = fitted.calibration.probabilities(values.sum(axis=1) + base)
    assert found.frame["probability"].iloc[0] == pytest.approx(float(p[0]), abs=1e-4)


def test_a_column_that_knows_the_target_is_left_out_but_its_effect_is_told() -> None:
    made = problem()
    told = Problem(
        "made", made.columns.assign(told=made.target * 1.0), {**made.kinds, "told": "numeric"}, made.target, "bought",
        leaks={"told": "it is the target"},
    )  # fmt: skip
    found = fit_insight_model(told, hold_out(told))
    assert "told" not in found.names
    assert found.with_leaks is not None
    assert found.with_leaks["auc"] > 0.999 > found.metrics["auc"]


def test_too_few_positives_are_refused() -> None:
    made = problem(200)
    rare = Problem("rare", made.columns, made.kinds, np.arange(200) < 5, "bought")
    with pytest.raises(InsightError, match="of each class are needed"):
        fit_insight_model(rare, hold_out(rare))


def test_a_contact_pays_where_the_gain_exceeds_its_cost() -> None:
    economics = Economics(value=50.0, cost=1.0, effect=0.1, currency="EUR")
    assert economics.threshold == pytest.approx(0.2)
    probabilities = np.array([0.9, 0.5, 0.1, 0.05])
    happened = np.array([True, False, True, False])
    curve = profit_curve(probabilities, happened, None, None, economics)
    assert curve.best["contacts"] == 2
    assert curve.best["happened"] == pytest.approx(5.0 - 2.0)
    assert curve.best["expected"] == pytest.approx(5.0 * 1.4 - 2.0)
    assert curve.everybody == pytest.approx(2 * 5.0 - 4.0)


def test_a_customer_is_contacted_once_when_the_threshold_is_first_reached() -> None:
    economics = Economics(value=10.0, cost=1.0, effect=1.0, currency="EUR")
    probabilities = np.array([0.05, 0.6, 0.9, 0.3])
    happened = np.array([False, False, True, True])
    curve = profit_curve(probabilities, happened, np.array([7, 7, 7, 8]), np.arange(4), economics)
    row = curve.frame.iloc[int((curve.frame["threshold"] - 0.1).abs().argmin())]
    assert row["contacts"] == 2
    assert row["happened"] == pytest.approx(0.0 + 10.0 - 2.0)


def test_no_contact_pays_that_costs_more_than_it_can_bring() -> None:
    economics = Economics(value=1.0, cost=5.0, effect=0.1, currency="EUR")
    curve = profit_curve(np.array([0.9, 0.2]), np.array([True, False]), None, None, economics)
    assert economics.threshold > 1
    assert curve.best["contacts"] == 0
    assert curve.best["happened"] == 0


def test_the_expectation_is_that_of_the_paper() -> None:
    # Fader, Hardie and Lee 2005, section 4: CDNOW, in weeks; 1.226 repeat purchases are expected.
    one = Histories(np.array([0]), np.array([2.0]), np.array([30.43]), np.array([38.86]), np.array([0.0]))
    cdnow = BgNbd(0.243, 4.414, 0.793, 2.426)
    assert cdnow.expected(one, 39.0)[0] == pytest.approx(1.226, abs=5e-4)


def drawn(customers: int, seed: int, days: int = 300, ahead: int = 100) -> tuple[Histories, np.ndarray]:
    """Draw histories from BG/NBD (r=1, alpha=30, a=1.5, b=4) and the orders of the days ahead."""
    rng = np.random.default_rng(seed)
    rate, leaving = rng.gamma(1.0, 1 / 30.0, customers), rng.beta(1.5, 4.0, customers)
    repeats, recency, later = np.zeros(customers), np.zeros(customers), np.zeros(customers)
    for at in range(customers):
        time, alive = 0.0, True
        while alive:
            time += rng.exponential(1 / rate[at])
            if time > days + ahead:
                break
            if time <= days:
                repeats[at] += 1
                recency[at] = time
            else:
                later[at] += 1
            alive = rng.random() >= leaving[at]
    own_mean = 12.0 * 4.0 / rng.gamma(5.0, 1.0, customers)
    value = np.where(
        repeats > 0, rng.gamma(np.maximum(repeats, 1) * 4, own_mean / 4) / np.maximum(repeats, 1), 0.0
    )
    return Histories(np.arange(customers), repeats, recency, np.full(customers, float(days)), value), later


def test_what_customers_were_drawn_from_is_found_again() -> None:
    histories, later = drawn(6_000, 4)
    fitted, true = fit_bg_nbd(histories), BgNbd(1.0, 30.0, 1.5, 4.0)
    assert tuple(fitted) == pytest.approx(tuple(true), rel=0.15)
    guess = fitted.expected(histories, 100.0)
    assert guess == pytest.approx(true.expected(histories, 100.0), rel=0.1, abs=0.02)
    assert guess.sum() == pytest.approx(later.sum(), rel=0.06)
    alive = fitted.alive(histories)
    assert ((alive >= 0) & (alive <= 1)).all()
    again = fitted.returns(histories, 100.0)
    assert (again <= alive).all()
    assert again.mean() == pytest.approx((later > 0).mean(), abs=0.02)
    often = again > np.quantile(again, 0.9)
    assert again[often].mean() == pytest.approx((later[often] > 0).mean(), abs=0.04)


def test_values_of_orders_are_drawn_towards_the_mean_of_all() -> None:
    histories, _ = drawn(6_000, 5)
    fitted = fit_gamma_gamma(histories)
    expected = fitted.expected(histories)
    never = histories.repeats == 0
    everybody = expected[never][0]
    assert everybody == pytest.approx(12.0, rel=0.1)
    often = histories.repeats > 8
    assert np.corrcoef(expected[often], histories.value[often])[0, 1] > 0.99
    assert expected[often].std() < histories.value[often].std()
    assert isinstance(fitted, GammaGamma)


def buyers(seed: int = 6) -> LogView:
    """Return a view of customers of whom one in four orders six times as often."""
    rng = np.random.default_rng(seed)
    events = []
    for customer in range(240):
        mean_gap = 8 if customer % 4 == 0 else 50
        day = rng.uniform(0, 30)
        while day < 240:
            paid = {
                "value": float(rng.lognormal(3, 0.4)),
                "currency": "EUR",
                "country": "DE" if customer % 2 else "FR",
            }
            events.append(
                event(len(events), "purchase", f"c{customer}", START_MS + int(day * DAY_MS), **paid)
            )
            day += rng.exponential(mean_gap) + 0.5
    return LogView.of(log_of(events), Context(30 * DAY_MS, "next-day"))


def test_lifetime_values_are_judged_on_time_they_have_not_seen() -> None:
    check = check_lifetime(buyers())
    scores = check.scores.set_index("estimate")
    assert scores.loc[MODEL, "total"] == pytest.approx(1.0, abs=0.2)
    assert scores.loc[MODEL, "rank"] > 0.5
    assert scores.loc[MODEL, "mae"] < scores.loc[MEAN, "mae"]
    assert scores.loc[MODEL, "top"] <= check.best_top + 1e-9
    for measure in ("mae", "rank", "top"):
        low, high = scores.loc[MODEL, f"{measure} low"], scores.loc[MODEL, f"{measure} high"]
        assert low < scores.loc[MODEL, measure] < high
    assert check.ahead[1] <= check.ahead[0] <= check.ahead[2]
    expected, came = check.returned
    assert expected == pytest.approx(came, abs=0.1)


def test_histories_end_at_their_moment() -> None:
    view = buyers()
    moment = view.first + pd.Timedelta(days=100)
    found = histories_at(view, moment)
    assert (found.recency <= found.age).all()
    assert found.age.max() <= 101
    assert len(found.customers) == view.orders[view.orders["time"] < moment]["customer"].nunique()


def test_too_few_who_come_back_have_no_lifetime_value() -> None:
    log = log_of([event(at, "purchase", f"c{at}", START_MS + at * DAY_MS, value=5.0) for at in range(60)])
    with pytest.raises(TrainingError, match="0 customers ordered on more than one day"):
        check_lifetime(LogView.of(log, Context(30 * DAY_MS, "next-day")))


def test_the_best_tenth_spent_most() -> None:
    view = buyers()
    found = high_value(view)
    assert found is not None
    spent = view.customers["monetary"]
    assert (spent >= found.least).mean() == pytest.approx(0.1, abs=0.01)
    assert found.compared.loc["orders", "ratio"] > 2
    assert found.countries["customers"].sum() == len(spent)


def test_values_are_said_in_the_units_of_people() -> None:
    assert value_words("since_purchase", 400 * 86_400.0, log=True) == "never"
    assert value_words("view_item_10m", 3e-33, log=True) == "0"
    assert value_words("PageValues", float("nan"), log=False) == "missing"


def test_the_section_of_a_table(tmp_path: Path) -> None:
    path = write_csv(tmp_path, visits(1_500).to_csv(index=False))
    workspace = Workspace(path, tmp_path)
    section = gain_insight(workspace)
    assert section.figures["drivers"]["column"][0] == "pages"
    assert section.figures["profit"]["threshold"] == pytest.approx(0.1)
    listed = pd.read_csv(tmp_path / "reasons.csv")
    assert len(listed) == len(workspace.holdout.test) == section.figures["explained"]
    row = int(listed.iloc[0, 0]) - 1
    assert row in workspace.holdout.test
    pages = pd.read_csv(path)["pages"][row]
    assert f"pages: {pages} " in " ".join(listed.iloc[0, 3:])


def test_the_section_of_a_log_has_segments_reasons_and_lifetime_values_of_all(tmp_path: Path) -> None:
    write_log(tmp_path / "log.parquet", shop_log(400, days=150))
    contacts = ContactAssumptions(value=40.0, cost=1.0, effect=0.25)
    workspace = Workspace(tmp_path / "log.parquet", tmp_path, LabOptions(contacts=contacts))
    section = gain_insight(workspace)
    assert "high_value" in section.figures
    assert section.figures["profit"]["threshold"] == pytest.approx(0.1)
    assert section.figures["profit"]["value"] == 40.0
    assert section.figures["reasons"]["customer"].str.startswith("c").all()
    assert len(pd.read_csv(tmp_path / "reasons.csv")) == len(np.unique(workspace.problem.groups))
    lifetimes = pd.read_csv(tmp_path / "lifetime_values.csv")
    assert lifetimes["value"].sum() == pytest.approx(section.figures["lifetime"]["total"], rel=1e-3)
    segments = {row["segment"] for row in section.figures["dependence_by_segment"]}
    assert segments and segments <= set(section.figures["segments"]["segment"])
    assert any("before the test" in getattr(part, "caption", "") for part in section.parts)


def test_segments_of_insight_are_those_before_the_test(tmp_path: Path) -> None:
    write_log(tmp_path / "log.parquet", shop_log(400, days=150))
    workspace = Workspace(tmp_path / "log.parquet", tmp_path)
    segments = segments_of(workspace)
    rows = workspace.holdout.test
    members = _members(workspace, segments, rows)
    groups, times = workspace.problem.groups, workspace.problem.times
    assert groups is not None and times is not None
    since = times.iloc[rows].min()
    first = times.groupby(groups).transform("min").iloc[rows]
    unknown = members.groups < 0
    assert unknown.any()
    assert (first[unknown] >= since).all()


def test_online_shoppers_are_explained_without_page_values(tmp_path: Path) -> None:
    section = gain_insight(
        Workspace(data_set("online_shoppers_intention.csv"), tmp_path, LabOptions(quick=True))
    )
    assert "PageValues" not in set(section.figures["drivers"]["column"])
    assert section.figures["metrics"]["auc"] > 0.75
    assert section.figures["with_leaks"]["auc"] > 0.92
