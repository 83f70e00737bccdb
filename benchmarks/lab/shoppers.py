"""Online Shoppers: five random splits, the same without the column that knows the label, and later months.

UCI Online Shoppers Purchasing Intention (Sakar and Kastro 2018, doi 10.24432/C5F88Q, CC BY 4.0).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.lab.protocol import Protocol
from offline.lab.folds import Fold, Folds, random_splits
from offline.problems import problem_from_table
from offline.problems.problem import Kind, Problem

SPLITS: Final = 5
FILE: Final = "online_shoppers_intention.csv"
#: The column that the analytics tool computes from transactions.
LEAK: Final = "PageValues"
LATER: Final = ("Nov", "Dec")


def sessions(path: Path) -> Problem:
    """Return the sessions, with columns derived from others of the same row; every model gets them.

    Seconds per page of each kind, and what the two rates become when they are counts of pages again. They were chosen
    by LightGBM's figures on parts of the training rows of the first split.
    """
    problem = problem_from_table(path, "Revenue")
    columns = problem.columns.copy()
    for kind in ("Administrative", "Informational", "ProductRelated"):
        columns[f"{kind}_Seconds"] = columns[f"{kind}_Duration"] / columns[kind].clip(lower=1)
    pages = columns["Administrative"] + columns["Informational"] + columns["ProductRelated"]
    columns["Exits"] = columns["ExitRates"] * pages
    columns["Bounces"] = columns["BounceRates"] * pages
    columns["BounceShare"] = columns["BounceRates"] / columns["ExitRates"].clip(lower=1e-4)
    columns["ExitsAfterMore"] = columns["ExitRates"] - columns["BounceRates"]
    derived: dict[str, Kind] = {name: "numeric" for name in columns if name not in problem.kinds}
    return replace(problem, columns=columns, kinds={**problem.kinds, **derived})


def shoppers_random(path: Path, seed: int = 0) -> Protocol:
    """Five random splits, 70% to train and 30% to test, at the natural prevalence."""
    problem = sessions(path)
    goals = {"auc": 0.935, "pr_auc": 0.757}
    return Protocol(
        "shoppers_random", problem, random_splits(problem, SPLITS, seed=seed), goals, _warning(problem)
    )


def shoppers_without_page_values(path: Path, seed: int = 0) -> Protocol:
    """Do the same without the column that knows the label."""
    problem = sessions(path).without({LEAK})
    goals = {"auc": 0.792, "pr_auc": 0.386}
    return Protocol("shoppers_without_page_values", problem, random_splits(problem, SPLITS, seed=seed), goals)


def shoppers_temporal(path: Path, seed: int = 0) -> Protocol:
    """Train on February to October and test on November and December.

    Without the month, which is another one in every test, and without derived columns: both made figures worse where
    months up to October were predicted from earlier ones.
    """
    problem = problem_from_table(path, "Revenue")
    later = problem.columns["Month"].isin(LATER).to_numpy()
    problem = problem.without({"Month"})
    fold = Fold(np.flatnonzero(~later), np.flatnonzero(later))
    folds = Folds("temporal", "February to October against November and December", (fold,))
    goals = {"auc": 0.850, "pr_auc": 0.670}
    return Protocol("shoppers_temporal", problem, folds, goals, _warning(problem))


def _warning(problem: Problem) -> str:
    """Return what is known of the leak."""
    why = problem.leaks.get(LEAK)
    return f"{LEAK} leaks the label: {why}" if why else ""
