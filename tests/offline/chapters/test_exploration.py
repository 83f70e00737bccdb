"""Exploration: what is said of a log or a table is what can be counted by hand."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from offline.chapters.exploration.category_rates import differs_most, rate_by_category, rates
from offline.chapters.exploration.channels import channels
from offline.chapters.exploration.cohorts import cohorts, retention
from offline.chapters.exploration.country_names import country_code, world
from offline.chapters.exploration.drift import drift, rate_over_time
from offline.chapters.exploration.funnel import funnel
from offline.chapters.exploration.overview import overview
from offline.chapters.exploration.patterns import patterns
from offline.chapters.exploration.rfm_grid import recency_by_frequency
from offline.chapters.exploration.section import explore_log, explore_table, told
from offline.chapters.exploration.table_looks import tells_most
from offline.chapters.exploration.trends import new_and_returning, trends
from offline.chapters.exploration.worldmap import countries, draw_map, project
from offline.chapters.products.next_order import next_order
from offline.datasets import load_online_retail
from offline.examples.examples import Context
from offline.lab.differences import median_interval, supported
from offline.lab.statistics import logistic_line, ordinary_line, wilson
from offline.problems import problem_from_log, problem_from_table
from offline.problems.problem import Kind, Problem
from offline.report.section import Picture
from offline.views.log_view import LogView
from tests.data_sets import data_set
from tests.offline.lab.problems import DAY_MS, START_MS, event, log_of, shop_log, visits, write_csv

CONTEXT = Context(30 * 60_000, "0")
HOUR_MS = 3_600_000


def view_of(events: list[dict[str, object]], timezone: str = "UTC") -> LogView:
    return LogView.of(log_of(events), CONTEXT._replace(timezone=timezone))


def bought(number: int, customer: str, day: float, value: float = 10.0, **more: object) -> dict[str, object]:
    return event(
        number, "purchase", customer, START_MS + int(day * DAY_MS), value=value, currency="EUR", **more
    )


@pytest.fixture(scope="module")
def retail() -> LogView:
    log = load_online_retail(data_set("online_retail.parquet")).log()
    return LogView.of(log, Context(30 * DAY_MS, "next-day", "Europe/London", "GBP"))


def test_orders_of_online_retail_are_those_of_its_documentation(retail: LogView) -> None:
    figures = overview(retail).figures
    assert (figures["orders"], len(retail.customers)) == (18_536, 4_339)
    assert int((retail.customers["frequency"] > 1).sum()) == 2_845


def test_online_retail_has_no_saturdays_in_london(retail: LogView) -> None:
    found = patterns(retail)
    assert found.figures["orders_per_day_by_weekday"]["Sat"] == 0
    days = retail.orders["time"].dt.normalize().value_counts()
    thursdays = days[days.index.day_of_week == 3].sum() / len(
        pd.date_range(retail.first, retail.last, freq="W-THU")
    )
    assert any(
        f"Thursday is the strongest weekday: {thursdays:.1f}" in claim.sentence for claim in found.claims
    )
    assert "No order ever came on a Saturday." in found.summary


def test_hours_are_those_of_the_shops_clock() -> None:
    noon = START_MS + 12 * HOUR_MS
    events = [event(i, "purchase", "c", noon + i * DAY_MS, value=1.0, currency="EUR") for i in range(3)]
    in_tokyo = patterns(view_of(events, "Asia/Tokyo")).figures["orders_per_day_by_hour"]
    assert in_tokyo[21] == pytest.approx(1.0)
    assert in_tokyo.sum() == pytest.approx(1.0)


def test_money_in_another_currency_is_not_added_up() -> None:
    view = view_of([bought(1, "a", 0), {**bought(2, "a", 1, 99.0), "currency": "USD"}])
    assert view.customers["monetary"].tolist() == [10.0]


def test_a_cohort_is_those_who_first_bought_in_a_month() -> None:
    # a and b come in January; a returns in February, b in March; c comes in February; the log ends in March.
    view = view_of(
        [bought(1, "a", 1), bought(2, "b", 2), bought(3, "a", 35), bought(4, "c", 36), bought(5, "b", 80)]
    )
    table = retention(view)
    assert table["size"].tolist() == [2, 1]
    assert table[1].tolist() == [0.5, 0.0]
    assert table[2].iloc[0] == 0.5
    assert np.isnan(table[2].iloc[1])


def test_new_and_returning_buyers_add_up() -> None:
    view = view_of(
        [bought(1, "a", 1), bought(2, "b", 2), bought(3, "a", 35), bought(4, "c", 36), bought(5, "b", 80)]
    )
    assert new_and_returning(view).to_numpy().tolist() == [[2, 0], [1, 1], [0, 1]]


def test_who_bought_has_passed_the_cart_even_if_it_was_not_logged() -> None:
    events = [
        event(1, "view_item", "a", START_MS),
        event(2, "add_to_cart", "a", START_MS + 1_000),
        event(3, "purchase", "a", START_MS + 2_000),
        event(4, "view_item", "b", START_MS),
        event(5, "purchase", "b", START_MS + 1_000),
        event(6, "view_item", "c", START_MS),
        event(7, "view_item", "c", START_MS + DAY_MS),
    ]
    figures = funnel(view_of(events)).figures
    assert figures["steps"]["sessions"].tolist() == [4, 2, 2]
    assert figures["steps"]["customers"].tolist() == [3, 2, 2]
    assert figures["purchases_skipping_a_step"] == 1


def test_a_log_of_orders_has_no_funnel_and_says_so(retail: LogView) -> None:
    found = funnel(retail)
    assert found.parts == ()
    assert "orders only" in found.summary[0]


def test_channels_are_compared_by_sessions_with_a_purchase() -> None:
    events = [event(i, "view_item", f"w{i}", START_MS + i, channel="web") for i in range(20)]
    events += [event(100 + i, "view_item", f"a{i}", START_MS + i, channel="app") for i in range(20)]
    events += [event(200 + i, "purchase", f"a{i}", START_MS + 60_000 + i, channel="app") for i in range(10)]
    frame = channels(view_of(events)).figures.set_index("channel")
    assert frame.loc["app", "sessions with a purchase"] == 0.5
    assert frame.loc["web", "sessions with a purchase"] == 0.0


@pytest.mark.parametrize(
    ("text", "code"),
    [("EIRE", "IE"), ("RSA", "ZA"), ("usa", "US"), ("DE", "DE"), ("Czech Republic", "CZ"), ("Channel Islands", "JE"),
     ("Côte d'Ivoire", "CI"), ("The Netherlands", "NL"), ("Unspecified", None), ("European Community", None)],
)  # fmt: skip
def test_countries_are_known_by_codes_names_and_habits(text: str, code: str | None) -> None:
    assert country_code(text) == code


def test_every_country_of_online_retail_is_on_the_map_but_two(retail: LogView) -> None:
    frame = countries(retail).figures
    assert len(frame) == 37
    assert set(frame["country"][frame["code"].isna()]) == {"European Community", "Unspecified"}


def test_the_map_is_made_of_polygons_that_no_server_has_to_send() -> None:
    figure = draw_map(pd.Series({"DE": 10, "MT": 2}), "customers")
    assert {trace.type for trace in figure.data} == {"scatter"}
    assert {"Germany: 10 customers"} <= {trace.text for trace in figure.data if isinstance(trace.text, str)}
    shapes, _ = world()
    assert len([c for c in shapes.values() if c.shape]) > 170
    assert all(-180 <= c.at[0] <= 180 and -90 <= c.at[1] <= 90 for c in shapes.values())


def test_the_projection_keeps_areas() -> None:
    def area(south: float, north: float) -> float:
        lat = np.linspace(south, north, 2_000)
        x, y = project(np.full(2_000, 1.0), lat)
        return float(np.trapezoid(x, y))

    on_the_globe = np.sin(np.radians(10)) / (np.sin(np.radians(70)) - np.sin(np.radians(60)))
    assert area(0, 10) / area(60, 70) == pytest.approx(on_the_globe, rel=1e-4)


def test_a_line_is_that_of_least_squares_and_its_band_holds_it() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, 500)
    line = ordinary_line(x, 2 * x + rng.normal(0, 1, 500))
    assert line is not None
    assert line.slope_interval[0] < 2 < line.slope_interval[1]
    assert np.all((line.low < line.y) & (line.y < line.high))
    assert ordinary_line(np.ones(10), np.arange(10.0)) is None


def test_a_logistic_curve_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(5, 3, 2_000)
    happened = rng.random(2_000) < 1 / (1 + np.exp(3 - 0.5 * x))
    line = logistic_line(x, happened)
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1_000).fit(x[:, None], happened)
    assert line is not None
    assert line.slope == pytest.approx(model.coef_[0, 0], rel=1e-4)
    assert line.y == pytest.approx(model.predict_proba(line.x[:, None])[:, 1], rel=1e-3)


def test_classes_that_are_perfectly_divided_have_no_curve() -> None:
    x = np.arange(100.0)
    assert logistic_line(x, x > 50) is None


def test_intervals_of_shares_cover_the_truth_as_often_as_they_say() -> None:
    successes = np.random.default_rng(0).binomial(40, 0.1, 4_000)
    low, high = wilson(successes, np.full(4_000, 40))
    assert ((low <= 0.1) & (high >= 0.1)).mean() == pytest.approx(0.95, abs=0.03)


def test_rates_by_category_are_counted_missing_ones_too() -> None:
    column = pd.Series(pd.Categorical(["a", "a", "b", None]))
    frame = rate_by_category(column, np.array([True, False, True, True])).set_index("category")
    assert frame["rate"].to_dict() == {"a": 0.5, "b": 1.0, "missing": 1.0}


def test_a_trend_that_may_be_chance_is_not_told() -> None:
    rng = np.random.default_rng(2)
    events = [bought(i, f"c{i % 50}", float(rng.uniform(0, 60)), 10.0) for i in range(600)]
    assert told([trends(view_of(events))]) == []
    rising = [bought(i, f"c{i % 50}", 60 * float(np.sqrt(rng.uniform())), 10.0) for i in range(600)]
    assert any("Orders per day rise" in sentence for sentence in told([trends(view_of(rising))]))


def test_a_rate_that_rises_over_time_is_told_as_drift() -> None:
    rng = np.random.default_rng(0)
    share = np.linspace(0.1, 0.4, 6_000)
    times = pd.Series(pd.date_range("2024-01-01", periods=6_000, freq="h", tz="UTC"))
    columns = pd.DataFrame({"x": rng.normal(size=6_000)})
    rising = Problem("t", columns, {"x": "numeric"}, rng.random(6_000) < share, "y", times=times)
    assert "more than chance" in told([drift(rising)])[0]
    steady = Problem("t", columns, {"x": "numeric"}, rng.random(6_000) < 0.2, "y", times=times)
    assert told([drift(steady)]) == []
    assert rate_over_time(rising)["rows"].sum() == 6_000


def test_a_log_with_everything_gives_every_look() -> None:
    log = shop_log()
    section = explore_log(LogView.of(log, CONTEXT), problem_from_log(log))
    titles = {part.title for part in section.parts}
    assert {
        "Orders by hour, weekday and month", "Who brings the revenue", "Sessions from view to purchase",
        "Conversion by channel", "Customers by country", "Share of a cohort that buys again, by month",
    } <= titles  # fmt: skip
    assert all(part.figure.data for part in section.parts if isinstance(part, Picture))


def test_a_log_with_a_single_event_is_explored_all_the_same() -> None:
    section = explore_log(view_of([event(1, "view_item", "c", START_MS)]))
    assert section.summary[0].startswith("1 event of 1 customer")


def test_a_table_gives_every_look(tmp_path: Path) -> None:
    visits().to_csv(tmp_path / "visits.csv", index=False)
    section = explore_table(problem_from_table(tmp_path / "visits.csv"))
    assert [part.title for part in section.parts if isinstance(part, Picture)] == [
        "Distributions with and without bought", "bought by category", "Correlations",
        "bought by single columns, with a regression",
    ]  # fmt: skip
    assert section.figures["description"]["alone_auc"].idxmax() == "pages"


def test_categories_of_few_rows_are_drawn_together() -> None:
    rng = np.random.default_rng(0)
    values = np.array(["a"] * 200 + ["b"] * 200 + ["c"] * 3 + ["d"] * 2)
    columns = pd.DataFrame({"kind": pd.Categorical(values)})
    problem = Problem("t", columns, {"kind": "categorical"}, rng.random(405) < 0.3, "bought")
    found = rates(problem, pd.Series({"kind": 0.5}))
    assert found.parts[0].figure.data[0].x.tolist() == ["a", "b", "…"]  # type: ignore[union-attr]
    assert found.figures["kind"]["rows"].sum() == 405


def test_months_and_weekdays_of_a_table_are_compared_like_categories(tmp_path: Path) -> None:
    days = pd.date_range("2024-01-01", periods=400, freq="12h")
    frame = visits(400).assign(day=days.strftime("%Y-%m-%d"))
    problem = problem_from_table(write_csv(tmp_path, frame.to_csv(index=False)), "bought")
    figures = explore_table(problem).figures["rates"]
    assert figures["day_month"]["category"].tolist()[:2] == ["Jan", "Feb"]
    assert figures["day_weekday"]["category"].tolist()[0] == "Mon"


def test_a_late_share_of_a_single_cohort_is_not_told_of_all() -> None:
    events = [bought(i, f"a{i}", 1 + i % 20) for i in range(40)]
    events += [bought(100 + i, f"b{i}", 40 + i % 10) for i in range(40)]
    events += [bought(200 + i, f"c{i}", 70 + i % 10) for i in range(40)]
    events += [bought(300 + i, f"a{i}", 125) for i in range(40)]
    found = cohorts(view_of(events))
    assert found.figures["pooled"]["1"] == 0.0
    assert (
        "80 customers who first bought after Jan 2025, 0% bought again in the month after" in found.summary[0]
    )
    assert "100%" not in found.summary[0]


def test_a_fortnight_is_shown_by_days_and_a_weekend_by_hours() -> None:
    def steps(days: float) -> str:
        events = [bought(i, f"c{i % 9}", days * i / 60) for i in range(60)]
        return str(trends(view_of(events)).parts[0].title)

    assert steps(13) == "Orders and revenue per day"
    assert steps(2) == "Orders and revenue per hour"


def test_every_buyer_has_one_place_by_recency_and_frequency() -> None:
    customers = pd.DataFrame(
        {"recency": [1.0, 2.0, 30.0, 40.0, 90.0, 95.0, 200.0, 300.0], "frequency": [1, 12, 2, 1, 3, 1, 1, 5],
         "monetary": [10.0, 900.0, 20.0, 10.0, 30.0, 10.0, 10.0, 50.0]}
    )  # fmt: skip
    buyers, spent = recency_by_frequency(customers)
    assert buyers.to_numpy().sum() == 8
    assert buyers.iloc[0].to_dict() == {
        "1 order": 1,
        "2 orders": 0,
        "3 to 4": 0,
        "5 to 9": 0,
        "10 and more": 1,
    }
    assert spent.iloc[0]["10 and more"] == 900.0
    assert str(buyers.index[-1]).startswith("over ")


def test_who_was_there_at_the_start_is_no_cohort_and_what_is_unfinished_is_grey() -> None:
    # a: January, when the log begins; b: February, half of them again in March; the log ends on 20 April.
    events = [bought(i, f"a{i}", 1 + i % 20) for i in range(60)] + [
        bought(60 + i, f"a{i}", 35) for i in range(60)
    ]
    events += [bought(200 + i, f"b{i}", 40) for i in range(40)] + [
        bought(300 + i, f"b{i}", 65) for i in range(20)
    ]
    events += [bought(400 + i, f"c{i}", 70) for i in range(40)] + [bought(500, "c0", 109)]
    found = cohorts(view_of(events))
    assert found.figures["pooled"]["1"] == 0.5
    assert found.summary[0].startswith(
        "Of the 40 customers who first bought after Jan 2025, 50% bought again"
    )
    coloured, grey = found.parts[0].figure.data  # type: ignore[union-attr]
    assert np.isnan(np.asarray(coloured.z, float)[0]).all()
    assert np.asarray(grey.z, float)[0, 0] == 1.0
    assert np.asarray(coloured.z, float)[1, 0] == 0.5
    assert np.isnan(np.asarray(coloured.z, float)[2, 0])
    assert np.asarray(grey.z, float)[2, 0] == pytest.approx(1 / 40)


def test_a_month_that_the_log_has_not_finished_is_never_the_strongest() -> None:
    rng = np.random.default_rng(0)
    events = [bought(i, f"c{i}", float(rng.uniform(0, 120))) for i in range(1_200)]
    events += [bought(2_000 + i, f"d{i}", float(rng.uniform(121, 125))) for i in range(400)]
    found = patterns(view_of(events))
    assert all("May 2025" not in claim.sentence for claim in found.claims)
    assert len(set(found.parts[0].figure.data[2].marker.color)) == 2  # type: ignore[union-attr]


def shop_without_effects(seed: int, *, planted: bool = False) -> LogView:
    """Return visits and orders of 150 customers in which nothing depends on anything, unless planted."""
    rng = np.random.default_rng(seed)
    size = 150
    country, channel = rng.choice(["DE", "FR"], size), rng.choice(["web", "app", "store"], size)
    taste, spending = rng.beta(2, 4, size), rng.lognormal(3, 0.5, size)  # customers differ, groups do not
    if planted:
        taste = np.where(channel == "app", 0.9, 0.2)
        spending = spending * np.where(country == "FR", 3, 1)
    of = np.repeat(np.arange(size), 1 + rng.poisson(4, size))
    times = pd.Timestamp("2025-01-01") + pd.to_timedelta(
        rng.uniform(0, 90 * 86_400, len(of)).round(), unit="s"
    )
    views = pd.DataFrame({"type": "view_item", "customer": of, "time": times, "value": 0.0, "quantity": 0.0})
    bought_there = rng.random(len(of)) < taste[of]
    orders = views[bought_there].assign(type="purchase", time=lambda o: o["time"] + pd.Timedelta(minutes=1))
    orders["value"] = (spending[orders["customer"]] * rng.lognormal(0, 0.3, len(orders))).round(2)
    events = pd.concat([views, orders]).sort_values("time", kind="stable", ignore_index=True)
    events["channel"] = pd.Categorical(channel[events["customer"]])
    events["country"] = pd.Categorical(country[events["customer"]])
    bought_events = events[events["type"] == "purchase"].reset_index(drop=True)
    return LogView(events, bought_events, 0.0, "UTC", "EUR")


COMPARING = (patterns, trends, cohorts, channels, countries)


def differences(view: LogView) -> list[str]:
    """Return what the looks that compare anything say of differences."""
    return told([look(view)._replace(summary=()) for look in COMPARING])


@pytest.fixture
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave pictures undrawn, which hundreds of logs have no time for."""
    folder = "offline.chapters.exploration"
    for name in ("patterns._bars", "patterns._heat", "trends._lines", "trends._stacked", "cohorts._heat",
                 "channels._bars", "worldmap.draw_map"):  # fmt: skip
        monkeypatch.setattr(f"{folder}.{name}", lambda *_, **__: None)


@pytest.mark.usefixtures("no_drawing")
def test_chance_makes_no_sentences() -> None:
    seeds = 60
    wrong = sum(bool(differences(shop_without_effects(seed))) for seed in range(seeds))
    assert wrong <= 0.05 * seeds


@pytest.mark.usefixtures("no_drawing")
def test_what_is_there_makes_sentences() -> None:
    sentences = " ".join(differences(shop_without_effects(0, planted=True)))
    assert "app converts better than the rest" in sentences
    assert "Buyers from France (FR) spend more" in sentences


def test_chance_makes_no_sentences_of_a_table() -> None:
    seeds, wrong = 200, 0
    kinds: dict[str, Kind] = {"a": "categorical", "b": "categorical", "x": "numeric"}
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        columns = pd.DataFrame({name: pd.Categorical(rng.choice(list("pqrs"), 400)) for name in "ab"})
        columns["x"] = rng.normal(size=400)
        problem = Problem("t", columns, kinds, rng.random(400) < 0.2, "bought")
        claims = [
            *tells_most(problem, pd.Series(0.5, list(columns))),
            *differs_most(problem, {name: columns[name] for name in "ab"}),
        ]
        wrong += any(supported(claims))
    assert wrong <= 0.05 * seeds


def test_a_category_that_matters_is_told() -> None:
    rng = np.random.default_rng(0)
    kind = rng.choice(list("pqr"), 900)
    columns = pd.DataFrame({"kind": pd.Categorical(kind)})
    problem = Problem(
        "t", columns, {"kind": "categorical"}, rng.random(900) < np.where(kind == "q", 0.5, 0.1), "bought"
    )
    sentence = told([rates(problem, pd.Series({"kind": 0.7}))])[0]
    assert "bought differs most by kind" in sentence
    assert sentence.endswith("(q).")


def test_repeats_of_one_customer_are_no_evidence() -> None:
    # Two customers make all the difference, with 300 rows each.
    groups = np.concatenate([np.repeat([0, 1], 300), np.arange(2, 202)])
    kind = np.where(groups == 0, "p", "q")
    kind[600:] = np.resize(["p", "q"], 200)
    target = np.where(groups < 2, groups == 1, np.arange(800) % 5 == 0)
    problem = Problem(
        "t", pd.DataFrame({"kind": pd.Categorical(kind)}), {"kind": "categorical"}, target, "y", groups=groups
    )
    assert told([rates(problem, pd.Series({"kind": 0.7}))]) == []
    assert told([rates(replace(problem, groups=None), pd.Series({"kind": 0.7}))]) != []


def test_the_interval_of_a_median_covers_it_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    ends = np.array([median_interval(rng.lognormal(0, 2, 40)) for _ in range(2_000)])
    assert ((ends[:, 0] <= 1) & (ends[:, 1] >= 1)).mean() >= 0.94
    assert np.isnan(median_interval([1.0, 2.0])).all()


def test_words_of_marketing_are_plain(retail: LogView) -> None:
    section = explore_log(retail)
    said = " ".join([*section.summary, *(part.title for part in section.parts)])
    assert not re.search(r"\b(positive|rows?|labels?|target|recency|monetary)\b", said, re.IGNORECASE)


def test_a_weekday_that_chance_may_have_left_without_an_order_is_not_called_closed() -> None:
    def found(days: list[int]) -> list[str]:
        events = [
            event(at, "purchase", f"c{at}", START_MS + day * DAY_MS, value=9.0) for at, day in enumerate(days)
        ]
        summary = patterns(LogView.of(log_of(events), Context(DAY_MS, "0"))).summary
        return [sentence for sentence in summary if sentence.startswith("No order ever came")]

    assert found([0, 1, 2, 3, 5, 6, 7, 9, 10, 13]) == []
    assert len(found([day for day in range(60) if day % 7 != 4])) == 1


def test_why_nothing_is_known_of_the_next_order_is_said_as_it_is() -> None:
    one_day = [event(at, "purchase", f"c{at % 50}", START_MS + at * 1_000, value=9.0) for at in range(80)]
    once = [event(at, "purchase", f"c{at}", START_MS + at * DAY_MS, value=9.0) for at in range(80)]
    for events, why in ((one_day, "all orders came on one day"), (once, "none of 80 customers ordered on a second day"),
                        (once[:3], "fewer than 30 customers ordered")):  # fmt: skip
        (said,) = next_order(LogView.of(log_of(events), Context(DAY_MS, "0"))).summary
        assert said == f"Nothing can be said of the time to the next order: {why}."


def test_shares_of_fewer_than_thirty_customers_are_not_told() -> None:
    few = [bought(n, f"c{n}", n, country="AT") for n in range(20)]
    assert "%" not in " ".join([*countries(view_of(few)).summary, *overview(view_of(few)).summary])
    many = [bought(n, f"c{n}", n, country="AT") for n in range(40)]
    assert "40 of 40 customers (100%) come from AT" in " ".join(countries(view_of(many)).summary) or (
        "40 of 40 customers (100%) come from Austria" in " ".join(countries(view_of(many)).summary)
    )
    assert "0 of 40 buyers (0%) ordered more than once" in " ".join(overview(view_of(many)).summary)


def test_the_time_between_two_orders_has_an_axis_in_hours_and_days() -> None:
    rng = np.random.default_rng(0)
    events = [bought(n, f"c{n % 20}", float(rng.uniform(0, 90))) for n in range(300)]
    figure = next(
        part
        for part in overview(view_of(events)).parts
        if part.title == "How orders and buyers are distributed"
    ).figure
    titles = [note.text for note in figure.layout.annotations]
    at = titles.index("time between two orders") + 1
    ticks = figure.layout["xaxis" if at == 1 else f"xaxis{at}"].ticktext
    assert ticks and all(text.endswith((" d", " h", " min", " s")) for text in ticks)
    for axis in (figure.layout[name] for name in figure.layout if name.startswith("xaxis")):
        assert axis.ticktext is None or len(axis.ticktext) > 1


def test_a_column_of_yes_and_no_says_so() -> None:
    frame = rate_by_category(pd.Series([True, False, True, False]), np.array([True, False, True, True]))
    assert frame["category"].to_list() == ["no", "yes"]
