"""Forecasts: only whole days, no knowledge of the future, and honest beside the seasonal naive forecast."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.log import write_log
from offline.chapters.forecast.backtest import BASELINE, CHOSEN, COMBINED, choose_method, forecast_series
from offline.chapters.forecast.section import forecast
from offline.chapters.forecast.series import Series, daily, weekly
from offline.chapters.workspace import LabOptions, Workspace
from offline.examples.examples import Context
from offline.exceptions import TrainingError
from offline.views.log_view import LogView
from tests.offline.lab.problems import DAY_MS, START_MS, event, log_of

CONTEXT = Context(30 * DAY_MS, "next-day")


def shop(days: int, closed: tuple[int, ...] = (), seed: int = 0) -> LogView:
    """Return a view of orders that rise through the week; 2025-01-01 was a Wednesday."""
    rng = np.random.default_rng(seed)
    events = []
    for day in range(days):
        weekday = (2 + day) % 7
        if weekday in closed:
            continue
        for _ in range(int(rng.poisson(8 + 3 * weekday))):
            at = START_MS + day * DAY_MS + int(rng.integers(6, 22)) * 3_600_000
            events.append(
                event(len(events), "purchase", f"c{rng.integers(200)}", at, value=20.0, currency="EUR")
            )
    return LogView.of(log_of(events), CONTEXT)


def series(values: np.ndarray, season: int = 7) -> Series:
    frame = pd.DataFrame(
        {"orders": values, "revenue": values}, index=pd.date_range("2025-01-01", periods=len(values))
    )
    return Series(frame.astype(float), "day", season, (), "EUR")


def test_the_days_that_the_log_cuts_off_are_left_out() -> None:
    found = daily(shop(40))
    assert found.frame.index[0] == pd.Timestamp("2025-01-02")
    assert found.frame.index[-1] == pd.Timestamp("2025-02-08")


def test_days_on_which_the_shop_is_closed_are_never_forecast() -> None:
    found = daily(shop(60, closed=(5, 6)))
    assert (found.closed, found.season) == ((5, 6), 5)
    assert not set(found.coming(15).day_of_week) & {5, 6}
    assert len(found.coming(15)) == 15


def test_weeks_run_from_monday_to_sunday() -> None:
    found = weekly(shop(120))
    assert set(found.frame.index.day_of_week) == {0}
    whole = shop(120).orders
    first = whole[(whole["time"] >= found.frame.index[0]) & (whole["time"] < found.frame.index[1])]
    assert found.frame["orders"].iloc[0] == len(first)


def test_a_short_log_is_refused_in_one_sentence() -> None:
    with pytest.raises(TrainingError, match="has 18 whole days"):
        daily(shop(20))


def test_a_pattern_that_only_repeats_is_forecast_without_error() -> None:
    values = np.tile([5.0, 6, 7, 8, 9, 3, 1], 20)
    found = forecast_series(series(values), "orders", 7)
    assert found.scores.set_index("method").loc["seasonal naive", "mae"] == 0
    assert found.ahead["forecast"].to_numpy() == pytest.approx(values[:7], abs=0.3)


def test_noise_around_a_pattern_is_forecast_better_than_by_the_last_season() -> None:
    rng = np.random.default_rng(1)
    values = np.maximum(rng.normal(np.tile([50.0, 60, 70, 80, 90, 30, 10], 30), 8), 0)
    found = forecast_series(series(values), "orders", 7)
    assert found.relative_interval[1] < 1
    assert found.ahead["low_95"].le(found.ahead["low_80"]).all()
    assert found.ahead["high_95"].ge(found.ahead["high_80"]).all()
    scores = found.scores.set_index("method").loc["as chosen at the time"]
    assert 0.6 < scores["covered 80"] <= 1
    assert scores["covered 95"] > 0.85


@pytest.mark.parametrize("length", [40, 50, 70])
def test_a_series_is_never_forecast_from_less_than_a_method_needs(length: int) -> None:
    values = np.random.default_rng(4).poisson(20, length).astype(float)
    steps = (length - 28) // 6
    found = forecast_series(series(values), "orders", steps)
    assert np.isfinite(found.backtest.drop(columns="date").to_numpy()).all()
    assert np.isfinite(found.ahead.drop(columns="date").to_numpy()).all()
    assert np.isfinite(found.total).all()
    with pytest.raises(TrainingError, match="too few to try forecasts"):
        forecast_series(series(values), "orders", steps + 1)


def test_nothing_later_gets_into_a_forecast_made_at_an_earlier_time() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(50, 5, 140)
    changed = values.copy()
    changed[-7:] += 1_000
    before, after = (forecast_series(series(v), "orders", 7, quick=True).backtest for v in (values, changed))
    methods = [name for name in before if name not in ("origin", "date", "actual")]
    pd.testing.assert_frame_equal(before[methods], after[methods])


def test_the_choice_at_a_time_knows_only_errors_before_it() -> None:
    actual = np.array([[1.0], [1.0], [1.0], [1.0], [9.0]])
    past = {
        BASELINE: np.array([[5.0], [5.0], [5.0], [5.0], [9.0]]),
        COMBINED: np.array([[3.0], [3.1], [3.0], [3.0], [3.0]]),
        "AutoETS": np.array([[1.0], [1.0], [1.0], [1.0], [0.0]]),
    }
    chosen = [choose_method(past, actual, before) for before in range(5)]
    assert chosen == [COMBINED, COMBINED, COMBINED, "AutoETS", "AutoETS"]


def test_a_lead_that_may_be_luck_replaces_nothing() -> None:
    actual = np.zeros((4, 1))
    past = {COMBINED: np.full((4, 1), 3.0), "AutoETS": np.array([[0.0], [4.0], [4.0], [0.0]])}
    assert np.abs(past["AutoETS"]).mean() < 0.95 * 3
    assert choose_method(past, actual, 4) == COMBINED


def test_the_section_has_days_and_weeks_with_intervals(tmp_path: Path) -> None:
    view_log = []
    rng = np.random.default_rng(3)
    for day in range(280):
        for _ in range(int(rng.poisson(4)) + 1):
            at = START_MS + day * DAY_MS + int(rng.integers(8, 20)) * 3_600_000
            view_log.append(event(len(view_log), "purchase", f"c{rng.integers(60)}", at, value=9.0))
    write_log(tmp_path / "log.parquet", log_of(view_log))
    section = forecast(Workspace(tmp_path / "log.parquet", tmp_path))
    assert set(section.figures) == {"day", "week"}
    for measure in ("orders", "revenue"):
        low, high = section.figures["day"][measure]["total"][1:]
        assert low < section.figures["day"][measure]["total"][0] < high
    written = pd.read_csv(tmp_path / "forecast.csv", parse_dates=["date"])
    assert set(zip(written["step"], written["measure"], strict=True)) == {
        (step, measure) for step in ("day", "week") for measure in ("orders", "revenue")
    }
    assert (written["low_95"] <= written["low_80"]).all() and (written["high_80"] <= written["high_95"]).all()
    days = written[(written["step"] == "day") & (written["measure"] == "orders")]
    assert days["forecast"].sum() == pytest.approx(section.figures["day"]["orders"]["total"][0], rel=1e-3)
    weeks = written[written["step"] == "week"]["date"]
    assert set(weeks.dt.day_of_week) == {0}
    assert CHOSEN in forecast_series(daily(shop(120)), "orders", 7, quick=True).backtest


def one_a_day(
    days: int, every: int = 1, value: float = 10.0, kind: str = "purchase"
) -> list[dict[str, object]]:
    return [
        event(at, kind, f"c{at % 7}", START_MS + day * DAY_MS, value=value, currency="EUR")
        for at, day in enumerate(range(0, days, every))
    ]


def test_where_both_are_without_error_nothing_was_beaten(tmp_path: Path) -> None:
    write_log(tmp_path / "log.parquet", log_of(one_a_day(100)))
    summary = forecast(Workspace(tmp_path / "log.parquet", tmp_path, LabOptions(quick=True))).summary
    assert "both without error" in summary[0]
    assert not any("smaller than" in sentence for sentence in summary)


def test_without_orders_there_is_nothing_to_forecast() -> None:
    view = LogView.of(log_of(one_a_day(100, kind="refund")), CONTEXT)
    with pytest.raises(TrainingError, match="no orders, so there is nothing to forecast"):
        daily(view)


def test_free_orders_are_forecast_without_revenue(tmp_path: Path) -> None:
    write_log(tmp_path / "log.parquet", log_of(one_a_day(100, value=0.0)))
    section = forecast(Workspace(tmp_path / "log.parquet", tmp_path, LabOptions(quick=True)))
    assert "Every order is worth nothing, so there is no revenue to forecast." in section.summary
    assert list(section.figures["day"]) == ["orders"]


def test_the_interval_of_rare_orders_holds_the_next_one() -> None:
    values = np.zeros(120)
    values[::8] = 1.0
    found = forecast_series(series(values), "orders", 10, quick=True)
    assert found.ahead["high_80"].min() >= 1
    assert found.total[1] <= 1 <= found.total[2]
