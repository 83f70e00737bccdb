"""What is searched for each model, and how a point of it becomes a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from offline.lab.models import BEST_ARCHITECTURE, BEST_TRAINING, MODELS, Kinds, ModelError, network

if TYPE_CHECKING:
    import optuna

Settings = dict[str, Any]


class Numbers(NamedTuple):
    """An interval to search, evenly or evenly on a log scale; whole numbers only if both ends are whole."""

    low: float
    high: float
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def grid(self, count: int) -> list[Any]:
        """Return evenly spread values, at most ``count``."""
        spread = np.geomspace if self.log else np.linspace
        values = np.clip(spread(self.low, self.high, count), self.low, self.high).tolist()
        return sorted({round(value) for value in values}) if self.whole else values


class Choices(NamedTuple):
    """A few values to choose from."""

    values: tuple[Any, ...]


Space = Mapping[str, Numbers | Choices]

SPACES: Final[dict[str, Space]] = {
    "logistic": {"C": Numbers(1e-3, 1e2, log=True)},
    "random_forest": {
        "min_samples_leaf": Numbers(1, 50, log=True),
        "max_features": Numbers(0.1, 1.0),
    },
    "lightgbm": {
        "learning_rate": Numbers(0.01, 0.2, log=True),
        "n_estimators": Numbers(50, 500, log=True),
        "num_leaves": Numbers(4, 63, log=True),
        "min_child_samples": Numbers(5, 100, log=True),
        "colsample_bytree": Numbers(0.3, 1.0),
        "reg_lambda": Numbers(0.01, 50.0, log=True),
    },
    "xgboost": {
        "learning_rate": Numbers(0.01, 0.2, log=True),
        "n_estimators": Numbers(50, 500, log=True),
        "max_depth": Numbers(2, 8),
        "min_child_weight": Numbers(1.0, 30.0, log=True),
        "colsample_bytree": Numbers(0.3, 1.0),
        "reg_lambda": Numbers(0.01, 50.0, log=True),
    },
    "svm": {"C": Numbers(1e-3, 10.0, log=True), "gamma": Numbers(1e-3, 0.2, log=True)},
    "network": {
        "learning_rate": Numbers(1e-3, 1e-2, log=True),
        "weight_decay": Numbers(1e-4, 1e-1, log=True),
        "dropout": Numbers(0.0, 0.4),
        "width": Choices((32, 64, 128)),
        "layers": Numbers(1, 3),
        "embedding": Choices(("none", "piecewise", "periodic")),
        "members": Choices((1, 8)),
    },
}


def space_of(key: str) -> Space:
    """Return the space of a model.

    Raises
    ------
    ModelError
        There is nothing to search.
    """
    if key not in SPACES:
        raise ModelError(f"model {key!r} cannot be tuned: choose one of {', '.join(SPACES)}")
    return SPACES[key]


def suggest(trial: optuna.Trial, space: Space) -> Settings:
    """Return the point of a space that a trial's sampler proposes."""
    settings: Settings = {}
    for name, part in space.items():
        if isinstance(part, Choices):
            settings[name] = trial.suggest_categorical(name, part.values)
        elif part.whole:
            settings[name] = trial.suggest_int(name, int(part.low), int(part.high), log=part.log)
        else:
            settings[name] = trial.suggest_float(name, part.low, part.high, log=part.log)
    return settings


def defaults_of(key: str, kinds: Kinds, *, quick: bool = False) -> Settings:
    """Return a model's default settings as a point of its space, or none where they are no point of it."""
    space = space_of(key)
    if key == "network":
        shape, trained = BEST_ARCHITECTURE, BEST_TRAINING
        return {
            "learning_rate": trained.learning_rate, "weight_decay": trained.weight_decay, "dropout": shape.dropout,
            "width": shape.hidden[0], "layers": len(shape.hidden), "embedding": shape.embedding,
            "members": shape.members,
        }  # fmt: skip
    known = MODELS[key].make(kinds, 0, quick).get_params()
    found = {name: known.get(_step(key, name)) for name in space}
    inside = all(
        isinstance(value, int | float) and part.low <= value <= part.high
        for value, part in zip(found.values(), space.values(), strict=True)
        if isinstance(part, Numbers)
    )
    return found if inside else {}


def _step(key: str, name: str) -> str:
    """Return what scikit-learn calls a setting within the model's pipeline."""
    special = {"C": "model__estimator__C", "gamma": "kernel__gamma"} if key == "svm" else {}
    return special.get(name, f"model__{name}")


def model_with(key: str, settings: Settings, kinds: Kinds, *, seed: int = 0, quick: bool = False) -> Any:
    """Return an unfitted model with some settings; none are its defaults."""
    if key != "network" or not settings:
        model = MODELS[key].make(kinds, seed, quick)
        return model.set_params(**{_step(key, name): value for name, value in settings.items()})
    architecture = replace(
        BEST_ARCHITECTURE,
        hidden=(settings["width"],) * settings["layers"],
        dropout=settings["dropout"],
        embedding=settings["embedding"],
        members=settings["members"],
    )
    training = replace(
        BEST_TRAINING, learning_rate=settings["learning_rate"], weight_decay=settings["weight_decay"]
    )
    if quick:
        training = replace(training, epochs=10, patience=3)
    return network(kinds, architecture, training, seed=seed)
