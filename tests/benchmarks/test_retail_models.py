"""Models for Online Retail."""

from benchmarks.lab.retail_models import HELD_BACK
from offline.lab.models import MODELS


def test_what_is_held_back_keeps_its_place_and_title_and_the_rest_is_the_lab_s() -> None:
    assert [(model.key, model.title) for model in HELD_BACK] == [(m.key, m.title) for m in MODELS.values()]
    changed = {
        model.key for model in HELD_BACK if model is not MODELS[model.key] and model != MODELS[model.key]
    }
    assert changed == {"network", "lightgbm", "xgboost"}


def test_trees_are_smaller_and_the_network_decays_more_than_the_lab_s() -> None:
    kinds = {"a": "numeric"}
    own = {model.key: model for model in HELD_BACK}
    made = {key: own[key].make(kinds, 0, False)["model"] for key in ("lightgbm", "xgboost", "network")}
    lightgbm, xgboost = (MODELS[key].make(kinds, 0, False)["model"] for key in ("lightgbm", "xgboost"))
    assert made["lightgbm"].num_leaves < lightgbm.num_leaves
    assert made["xgboost"].max_depth < xgboost.max_depth
    assert made["network"].training.weight_decay >= 1
    assert made["lightgbm"].learning_rate == lightgbm.learning_rate
