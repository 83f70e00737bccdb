"""Examples are what the scorer would have known; labels are what happened, and slices never see each other."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from features.calendar import zone
from features.events import EVENT_TYPES
from features.labels import NEGATIVE, POSITIVE, UNKNOWN, label_starts
from features.log import ERASED, conform
from features.traffic import BotRule
from offline.examples.examples import Context, Examples, build_examples, example_types
from offline.exceptions import TrainingError
from offline.simulator.shop import ShopParameters
from offline.simulator.simulation import simulate
from offline.training.side_targets import side_targets
from offline.training.splitting import require_both_classes, split_by_time

MINUTE = 60_000
DAY = 86_400_000
T0 = 1_736_121_600_000  # 2025-01-06, a Monday
CONTEXT = Context(30 * MINUTE, "0")


def log_of(*events: tuple[float, str, str], partition: list[int] | None = None) -> pa.Table:
    """Return a log of (minute, type, customer) in order of arrival."""
    times = [T0 + int(minute * MINUTE) for minute, _, _ in events]
    columns = {
        "event_id": [f"e{i}" for i in range(len(events))],
        "type": [kind for _, kind, _ in events],
        "customer_id": [customer or None for _, _, customer in events],
        "event_time": pa.array(times, pa.timestamp("ms", tz="UTC")),
        "arrived_at": pa.array(np.maximum.accumulate(times), pa.timestamp("ms", tz="UTC")),
    }
    if partition:
        columns["partition"] = pa.array(partition, pa.int32())
    return conform(pa.table(columns))


@pytest.fixture(scope="module")
def shop_log() -> pa.Table:
    return simulate(ShopParameters.default(), customers=1_500, days=3, seed=11)


@pytest.fixture(scope="module")
def shop(shop_log: pa.Table) -> Examples:
    return build_examples(shop_log, CONTEXT)


def test_labels_agree_with_a_brute_force_over_the_log(shop_log: pa.Table, shop: Examples) -> None:
    customer = shop_log["customer_id"].to_pylist()
    time = shop_log["event_time"].cast(pa.int64()).to_pylist()
    bought: dict[str, list[tuple[int, int]]] = {}
    for row, kind in enumerate(shop_log["type"].to_pylist()):
        if kind == "purchase":
            bought.setdefault(customer[row], []).append((time[row], row))
    end = max(time) - CONTEXT.lateness_ms
    for row, label in zip(shop.rows.tolist(), shop.labels.tolist(), strict=True):
        now, late = time[row], time[row] + CONTEXT.horizon_ms
        positive = any(
            now < t <= late or (t == now and later > row) for t, later in bought.get(customer[row], [])
        )
        assert label == (UNKNOWN if late > end else POSITIVE if positive else NEGATIVE)


def test_every_event_is_folded_but_purchases_are_no_examples(shop_log: pa.Table, shop: Examples) -> None:
    assert len(shop) == len(shop_log)
    kinds = np.array(shop_log["type"].to_pylist())[shop.rows]
    assert (shop.counted == (kinds != "purchase")).all()
    assert shop.vectors.dtype == np.float32


def test_what_is_no_customers_is_folded_and_that_is_all() -> None:
    events = [(0.0, "view_item", "ann"), (1.0, "view_item", "ann"), (2.0, "purchase", "ann"), (3.0, "view_item", "bob"),
              (90.0, "view_item", "ann")]  # fmt: skip
    log = log_of(*events)
    at = log.schema.get_field_index("bot")
    marked = log.set_column(at, log.schema.field("bot"), pa.array([None, True, False, None, None]))
    found = build_examples(marked, CONTEXT, excluded={"bob"})
    assert found.apart.tolist() == [False, True, False, True, False]
    assert found.counted.tolist() == [True, False, False, False, True]
    assert found.labels.tolist()[0] == POSITIVE
    assert found.vectors.tobytes() == build_examples(log, CONTEXT).vectors.tobytes(), "features go on"
    bought = log.set_column(at, log.schema.field("bot"), pa.array([None, None, True, None, None]))
    assert build_examples(bought, CONTEXT).labels.tolist()[:2] == [NEGATIVE, NEGATIVE], "a machine bought"


def test_machines_are_known_by_the_rules_of_the_context() -> None:
    log = log_of(*((second / 60, "view_item", "ann") for second in range(60)), (90.0, "search", "bob"))
    assert np.flatnonzero(build_examples(log, CONTEXT).apart).tolist() == list(range(36, 60))
    assert not build_examples(log, CONTEXT._replace(bots=())).apart.any()
    strict = CONTEXT._replace(bots=(BotRule("any", {"events": "at least 3"}),))
    assert build_examples(log, strict).apart.sum() == 58


def test_a_log_of_orders_has_purchases_as_examples() -> None:
    orders = log_of((0, "purchase", "a"), (1, "refund", "a"), (2, "purchase", "b"))
    assert example_types(orders) == ("purchase",)
    assert build_examples(orders, CONTEXT).counted.tolist() == [True, False, True]


def test_late_and_repeated_events_make_no_example() -> None:
    log = log_of((0, "view_item", "a"), (60, "view_item", "a"), (30, "view_item", "a"), (61, "search", "a"))
    log = log.set_column(0, "event_id", pa.array(["e0", "e1", "e2", "e1"]))
    examples = build_examples(log, CONTEXT)
    assert (examples.rows.tolist(), examples.refused, examples.repeated) == ([0, 1], 1, 1)


def test_partitions_have_their_own_watermarks() -> None:
    events = ((0, "view_item", "a"), (60, "view_item", "b"), (30, "view_item", "a"))
    assert build_examples(log_of(*events), CONTEXT).refused == 1
    alone = build_examples(log_of(*events, partition=[0, 1, 0]), CONTEXT)
    assert (alone.refused, sorted(alone.rows.tolist())) == (0, [0, 1, 2])
    # Customer a's history reaches minute 30 - 15, so what happened within 30 minutes is not known.
    assert set(alone.labels.tolist()) == {UNKNOWN}


def test_a_row_of_an_erased_customer_only_moves_the_watermark() -> None:
    log = log_of((0, "view_item", "a"), (60, ERASED, ""), (30, "view_item", "a"))
    examples = build_examples(log, CONTEXT)
    assert (examples.rows.tolist(), examples.refused) == ([0], 1)


def test_an_event_is_labelled_as_of_the_latest_one_folded_in() -> None:
    # The view of minute 10 arrives after the one of minute 20: from then on the purchase of minute 45 counts for it.
    log = log_of(
        (0, "view_item", "a"),
        (20, "view_item", "a"),
        (10, "search", "a"),
        (45, "purchase", "a"),
        (120, "view_item", "a"),
    )
    examples = build_examples(log, CONTEXT)
    assert ((examples.as_of - T0) // MINUTE).tolist() == [0, 20, 20, 45, 120]
    assert examples.labels.tolist() == [NEGATIVE, POSITIVE, POSITIVE, NEGATIVE, UNKNOWN]


def test_no_label_of_a_slice_looks_into_the_next(shop: Examples) -> None:
    """Purchases at or after the beginning of the next slice can be deleted: not one label changes."""
    split = split_by_time(shop, CONTEXT.horizon_ms)
    slices = split.slices(shop)
    for rows, boundary in ((slices.train, split.calibration), (slices.calibration, split.test)):
        assert (label_starts(shop.as_of[rows], "0", zone("UTC")) + CONTEXT.horizon_ms < boundary).all()
        past = shop.event_time < boundary
        buys = past & (shop.kinds == EVENT_TYPES.index("purchase"))
        for row in rows[:: max(len(rows) // 200, 1)]:
            mine = buys & (shop.customers == shop.customers[row])
            within = shop.event_time[mine] - shop.as_of[row]
            later = np.flatnonzero(mine) > row
            seen = ((within > 0) | ((within == 0) & later)) & (within <= CONTEXT.horizon_ms)
            assert seen.any() == (shop.labels[row] == POSITIVE)


def test_slices_follow_each_other_in_time_and_share_nothing(shop: Examples) -> None:
    split = split_by_time(shop, CONTEXT.horizon_ms)
    train, calibration, test = split.slices(shop)
    for earlier, later in ((train, calibration), (calibration, test)):
        assert shop.as_of[earlier].max() + CONTEXT.horizon_ms < shop.as_of[later].min()
    assert (shop.labels[np.concatenate([train, calibration, test])] != UNKNOWN).all()
    assert len(train) > len(test) > len(calibration) > 0
    assert (np.diff(shop.as_of[train]) >= 0).all()


def test_side_targets_say_what_happens_within_the_horizon(shop: Examples) -> None:
    rows = split_by_time(shop, CONTEXT.horizon_ms).slices(shop).train
    targets = side_targets(shop, rows, CONTEXT.horizon_ms)
    carts = np.flatnonzero(shop.kinds == EVENT_TYPES.index("add_to_cart"))
    expected = [
        (
            (shop.customers[carts] == shop.customers[r])
            & (shop.event_time[carts] >= shop.as_of[r])
            & (shop.event_time[carts] <= shop.as_of[r] + CONTEXT.horizon_ms)
            & ((shop.event_time[carts] > shop.as_of[r]) | (carts > r))
        ).any()
        for r in rows[:300]
    ]
    assert any((targets[:300, j] == expected).all() for j in range(targets.shape[1]))
    assert (targets.any(axis=0) & ~targets.all(axis=0)).all()


def test_a_log_shorter_than_the_horizon_says_what_to_do() -> None:
    log = log_of((0, "view_item", "a"), (1, "purchase", "a"))
    with pytest.raises(TrainingError, match=r"shorter than the horizon of 30 min.*shorter --horizon"):
        split_by_time(build_examples(log, CONTEXT), CONTEXT.horizon_ms)


def test_a_log_too_short_for_the_embargoes_says_how_much_is_needed() -> None:
    log = log_of(*((minute, "view_item", "a") for minute in range(0, 100, 5)))
    with pytest.raises(TrainingError, match=r"needs 1\.5 h"):
        split_by_time(build_examples(log, CONTEXT), CONTEXT.horizon_ms)


def test_too_few_purchases_are_named_with_their_slice(shop: Examples) -> None:
    slices = split_by_time(shop, CONTEXT.horizon_ms).slices(shop)
    bought = int((shop.labels[slices.calibration] == POSITIVE).sum())
    with pytest.raises(
        TrainingError, match=rf"the calibration slice .* has {bought} positive examples among"
    ):
        require_both_classes(shop, slices, least=bought + 1)


def test_local_time_and_money_are_read_as_the_context_says(shop_log: pa.Table) -> None:
    head = shop_log.slice(0, 500)
    dollars = build_examples(head, CONTEXT._replace(currency="USD"))
    euros = build_examples(head, CONTEXT._replace(timezone="Asia/Tokyo"))
    from features.vector import COLUMN_NAMES

    value = COLUMN_NAMES.index("cart_value")
    assert dollars.vectors[:, value].max() == 0 < euros.vectors[:, value].max()
    hour = COLUMN_NAMES.index("hour_sin")
    assert np.abs(dollars.vectors[:, hour] - euros.vectors[:, hour]).max() > 0.5


def test_progress_ends_with_all_rows(shop_log: pa.Table) -> None:
    seen: list[tuple[int, int]] = []
    build_examples(
        shop_log.slice(0, 100), CONTEXT, on_progress=lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (100, 100)


def test_a_split_is_described_by_its_times(shop: Examples, shop_log: pa.Table) -> None:
    described = split_by_time(shop, CONTEXT.horizon_ms).describe()
    start = pc.min(shop_log["event_time"]).as_py()
    assert dt.datetime.fromisoformat(described["train"][0]) == start
    assert described["embargo_seconds"] == 1800
