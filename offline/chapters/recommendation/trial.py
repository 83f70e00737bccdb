"""Try recommenders on what customers took up later: hit rate and NDCG, temporal, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from features.counts import counted
from offline.chapters.recommendation.interactions import Interactions
from offline.chapters.recommendation.recommenders import OWN, POPULAR, RECIPES, Recipe, fit
from offline.exceptions import TrainingError
from offline.progress import OnProgress

#: Items that are recommended.
TOP: Final = 10
#: Shares of the log's time: learning ends at the first for validation, at the second for the test.
VALIDATION, TEST = 0.75, 0.875

#: Measured for all items, and for those that are new to the customer.
MEASURES: Final = ("hit rate", "NDCG", "new hit rate", "new NDCG")

#: By measure: one element for each customer; ``items`` are those that were named.
Gains = dict[str, NDArray[Any]]

_LEAST_CUSTOMERS: Final = 30
_LEAST_TIMES: Final = 2  # as many items as are recommended
_MOST_CUSTOMERS: Final = 5_000
_Z: Final = 1.96


class GroundTruth(NamedTuple):
    """Customers known before a moment and the items that each took up after it."""

    customers: NDArray[np.int64]
    items: list[NDArray[np.int64]]


class Trial(NamedTuple):
    """How recommenders did.

    Attributes
    ----------
    scores
        One row for each kind: ``recommender``, ``hit rate``, ``NDCG``, their ``±`` (half of the 95% interval over
        customers), ``coverage`` (share of all items that are recommended to anybody), and ``new ...``, the same for
        items that the customer had nothing to do with before; ``validation``, the NDCG that chose the settings.
    best, best_new
        For all items and for new ones, the recipe with the highest NDCG in the validation span among those that beat
        popularity there beyond chance; popularity itself where none does.
    differences
        One row for each kind but popularity: mean differences from popularity over the same customers with 95%
        intervals, ``... low`` and ``... high``, of ``NDCG``, ``hit rate``, ``new NDCG`` and ``new hit rate``.
    customers
        How many were tried on.
    what
        What counted: "bought", or "looked at" where purchases are too few.
    learned_until, until
        Moments, epoch ms.
    items
        How many there are to choose from.
    at_random
        Hit rate of as many items drawn at random.
    popular_gain
        How much higher the hit rate of popular items is than that, with its 95% interval over customers.
    """

    scores: pd.DataFrame
    best: Recipe
    best_new: Recipe
    differences: pd.DataFrame
    customers: int
    what: str
    learned_until: int
    until: int
    items: int
    at_random: float
    popular_gain: tuple[float, float, float]

    @property
    def choice(self) -> bool:
        """Whether there are so many items that choosing some of them can make a difference."""
        return self.items >= _LEAST_TIMES * TOP

    @property
    def beats_popularity(self) -> bool:
        """Whether the chosen recommender named an item that was taken up to more customers, beyond chance."""
        if self.best.kind == POPULAR:
            return False
        gap = self.differences.set_index("recommender").loc[self.best.kind]
        return bool(gap["hit rate low"] > 0 and gap["NDCG low"] > 0)


def try_out(
    known: Interactions,
    recipes: Sequence[Recipe] = RECIPES,
    *,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Trial:
    """Choose settings on one span of time and measure them on the next, learning only from what was before.

    Raises
    ------
    TrainingError
        Too few customers known before come back.
    """
    begin, end = int(known.time_ms[0]), int(known.time_ms[-1]) + 1
    validation, test = (begin + int(share * (end - begin)) for share in (VALIDATION, TEST))
    what, earlier, later = _to_come(known, validation, test, end, seed)
    kinds = list(dict.fromkeys(recipe.kind for recipe in recipes))
    total = len(recipes) + len(kinds)

    def tell(done: int) -> None:
        if on_progress is not None:
            on_progress(done, total)

    before = known.take(known.time_ms < validation)
    unknown = _new_items(before, earlier)
    judged: dict[Recipe, Gains] = {}
    for done, recipe in enumerate(recipes, start=1):
        judged[recipe] = _gains(recipe, before, earlier, unknown, now_ms=validation, seed=seed)
        tell(done)
    chosen = {
        kind: max((r for r in recipes if r.kind == kind), key=lambda recipe: judged[recipe]["NDCG"].mean())
        for kind in kinds
    }
    before = known.take(known.time_ms < test)
    unknown = _new_items(before, later)
    tested: dict[str, Gains] = {}
    for done, (kind, recipe) in enumerate(chosen.items(), start=len(recipes) + 1):
        tested[kind] = _gains(recipe, before, later, unknown, now_ms=test, seed=seed)
        tell(done)
    best, best_new = (_best(chosen, judged, measure) for measure in ("NDCG", "new NDCG"))
    scores = _scores(chosen, judged, tested, len(known.item_ids))
    scores["chosen"] = [recipe == best for recipe in chosen.values()]
    scores["chosen for new"] = [recipe == best_new for recipe in chosen.values()]
    differences = _differences(tested)
    items = len(np.unique(before.items))
    random = _random_hits(later, items)
    gain = _difference(tested[POPULAR]["hit rate"] - random)
    customers = len(later.customers)
    return Trial(
        scores, best, best_new, differences, customers, what, test, end, items, float(random.mean()), gain
    )


def _random_hits(later: GroundTruth, items: int) -> NDArray[np.float64]:
    """Return for each customer the chance that items drawn at random hold one that was taken up."""
    taken = np.array([len(own) for own in later.items])
    return np.asarray(1 - stats.hypergeom.pmf(0, max(items, TOP), np.minimum(taken, items), min(TOP, items)))


def _to_come(
    known: Interactions, validation: int, test: int, end: int, seed: int
) -> tuple[str, GroundTruth, GroundTruth]:
    """Return what counts, and what known customers took up in the validation span and in the test span."""
    for what, bought in (("bought", True), ("looked at", False)):
        earlier = ground_truth(known, validation, test, bought=bought, seed=seed)
        later = ground_truth(known, test, end, bought=bought, seed=seed)
        if min(len(later.customers), len(earlier.customers)) >= _LEAST_CUSTOMERS:
            return what, earlier, later
    spans = ((earlier, VALIDATION, TEST), (later, TEST, 1.0))
    fewest, start, stop = min(spans, key=lambda span: len(span[0].customers))
    raise TrainingError(
        f"the log has {counted(len(fewest.customers), 'customer')} known before who came back between "
        f"{100 * start:g}% and {100 * stop:g}% of its time: recommendations cannot be tried on fewer than "
        f"{_LEAST_CUSTOMERS}; use a longer log"
    )


def _gains(
    recipe: Recipe,
    before: Interactions,
    later: GroundTruth,
    unknown: list[NDArray[np.int64]],
    *,
    now_ms: int,
    seed: int,
) -> Gains:
    """Return hit and NDCG of each customer, for all items and for new ones, and the items that were named."""
    fitted = fit(recipe, before, now_ms=now_ms, seed=seed)
    made = fitted.recommend(later.customers, TOP)
    found: Gains = {"hit rate": hits(made, later.items), "NDCG": ndcg(made, later.items), "items": made}
    if recipe.kind != OWN:  # which has nothing new to say
        kept = [at for at, own in enumerate(unknown) if len(own)]
        new = fitted.recommend(later.customers[kept], TOP, only_new=True)
        truth = [unknown[at] for at in kept]
        found |= {"new hit rate": hits(new, truth), "new NDCG": ndcg(new, truth)}
    return found


def _best(chosen: dict[str, Recipe], judged: dict[Recipe, Gains], measure: str) -> Recipe:
    """Return the recipe with the highest mean among those that beat popularity beyond chance, else popularity."""
    popular = judged[chosen[POPULAR]]
    better = [
        recipe
        for recipe in chosen.values()
        if measure in judged[recipe] and _difference(judged[recipe][measure] - popular[measure])[1] > 0
    ]
    return max(better, key=lambda recipe: judged[recipe][measure].mean(), default=chosen[POPULAR])


def _scores(
    chosen: dict[str, Recipe], judged: dict[Recipe, Gains], tested: dict[str, Gains], items: int
) -> pd.DataFrame:
    rows = []
    for kind, recipe in chosen.items():
        gains = tested[kind]
        row: dict[str, Any] = {
            "recommender": recipe.words,
            "validation": float(judged[recipe]["NDCG"].mean()),
        }
        for measure in MEASURES:
            if measure in gains:
                row[measure] = float(gains[measure].mean()) if len(gains[measure]) else float("nan")
                row[f"{measure} ±"] = _half(gains[measure])
        made = gains["items"]
        rows.append(row | {"coverage": len(np.unique(made[made >= 0])) / items})
    return pd.DataFrame(rows)


def _differences(tested: dict[str, Gains]) -> pd.DataFrame:
    rows = []
    for kind, gains in tested.items():
        if kind == POPULAR:
            continue
        row: dict[str, Any] = {"recommender": kind}
        for measure in MEASURES:
            found = (float("nan"),) * 3
            if measure in gains:
                found = _difference(gains[measure] - tested[POPULAR][measure])
            row |= dict(zip((measure, f"{measure} low", f"{measure} high"), found, strict=True))
        rows.append(row)
    return pd.DataFrame(rows)


def _new_items(before: Interactions, later: GroundTruth) -> list[NDArray[np.int64]]:
    had = before.matrix(now_ms=int(before.time_ms[-1]))
    return [
        np.setdiff1d(items, had.indices[had.indptr[customer] : had.indptr[customer + 1]])
        for customer, items in zip(later.customers, later.items, strict=True)
    ]


def ground_truth(known: Interactions, start: int, end: int, *, bought: bool, seed: int = 0) -> GroundTruth:
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
    return GroundTruth(customers, items)


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


def _difference(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the mean and its 95% interval."""
    if not len(values):
        return (float("nan"),) * 3
    mean, half = float(values.mean()), _half(values)
    return mean, mean - half, mean + half


def _half(values: NDArray[np.float64]) -> float:
    return float(_Z * values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
