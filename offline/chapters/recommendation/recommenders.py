"""Recommenders of one kind: fitted on interactions, they name the best items for customers.

ALS is implicit matrix factorisation [Hu, Koren and Volinsky 2008, doi 10.1109/ICDM.2008.22]; item-item takes what
others had to do with beside the same items [Sarwar et al. 2001, doi 10.1145/371920.372071]. Both by the library
`implicit`. Popularity and the customer's own history are what they have to beat.
"""

from __future__ import annotations

import warnings
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from offline.chapters.recommendation.interactions import Interactions
from offline.exceptions import MissingExtra

#: Nothing is known: fewer items are recommended than asked for.
NOTHING: Final = -1
_ROWS: Final = 2_000
_RECENT: Final = 1 / 6  # of the span of the log counts as recent for popularity


class Recommender(Protocol):
    """Names items for customers."""

    def recommend(
        self, customers: NDArray[np.int64], count: int, *, only_new: bool = False
    ) -> NDArray[np.int64]:
        """Return item numbers, best first, shape ``(customers, count)``; `NOTHING` where there are no more.

        ``only_new`` leaves out what the customer has had to do with before.
        """


class Recipe(NamedTuple):
    """A kind of recommender and its settings."""

    kind: str
    half_life_days: float | None = None
    settings: tuple[tuple[str, Any], ...] = ()

    @property
    def words(self) -> str:
        """What people call it, with its settings."""
        named = [f"{name} {value:g}" for name, value in self.settings]
        if self.half_life_days is not None:
            named.append(f"half-life {self.half_life_days:g} days")
        return f"{self.kind} ({', '.join(named)})" if named else self.kind


POPULAR, RECENT, OWN, ITEM_ITEM, ALS = (
    "popularity", "recent popularity", "own history", "item-item", "ALS",
)  # fmt: skip
#: Tried in this order; within a kind the best on the validation span is taken.
RECIPES: Final = (
    Recipe(POPULAR),
    Recipe(RECENT),
    Recipe(OWN),
    Recipe(ITEM_ITEM, None, (("neighbours", 50),)),
    Recipe(ITEM_ITEM, 60.0, (("neighbours", 50),)),
    Recipe(ITEM_ITEM, 60.0, (("neighbours", 300),)),
    Recipe(ALS, None, (("factors", 32), ("alpha", 5))),
    Recipe(ALS, 60.0, (("factors", 32), ("alpha", 5))),
    Recipe(ALS, 60.0, (("factors", 96), ("alpha", 5))),
)
QUICK_RECIPES: Final = (*RECIPES[:3], RECIPES[4], RECIPES[7])


def fit(recipe: Recipe, known: Interactions, *, now_ms: int, seed: int = 0) -> Recommender:
    """Return a recommender fitted on interactions, the last of which were before ``now_ms``."""
    seen = known.matrix(now_ms=now_ms)
    if recipe.kind == RECENT:
        span = now_ms - int(known.time_ms[0])
        seen_lately = known.take(known.time_ms >= now_ms - int(_RECENT * span)).matrix(now_ms=now_ms)
        return _Popularity(seen_lately, seen)
    if recipe.kind == POPULAR:
        return _Popularity(seen, seen)
    weighted = known.matrix(now_ms=now_ms, half_life_days=recipe.half_life_days)
    if recipe.kind == OWN:
        return _OwnHistory(known.matrix(now_ms=now_ms, half_life_days=60.0), _Popularity(seen, seen))
    return _Implicit(recipe, weighted, seen, _Popularity(seen, seen), seed)


class _Popularity:
    """The same items for everybody: those that most customers had to do with."""

    def __init__(self, counted: csr_matrix, seen: csr_matrix) -> None:
        customers = np.bincount(counted.indices, minlength=counted.shape[1])
        order = np.argsort(-customers, kind="stable")
        self.order = order[customers[order] > 0]
        self._seen = seen

    def recommend(
        self, customers: NDArray[np.int64], count: int, *, only_new: bool = False
    ) -> NDArray[np.int64]:
        found = np.full((len(customers), count), NOTHING, np.int64)
        for row, customer in enumerate(customers):
            best = self.order
            if only_new:
                had = self._seen.indices[self._seen.indptr[customer] : self._seen.indptr[customer + 1]]
                best = best[: count + len(had)]
                best = best[~np.isin(best, had)]
            found[row, : min(count, len(best))] = best[:count]
        return found


class _OwnHistory:
    """What the customer had to do with most and latest; what is left is filled with the popular."""

    def __init__(self, weighted: csr_matrix, popular: _Popularity) -> None:
        self._weighted, self._popular = weighted, popular

    def recommend(
        self, customers: NDArray[np.int64], count: int, *, only_new: bool = False
    ) -> NDArray[np.int64]:
        new = self._popular.recommend(customers, count, only_new=True)
        if only_new:
            return new
        found = np.empty((len(customers), count), np.int64)
        for row, customer in enumerate(customers):
            span = slice(self._weighted.indptr[customer], self._weighted.indptr[customer + 1])
            order = np.argsort(-self._weighted.data[span], kind="stable")
            own = self._weighted.indices[span][order][:count]
            found[row] = np.concatenate([own, new[row]])[:count]
        return found


class _Implicit:
    """A model of the library `implicit`; customers without history get the popular."""

    def __init__(
        self, recipe: Recipe, weighted: csr_matrix, seen: csr_matrix, popular: _Popularity, seed: int
    ) -> None:
        try:
            from implicit.als import AlternatingLeastSquares
            from implicit.nearest_neighbours import CosineRecommender
            from threadpoolctl import threadpool_limits
        except ModuleNotFoundError as error:
            raise MissingExtra(error.name or "implicit") from None
        settings = dict(recipe.settings)
        damped = weighted.copy()
        damped.data = np.log1p(damped.data)
        with threadpool_limits(1, "blas"):  # its own threads and those of BLAS get into each other's way
            if recipe.kind == ITEM_ITEM:
                self._model = CosineRecommender(K=settings["neighbours"], num_threads=1)
            else:
                self._model = AlternatingLeastSquares(
                    factors=settings["factors"], alpha=settings["alpha"], regularization=1.0, iterations=12,
                    random_state=seed, num_threads=1, use_gpu=False,
                )  # fmt: skip
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the library converts its own matrices, and says so
                self._model.fit(damped, show_progress=False)
        self._damped, self._seen, self._popular = damped, seen, popular

    def recommend(
        self, customers: NDArray[np.int64], count: int, *, only_new: bool = False
    ) -> NDArray[np.int64]:
        from threadpoolctl import threadpool_limits

        found = self._popular.recommend(customers, count, only_new=only_new)
        known = np.flatnonzero(np.diff(self._seen.indptr)[customers] > 0)
        for start in range(0, len(known), _ROWS):
            rows = known[start : start + _ROWS]
            with threadpool_limits(1, "blas"):
                ids, scores = self._model.recommend(
                    customers[rows],
                    self._damped[customers[rows]],
                    N=count,
                    filter_already_liked_items=only_new,
                )
            for row, own, score in zip(rows, ids, scores, strict=True):
                good = own[(score > 0) & np.isfinite(score)].astype(np.int64)
                rest = found[row][~np.isin(found[row], good)]
                found[row] = np.concatenate([good, rest, np.full(count, NOTHING)])[:count]
        return found
