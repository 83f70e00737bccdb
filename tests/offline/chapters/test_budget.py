"""The budget: lists from what was known, counts that can be checked, and an account of what a rule would have done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from features.log import write_log
from offline.chapters.budget.chooser import chosen_by
from offline.chapters.budget.moments import DAY, horizon_of, moment_at, past_moments
from offline.chapters.budget.section import _says_something, _summary
from offline.chapters.budget.trial import Expected, Trial, expected_buyers
from offline.examples.examples import Context
from offline.exceptions import TrainingError
from offline.views.net_orders import CustomerView
from stream.cli.app import create_app
from tests.offline.lab.problems import DAY_MS, START_MS, event, log_of

CONTEXT = Context(30 * DAY_MS, "next-day", "UTC", "EUR")


def shop(customers: int = 200, days: int = 240, seed: int = 0) -> pa.Table:
    """Return orders of customers of whom half order often, at random days."""
    rng = np.random.default_rng(seed)
    events: list[dict[str, Any]] = []
    for customer in range(customers):
        chance = 0.05 if customer % 2 else 0.004
        for day in np.flatnonzero(rng.random(days) < chance):
            at = START_MS + int(day) * DAY_MS + customer * 1000
            events.append(event(len(events), "purchase", f"c{customer}", at, value=10.0))
    return log_of(events)


@pytest.fixture(scope="module")
def log() -> pa.Table:
    return shop()


def test_a_moment_knows_every_customer_before_it_and_nothing_after_it(log: pa.Table) -> None:
    view = CustomerView.of(log, CONTEXT)
    at = view.first + 120 * DAY
    moment = moment_at(view, at, 30 * DAY)
    frame = log.to_pandas().assign(time=lambda f: f["event_time"].dt.tz_localize(None))
    before = frame[frame["time"] < at]
    assert len(moment.known) == before["customer_id"].nunique()
    assert moment.known["frequency"].sum() == len(before)
    after = frame[(frame["time"] >= at) & (frame["time"] < at + 30 * DAY)]
    assert moment.bought.sum() == len(set(after["customer_id"]) & set(before["customer_id"]))
    shorter = CustomerView.of(log.filter(pa.array(frame["time"] < at)), CONTEXT)
    pd.testing.assert_frame_equal(moment_at(shorter, at, 30 * DAY).known, moment.known)


def test_moments_are_a_horizon_apart_and_short_logs_are_refused(log: pa.Table) -> None:
    view = CustomerView.of(log, CONTEXT)
    moments = past_moments(view, 30 * DAY)
    assert all(
        later.at - earlier.at == 30 * DAY for later, earlier in zip(moments, moments[1:], strict=False)
    )
    assert moments[0].at == view.last - 30 * DAY
    with pytest.raises(TrainingError, match="shorter --horizon"):
        past_moments(view, 100 * DAY)
    assert horizon_of(view, pd.Timedelta(minutes=30)) == 7 * DAY


def test_a_rule_lists_the_smallest_or_largest_and_the_unknown_last() -> None:
    known = pd.DataFrame({"since_order": [3.0, np.nan, 1.0], "frequency": [1.0, 0.0, 5.0]})
    assert chosen_by("who ordered last", known, 3).tolist() == [2, 0, 1]
    assert chosen_by("who ordered most often", known, 1).tolist() == [2]


@pytest.mark.parametrize("share", [0.02, 0.3])
def test_the_interval_holds_the_buyers_of_the_next_list_in_nineteen_cases_of_twenty(share: float) -> None:
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(400):
        hits = rng.binomial(200, share, 3)
        trial = Trial(
            pd.DataFrame({"buyers by model": hits, "listed": 200}), Expected(0, 0, 0), 1.0, pd.DataFrame()
        )
        found = expected_buyers(trial, 200)
        inside += found.low <= rng.binomial(200, share) <= found.high
    assert inside >= 0.93 * 400


def test_shares_that_differ_from_moment_to_moment_widen_the_interval() -> None:
    def half(hits: list[int]) -> float:
        trial = Trial(
            pd.DataFrame({"buyers by model": hits, "listed": 200}), Expected(0, 0, 0), 1.0, pd.DataFrame()
        )
        found = expected_buyers(trial, 200)
        return found.high - found.low

    assert half([40, 80, 120]) > 3 * half([80, 80, 80])


def test_report_lists_as_many_as_the_budget_and_counts_who_bought_on_past_lists(
    log: pa.Table, tmp_path: Path
) -> None:
    path, out = tmp_path / "orders.parquet", tmp_path / "report"
    write_log(path, log)
    wanted = ["report", str(path), "-o", str(out), "--only", "budget", "--budget", "60", "--quick", "--json"]
    result = CliRunner().invoke(create_app(), wanted)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["sections"]["budget"]
    listed = pd.read_csv(out / "budget.csv")
    assert len(listed) == found["budget"] == 60
    assert listed["probability"].is_monotonic_decreasing
    assert listed["reason"].str.len().gt(0).mean() > 0.9
    assert (listed["customer"].str[1:].astype(int) % 2).mean() > 0.9, "who orders often is likely to order"
    frame = log.to_pandas().assign(time=lambda f: f["event_time"].dt.tz_localize(None))
    last = found["moments"][0]
    at = pd.Timestamp(last["from"])
    after = set(frame.loc[(frame["time"] >= at) & (frame["time"] < at + 30 * DAY), "customer_id"])
    known = set(frame.loc[frame["time"] < at, "customer_id"])
    assert last["customers"] == len(known)
    assert last["by chance"] == pytest.approx(60 * len(after & known) / len(known))
    assert last["buyers by model"] > 1.15 * last["by chance"]
    assert found["expected"]["low"] < found["expected"]["value"] < found["expected"]["high"]


def test_a_log_that_is_too_short_for_a_budget_says_so(tmp_path: Path) -> None:
    path, out = tmp_path / "orders.parquet", tmp_path / "report"
    write_log(path, shop(days=70))
    wanted = ["report", str(path), "-o", str(out), "--only", "budget", "--quick", "--json"]
    result = CliRunner().invoke(create_app(), wanted)
    assert result.exit_code == 0, result.output
    assert "at least 90 days" in json.loads(result.stdout)["sections"]["budget"]["why"]


def test_an_interval_as_wide_as_the_list_is_not_printed() -> None:
    row = {"from": pd.Timestamp("2025-01-01"), "listed": 500, "buyers by model": 30, "buyers by rule": 28,
           "by chance": 25.0, "rule": "who bought last"}  # fmt: skip
    trial = Trial(pd.DataFrame([row]), Expected(2.0, -490.0, 494.0), 0.9, pd.DataFrame(), (5.0, 0.001))
    told = " ".join(_summary(trial, Expected(250.0, 0.0, 500.0), 500, 600, "30 days"))
    assert "0 to 500" not in told and "-490" not in told
    assert "How many of them will buy within 30 days cannot be told: lists of the past are too few" in told
    assert "too few or too short to tell whether model or rule does better" in told
    narrow = " ".join(_summary(trial, Expected(250.0, 200.0, 300.0), 500, 600, "30 days"))
    assert "95% interval 200 to 300" in narrow
    assert not _says_something(0, 500, 500) and _says_something(200, 300, 500)
