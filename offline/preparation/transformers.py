"""Transformers of numeric columns, and the whole preparation as one `ColumnTransformer`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

from offline.problems.problem import Kind

Method = Literal["none", "log1p", "yeo-johnson"]

#: A column is transformed if its skewness is beyond this.
SKEWED: Final = 1.0
#: Robust deviations from the median beyond which a value is an outlier (3.5 is Iglewicz and Hoaglin's; heavy
#: tails that survive the transform are knowledge, so the fence stands further out).
FENCE: Final = 5.0

_MAD_TO_SIGMA: Final = 1.4826
_IQR_TO_SIGMA: Final = 0.7413
# Categories rarer than this many training rows are one category together.
_RARE: Final = 20
_TAIL: Final = 0.005
_FLOAT_NOISE: Final = 1e-12


class Unskew(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Make skewed columns more symmetric: log(1 + x), or Yeo and Johnson's power, whichever is less skewed after.

    A column with a skewness within ``skewed`` stays as it is. log1p is only considered for columns without
    negative values, and wins ties, because it can be read.

    Parameters
    ----------
    skewed
        Absolute skewness beyond which a column is transformed.

    Attributes
    ----------
    methods_
        Method of every column.
    lambdas_
        Power of every column, NaN where it is not Yeo and Johnson's.
    skewness_, skewness_after_
        Of every column, on the training rows.

    References
    ----------
    Yeo and Johnson (2000), doi 10.1093/biomet/87.4.954.

    Examples
    --------
    >>> Unskew().fit(np.expm1(np.linspace(0, 5, 50))[:, None]).methods_
    ['log1p']
    """

    def __init__(self, skewed: float = SKEWED) -> None:
        self.skewed = skewed

    def fit(self, X: ArrayLike, y: Any = None) -> Self:  # noqa: N803, ARG002  (scikit-learn's names)
        """Choose a method for every column."""
        values = validate_data(self, X, dtype=np.float64)
        self.methods_: list[Method] = []
        self.lambdas_ = np.full(values.shape[1], np.nan)
        self.skewness_ = np.array([_skewness(column) for column in values.T])
        after = []
        for at, column in enumerate(values.T):
            method, power, skewness = self._choose(column, float(self.skewness_[at]))
            self.methods_.append(method)
            self.lambdas_[at] = power
            after.append(skewness)
        self.skewness_after_ = np.array(after)
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """Return the transformed columns."""
        check_is_fitted(self)
        values = validate_data(self, X, dtype=np.float64, reset=False, copy=True)
        for at, method in enumerate(self.methods_):
            if method == "log1p":
                values[:, at] = np.log1p(np.maximum(values[:, at], 0.0))
            elif method == "yeo-johnson":
                values[:, at] = stats.yeojohnson(values[:, at], self.lambdas_[at])
        return np.asarray(values, dtype=np.float64)

    def _choose(self, column: NDArray[np.float64], skewness: float) -> tuple[Method, float, float]:
        if abs(skewness) <= self.skewed:
            return "none", np.nan, skewness
        choices: list[tuple[Method, float, float]] = [("none", np.nan, skewness)]
        with np.errstate(all="ignore"):  # an extreme power overflows: then it is no candidate
            power = float(stats.yeojohnson_normmax(column))
            powered = stats.yeojohnson(column, power)
            left = _skewness(powered)
        if np.isfinite(powered).all() and np.isfinite(left):
            choices.append(("yeo-johnson", power, left))
        if column.min() >= 0:
            choices.append(("log1p", np.nan, _skewness(np.log1p(column))))
        best = min(choices, key=lambda choice: abs(choice[2]))
        log = choices[-1]
        return log if log[0] == "log1p" and abs(log[2]) <= max(self.skewed / 2, abs(best[2])) else best


class RobustClip(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Pull outliers to a fence: the median plus and minus ``fence`` robust standard deviations.

    The deviation is 1.4826 times the median absolute deviation; where that is 0 (half the column is one
    value), 0.7413 times the interquartile range; where that is 0 as well, both are taken among the values that
    differ from the median, so that a column of many zeros is judged by what is not zero. What more than one row
    in two hundred has is no outlier but a second mode ("never bought"): a fence never lies inside of the outermost
    0.5% on its side.

    Attributes
    ----------
    low_, high_
        Fences of every column.
    outliers_
        How many training values of every column lie beyond the robust deviations.
    clipped_
        How many of them lie beyond the fences, and are changed.

    References
    ----------
    Iglewicz and Hoaglin (1993), How to detect and handle outliers; Leys et al. (2013), doi 10.1016/j.jesp.2013.03.013.

    Examples
    --------
    >>> values = np.append(np.arange(999.0), 1e6)[:, None]
    >>> round(float(RobustClip().fit_transform(values).max()))
    2353
    """

    def __init__(self, fence: float = FENCE) -> None:
        self.fence = fence

    def fit(self, X: ArrayLike, y: Any = None) -> Self:  # noqa: N803, ARG002
        """Find the fences of every column."""
        values = validate_data(self, X, dtype=np.float64)
        robust = np.array([_fences(column, self.fence) for column in values.T]).reshape(-1, 2)
        self.outliers_ = ((values < robust[:, 0]) | (values > robust[:, 1])).sum(axis=0)
        self.low_ = np.minimum(robust[:, 0], np.quantile(values, _TAIL, axis=0))
        self.high_ = np.maximum(robust[:, 1], np.quantile(values, 1 - _TAIL, axis=0))
        self.clipped_ = ((values < self.low_) | (values > self.high_)).sum(axis=0)
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """Return the columns within their fences."""
        check_is_fitted(self)
        values = validate_data(self, X, dtype=np.float64, reset=False)
        clipped: NDArray[np.float64] = np.clip(values, self.low_, self.high_)
        return clipped


def preparation(
    kinds: Mapping[str, Kind], *, fence: float = FENCE, skewed: float = SKEWED
) -> ColumnTransformer:
    """Return the preparation of columns for models that need numbers on one scale, not fitted yet.

    Numeric: missing values become the median and are marked in a column of their own, then `Unskew`, `RobustClip`,
    standardisation. Categorical: missing is a category, rare ones are one, one column each. Boolean: 0 and 1.

    Parameters
    ----------
    kinds
        Kind of every column (`offline.problems.problem.Problem.kinds`), in the order of the columns.
    """
    numeric = [name for name, kind in kinds.items() if kind == "numeric"]
    categorical = [name for name, kind in kinds.items() if kind == "categorical"]
    boolean = [name for name, kind in kinds.items() if kind == "boolean"]
    scaled: Pipeline = Pipeline(
        [
            ("fill", SimpleImputer(strategy="median", keep_empty_features=True)),
            ("unskew", Unskew(skewed)),
            ("clip", RobustClip(fence)),
            ("scale", StandardScaler()),
        ]
    )
    steps: list[tuple[str, Any, list[str]]] = []
    if numeric:
        steps += [("numeric", scaled, numeric), ("missing", _marks(), numeric)]
    if categorical:
        rare = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=_RARE, sparse_output=False)
        steps.append(("categorical", make_pipeline(_filled(), rare), categorical))
    if boolean:
        steps.append(("boolean", FunctionTransformer(_numbers, feature_names_out="one-to-one"), boolean))
    return ColumnTransformer(steps, verbose_feature_names_out=False)


def _marks() -> Pipeline:
    return make_pipeline(
        MissingIndicator(features="missing-only", error_on_new=False),
        FunctionTransformer(_numbers, feature_names_out="one-to-one"),
    )


def _filled() -> FunctionTransformer:
    return FunctionTransformer(_texts, feature_names_out="one-to-one")


def _texts(columns: pd.DataFrame) -> pd.DataFrame:
    return columns.astype(object).where(columns.notna(), "missing").astype(str)


def _numbers(columns: Any) -> Any:
    return columns.astype(np.float64)


def _skewness(column: NDArray[np.float64]) -> float:
    if np.ptp(column) <= _FLOAT_NOISE * max(1.0, float(np.abs(column).max())):
        return 0.0
    return float(stats.skew(column))


def _fences(column: NDArray[np.float64], fence: float) -> tuple[float, float]:
    middle = float(np.median(column))
    deviation = _deviation(column, middle)
    if deviation == 0:
        others = column[column != middle]
        if not len(others):
            return middle, middle
        centre = float(np.median(others))
        deviation = _deviation(others, centre) or float(np.ptp(others))
        return min(middle, centre - fence * deviation), max(middle, centre + fence * deviation)
    return middle - fence * deviation, middle + fence * deviation


def _deviation(column: NDArray[np.float64], middle: float) -> float:
    mad = float(np.median(np.abs(column - middle)))
    if mad > 0:
        return _MAD_TO_SIGMA * mad
    low, high = np.quantile(column, [0.25, 0.75])
    return _IQR_TO_SIGMA * float(high - low)
