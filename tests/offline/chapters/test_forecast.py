"""Forecasts: only whole days, no knowledge of the future, and honest beside the seasonal naive forecast."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.log import write_log
from offline.chapters.forecast.backtest import BASELINE, COMBINED, choose_method, forecast_series
from offline.chapters.forecast.closed_days import ClosedDays, closed_again, closed_days
from offline.chapters.forecast.intervals import sum_interval
from offline.chapters.forecast.section import forecast
from offline.chapters.forecast.series import Series, daily
from offline.chapters.workspace import Workspace
from offline.examples.examples import Context
from offline.exceptions import TrainingError
from offline.report.section import Section
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


def series(values: np.ndarray) -> Series:
    frame = pd.DataFrame(
        {"orders": values, "revenue": values}, index=pd.date_range("2025-01-01", periods=len(values))
    )
    return Series(frame.astype(float), frame.index[-1], (), ClosedDays((), ()), "EUR")


def test_the_days_that_the_log_cuts_off_are_left_out() -> None:
    found = daily(shop(40))
    assert found.frame.index[0] == pd.Timestamp("2025-01-02")
    assert found.frame.index[-1] == pd.Timestamp("2025-02-08")


def test_days_on_which_the_shop_is_closed_are_never_forecast() -> None:
    found = daily(shop(60, closed=(5, 6)))
    assert (found.closed, found.season) == ((5, 6), 5)
    assert not set(found.coming(21).day_of_week) & {5, 6}
    assert len(found.coming(21)) == 15


def test_a_short_log_is_refused_in_one_sentence() -> None:
    with pytest.raises(TrainingError, match="has 18 whole days"):
        daily(shop(20))


def test_a_pattern_that_only_repeats_is_forecast_without_error() -> None:
    values = np.tile([5.0, 6, 7, 8, 9, 3, 1], 20)
    found = forecast_series(series(values), "orders", 7, quick=True)
    assert found.scores.set_index("method").loc["seasonal naive", "mae"] == 0
    assert found.ahead["forecast"].to_numpy() == pytest.approx(values[:7], abs=0.3)


def test_noise_around_a_pattern_is_forecast_better_than_by_the_last_season() -> None:
    rng = np.random.default_rng(1)
    values = np.maximum(rng.normal(np.tile([50.0, 60, 70, 80, 90, 30, 10], 30), 8), 0)
    found = forecast_series(series(values), "orders", 7, quick=True)
    assert found.relative_interval[1] < 1
    assert found.ahead["low_95"].le(found.ahead["low_80"]).all()
    assert found.ahead["high_95"].ge(found.ahead["high_80"]).all()
    scores = found.scores.set_index("method").loc["as chosen at the time"]
    assert 0.6 < scores["covered 80"] <= 1
    assert scores["covered 95"] > 0.8


@pytest.mark.parametrize("length", [40, 50, 70])
def test_a_series_is_never_forecast_from_less_than_a_method_needs(length: int) -> None:
    values = np.random.default_rng(4).poisson(20, length).astype(float)
    steps = (length - 28) // 6
    found = forecast_series(series(values), "orders", steps, quick=True)
    assert np.isfinite(found.backtest.drop(columns="date").to_numpy()).all()
    assert np.isfinite(found.ahead.drop(columns=["date", "closed"]).to_numpy()).all()
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


def section_of(events: list[dict], folder: Path, days: int | None = None) -> Section:
    write_log(folder / "log.parquet", log_of(events))
    workspace = Workspace(folder / "log.parquet", folder)
    workspace.options = workspace.options._replace(quick=True, forecast_days=days)
    return forecast(workspace)


def orders(dates: pd.DatetimeIndex, each: float, *, seed: int = 3, value: float = 9.0) -> list[dict]:
    rng = np.random.default_rng(seed)
    events: list[dict] = []
    for date in dates:
        for _ in range(int(rng.poisson(each))):
            at = int(date.timestamp() * 1000) + int(rng.integers(8, 20)) * 3_600_000
            events.append(
                event(len(events), "purchase", f"c{rng.integers(60)}", at, value=value, currency="EUR")
            )
    return events


def test_there_is_one_forecast_whose_days_weeks_and_total_agree(tmp_path: Path) -> None:
    section = section_of(orders(pd.date_range("2025-01-01", periods=280, tz="UTC"), 5), tmp_path)
    assert set(section.figures) == {"orders", "revenue"}
    written = pd.read_csv(tmp_path / "forecast.csv", parse_dates=["date"])
    assert (written["low_95"] <= written["low_80"]).all() and (written["high_80"] <= written["high_95"]).all()
    for measure in ("orders", "revenue"):
        total, low, high = section.figures[measure]["total"]
        assert low < total < high
        for step in ("day", "week"):
            rows = written[(written["step"] == step) & (written["measure"] == measure)]
            assert rows["forecast"].sum() == pytest.approx(total, rel=1e-3)


def test_christmas_of_last_year_is_closed_this_year_and_said(tmp_path: Path) -> None:
    every = pd.date_range("2023-11-01", "2024-12-10", tz="UTC")
    closed = ((every >= "2023-12-24") & (every <= "2024-01-01")) | (every.day_of_week == 5)
    section = section_of(orders(every[~closed], 12, value=0.0), tmp_path, days=28)
    ahead = section.figures["orders"]["ahead"].set_index("date")
    saturdays = ahead.index[ahead.index.day_of_week == 5]
    assert len(saturdays) == 4 and ahead.loc[saturdays, "closed"].all()
    shut = ahead.index[ahead["closed"]].difference(saturdays)
    assert (shut[0], shut[-1]) == (pd.Timestamp("2024-12-24"), pd.Timestamp("2025-01-01"))
    assert pd.Timestamp("2024-12-25") in shut
    assert (ahead.loc[shut, ["forecast", "high_95"]] == 0).all().all()
    assert (ahead.loc[ahead.index[~ahead["closed"]], "forecast"] > 0).all()
    assert any("No order is forecast for 24 Dec to 01 Jan" in line for line in section.summary)


def test_closed_weekdays_and_past_holidays_are_named_and_closed_in_the_file(tmp_path: Path) -> None:
    every = pd.date_range("2024-11-01", "2025-04-13", tz="UTC")
    closed = (every.day_of_week == 6) | every.isin(pd.to_datetime(["2024-12-25", "2024-12-26"], utc=True))
    section = section_of(orders(every[~closed], 4), tmp_path, days=14)
    said = " ".join(section.summary)
    assert "The shop is closed on Sundays" in said
    assert "Besides, it was closed on 25 Dec 2024 to 26 Dec 2024" in said
    written = pd.read_csv(tmp_path / "forecast.csv", parse_dates=["date"])
    days = written[written["step"] == "day"]
    sundays = days[days["date"].dt.day_of_week == 6]
    assert len(days) == 2 * 14 and len(sundays) == 2 * 2
    assert sundays["closed"].all() and not days.drop(sundays.index)["closed"].any()
    assert (sundays[["forecast", "low_95", "high_95"]] == 0).all().all()
    by_day = next(part for part in section.parts if part.title == "Forecast per day")
    assert len(by_day.frame) == 14 and (by_day.frame["orders, 80%"] == "closed").sum() == 2


def test_a_forecast_of_closed_weekdays_alone_is_refused_in_one_sentence(tmp_path: Path) -> None:
    every = pd.date_range("2024-11-01", "2025-04-12", tz="UTC")  # to a Saturday, and a visit on Sunday
    sold = orders(every[every.day_of_week != 6], 12)
    visit = event(len(sold), "view_item", "c0", int(pd.Timestamp("2025-04-13", tz="UTC").timestamp() * 1000))
    with pytest.raises(TrainingError, match="next 1 day are weekdays on which the shop is closed"):
        section_of([*sold, visit], tmp_path, days=1)


def test_a_forecast_begins_after_the_last_whole_day_although_that_was_closed(tmp_path: Path) -> None:
    every = pd.date_range("2024-11-01", "2025-04-14", tz="UTC")  # to a Monday, which the log may cut off
    section_of(orders(every[every.day_of_week != 6], 12), tmp_path, days=7)
    written = pd.read_csv(tmp_path / "forecast.csv", parse_dates=["date"])
    days = written.loc[(written["step"] == "day") & (written["measure"] == "orders"), "date"]
    assert (days.min(), days.max(), len(days)) == (pd.Timestamp("2025-04-14"), pd.Timestamp("2025-04-20"), 7)


def test_a_forecast_of_one_day_is_called_of_little_use(tmp_path: Path) -> None:
    section = section_of(orders(pd.date_range("2025-01-01", periods=42, tz="UTC"), 12), tmp_path)
    assert section.figures["orders"]["days"] == 1
    assert any("no more than one day can be forecast" in line for line in section.summary)
    assert "over the next day, to" in section.summary[0]
    assert "no more than one day can be forecast" in section.findings[0].what
    drawn = next(part.figure for part in section.parts if part.title == "Orders per day: forecast")
    ahead = next(trace for trace in drawn.data if trace.name == "forecast")
    assert ahead.mode == "markers" and len(ahead.error_y.array) == 1, "one day is no line"


def test_a_log_that_ends_in_the_future_says_so_first(tmp_path: Path) -> None:
    every = pd.date_range(pd.Timestamp.now("UTC").normalize(), periods=60)
    write_log(tmp_path / "log.parquet", log_of(orders(every, 2)))
    note = Workspace(tmp_path / "log.parquet", tmp_path).first_note
    assert note == f"The log ends on {every[-1]:%Y-%m-%d}, which lies in the future: check the dates."
    later = Workspace(tmp_path / "log.parquet", tmp_path, now=every[-1].to_pydatetime())
    assert later.first_note == ""


def closing(year: int, *dates: str) -> tuple[pd.Series, list]:
    """Return a year of 20 orders a day but on ``dates``, and its dates."""
    index = pd.date_range(f"{year}-01-01", f"{year}-12-31")
    counts = pd.Series(20.0, index)
    counts[list(dates)] = 0.0
    return counts, [day.date() for day in index]


@pytest.mark.parametrize(
    ("closed", "coming", "shut"),
    [
        ("2024-03-29", "2025-04-18", True),  # Good Friday
        ("2024-03-29", "2025-03-29", False),
        ("2024-05-27", "2025-05-26", True),  # the last Monday in May
        ("2024-05-27", "2025-05-27", False),
        ("2024-10-03", "2025-10-03", True),  # a date
        ("2024-10-03", "2025-10-02", False),
    ],
)
def test_a_holiday_comes_again_as_it_is_kept(closed: str, coming: str, shut: bool) -> None:
    counts, seen = closing(2024, closed)
    known = closed_days(counts, ())
    assert closed_again(known, seen, (), [pd.Timestamp(coming).date()]) == [shut]


def test_a_day_that_was_open_once_on_its_date_is_no_holiday() -> None:
    one, seen = closing(2023, "2023-10-03")
    other, more = closing(2024)
    known = closed_days(pd.concat([one, other]), ())
    assert closed_again(known, seen + more, (), [pd.Timestamp("2025-10-03").date()]) == [False]


def test_a_quiet_shop_has_no_holidays_by_chance() -> None:
    counts = pd.Series(np.random.default_rng(5).poisson(2, 730), pd.date_range("2023-01-01", periods=730))
    assert (counts == 0).sum() > 50
    assert closed_days(counts, ()) == ClosedDays((), ())


def test_a_silent_month_is_named_and_moves_nothing(tmp_path: Path) -> None:
    every = pd.date_range("2025-01-01", periods=300, tz="UTC")
    whole = section_of(orders(every, 20, value=0.0), tmp_path)
    silent = (every >= "2025-06-01") & (every <= "2025-06-30")
    section = section_of(orders(every[~silent], 20, value=0.0), tmp_path)
    assert any("no order from 01 Jun 2025 to 30 Jun 2025" in line for line in section.summary)
    (total, low, high), (usual, least, most) = (s.figures["orders"]["total"] for s in (section, whole))
    assert total == pytest.approx(usual, rel=0.05)
    assert high - low < 2 * (most - least)


def test_a_huge_order_is_named_and_moves_little(tmp_path: Path) -> None:
    events = orders(pd.date_range("2025-01-01", periods=200, tz="UTC"), 10)
    before = section_of(events, tmp_path).figures["revenue"]["total"]
    events[-300]["value"] = 168_469.60
    section = section_of(events, tmp_path)
    assert any("One order is far beyond all others: 168,469.60 EUR" in line for line in section.summary)
    assert section.figures["revenue"]["total"] == pytest.approx(before, rel=0.1)


def test_a_shop_without_change_is_forecast_without_error_by_both(tmp_path: Path) -> None:
    every = pd.date_range("2025-01-01", periods=120, tz="UTC")
    one = [
        event(at, "purchase", "c", int(day.timestamp() * 1000), value=10.0) for at, day in enumerate(every)
    ]
    section = section_of(one, tmp_path)
    assert (
        "both it and the seasonal naive forecast (as in the week before) were without error"
        in section.summary[0]
    )


def test_orders_on_every_ninth_day_are_expected_on_some(tmp_path: Path) -> None:
    every = pd.date_range("2025-01-01", periods=400, freq="9D", tz="UTC")[:40]
    ninth = [
        event(at, "purchase", "c", int(day.timestamp() * 1000), value=10.0) for at, day in enumerate(every)
    ]
    total, low, high = section_of(ninth, tmp_path, days=28).figures["orders"]["total"]
    assert 2 < total < 4.5
    assert low <= 3 <= high + 1e-6


def test_without_orders_or_revenue_there_is_nothing_to_forecast(tmp_path: Path) -> None:
    every = pd.date_range("2025-01-01", periods=90, tz="UTC")
    section = section_of(orders(every, 5, value=0.0), tmp_path)
    assert set(section.figures) == {"orders"}
    assert any("All orders are free" in line for line in section.summary)
    refunds = [
        event(at, "refund", "c", int(day.timestamp() * 1000), value=10.0) for at, day in enumerate(every)
    ]
    with pytest.raises(TrainingError, match="no order: there is nothing to forecast"):
        section_of(refunds, tmp_path)


def test_intervals_of_sums_hold_what_they_promise_although_days_hang_together() -> None:
    rng = np.random.default_rng(6)
    held = []
    for _ in range(400):
        level = rng.normal(100, 10, 16)  # of each period: its days are high or low together
        actual = level[:, None] + rng.normal(0, 15, (16, 28))
        made = np.full((16, 28), 100.0)
        _, low, high = sum_interval(made[-1], made[:-1], actual[:-1], 80)
        held.append(low <= actual[-1].sum() <= high)
    assert 0.75 < np.mean(held) < 0.87


def test_errors_widen_with_the_horizon() -> None:
    values = 100 + np.cumsum(np.random.default_rng(8).normal(0, 2, 340))
    ahead = forecast_series(series(np.maximum(values, 0)), "orders", 28, quick=True).ahead
    width = (ahead["high_80"] - ahead["low_80"]).to_numpy()
    assert (np.diff(width) >= -1e-9).all()
    assert width[-1] > 1.5 * width[0]


def test_the_interval_of_rare_orders_holds_the_next_one() -> None:
    values = np.zeros(120)
    values[::8] = 1.0
    found = forecast_series(series(values), "orders", 10, quick=True)
    assert found.ahead["high_80"].min() >= 1
    assert found.total[1] <= 1 <= found.total[2]
