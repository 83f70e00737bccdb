"""Models for Online Retail: as those of the lab, held back more.

A customer's rows overlap in what they look at, so there is less to learn from than rows. Settings were chosen by
training on labels known before May and mid-June 2011 and predicting the weeks after, for both protocols alike.
"""

from __future__ import annotations

from typing import Any, Final

from offline.lab.models import MODELS, Kinds, network
from offline.lab.networks.architectures import Architecture
from offline.lab.networks.training import Training

ARCHITECTURE: Final = Architecture(hidden=(64,), embedding="piecewise", embedded=4, members=4, dropout=0.3)
#: AdamW multiplies its decay by the learning rate, so a decay of less than 1 does nothing in some hundred steps.
TRAINING: Final = Training(epochs=40, patience=10, batch=512, learning_rate=1e-3, weight_decay=3.0)
FOLDS: Final = 5

_LIGHTGBM: Final = {"num_leaves": 4, "min_child_samples": 200, "n_estimators": 200}
_XGBOOST: Final = {"max_depth": 3, "min_child_weight": 30, "n_estimators": 200}


def _network(kinds: Kinds, seed: int, quick: bool) -> Any:
    if quick:
        return MODELS["network"].make(kinds, seed, quick)
    return network(kinds, ARCHITECTURE, TRAINING, folds=FOLDS, seed=seed)


def _lightgbm(kinds: Kinds, seed: int, quick: bool) -> Any:
    pipeline = MODELS["lightgbm"].make(kinds, seed, quick)
    return pipeline if quick else pipeline.set_params(**{f"model__{k}": v for k, v in _LIGHTGBM.items()})


def _xgboost(kinds: Kinds, seed: int, quick: bool) -> Any:
    pipeline = MODELS["xgboost"].make(kinds, seed, quick)
    return pipeline if quick else pipeline.set_params(**{f"model__{k}": v for k, v in _XGBOOST.items()})


_OWN: Final = {"network": _network, "lightgbm": _lightgbm, "xgboost": _xgboost}
#: The lab's models in their order, three of them with the settings above.
HELD_BACK: Final = tuple(model._replace(make=_OWN.get(key, model.make)) for key, model in MODELS.items())
