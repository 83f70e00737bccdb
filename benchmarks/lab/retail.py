"""Online Retail: another order on a later day within 30 days, asked at every order, and every week of all customers.

UCI Online Retail (Chen 2015, doi 10.24432/C5BW33, CC BY 4.0). Trained on labels known before September 2011, tested on
1 September to 9 November. Rows are never divided at random: a row's label is also in the customer's later rows, and a
model that saw them is not asked about the future any more. How much that flatters is measured and said.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from benchmarks.lab.protocol import Protocol
from benchmarks.learning.retail_data import CONTEXT, DELAY_MS, TEST, load_log, local_days, midnight
from features.state import DAY_MS
from offline.lab.folds import Fold, Folds, random_splits
from offline.lab.models import MODELS, fit, probabilities
from offline.problem import Problem
from offline.tables import read_problem_from_log

FILE: Final = "online_retail.parquet"
#: First week that is asked about: before, hardly anything is known of anybody.
FIRST_WEEK: Final = "2011-02-07"

_HORIZON_DAYS: Final = CONTEXT.horizon_ms // DAY_MS
_DECAYS: Final = (7, 30, 90)


def retail_orders(path: Path, seed: int = 0) -> Protocol:
    """Ask at every order; columns are those of the stream."""
    problem = read_problem_from_log(load_log(path), CONTEXT, most_events=10**9, name="Online Retail").problem
    assert problem.times is not None
    as_of = problem.times.astype("datetime64[ms, UTC]").astype("int64").to_numpy()
    return _protocol("retail_orders", problem, as_of, {"auc": 0.810, "pr_auc": 0.817}, seed)


def retail_weekly(path: Path, seed: int = 0) -> Protocol:
    """Ask every Monday about every customer who has ordered before."""
    log = load_log(path)
    problem, as_of = weekly(log)
    return _protocol("retail_weekly", problem, as_of, {"auc": 0.742, "pr_auc": 0.616}, seed)


def _protocol(
    name: str, problem: Problem, as_of: NDArray[np.int64], goals: dict[str, float], seed: int
) -> Protocol:
    train = np.flatnonzero(as_of + DELAY_MS <= TEST.begin)
    test = np.flatnonzero((as_of >= TEST.begin) & (as_of < TEST.end))
    how = "labels known before 2011-09-01 against 2011-09-01 to 2011-11-09"
    folds = Folds("temporal", how, (Fold(train, test),))
    return Protocol(name, problem, folds, goals, flattery(problem, train, test, seed))


def flattery(problem: Problem, train: NDArray[np.intp], test: NDArray[np.intp], seed: int = 0) -> str:
    """Return, in words, what dividing the same rows at random would promise LightGBM.

    The model also sees how often the customer's other training rows were positive. If rows are divided at random, those
    lie around the row in question, and their labels look into the same weeks.
    """
    rows = problem.take(np.sort(np.concatenate([train, test])))
    (fold,) = random_splits(rows, 1, seed=seed).folds
    promised = _auc_with_rates(rows, fold)
    kept = _auc_with_rates(problem, Fold(train, test))
    return (
        f"Rows must not be divided at random: a LightGBM that sees the labels of a customer's other rows scores AUC "
        f"{promised:.2f} that way, and {kept:.2f} on later rows"
    )


def _auc_with_rates(problem: Problem, fold: Fold) -> float:
    assert problem.groups is not None
    train, test = problem.take(fold.train), problem.take(fold.test)
    assert train.groups is not None and test.groups is not None
    many = int(problem.groups.max()) + 1
    positive = np.bincount(train.groups, train.target, many)
    count = np.bincount(train.groups, minlength=many)

    def with_rate(some: Problem, groups: NDArray[np.int64], *, own: bool) -> Problem:
        """Add the customer's rate in training rows; a training row's own label is left out."""
        hits = positive[groups] - (some.target if own else 0)
        rows = count[groups] - own
        columns = some.columns.assign(customer_rate=np.where(rows > 0, hits / np.maximum(rows, 1), np.nan))
        return replace(some, columns=columns, kinds={**some.kinds, "customer_rate": "numeric"})

    train, test = with_rate(train, train.groups, own=True), with_rate(test, test.groups, own=False)
    model = fit(MODELS["lightgbm"].make(train.kinds, 0, False), train)
    return float(roc_auc_score(test.target, probabilities(model, test.columns)))


def weekly(log: pa.Table) -> tuple[Problem, NDArray[np.int64]]:
    """Return a row for every customer and Monday, and the moment that each row is as of (epoch ms)."""
    orders = order_days(log)
    last = int(local_days(np.array([_last_ms(log)]))[0])
    first = int(local_days(np.array([midnight(FIRST_WEEK)]))[0])
    mondays = np.arange(first, last - _HORIZON_DAYS + 1, 7)
    frames, targets = [], []
    for day in mondays:
        known = orders[orders["day"] < day]
        ahead = orders[(orders["day"] >= day) & (orders["day"] < day + _HORIZON_DAYS)]
        columns = snapshot(known, int(day))
        frames.append(columns)
        targets.append(columns["customer"].isin(ahead["customer"]).to_numpy())
    rows = pd.concat(frames, ignore_index=True)
    days = np.repeat(mondays, [len(frame) for frame in frames])
    as_of = (days * DAY_MS).astype(np.int64)
    groups = rows.pop("customer").to_numpy(np.int64)
    kinds = {str(name): "numeric" for name in rows}
    problem = Problem(
        "Online Retail", rows, kinds, np.concatenate(targets), "order within 30 days", "customer and week",  # type: ignore[arg-type]
        pd.Series(pd.to_datetime(as_of, unit="ms", utc=True)), groups, pd.Timedelta(days=_HORIZON_DAYS),
    )  # fmt: skip
    return problem, as_of


def order_days(log: pa.Table) -> pd.DataFrame:
    """Return one row for every customer and day with an order: number of orders, money, items."""
    purchases = log.filter(pc.equal(log["type"], "purchase"))
    times = purchases["event_time"].cast(pa.int64()).to_numpy()
    customers = purchases["customer_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    frame = pd.DataFrame(
        {
            "customer": customers.astype(np.int64),
            "day": local_days(times),
            "value": purchases["value"].to_numpy(zero_copy_only=False).astype(np.float64),
            "orders": 1.0,
        }
    )
    return frame.groupby(["customer", "day"], as_index=False).sum().sort_values(["customer", "day"])


def snapshot(known: pd.DataFrame, day: int) -> pd.DataFrame:
    """Return what is known of every customer at the beginning of a day: recency, rhythm, money, decayed counts."""
    by = known.groupby("customer")
    age = day - known["day"]
    gaps = by["day"].diff()
    first, last, count = by["day"].min(), by["day"].max(), by.size()
    found = pd.DataFrame({"customer": first.index.to_numpy()}, index=first.index)
    found["recency"] = day - last
    found["tenure"] = day - first
    found["order_days"] = count.astype(float)
    found["orders"] = by["orders"].sum()
    found["spend"] = by["value"].sum()
    found["mean_value"] = found["spend"] / count
    found["last_value"] = by["value"].last()
    mean_gap = ((last - first) / (count - 1)).where(count > 1)
    found["mean_gap"] = mean_gap
    found["gap_deviation"] = gaps.groupby(known["customer"]).std()
    found["last_gap"] = gaps.groupby(known["customer"]).last()
    found["overdue"] = found["recency"] / mean_gap
    found["rate"] = count / (found["tenure"] + 30.0)
    for days in _DECAYS:
        weight = 0.5 ** (age / days)
        found[f"order_days_{days}d"] = weight.groupby(known["customer"]).sum()
        found[f"spend_{days}d"] = (weight * known["value"].clip(lower=0)).groupby(known["customer"]).sum()
    # When earlier customers ordered says what the season does now.
    recent = known[known["day"] >= day - 28]
    found["shop_order_days_28d"] = float(len(recent)) / max(len(found), 1)
    return found.astype({name: np.float64 for name in found if name != "customer"}).reset_index(drop=True)


def _last_ms(log: pa.Table) -> int:
    return int(log["event_time"].cast(pa.int64()).to_numpy().max())
