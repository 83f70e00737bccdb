"""The contract of every online model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from features.bundle import Bundle
from stream.learning.model.inputs import Inputs
from stream.learning.model.online import OnlineModel, RiverPipeline, online_models
from stream.learning.model.settings import LearningSettings
from tests.bundles import random_bundle
from tests.stream.learning.lessons import TELLING, batches, lesson, log_loss

KINDS = ("newton", "river")
Make = Callable[[], OnlineModel]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return random_bundle(Path(tmp_path_factory.mktemp("bundle")))


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest, bundle: Bundle) -> Make:
    settings = LearningSettings(
        model=request.param, half_lives=(1e6,), deviation=1.0, logit_deviation=3.0, learning_rate=0.5
    )
    return lambda: online_models(settings, Inputs(bundle).names)[0]


def inputs_of(bundle: Bundle, count: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    examples, labels = lesson(bundle, count, seed)
    return Inputs(bundle).rows(examples.vectors, examples.logit, examples.segment), labels


def taught(make: Make, rows: NDArray[np.float64], labels: NDArray[np.uint8]) -> OnlineModel:
    model = make()
    for part in batches(len(rows)):
        model.learn_many(rows[part], labels[part], np.ones(len(labels[part])), 1.0)
    return model


def test_learning_lowers_the_loss_on_new_examples(make: Make, bundle: Bundle) -> None:
    rows, labels = inputs_of(bundle, 20_000, 1)
    new, happened = inputs_of(bundle, 5_000, 2)
    few, many = taught(make, rows[:500], labels[:500]), taught(make, rows, labels)
    prevalence = happened.mean()
    constant = log_loss(happened, np.full(len(happened), prevalence))
    assert log_loss(happened, many.predict_proba_many(new)) < min(
        log_loss(happened, few.predict_proba_many(new)), constant
    )


def test_predicting_changes_nothing(make: Make, bundle: Bundle) -> None:
    rows, labels = inputs_of(bundle, 1_000, 1)
    model = taught(make, rows, labels)
    before = {name: array.tobytes() for name, array in model.arrays().items()}
    first = model.predict_proba_many(rows)
    assert np.array_equal(first, model.predict_proba_many(rows))
    assert {name: array.tobytes() for name, array in model.arrays().items()} == before


def test_a_batch_is_predicted_as_one_by_one_to_the_bit(make: Make, bundle: Bundle) -> None:
    rows, labels = inputs_of(bundle, 1_000, 1)
    model = taught(make, rows, labels)
    together = model.predict_proba_many(rows)
    assert together.tolist() == [float(model.predict_proba_many(row[None])[0]) for row in rows]
    assert together[7:400].tolist() == model.predict_proba_many(rows[7:400]).tolist()


def test_a_restored_model_goes_on_to_the_same_bits(make: Make, bundle: Bundle) -> None:
    rows, labels = inputs_of(bundle, 2_000, 1)
    model = taught(make, rows[:1_000], labels[:1_000])
    other = make()
    other.set_arrays({name: array.copy() for name, array in model.arrays().items()})
    for one in (model, other):
        one.learn_many(rows[1_000:], labels[1_000:], np.ones(1_000), 0.5)
    assert {n: a.tobytes() for n, a in model.arrays().items()} == {
        n: a.tobytes() for n, a in other.arrays().items()
    }
    assert np.array_equal(model.predict_proba_many(rows), other.predict_proba_many(rows))


def test_a_models_size_does_not_depend_on_what_it_has_seen(make: Make, bundle: Bundle) -> None:
    rows, labels = inputs_of(bundle, 4_000, 1)
    short, long = taught(make, rows[:256], labels[:256]), taught(make, rows, labels)
    assert sum(a.nbytes for a in short.arrays().values()) == sum(a.nbytes for a in long.arrays().values())


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf, 1e30, -1e30])
@pytest.mark.parametrize("first", [True, False], ids=["in the first batch", "later"])
def test_extreme_values_and_unseen_segments_do_not_poison(
    make: Make, bundle: Bundle, poison: float, first: bool
) -> None:
    examples, labels = lesson(bundle, 10_000, 1)
    vectors, segment, logit = examples.vectors.copy(), examples.segment.copy(), examples.logit.copy()
    bad = np.arange(0, 40, 10) + (0 if first else 5_000)
    vectors[bad], segment[bad], logit[bad] = poison, 99, poison
    inputs = Inputs(bundle)
    rows = inputs.rows(vectors, logit, segment)
    clean = inputs.rows(examples.vectors, examples.logit, examples.segment)
    poisoned, healthy = taught(make, rows, labels), taught(make, clean, labels)
    new, happened = inputs_of(bundle, 5_000, 2)
    p = poisoned.predict_proba_many(np.concatenate([rows[bad], new]))
    assert ((p > 0) & (p < 1)).all()
    assert log_loss(happened, p[len(bad) :]) < log_loss(happened, healthy.predict_proba_many(new)) + 0.003


def test_an_example_without_a_weight_teaches_nothing(bundle: Bundle) -> None:
    settings = LearningSettings(half_lives=(1e6,))
    rows, labels = inputs_of(bundle, 512, 1)
    weights = np.where(np.arange(512) % 2, 1.0, np.nan)
    some, odd = (online_models(settings, Inputs(bundle).names)[0] for _ in range(2))
    some.learn_many(rows, labels, weights, 1.0)
    odd.learn_many(rows[1::2], labels[1::2], np.ones(256), 1.0)
    assert np.array_equal(some.predict_proba_many(rows), odd.predict_proba_many(rows))


def test_the_pipeline_predicts_what_river_predicts(bundle: Bundle) -> None:
    inputs = Inputs(bundle)
    rows, labels = inputs_of(bundle, 3_000, 1)
    model = RiverPipeline(inputs.names, 0.05)
    for part in batches(len(rows)):
        model.learn_many(rows[part], labels[part], np.ones(len(labels[part])), 1.0)
    inner = rows[(np.abs((rows - model.predictor.center) / model.predictor.scale) < 8).all(axis=1)]
    river = model.estimator.predict_proba_many(pd.DataFrame(inner, columns=list(inputs.names)))
    assert len(inner) > 1_000
    assert np.allclose(river[True], model.predict_proba_many(inner), atol=1e-12)


def test_inputs_that_never_vary_do_no_harm(make: Make, bundle: Bundle) -> None:
    rows, labels = inputs_of(bundle, 3_000, 1)
    rows[:, 5:30] = 0.1 + 0.37 * np.arange(25)
    model = make()
    for at in range(0, 3_000, 7):
        part = slice(at, at + 1 + at % 7)
        model.learn_many(rows[part], labels[part], np.ones(len(labels[part])), 0.1)
    p = model.predict_proba_many(rows)
    assert ((p > 0) & (p < 1)).all()


def test_an_unseen_segment_sets_no_indicator(bundle: Bundle) -> None:
    examples, _ = lesson(bundle, 10, 1)
    rows = Inputs(bundle).rows(examples.vectors, examples.logit, np.full(10, 99))
    assert not rows[:, -len(bundle.segmenter.segments) :].any()


def test_inputs_are_bounded_whatever_a_vector_holds(bundle: Bundle) -> None:
    examples, _ = lesson(bundle, 6, 1)
    vectors = examples.vectors.copy()
    vectors[:, TELLING] = [np.nan, np.inf, -np.inf, 3e38, -3e38, 0]
    wild = replace(examples, vectors=vectors, logit=vectors[:, TELLING].astype(np.float64))
    rows = Inputs(bundle).rows(wild.vectors, wild.logit, wild.segment)
    assert np.nanmax(np.abs(rows)) <= 100 and np.isfinite(rows[:, 0]).all()
