"""Columns as a network takes them: numbers as normal scores, categories as numbers of their embedding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri
from sklearn.base import BaseEstimator, TransformerMixin

from offline.problems.problem import Kind

# Normal scores end at the quantiles 0.001 and 0.999, so that one row cannot pull a network.
_TAIL: Final = 1e-3
_KNOTS: Final = 1000


class NetworkInputs(TransformerMixin, BaseEstimator):
    """Turn columns into one matrix: normal scores of numbers, marks of missing ones, 0 and 1, codes of categories.

    A number becomes the normal score of its mid-rank among the training rows, so equal values (many zeros) stand in
    the middle of what they cover instead of at an extreme. A category becomes a whole number; 0 is for missing
    ones and for those with fewer than ``rare`` training rows, so whatever is new has been trained on.

    Parameters
    ----------
    kinds
        Kind of every column (`offline.problems.problem.Problem.kinds`).
    rare
        Training rows that a category needs for a code of its own.

    Attributes
    ----------
    n_categorical_
        How many of the last columns of the output are codes.
    names_
        Name of every column of the output.

    References
    ----------
    Gorishniy et al. (2021), Revisiting deep learning models for tabular data, arXiv 2106.11959 (quantile inputs).
    """

    def __init__(self, kinds: Mapping[str, Kind], rare: int = 10) -> None:
        self.kinds = kinds
        self.rare = rare

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:  # noqa: N803, ARG002  (scikit-learn's names)
        """Learn knots, marks and codes."""
        by_kind = {
            kind: [name for name in X if self.kinds[name] == kind]
            for kind in ("numeric", "boolean", "categorical")
        }
        self.numeric_, self.boolean_, self.categorical_ = by_kind.values()
        self.knots_ = {name: _knots(X[name].to_numpy(np.float64)) for name in self.numeric_}
        self.marked_ = [name for name in self.numeric_ if X[name].isna().any()]
        self.codes_: dict[str, dict[Any, int]] = {}
        for name in self.categorical_:
            counts = X[name].value_counts()
            frequent = [value for value, count in counts.items() if count >= self.rare]
            self.codes_[name] = {value: code + 1 for code, value in enumerate(frequent)}
        self.names_ = [
            *self.numeric_,
            *(f"{n} missing" for n in self.marked_),
            *self.boolean_,
            *self.categorical_,
        ]
        self.n_categorical_ = len(self.categorical_)
        return self

    def transform(self, X: pd.DataFrame) -> NDArray[np.float32]:  # noqa: N803
        """Return the matrix, shape (rows, ``len(names_)``)."""
        parts = [_scores(X[name].to_numpy(np.float64), *self.knots_[name]) for name in self.numeric_]
        parts += [X[name].isna().to_numpy() for name in self.marked_]
        parts += [X[name].to_numpy(bool) for name in self.boolean_]
        parts += [
            X[name].astype(object).map(self.codes_[name]).fillna(0).to_numpy(np.float64)
            for name in self.categorical_
        ]
        return np.column_stack([part.astype(np.float32) for part in parts])


def _knots(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return values and their normal scores, at most `_KNOTS` of them."""
    known = values[~np.isnan(values)]
    if not len(known):
        return np.zeros(1), np.zeros(1)
    distinct, counts = np.unique(known, return_counts=True)
    middle = (np.cumsum(counts) - counts / 2) / len(known)
    if len(distinct) > _KNOTS:
        kept = np.unique(np.searchsorted(middle, np.linspace(0, 1, _KNOTS)).clip(max=len(distinct) - 1))
        distinct, middle = distinct[kept], middle[kept]
    return distinct, ndtri(np.clip(middle, _TAIL, 1 - _TAIL))


def _scores(
    values: NDArray[np.float64], knots: NDArray[np.float64], scores: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.where(np.isnan(values), 0.0, np.interp(values, knots, scores))
