"""Try recommenders on what customers took up later: hit rate and NDCG, temporal, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from offline.exceptions import TrainingError
from offline.recommendation.interactions import Interactions
from offline.recommendation.recommenders import OWN, POPULAR, RECIPES, Recipe, fit

#: Items that are recommended.
TOP: Final = 10
#: Shares of the log's time: learning ends at the first for validation, at the second for the test.
VALIDATION, TEST = 0.75, 0.875

_LEAST_CUSTOMERS: Final = 30
_MOST_CUSTOMERS: Final = 5_000
_Z: Final = 1.96


class Taken(NamedTuple):
    """Customers known before a moment and the items that each took up after it."""

    customers: NDArray[np.int64]
    items: list[NDArray[np.int64]]


class Trial(NamedTuple):
    """How recommenders did.

    Attributes
    ----------
    scores
        One row for each kind: ``recommender``, ``hit rate``, ``NDCG``, their ``±`` (half of the 95 % interval over
        customers), ``coverage`` (share of all items that are recommended to anybody), and ``new ...``, the same for
        items that the customer had nothing to do with before; ``validation``, the NDCG that chose the settings.
    best, best_new
        The recipe with the highest NDCG in the validation span, for all items and for new ones.
    differences
        Mean difference of the NDCG from popularity's, with 95 % intervals, by kind.
    customers
        How many were tried on.
    what
        What counted: "bought", or "looked at" where purchases are too few.
    learned_until, until
        Moments, epoch ms.
    """

    scores: pd.DataFrame
    best: Recipe
    best_new: Recipe
    differences: pd.DataFrame
    customers: int
    what: str
    learned_until: int
    until: int


def try_out(
    known: Interactions,
    recipes: Sequence[Recipe] = RECIPES,
    *,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> Trial:
    """Choose settings on one span of time and measure them on the next, learning only from what was before.

    Raises
    ------
    TrainingError
        Too few customers known before come back.
    """
    begin, end = int(known.time_ms[0]), int(known.time_ms[-1]) + 1
    validation, test = (begin + int(share * (end - begin)) for share in (VALIDATION, TEST))
    what = "bought"
    later = taken(known, test, end, bought=True, seed=seed)
    earlier = taken(known, validation, test, bought=True, seed=seed)
    if min(len(later.customers), len(earlier.customers)) < _LEAST_CUSTOMERS:
        what = "looked at"
        later = taken(known, test, end, bought=False, seed=seed)
        earlier = taken(known, validation, test, bought=False, seed=seed)
    if min(len(later.customers), len(earlier.customers)) < _LEAST_CUSTOMERS:
        raise TrainingError(
            f"{len(later.customers)} customers known before come back in the last part of the log: "
            "recommendations cannot "
            f"be tried on fewer than {_LEAST_CUSTOMERS}; use a longer log"
        )
    kinds = list(dict.fromkeys(recipe.kind for recipe in recipes))
    total = len(recipes) + len(kinds)
    before = known.take(known.time_ms < validation)
    unknown = _new_items(before, earlier)
    judged: dict[Recipe, tuple[float, float]] = {}
    for done, recipe in enumerate(recipes):
        fitted = fit(recipe, before, now_ms=validation, seed=seed)
        judged[recipe] = (
            float(ndcg(fitted.recommend(earlier.customers, TOP), earlier.items).mean()),
            _mean_of_known(fitted.recommend(earlier.customers, TOP, only_new=True), unknown)
            if recipe.kind != OWN
            else 0.0,
        )
        if on_progress is not None:
            on_progress(done + 1, total)
    before = known.take(known.time_ms < test)
    unknown = _new_items(before, later)
    chosen = {
        k: max((r for r in recipes if r.kind == k), key=lambda recipe: judged[recipe][0]) for k in kinds
    }
    rows, gains = [], {}
    for done, kind in enumerate(kinds):
        recipe = chosen[kind]
        fitted = fit(recipe, before, now_ms=test, seed=seed)
        made = fitted.recommend(later.customers, TOP)
        gains[kind] = ndcg(made, later.items)
        row = {
            "recommender": recipe.words,
            "validation": judged[recipe][0],
            **_measures(made, later.items, ""),
        }
        row["coverage"] = len(np.unique(made[made >= 0])) / len(known.item_ids)
        if kind != OWN:  # which has nothing new to say
            row |= _measures(fitted.recommend(later.customers, TOP, only_new=True), unknown, "new ")
        rows.append(row)
        if on_progress is not None:
            on_progress(len(recipes) + done + 1, total)
    best = max(chosen.values(), key=lambda recipe: judged[recipe][0])
    best_new = max(chosen.values(), key=lambda recipe: judged[recipe][1])
    scores = pd.DataFrame(rows)
    scores["chosen"] = [chosen[kind] == best for kind in kinds]
    scores["chosen for new"] = [chosen[kind] == best_new for kind in kinds]
    differences = pd.DataFrame(
        [
            {"recommender": kind, **_difference(gains[kind] - gains[POPULAR])}
            for kind in kinds
            if kind != POPULAR
        ]
    )
    return Trial(scores, best, best_new, differences, len(later.customers), what, test, end)


def _new_items(before: Interactions, later: Taken) -> list[NDArray[np.int64]]:
    had = before.matrix(now_ms=int(before.time_ms[-1]))
    return [
        np.setdiff1d(items, had.indices[had.indptr[customer] : had.indptr[customer + 1]])
        for customer, items in zip(later.customers, later.items, strict=True)
    ]


def _mean_of_known(made: NDArray[np.int64], truth: Sequence[NDArray[np.int64]]) -> float:
    return float(_measures(made, truth, "")["NDCG"])


def taken(known: Interactions, start: int, end: int, *, bought: bool, seed: int = 0) -> Taken:
    """Return the customers seen before ``start`` and what they took up from then to ``end``; at most 5,000 of them."""
    span = (known.time_ms >= start) & (known.time_ms < end)
    if bought:
        span &= known.bought
    came_before = np.unique(known.customers[known.time_ms < start])
    pairs = np.unique(np.column_stack([known.customers[span], known.items[span]]), axis=0)
    pairs = pairs[np.isin(pairs[:, 0], came_before)]
    customers, first = np.unique(pairs[:, 0], return_index=True)
    items = np.split(pairs[:, 1], first[1:]) if len(customers) else []
    if len(customers) > _MOST_CUSTOMERS:
        some = np.sort(np.random.default_rng(seed).choice(len(customers), _MOST_CUSTOMERS, replace=False))
        customers, items = customers[some], [items[at] for at in some]
    return Taken(customers, items)


def hits(made: NDArray[np.int64], truth: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Return for each customer whether any of the recommended items was taken up.

    Examples
    --------
    >>> hits(np.array([[1, 2], [3, 4]]), [np.array([2]), np.array([9])]).tolist()
    [1.0, 0.0]
    """
    return np.array([np.isin(row, own).any() for row, own in zip(made, truth, strict=True)], np.float64)


def ndcg(made: NDArray[np.int64], truth: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Return the normalised discounted cumulative gain of each customer [Järvelin and Kekäläinen 2002].

    Examples
    --------
    >>> ndcg(np.array([[7, 8], [8, 7]]), [np.array([7]), np.array([7])]).round(3).tolist()
    [1.0, 0.631]
    """
    discount = 1 / np.log2(np.arange(2, made.shape[1] + 2))
    best = np.concatenate([[0.0], np.cumsum(discount)])
    return np.array(
        [
            (np.isin(row, own) * discount).sum() / max(best[min(len(own), len(row))], 1e-12)
            for row, own in zip(made, truth, strict=True)
        ]
    )


def _measures(made: NDArray[np.int64], truth: Sequence[NDArray[np.int64]], prefix: str) -> dict[str, Any]:
    kept = [at for at, own in enumerate(truth) if len(own)]
    made, truth = made[kept], [truth[at] for at in kept]
    result = {}
    for name, values in (("hit rate", hits(made, truth)), ("NDCG", ndcg(made, truth))):
        result[f"{prefix}{name}"] = float(values.mean()) if len(values) else float("nan")
        result[f"{prefix}{name} ±"] = _half(values)
    return result


def _difference(values: NDArray[np.float64]) -> dict[str, float]:
    mean, half = float(values.mean()), _half(values)
    return {"difference": mean, "low": mean - half, "high": mean + half}


def _half(values: NDArray[np.float64]) -> float:
    return float(_Z * values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
