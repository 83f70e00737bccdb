"""All models behind one interface: scikit-learn pipelines that take a problem's columns and have `predict_proba`.

Each pipeline begins with the preparation that its model needs, so that it is learned from training rows only.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from features.exceptions import IntentError
from offline.exceptions import MissingExtra
from offline.lab.networks import DistilledNetwork, NetworkClassifier, NetworkInputs
from offline.lab.networks.architectures import Architecture
from offline.lab.networks.training import Training
from offline.preparation import preparation
from offline.problems.problem import Kind, Problem
from offline.training.openmp import provide_openmp

Kinds = Mapping[str, Kind]
#: Returns an unfitted model by the kinds of the columns, a seed, and whether to be fast rather than exact.
Maker = Callable[[Kinds, int, bool], Any]

_LEAST_LEAF: Final = 20
_CENTRES: Final = 500


class ModelError(IntentError):
    """There is no such model."""

    exit_code = 2


class Model(NamedTuple):
    """A model by name, for people, and how it is made."""

    key: str
    title: str
    make: Maker


class TwoLineRule(ClassifierMixin, BaseEstimator):
    """A rule of two lines: two questions about columns, three answers, learned from the training rows.

    What a shop could write down after a look at its data; whatever needs more machinery has to beat it.

    Attributes
    ----------
    lines_
        The rule in words.
    """

    def __init__(self, kinds: Kinds, seed: int = 0) -> None:
        self.kinds = kinds
        self.seed = seed

    def fit(self, X: pd.DataFrame, y: NDArray[np.bool_]) -> Self:  # noqa: N803  (scikit-learn's names)
        """Find the two questions."""
        least = max(_LEAST_LEAF, len(y) // 100)
        tree = DecisionTreeClassifier(
            max_leaf_nodes=3, min_samples_leaf=min(least, max(1, len(y) // 4)), random_state=self.seed
        )
        self.pipeline_ = Pipeline([("numbers", _answers(self.kinds)), ("tree", tree)]).fit(X, y)
        self.classes_ = self.pipeline_.classes_
        self.lines_ = self._lines(tree.tree_)
        return self

    def predict_proba(self, X: pd.DataFrame) -> NDArray[np.float64]:  # noqa: N803
        """Return the share of either class among training rows with the same answer."""
        return np.asarray(self.pipeline_.predict_proba(X), np.float64)

    def _lines(self, tree: Any) -> list[str]:
        names = list(self.pipeline_[0].get_feature_names_out())
        lines, node, opening = [], 0, "If"
        while tree.children_left[node] >= 0:
            left, right = int(tree.children_left[node]), int(tree.children_right[node])
            # The side that is asked no further makes the line; the other one goes on.
            ends_left = tree.children_left[left] < 0
            leaf, node, question = (left, right, node) if ends_left else (right, left, node)
            asked = _question(names[tree.feature[question]], float(tree.threshold[question]), below=ends_left)
            lines.append(f"{opening} {asked}: {tree.value[leaf][0][1]:.1%}")
            opening = "else, if"
        return [*lines, f"else: {tree.value[node][0][1]:.1%}"]


def _answers(kinds: Kinds) -> ColumnTransformer:
    """Return numbers as they are and a column for every category, so that a question can be read."""
    others = [name for name, kind in kinds.items() if kind != "categorical"]
    categorical = [name for name, kind in kinds.items() if kind == "categorical"]
    steps: list[tuple[str, Any, list[str]]] = [
        ("others", FunctionTransformer(_floats, feature_names_out="one-to-one"), others)
    ]
    if categorical:
        each = OneHotEncoder(handle_unknown="ignore", sparse_output=False, feature_name_combiner=_is)
        steps.append(("categorical", each, categorical))
    return ColumnTransformer(steps, verbose_feature_names_out=False)


def _is(name: str, category: Any) -> str:
    return f"{name} is {category}"


def _question(name: str, threshold: float, *, below: bool) -> str:
    if " is " in name:
        return name.replace(" is ", " is not ", 1) if below else name
    return f"{name} {'≤' if below else '>'} {threshold:.4g}"


def numbered(kinds: Kinds) -> ColumnTransformer:
    """Return what makes plain numbers of columns for models that know nothing else: categories become codes."""
    others = [name for name, kind in kinds.items() if kind != "categorical"]
    categorical = [name for name, kind in kinds.items() if kind == "categorical"]
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1)
    steps = [("others", FunctionTransformer(_floats, feature_names_out="one-to-one"), others)]
    if categorical:
        steps.append(("categorical", codes, categorical))
    return ColumnTransformer(steps, verbose_feature_names_out=False)


def _plainly_named(columns: pd.DataFrame) -> pd.DataFrame:
    """Return columns under numbers, as LightGBM and XGBoost refuse names with brackets, colons, quotes and the like."""
    return columns.set_axis([f"c{at}" for at in range(columns.shape[1])], axis=1)


def _floats(columns: pd.DataFrame) -> pd.DataFrame:
    return columns.astype(np.float64)


def _dummy(kinds: Kinds, seed: int, quick: bool) -> Any:
    return DummyClassifier(strategy="prior")


def _rule(kinds: Kinds, seed: int, quick: bool) -> Any:
    return TwoLineRule(kinds, seed)


def _logistic(kinds: Kinds, seed: int, quick: bool) -> Any:
    return Pipeline(
        [
            ("preparation", preparation(kinds)),
            ("model", LogisticRegression(C=1.0, max_iter=2000, random_state=seed)),
        ]
    )


def _forest(kinds: Kinds, seed: int, quick: bool) -> Any:
    trees = 100 if quick else 300
    model = RandomForestClassifier(trees, min_samples_leaf=5, n_jobs=1, random_state=seed)
    return Pipeline([("preparation", numbered(kinds)), ("model", model)])


def _lightgbm(kinds: Kinds, seed: int, quick: bool) -> Any:
    provide_openmp()
    try:
        from lightgbm import LGBMClassifier
    except ImportError:
        raise MissingExtra("LightGBM") from None
    # Chosen by cross-validation within the training rows of one split of Online Shoppers.
    return Pipeline(
        [
            ("preparation", FunctionTransformer(_plainly_named)),
            (
                "model",
                LGBMClassifier(
                    n_estimators=100 if quick else 300,
                    learning_rate=0.1 if quick else 0.03,
                    num_leaves=15,
                    min_child_samples=20,
                    subsample=0.8,
                    subsample_freq=1,
                    colsample_bytree=0.5,
                    reg_lambda=5.0,
                    n_jobs=1,
                    random_state=seed,
                    verbose=-1,
                ),
            ),
        ]
    )


def _xgboost(kinds: Kinds, seed: int, quick: bool) -> Any:
    try:
        from xgboost import XGBClassifier
    except ImportError:
        raise MissingExtra("XGBoost") from None
    model = XGBClassifier(
        n_estimators=100 if quick else 300,
        learning_rate=0.1 if quick else 0.03,
        max_depth=5,
        min_child_weight=5,
        subsample=0.8,
        colsample_bytree=0.5,
        reg_lambda=5.0,
        tree_method="hist",
        enable_categorical=True,
        n_jobs=1,
        random_state=seed,
    )
    return Pipeline([("preparation", FunctionTransformer(_plainly_named)), ("model", model)])


def _svm(kinds: Kinds, seed: int, quick: bool) -> Any:
    # The exact kernel costs the square of the rows; Nyström's approximation (Williams and Seeger 2001) does not.
    kernel = Nystroem(gamma=0.02, n_components=100 if quick else _CENTRES, random_state=seed)
    margin = LinearSVC(C=0.1, dual=False, random_state=seed)
    # Shuffled: rows often come in order of time, and folds would be seasons.
    folds = StratifiedKFold(3, shuffle=True, random_state=seed)
    model = CalibratedClassifierCV(margin, method="sigmoid", cv=folds, ensemble=False)
    return Pipeline([("preparation", preparation(kinds)), ("kernel", kernel), ("model", model)])


def _network(kinds: Kinds, seed: int, quick: bool) -> Any:
    if quick:
        return network(kinds, Architecture(hidden=(64, 64)), Training(epochs=12, patience=4), seed=seed)
    shapes = (BEST_ARCHITECTURE, PIECEWISE)
    students = [network(kinds, shape, BEST_TRAINING, folds=BEST_FOLDS, seed=seed) for shape in shapes]
    return distilled(students, kinds, seed)


def distilled(students: Sequence[Pipeline], kinds: Kinds, seed: int = 0) -> DistilledNetwork:
    """Return networks (`network`) that learn from LightGBM and a forest too, averaged."""
    teachers = [_lightgbm(kinds, seed, False), _forest(kinds, seed, False)]
    models = [student["model"] for student in students]
    return DistilledNetwork(teachers, students[0]["preparation"], models, seed=seed)


#: Weight-sharing members on normal scores and embedded categories, averaged over folds, taught by trees, half of them
#: with piecewise embeddings of numbers: chosen by cross-validation within training rows of Online Shoppers.
BEST_ARCHITECTURE: Final = Architecture(hidden=(128, 128), members=8, dropout=0.1)
PIECEWISE: Final = replace(BEST_ARCHITECTURE, embedding="piecewise", embedded=4)
BEST_TRAINING: Final = Training(epochs=40, patience=10, batch=512, learning_rate=5e-3)
BEST_FOLDS: Final = 5


def network(
    kinds: Kinds, architecture: Architecture, training: Training, *, folds: int = 1, seed: int = 0
) -> Pipeline:
    """Return networks with their inputs as one pipeline."""
    categorical = sum(kind == "categorical" for kind in kinds.values())
    model = NetworkClassifier(categorical, architecture, training, folds, seed)
    return Pipeline([("preparation", NetworkInputs(dict(kinds))), ("model", model)])


#: From the simplest to the largest.
MODELS: Final = {
    model.key: model
    for model in (
        Model("dummy", "prevalence only", _dummy),
        Model("rule", "rule of two lines", _rule),
        Model("logistic", "logistic regression", _logistic),
        Model("random_forest", "random forest", _forest),
        Model("lightgbm", "LightGBM", _lightgbm),
        Model("xgboost", "XGBoost", _xgboost),
        Model("svm", "SVM", _svm),
        Model("network", "Keras network", _network),
    )
}


def choose_models(names: Collection[str] = ()) -> list[Model]:
    """Return models by name, all without names.

    Raises
    ------
    ModelError
        A name is that of no model.
    """
    for name in names:
        if name not in MODELS:
            raise ModelError(f"there is no model {name!r}: the models are {', '.join(MODELS)}")
    return [model for key, model in MODELS.items() if not names or key in names]


def fit(estimator: Any, problem: Problem, on_progress: Callable[[int, int], None] | None = None) -> Any:
    """Fit a model on all rows of a problem; customers are kept whole where a model divides its rows."""
    last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    extra: dict[str, Any] = {}
    if isinstance(last, NetworkClassifier | DistilledNetwork):
        last.on_progress = on_progress
        if problem.groups is not None:
            extra["groups" if last is estimator else "model__groups"] = problem.groups
    with warnings.catch_warnings():
        # A solver that has not converged is judged by its figures like any other model.
        warnings.filterwarnings("ignore", module="sklearn")
        return estimator.fit(problem.columns, problem.target, **extra)


def probabilities(estimator: Any, columns: pd.DataFrame) -> NDArray[np.float64]:
    """Return the probability of the positive class for every row."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="sklearn")
        return np.asarray(estimator.predict_proba(columns)[:, 1], dtype=np.float64)
