"""The simulated shop: what its logs look like, and what its parameters accept."""

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from features.log import LOG_SCHEMA, read_log, write_log
from offline.simulator.decoration import CART_LINES, CHANNELS, SESSION_GAP_MS
from offline.simulator.shop import DAY_MS, SALES, ParameterError, ShopParameters
from offline.simulator.simulation import DEFAULT_START, Simulation, simulate
from stream.cli.simulate import register

CUSTOMERS, DAYS, SEED = 20_000, 14, 1


@pytest.fixture(scope="module")
def log() -> pa.Table:
    return simulate(ShopParameters.default(), CUSTOMERS, DAYS, SEED)


def _times(log: pa.Table) -> np.ndarray:
    return log["event_time"].cast(pa.int64()).to_numpy()


def _by_customer(log: pa.Table, columns: list[str]) -> dict[str, list[dict[str, Any]]]:
    histories: dict[str, list[dict[str, Any]]] = {}
    for row in log.select(["customer_id", *columns]).to_pylist():
        histories.setdefault(row["customer_id"], []).append(row)
    return histories


def test_equal_arguments_give_equal_logs() -> None:
    first, second = (simulate(ShopParameters.default(), 500, 3, 7) for _ in range(2))
    assert first.equals(second, check_metadata=True)


def test_logs_of_two_seeds_share_no_id() -> None:
    first, second = (simulate(ShopParameters.default(), 2000, 3, seed) for seed in (1, 11))
    for column in ("event_id", "customer_id", "session_id", "order_id"):
        seen = set(first[column].drop_null().to_pylist())
        assert seen
        assert seen.isdisjoint(second[column].to_pylist())


def test_a_customers_events_do_not_depend_on_how_many_others_there_are() -> None:
    columns = ["event_time", "type", "item_id", "session_id", "value"]
    few = _by_customer(simulate(ShopParameters.default(), 50, 5, 3), columns)
    many = _by_customer(simulate(ShopParameters.default(), 200, 5, 3), columns)
    assert len(few) == 50
    assert {customer: many[customer] for customer in few} == few


def test_buffers_that_fill_up_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = simulate(ShopParameters.default(), 500, 3, 7)
    monkeypatch.setattr("offline.simulator.simulation._CHUNK_EVENTS", 2)
    done: list[tuple[int, int]] = []
    pieces = simulate(ShopParameters.default(), 500, 3, 7, on_progress=lambda *at: done.append(at))
    assert pieces.equals(whole)
    assert done == sorted(done)
    assert len(done) > 1
    assert done[-1] == (500, 500)


def test_a_simulated_log_survives_the_log_file(log: pa.Table, tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    small = simulate(ShopParameters.patched({"sale": {"buy": 2}}), 300, 2, 5)
    write_log(path, small, metadata=Simulation.of(small).metadata())
    back = read_log(path)
    assert back.equals(small)
    assert Simulation.of(back) == Simulation.of(small)
    assert log.schema.remove_metadata() == LOG_SCHEMA.remove_metadata()


def test_rows_are_in_order_of_time_with_ids_numbered_in_that_order(log: pa.Table) -> None:
    times = _times(log)
    assert (np.diff(times) >= 0).all()
    assert log["arrived_at"].equals(log["event_time"])
    assert log["event_id"].to_pylist() == [f"s{SEED}-{row}" for row in range(len(log))]
    start = int(DEFAULT_START.timestamp()) * 1000
    assert start <= times[0]
    assert times[-1] < start + DAYS * DAY_MS


def test_the_documented_figures_come_out(log: pa.Table) -> None:
    """The tolerances are about three standard errors at 20,000 customers."""
    counts = Counter(log["type"].to_pylist())
    funnel = np.array([counts[kind] for kind in ("view_item", "add_to_cart", "purchase")])
    assert len(log) / CUSTOMERS == pytest.approx(15.2, abs=0.7)
    assert funnel / funnel.sum() == pytest.approx([0.9597, 0.0329, 0.0074], abs=0.0015)

    sessions = pc.value_counts(log["session_id"].combine_chunks()).field("counts").to_numpy()
    assert np.percentile(sessions, [50, 90, 99]) == pytest.approx([5, 24, 60], abs=2)
    per_customer = log.group_by("customer_id").aggregate([("session_id", "count_distinct")])
    assert pc.mean(pc.equal(per_customer["session_id_count_distinct"], 1)).as_py() == pytest.approx(
        0.68, abs=0.01
    )

    bought = log.filter(pc.equal(log["type"], "purchase"))["customer_id"].combine_chunks()
    orders = np.sort(pc.value_counts(bought).field("counts").to_numpy())[::-1]
    assert orders[: CUSTOMERS // 100].sum() / orders.sum() == pytest.approx(0.35, abs=0.03)


def test_customers_arrive_by_the_part_of_the_day(log: pa.Table) -> None:
    _, first = np.unique(log["customer_id"].to_numpy(), return_index=True)
    hours = _times(log)[first] % DAY_MS // 3_600_000
    arrivals = np.histogram(hours, bins=[0, 7, 18, 24])[0]
    expected = np.array([7 * 0.25, 11 * 1, 6 * 1.5])
    assert len(first) == CUSTOMERS
    assert arrivals / CUSTOMERS == pytest.approx(expected / expected.sum(), abs=0.012)


def test_a_session_ends_after_thirty_minutes_of_silence(log: pa.Table) -> None:
    customer = log["customer_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    session = log["session_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    times = _times(log)
    order = np.lexsort((times, customer))
    customer, session, times = customer[order], session[order], times[order]
    split = (np.diff(customer) != 0) | (np.diff(times) > SESSION_GAP_MS)
    assert (split == (np.diff(session) != 0)).all()
    assert split.sum() + 1 == len(np.unique(session))


def test_a_purchase_buys_the_cart_or_else_one_item(log: pa.Table) -> None:
    columns = ["type", "item_id", "items", "price", "quantity", "value", "order_id"]
    carted = bare = 0
    for history in _by_customer(log, columns).values():
        cart: Counter[str] = Counter()
        for event in history:
            kind = event["type"]
            assert (event["order_id"] is not None) == (kind == "purchase")
            if kind == "add_to_cart":
                cart[event["item_id"]] += event["quantity"]
            elif kind == "remove_from_cart" and cart:
                assert cart.pop(event["item_id"]) == event["quantity"]
            elif kind in ("begin_checkout", "purchase") and cart:
                assert {line["item_id"]: line["quantity"] for line in event["items"]} == dict(cart)
                total = sum(line["price"] * line["quantity"] for line in event["items"])
                assert event["value"] == pytest.approx(total)
                assert event["quantity"] == cart.total()
                carted += 1
            elif kind in ("begin_checkout", "purchase"):
                assert event["items"] is None
                assert event["item_id"] is not None
                assert event["value"] == event["price"]
                bare += 1
            if kind == "purchase":
                cart.clear()
    assert carted > 1000
    assert bare > 100


def test_a_cart_stays_within_its_lines_and_what_is_bought_stays_exact() -> None:
    carting = {
        "event_rates": {"browse": {"add_to_cart": 6}},
        "sale": {"from_day": 0, "to_day": 30, "idle_cart": 0.95},
    }
    log = simulate(ShopParameters.patched(carting), 2000, 2, 9)
    lines = pc.list_value_length(log["items"])
    assert pc.max(lines).as_py() == CART_LINES
    listed = log.filter(pc.is_valid(lines)).select(["items", "value", "quantity"]).to_pylist()
    for event in listed:
        assert len({line["item_id"] for line in event["items"]}) == len(event["items"])
        assert event["value"] == pytest.approx(
            sum(line["price"] * line["quantity"] for line in event["items"])
        )


def test_items_have_one_price_and_one_category_in_every_simulation(log: pa.Table) -> None:
    other = simulate(ShopParameters.default(), 2000, 3, SEED + 1)
    seen: dict[str, tuple[float, str]] = {}
    for table in (log, other):
        views = table.filter(pc.equal(table["type"], "view_item")).select(["item_id", "price", "category"])
        for row in views.group_by(["item_id", "price", "category"]).aggregate([]).to_pylist():
            assert seen.setdefault(row["item_id"], (row["price"], row["category"])) == (
                row["price"],
                row["category"],
            )
    assert len(seen) > 3000


def test_few_items_make_most_views_and_channels_and_devices_vary(log: pa.Table) -> None:
    views = pc.value_counts(log["item_id"].drop_null().combine_chunks()).field("counts").to_numpy()
    assert np.sort(views)[::-1][:60].sum() / views.sum() > 0.15
    assert set(log["channel"].to_pylist()) == set(CHANNELS)
    assert set(log["device"].to_pylist()) == {"desktop", "mobile", "tablet"}
    app = log.filter(pc.equal(log["channel"], "app"))
    assert "desktop" not in app["device"].to_pylist()


@pytest.mark.parametrize("name", sorted(SALES))
def test_a_sale_changes_nothing_before_it_begins_and_sells_more_during_it(name: str) -> None:
    usual = simulate(ShopParameters.default(), 4000, 18, 4)
    sale = simulate(ShopParameters.patched({"sale": _as_patch(name)}), 4000, 18, 4)
    begin = DEFAULT_START + dt.timedelta(days=8)
    before = [t.filter(pc.less(t["event_time"], begin)).drop_columns("session_id") for t in (usual, sale)]
    assert before[0].equals(before[1])
    window = [
        t.filter(
            pc.and_(
                pc.greater_equal(t["event_time"], begin),
                pc.less(t["event_time"], begin + dt.timedelta(days=5)),
            )
        )
        for t in (usual, sale)
    ]
    sold = [pc.sum(pc.equal(t["type"], "purchase")).as_py() for t in window]
    assert sold[1] > 1.5 * sold[0]


def _as_patch(name: str) -> dict[str, float]:
    return {field: getattr(SALES[name], field) for field in SALES[name].__struct_fields__}


def test_parameters_survive_their_file(tmp_path: Path) -> None:
    shop = ShopParameters.patched(
        {"sale": {"buy": 4, "from_day": 2, "to_day": 3}, "catalogue": {"items": 77}}
    )
    (tmp_path / "shop.json").write_bytes(msgspec.json.encode(shop))
    assert ShopParameters.load(tmp_path / "shop.json") == shop


def test_a_file_replaces_only_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "shop.json"
    path.write_text('{"event_rates": {"browse": {"view_item": 3}}, "personas": {"heavy": {"buy": 3}}}')
    shop, default = ShopParameters.load(path), ShopParameters.default()
    assert shop.event_rates["browse"] == {**default.event_rates["browse"], "view_item": 3}
    assert shop.event_rates["decide"] == default.event_rates["decide"]
    assert (shop.personas["heavy"].buy, shop.personas["heavy"].comeback) == (3, 15)


def test_null_removes_a_persona() -> None:
    shop = ShopParameters.patched({"personas": {"heavy": None, "goal": {"weight": 0.1}}})
    assert sorted(shop.personas) == ["bouncer", "browser", "goal"]
    assert len(simulate(shop, 100, 1, 1)) >= 100


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"event_rates": {"browse": {"view_item": -1}}}, "event_rates.browse.view_item must be .* not -1"),
        ({"event_rates": {"lurking": {}}}, "lurking"),
        ({"event_rates": {"browse": {"refund": 1}}}, "refund"),
        ({"event_rates": {"browse": {"view_item": "often"}}}, "Expected `float`, got `str`"),
        ({"transitions": {"browse": {"browse": 1}}}, "no transition to itself"),
        (
            {"after_event": {"view_item": {"browse": {"compare": 0.5}}}},
            "view_item.browse: the shares sum to 1.47",
        ),
        ({"personas": {"heavy": {"weight": 0.5}}}, "weights of the personas sum to 1.475"),
        ({"personas": {"heavy": {"first_state": {"browse": 0.9}}}}, "first_state: the shares sum to 1.6"),
        ({"personas": {"heavy": {"speed": 0}}}, "heavy starts in browse, which has no events"),
        ({"personas": {"heavy": {"charm": 2}}}, "charm"),
        ({"personas": {"new": {"weight": 0}}}, "missing required field `first_state`"),
        ({"day_parts": []}, "day_parts must start at hour 0"),
        ({"day_parts": [{"from_hour": 5}]}, "day_parts must start at hour 0"),
        ({"day_parts": [{"from_hour": 24}]}, "from_hour must be 0 to 23, not 24"),
        ({"day_parts": [{"from_hour": 0, "activity": 0}]}, "activity above 0"),
        ({"sale": {"from_day": 5, "to_day": 5}}, "to_day 5 must be above from_day 5"),
        ({"sale": {"idle_cart": 1.5}}, r"idle_cart must be in \[0, 1\], not 1.5"),
        ({"catalogue": {"items": 3}}, r"items \(3\) must be at least categories \(40\)"),
        ({"catalogue": {"countries": {"DE": 0.5}}}, "countries"),
        ({"catalogue": {"app": 2}}, "app must be in"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_an_impossible_parameter_is_refused_by_name(patch: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message) as caught:
        ShopParameters.patched(patch)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "message"), [("{", "not JSON"), ("[1]", "must be a JSON object, not list")])
def test_a_file_that_holds_no_parameters_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "shop.json"
    path.write_text(text)
    with pytest.raises(ParameterError, match=message):
        ShopParameters.load(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"none\.json: No such file"):
        ShopParameters.load(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("customers", "days", "seed", "message"),
    [(0, 1, 1, "customers must be"), (1, 0, 1, "days must be"), (1, 1, -1, "seed must be")],
)
def test_an_impossible_size_is_refused(customers: int, days: int, seed: int, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        simulate(ShopParameters.default(), customers, days, seed)


def test_a_start_without_a_zone_is_refused() -> None:
    with pytest.raises(ParameterError, match="must have a zone"):
        simulate(ShopParameters.default(), 1, 1, 1, start=dt.datetime(2025, 1, 6))  # noqa: DTZ001


def test_a_log_may_start_at_any_time_of_the_day() -> None:
    start = dt.datetime(2025, 3, 1, 17, 30, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    times = simulate(ShopParameters.default(), 2000, 1, 1, start=start)["event_time"]
    assert start <= pc.min(times).as_py() < start + dt.timedelta(hours=1)
    assert start + dt.timedelta(hours=23) < pc.max(times).as_py() < start + dt.timedelta(days=1)


@pytest.fixture
def command() -> Callable[..., Result]:
    app = typer.Typer()
    register(app)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_writes_log_and_oracle_and_counts_them(
    command: Callable[..., Result], tmp_path: Path
) -> None:
    log, oracle = tmp_path / "log.parquet", tmp_path / "oracle.parquet"
    size = ("--customers", 2000, "--days", 2, "--seed", 3)
    result = command(*size, "-o", log, "--oracle", oracle, "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert read_log(log).equals(simulate(ShopParameters.default(), 2000, 2, 3))
    assert summary["events"] == len(read_log(log)) == pq.read_metadata(oracle).num_rows
    assert summary["customers"] == 2000
    assert 0.01 < summary["prevalence"] < 0.1
    assert 0.8 < summary["best_possible_auc"] < 0.95


def test_the_command_sums_up_in_words(command: Callable[..., Result], tmp_path: Path) -> None:
    result = command("--customers", 500, "--days", 2, "-o", tmp_path / "log.parquet")
    assert result.exit_code == 0, result.output
    assert "events of 500 customers" in result.stdout
    assert "(prevalence)" in result.stdout


def test_a_horizon_longer_than_the_log_has_no_prevalence(
    command: Callable[..., Result], tmp_path: Path
) -> None:
    result = command(
        "--customers", 50, "--days", 1, "--horizon", "2d", "-o", tmp_path / "log.parquet", "--json"
    )
    assert json.loads(result.stdout)["prevalence"] is None


def test_the_command_takes_a_sale_and_a_file_of_parameters(
    command: Callable[..., Result], tmp_path: Path
) -> None:
    patch = tmp_path / "shop.json"
    patch.write_text('{"catalogue": {"currency": "USD"}}')
    log = tmp_path / "log.parquet"
    result = command("--customers", 50, "--days", 9, "--sale", "s9", "--parameters", patch, "-o", log)
    assert result.exit_code == 0, result.output
    shop = Simulation.of(read_log(log)).parameters
    assert (shop.sale, shop.catalogue.currency) == (SALES["s9"], "USD")


def test_a_sale_after_the_logs_end_is_a_misuse(command: Callable[..., Result], tmp_path: Path) -> None:
    result = command("--days", 8, "--sale", "s10", "-o", tmp_path / "log.parquet")
    assert result.exit_code == 2
    assert "the sale begins on day 8" in " ".join(result.output.replace("│", " ").split())
    assert not (tmp_path / "log.parquet").exists()
