"""What the network has to beat: a rule of two lines, logistic regression, and LightGBM, on the same split."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from features.vector import COLUMN_NAMES, Vectors
from offline.exceptions import MissingExtra
from offline.training.openmp import provide_openmp

#: The rule in words, for the manifest.
BROWSING_RULE: Final = (
    "the more recent the latest cart or checkout, the likelier; a checkout counts as four times as recent"
)
ORDERS_RULE: Final = "the more purchases, and the shorter the mean time between them, the likelier"

_CHECKOUT_FACTOR: Final = 4.0
_ROUNDS: Final = 200
_LEAST_LEAF: Final = 20
_LEAVES_OF_DATA: Final = 2_000  # a leaf holds at least this part of the examples


def rule_scores(vectors: Vectors, *, browsing: bool) -> NDArray[np.float64]:
    """Return the score of the rule that a shop could write down without data, on a log scale.

    Parameters
    ----------
    browsing
        Whether examples are browsing events (`BROWSING_RULE`) or orders (`ORDERS_RULE`).
    """
    seen = {name: vectors[:, COLUMN_NAMES.index(name)].astype(np.float64) for name in COLUMN_NAMES}
    if browsing:
        recent = np.minimum(seen["since_begin_checkout"] / _CHECKOUT_FACTOR, seen["since_add_to_cart"])
        return -np.log1p(recent)
    return np.asarray(np.log1p(seen["purchases"]) - np.log1p(seen["purchase_gap_mean"]) / 2)


def fit_logistic(scaled: Vectors, labels: NDArray[np.int8]) -> Callable[[Vectors], NDArray[np.float64]]:
    """Train logistic regression on standardised columns; return its logits of other rows.

    With far more examples than columns Newton's method on the normal equations is the quickest solver.
    """
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1.0, solver="newton-cholesky", max_iter=50)
    with warnings.catch_warnings():
        # Where columns are collinear scikit-learn changes to L-BFGS, and says so.
        warnings.simplefilter("ignore")
        model.fit(scaled, labels)
    return lambda rows: np.asarray(model.decision_function(rows), np.float64)


def fit_lightgbm(
    vectors: Vectors,
    labels: NDArray[np.int8],
    *,
    rounds: int = _ROUNDS,
    seed: int = 0,
    parameters: dict[str, Any] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Callable[[Vectors], NDArray[np.float64]]:
    """Train LightGBM on plain vectors (trees don't mind the scale); return its logits of other rows."""
    provide_openmp()
    try:
        import lightgbm
    except ImportError:
        raise MissingExtra("LightGBM") from None

    settings = {
        "objective": "binary",
        "learning_rate": 0.05,
        "num_leaves": 31,
        "min_data_in_leaf": max(_LEAST_LEAF, len(labels) // _LEAVES_OF_DATA),
        "feature_fraction": 0.5,
        "bagging_fraction": 0.5,
        "bagging_freq": 1,
        "lambda_l2": 10.0,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
        **(parameters or {}),
    }

    def report(state: Any) -> None:
        if on_progress is not None:
            on_progress(state.iteration + 1, rounds)

    model = lightgbm.train(settings, lightgbm.Dataset(vectors, labels), rounds, callbacks=[report])
    return lambda rows: np.asarray(model.predict(rows, raw_score=True), np.float64)
