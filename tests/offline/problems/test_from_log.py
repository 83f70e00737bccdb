"""Event logs as problems."""

from __future__ import annotations

import numpy as np
import pytest

from features.vector import COLUMN_NAMES
from offline.datasets import load_online_retail
from offline.examples.examples import Context, build_examples
from offline.examples.sampling import sample_customers
from offline.exceptions import TrainingError
from offline.problems import problem_from_log, read_problem_from_log
from offline.problems.holdout import hold_out
from tests.data_sets import data_set
from tests.offline.lab.problems import DAY_MS, START_MS, event, log_of, shop_log

CONTEXT = Context(30 * 60_000, "0")


def test_rows_are_the_scorers_vectors_with_known_labels_in_order_of_time() -> None:
    log = shop_log()
    problem = problem_from_log(log)
    examples = build_examples(log, CONTEXT)
    assert len(problem) == np.count_nonzero(examples.usable)
    assert list(problem.columns) == [name for name in COLUMN_NAMES if name != "segment"]
    assert problem.times is not None
    assert problem.times.is_monotonic_increasing
    assert problem.target.sum() == (examples.labels[examples.usable] == 1).sum()


def test_a_log_of_orders_only_gets_a_horizon_of_a_month() -> None:
    log = load_online_retail(data_set("online_retail.parquet")).log()
    problem = problem_from_log(log, timezone="Europe/London", currency="GBP")
    assert problem.horizon.days == 30
    assert problem.unit == "purchase"
    assert len(problem) == 15_794
    train, test, how = hold_out(problem)
    assert problem.times is not None
    assert problem.times.iloc[train].max() < problem.times.iloc[test].min() - problem.horizon
    assert "30 days" in how


def test_a_long_log_is_sampled_by_customer_and_says_so() -> None:
    log = shop_log(400)
    reading = read_problem_from_log(log, CONTEXT, most_events=len(log) // 3)
    assert f"The log has {len(log):,} events" in reading.notes[0]
    sampled = sample_customers(log, 1 / 3)
    chosen = set(sampled["customer_id"].to_pylist())
    whole = [c for c in log["customer_id"].to_pylist() if c in chosen]
    assert len(whole) == len(sampled)
    assert sampled.equals(sample_customers(log, 1 / 3))
    assert 0.2 < len(chosen) / 400 < 0.47


def test_a_log_without_a_purchase_is_refused() -> None:
    log = log_of([event(i, "view_item", "c", START_MS + i * DAY_MS) for i in range(5)])
    with pytest.raises(TrainingError, match="nobody bought in this log"):
        problem_from_log(log)
