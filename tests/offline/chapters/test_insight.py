"""Insight: effects that add up, profit that follows from what is assumed, values tried on unseen time."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.log import write_log
from offline.chapters.insight.drivers import (
    Dependence,
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
from offline.chapters.insight.pictures import dependences_by_group
from offline.chapters.insight.profit import Economics, ProfitCurve, count_contacts, profit_curve
from offline.chapters.insight.profit_look import Known, known_of, profit_look
from offline.chapters.insight.reasons import explain_customers, latest_rows
from offline.chapters.insight.section import _members, gain_insight
from offline.chapters.segments.section import segments_of
from offline.chapters.selection.section import select_columns
from offline.chapters.tuning.section import Plan, tune_models
from offline.chapters.workspace import ContactAssumptions, LabOptions, Workspace
from offline.examples.examples import Context
from offline.exceptions import TrainingError
from offline.lab.bg_nbd import BgNbd, fit_bg_nbd
from offline.lab.models import choose_models
from offline.problems.holdout import hold_out
from offline.problems.problem import Problem
from offline.report.html import page
from offline.report.section import Calculator, Section
from offline.report.words import value_words
from offline.views.log_view import LogView
from tests.data_sets import ROOT, data_set
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
    assert (groups[1].mean[middle] > groups[0].mean[middle] + 0.05).all()


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


def curve_of(
    p: list[float], bought: list[bool], economics: Economics, groups: list[int] | None = None
) -> ProfitCurve:
    own = None if groups is None else np.array(groups)
    counted = count_contacts(np.array(p), np.array(bought), own, None, [economics.threshold])
    return profit_curve(counted, economics)


def test_a_contact_pays_where_the_gain_exceeds_its_cost() -> None:
    economics = Economics(value=100.0, margin=0.5, cost=1.0, effect=0.1, currency="EUR")
    assert economics.threshold == pytest.approx(0.2)
    curve = curve_of([0.9, 0.5, 0.1, 0.05], [True, False, True, False], economics)
    assert curve.rule["contacts"] == 2
    assert curve.rule["brought"] == pytest.approx(5.0 - 2.0)
    assert curve.rule["expected"] == pytest.approx(5.0 * 1.4 - 2.0)
    assert curve.everybody.value == pytest.approx(2 * 5.0 - 4.0)
    assert curve.over_everybody.value == pytest.approx(3.0 - 6.0)


def test_profit_is_what_the_margin_leaves_and_not_revenue() -> None:
    whole = Economics(value=50.0, margin=1.0, cost=1.0, effect=0.1, currency="EUR")
    tenth = whole._replace(margin=0.1)
    assert tenth.threshold == pytest.approx(10 * whole.threshold)
    assert tenth.gain == pytest.approx(whole.gain / 10)


def test_a_customer_is_contacted_once_when_the_threshold_is_first_reached() -> None:
    economics = Economics(value=10.0, margin=1.0, cost=1.0, effect=1.0, currency="EUR")
    curve = curve_of([0.05, 0.6, 0.9, 0.3], [False, False, True, True], economics, [7, 7, 7, 8])
    assert curve.rule["contacts"] == 2
    assert curve.rule["brought"] == pytest.approx(0.0 + 10.0 - 2.0)


def test_no_contact_pays_that_costs_more_than_it_can_bring() -> None:
    economics = Economics(value=1.0, margin=1.0, cost=5.0, effect=0.1, currency="EUR")
    curve = curve_of([0.9, 0.2], [True, False], economics)
    assert economics.threshold > 1
    assert curve.rule["contacts"] == 0
    assert curve.by_rule == (0, 0, 0)
    assert curve.best.contacted == 0


def draws(rows: int = 4_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    p = rng.beta(1, 6, rows)
    return p, rng.random(rows) < p


def test_the_best_looking_back_lies_near_the_rule_where_probabilities_are_honest() -> None:
    p, bought = draws()
    economics = Economics(value=100.0, margin=0.5, cost=1.0, effect=0.1, currency="EUR")
    curve = profit_curve(count_contacts(p, bought, None, None, [economics.threshold]), economics)
    best = curve.best
    assert best.low <= curve.rule["contacted"] <= best.high
    assert best.low <= best.contacted <= best.high
    assert best.profit.low < best.profit.value < best.profit.high
    assert best.profit.value < curve.frame["brought"].max()  # looking back flatters, and that is taken off


def test_the_interval_of_a_profit_is_that_of_its_customers() -> None:
    p, bought = draws()
    economics = Economics(value=100.0, margin=0.5, cost=1.0, effect=0.1, currency="EUR")
    rule = profit_curve(count_contacts(p, bought, None, None, [0.2]), economics).by_rule
    own = np.where(p >= 0.2, 5.0 * bought - 1.0, 0.0)
    spread = own.std() * np.sqrt(len(own))
    assert rule.value == pytest.approx(own.sum())
    assert rule.high - rule.low == pytest.approx(2 * 1.96 * spread, rel=0.15)


def known(**said: float) -> Known:
    return known_of(ContactAssumptions(**said), None, "EUR")


def test_what_nobody_said_is_not_assumed(model: InsightModel) -> None:
    assert known().missing == ["value", "margin", "cost", "effect"]
    look = profit_look(model, known(value=80.0, cost=1.0), "session", seed=0)
    assert look.summary == [
        "Which sessions are worth a contact depends on what a purchase brings, what a contact costs, and how many "
        "purchases it adds. The data do not tell all of that (margin, effect missing), so there is no advice here: "
        "move the sliders, or give --margin --effect."
    ]
    assert "threshold" not in look.figures["profit"]
    several = look.figures["profit"]["several"]
    assert len(several) == 20 and several["threshold"].nunique() > 5
    assert not any(part.title == "Profit by threshold" for part in look.parts)


def test_all_that_was_said_gives_the_rule_and_what_it_would_have_brought(model: InsightModel) -> None:
    look = profit_look(model, known(value=100.0, margin=0.5, cost=1.0, effect=0.1), "session", seed=0)
    assert look.figures["profit"]["threshold"] == pytest.approx(0.2)
    assert "a contact pays from a probability of 20.0% on" in look.summary[0]
    assert "would have brought" in look.summary[0] and "happened;" not in look.summary[0]
    assert "more than contacting everybody" in look.summary[0]
    assert look.summary[1].startswith("Looking back, contacting the likeliest")


def test_there_is_no_verdict_where_the_interval_holds_nothing(model: InsightModel) -> None:
    # So dear that few rows pay, and those hardly.
    said = profit_look(
        model, known(value=100.0, margin=0.5, cost=4.85, effect=0.1), "session", seed=0
    ).summary
    assert "The interval holds 0, so the data do not tell whether contacts pay." in said[0]
    assert "more than contacting everybody" not in said[0]


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js runs the page's script")
def test_the_sliders_compute_what_the_report_says(model: InsightModel) -> None:
    look = profit_look(model, known(value=80.0, margin=0.4, cost=0.9, effect=0.12), "session", seed=0)
    (calculator,) = (part for part in look.parts if isinstance(part, Calculator))
    assert [slider.value for slider in calculator.sliders] == [80.0, 0.4, 0.9, 0.12]
    script = ROOT / "offline" / "report" / "calculator.js"
    code = (
        f"const c = require({str(script)!r}); const data = JSON.parse(require('fs').readFileSync(0));"
        "const found = c.contactProfit(data, 80, 0.4, 0.9, 0.12);"
        "const none = c.sentences(data, c.contactProfit(data, 1, 1, 9, 1));"
        "console.log(JSON.stringify([found, c.sentences(data, found), none]))"
    )
    told = subprocess.run(
        ["node", "-e", code], input=json.dumps(calculator.data), capture_output=True, text=True, check=True
    )
    found, said, none = json.loads(told.stdout)
    figures = look.figures["profit"]
    assert found["threshold"] == pytest.approx(figures["threshold"])
    for name, own in (("value", "brought"), ("low", "low"), ("high", "high")):
        assert found["byRule"][name] == pytest.approx(figures["rule"][own], abs=1e-6)
        assert found["byBest"][name] == pytest.approx(figures["best"]["profit"][name], abs=1e-6)
        assert found["everybody"][name] == pytest.approx(figures["everybody"][name], abs=1e-6)
    assert found["bestShares"] == pytest.approx([figures["best"]["low"], figures["best"]["high"]], abs=1e-5)
    assert said[0].startswith("A contact pays from a probability of 23% on")
    assert none == ["No contact pays: it costs more than it can bring."]


def test_the_page_asks_for_what_is_missing(model: InsightModel) -> None:
    look = profit_look(model, known(cost=0.5), "session", seed=0)
    text = page("Insight", [Section("insight", "Insight", look.summary, look.parts, {})])
    form = text.split('<form class=calculator id="insight-0"')[1].split("</form>")[0]
    values = dict(re.findall(r'type=number [^>]*name="(\w+)"[^>]* value="([^"]*)"', form))
    assert values == {"value": "", "margin": "", "cost": "0.5", "effect": ""}
    assert "function contactProfit" in text
    assert 'id="insight-0-data"' in text


def test_figures_of_one_model_agree_between_chapters(tmp_path: Path) -> None:
    path = write_csv(tmp_path, visits(900).to_csv(index=False))
    workspace = Workspace(path, tmp_path, LabOptions(quick=True))
    insight = gain_insight(workspace).figures["metrics"]
    selection = select_columns(workspace, choose_models(["lightgbm"])).figures
    own = selection["effect"]["lightgbm"]["all"]
    assert insight["auc"] == own["auc"] and insight["pr_auc"] == own["pr_auc"]
    assert selection["ci"]["lightgbm"]["auc"] == insight["ci"]["auc"]
    tuned = tune_models(workspace, Plan(models=("lightgbm",), methods=("random",), trials=1)).figures
    assert tuned["lightgbm"]["default"]["auc"] == own["auc"]


def test_the_expectation_is_that_of_the_paper() -> None:
    # Fader, Hardie and Lee 2005, section 4: CDNOW, in weeks; 1.226 repeat purchases are expected.
    one = Histories(
        np.array([0]),
        np.array([2.0]),
        np.array([30.43]),
        np.array([38.86]),
        np.zeros(1),
        np.zeros(1),
        np.zeros(1, bool),
    )
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
    age, none = np.full(customers, float(days)), np.zeros(customers, bool)
    return Histories(np.arange(customers), repeats, recency, age, value, repeats, none), later


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
    assert section.figures["profit"]["missing"] == ["value", "margin", "cost", "effect"]
    listed = pd.read_csv(tmp_path / "reasons.csv")
    assert len(listed) == len(workspace.holdout.test) == section.figures["explained"]
    row = int(listed.iloc[0, 0]) - 1
    assert row in workspace.holdout.test
    pages = pd.read_csv(path)["pages"][row]
    assert f"pages: {pages} " in " ".join(listed.iloc[0, 3:])


def test_the_section_of_a_log_has_segments_reasons_and_lifetime_values_of_all(tmp_path: Path) -> None:
    write_log(tmp_path / "log.parquet", shop_log(400, days=150))
    contacts = ContactAssumptions(value=80.0, margin=0.5, cost=1.0, effect=0.25)
    workspace = Workspace(tmp_path / "log.parquet", tmp_path, LabOptions(contacts=contacts))
    section = gain_insight(workspace)
    assert "high_value" in section.figures
    assert section.figures["profit"]["threshold"] == pytest.approx(0.1)
    assert section.figures["profit"]["value"] == 80.0
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


def test_axes_of_dependences_count_durations_once() -> None:
    grid = [86_400.0 * day for day in range(1, 11)]
    flat = np.full(len(grid), 0.5)
    one = Dependence("since_purchase", grid, flat, flat, flat)
    picture = dependences_by_group([(one, {0: one})], ["all"], log=True, target="purchase")
    ticks = picture.figure.layout.xaxis.ticktext
    assert ticks and all(text.endswith(" d") for text in ticks), (
        "days of a grid in seconds are days on the axis"
    )
    assert picture.figure.layout.xaxis.title.text is None
