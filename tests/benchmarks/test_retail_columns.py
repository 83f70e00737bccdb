"""What is known of a customer at a question about Online Retail."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from benchmarks.lab.retail_columns import MONEY, RHYTHM, after_each_day, asked, order_days
from features.state import DAY_MS

ITEM = pa.struct([("item_id", pa.string()), ("price", pa.float64()), ("quantity", pa.int64())])


def log(rows: list[tuple[str, str, float, float]]) -> pa.Table:
    """Return a log of (type, customer, day, value), each order of two lines."""
    kinds, customers, days, values = zip(*rows, strict=True)
    lines = [{"item_id": "a", "price": 2.0, "quantity": 3}, {"item_id": "b", "price": 4.0, "quantity": 1}]
    return pa.table(
        {
            "type": list(kinds),
            "customer_id": list(customers),
            "event_time": pa.array([round(day * DAY_MS) for day in days], pa.timestamp("ms", "UTC")),
            "value": list(values),
            "items": pa.array([lines] * len(rows), pa.list_(ITEM)),
        }
    )


def random_log(seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    days = np.sort(rng.uniform(0.1, 200, 300))
    kinds = rng.choice(["purchase", "refund"], 300, p=[0.9, 0.1])
    customers = rng.choice(list("abcdefgh"), 300)
    return log(
        [(k, c, d, v) for k, c, d, v in zip(kinds, customers, days, rng.gamma(2, 50, 300), strict=True)]
    )


def test_two_orders_of_a_day_are_one_order_day_and_a_refund_is_none() -> None:
    found = order_days(log([("refund", "x", 3.1, 9), ("purchase", "y", 3.5, 5), ("purchase", "y", 3.6, 7)]))
    (row,) = found.to_dict("records")
    assert (row["customer"], row["orders"], row["value"], row["lines"]) == (1, 2, 12, 4)
    assert row["price"] == pytest.approx(3.0)
    assert row["pieces"] == pytest.approx((np.log(4) + np.log(2)) / 2)


def test_decayed_columns_are_sums_over_earlier_days_each_by_its_age() -> None:
    days = order_days(random_log(1))
    (found,) = asked(after_each_day(days), np.array([2]), np.array([150]), before=True).to_dict("records")
    own = days[(days["customer"] == 2) & (days["day"] < 150)]
    age = 150 - own["day"]
    assert found["order_days_30d"] == pytest.approx((0.5 ** (age / 30)).sum())
    assert found["spend_90d"] == pytest.approx((own["value"] * 0.5 ** (age / 90)).sum())
    gaps = own["day"].diff().dropna()
    assert found["recency"] == age.min()
    assert found["median_gap"] == gaps.median()
    assert found["gap_variation"] == pytest.approx(gaps.std() / gaps.mean())
    assert found["mean_lines"] == pytest.approx(own["lines"].mean())


@pytest.mark.parametrize("before", [True, False])
def test_nothing_later_than_the_question_changes_an_answer(before: bool) -> None:
    whole = order_days(random_log(2))
    customers, now = np.arange(8), 100
    days = np.full(8, now)
    past = whole[whole["day"] < now + (not before)]
    found = asked(after_each_day(whole), customers, days, before=before)
    pd.testing.assert_frame_equal(found, asked(after_each_day(past), customers, days, before=before))


def test_before_leaves_out_the_order_of_the_day_itself() -> None:
    known = after_each_day(order_days(log([("purchase", "x", 5.5, 10), ("purchase", "x", 9.5, 30)])))
    one, day = np.array([0]), np.array([9])
    (then,) = asked(known, one, day, before=True).to_dict("records")
    (now,) = asked(known, one, day, before=False).to_dict("records")
    assert (then["order_days"], then["recency"], then["mean_value"]) == (1, 4, 10)
    assert (now["order_days"], now["recency"], now["last_gap"]) == (2, 0, 4)
    (unknown,) = asked(known, one, np.array([5]), before=True).to_dict("records")
    assert np.isnan(unknown["order_days"])


def test_answers_stand_in_the_order_of_the_questions() -> None:
    known = after_each_day(order_days(random_log(3)))
    customers, days = np.array([1, 0, 3, 0]), np.array([190, 80, 120, 60])
    together = asked(known, customers, days, before=True)
    for i in range(4):
        alone = asked(known, customers[i : i + 1], days[i : i + 1], before=True)
        pd.testing.assert_frame_equal(together.iloc[[i]].reset_index(drop=True), alone)
    assert set(RHYTHM + MONEY) <= set(together)
