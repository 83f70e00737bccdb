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
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from benchmarks.lab.protocol import Protocol
from benchmarks.lab.retail_columns import HORIZON_DAYS, MONEY, RHYTHM, after_each_day, asked, order_days
from benchmarks.lab.retail_models import HELD_BACK
from benchmarks.learning.retail_data import CONTEXT, DELAY_MS, TEST, load_log, local_days, midnight
from features.state import DAY_MS
from offline.lab.folds import Fold, Folds, random_splits
from offline.lab.models import MODELS, fit, probabilities
from offline.problems import read_problem_from_log
from offline.problems.problem import Problem

FILE: Final = "online_retail.parquet"
#: First week that is asked about: before, hardly anything is known of anybody.
FIRST_WEEK: Final = "2011-02-07"

_CALENDAR: Final = ("hour_sin", "hour_cos", "weekday_sin", "weekday_cos")


def retail_orders(path: Path, seed: int = 0) -> Protocol:
    """Ask at every order; columns are rhythm and money of `benchmarks.lab.retail_columns`, and the stream's calendar.

    Rhythm counts the day of the order, money what lies before it. The stream's other columns say the same over again
    or are about browsing: without them, orders of May to July 2011 were predicted better from earlier ones.
    """
    log = load_log(path)
    problem = read_problem_from_log(log, CONTEXT, most_events=10**9, name="Online Retail").problem
    assert problem.times is not None and problem.groups is not None
    as_of = problem.times.astype("datetime64[ms, UTC]").astype("int64").to_numpy()
    known, days = after_each_day(order_days(log)), local_days(as_of)
    rhythm = asked(known, problem.groups, days, before=False)[list(RHYTHM)]
    money = asked(known, problem.groups, days, before=True)[list(MONEY)]
    calendar = problem.columns[list(_CALENDAR)].reset_index(drop=True)
    columns = pd.concat([calendar, rhythm, money], axis=1)
    problem = replace(problem, columns=columns, kinds=dict.fromkeys(columns, "numeric"))
    return _protocol("retail_orders", problem, as_of, {"auc": 0.810, "pr_auc": 0.817}, seed)


def retail_weekly(path: Path, seed: int = 0) -> Protocol:
    """Ask every Monday about every customer who has ordered before."""
    log = load_log(path)
    problem, as_of = weekly(log)
    return _protocol("retail_weekly", problem, as_of, {"auc": 0.742, "pr_auc": 0.616}, seed)


def weekly(log: pa.Table) -> tuple[Problem, NDArray[np.int64]]:
    """Return a row for every Monday and customer, and the moment that each row is as of (epoch ms)."""
    ordered = order_days(log)
    last = int(local_days(np.array([_last_ms(log)]))[0])
    first = int(local_days(np.array([midnight(FIRST_WEEK)]))[0])
    mondays = np.arange(first, last - HORIZON_DAYS + 1, 7)
    groups, days, targets = [], [], []
    for monday in mondays:
        customers = np.unique(ordered["customer"][ordered["day"] < monday])
        ahead = ordered["customer"][(ordered["day"] >= monday) & (ordered["day"] < monday + HORIZON_DAYS)]
        groups.append(customers)
        days.append(np.full(len(customers), monday))
        targets.append(np.isin(customers, ahead))
    customers, asked_on = np.concatenate(groups), np.concatenate(days)
    columns = asked(after_each_day(ordered), customers, asked_on, before=True)
    as_of = (asked_on * DAY_MS).astype(np.int64)
    times = pd.Series(pd.to_datetime(as_of, unit="ms", utc=True))
    problem = Problem(
        "Online Retail", columns, dict.fromkeys(columns, "numeric"), np.concatenate(targets),
        "order within 30 days", "customer and week", times, customers, pd.Timedelta(days=HORIZON_DAYS),
    )  # fmt: skip
    return problem, as_of


def _protocol(
    name: str, problem: Problem, as_of: NDArray[np.int64], goals: dict[str, float], seed: int
) -> Protocol:
    train = np.flatnonzero(as_of + DELAY_MS <= TEST.begin)
    test = np.flatnonzero((as_of >= TEST.begin) & (as_of < TEST.end))
    how = "labels known before 2011-09-01 against 2011-09-01 to 2011-11-09"
    folds = Folds("temporal", how, (Fold(train, test),))
    return Protocol(name, problem, folds, goals, flattery(problem, train, test, seed), HELD_BACK)


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


def _last_ms(log: pa.Table) -> int:
    return int(log["event_time"].cast(pa.int64()).to_numpy().max())
