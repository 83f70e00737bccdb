"""Who predicts the next order: each contender's probability of every order in a period, as it would have lived."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.learning.retail_data import CONTEXT, DELAY_MS, TIMEZONE, Orders, Period, local_days, until
from benchmarks.learning.retail_histories import Histories, histories_at
from features.bundle import Bundle
from features.log import write_log
from features.state import DAY_MS, MINUTE_MS
from features.vector import Vectors
from offline.lab.bg_nbd import fit_bg_nbd
from offline.training.baselines import fit_lightgbm, fit_logistic, rule_scores
from offline.training.calibration import platt
from offline.training.scaling import Scaling
from offline.training.train import TrainingSettings, train
from stream.learning.model.settings import LearningSettings
from stream.learning.online_learner import OnlineLearner
from stream.learning.records.examples import Examples

Floats = NDArray[np.float64]
OnProgress = Callable[[int, int], None]

#: Chosen on validation orders among six: few, small trees for some thousand orders.
LIGHTGBM: Final = {"num_leaves": 7}
LIGHTGBM_ROUNDS: Final = 100
#: Chosen on validation orders. A horizon is 30 days here, so nothing is forgotten within a year; some thousand orders
#: hardly move the weights of the blend, and the online model may go far from a network that has seen few orders.
LEARNING: Final = LearningSettings(
    half_lives=(24.0,),
    deviation=0.5,
    share_rate=0.9,
    blend_rate=0.02,
    recalibration_deviation=0.2,
)

_TREES: Final = 10
_CERTAIN: Final = 0.01  # trees of few orders say 0 and 1, of which the log-loss would be infinite
_WEEK_MS: Final = 7 * DAY_MS
_BATCH, _BATCH_MS = 512, 10 * MINUTE_MS


def trained_bundle(log: pa.Table, when: int, seed: int = 0) -> Bundle:
    """Return what ``intent train`` makes of the log up to a moment."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log.parquet")
        write_log(path, until(log, when), metadata={"source": "online-retail", "timezone": TIMEZONE})
        settings = TrainingSettings(
            horizon_ms=CONTEXT.horizon_ms,
            label_start=CONTEXT.label_start,
            timezone=CONTEXT.timezone,
            currency=CONTEXT.currency,
            baselines=False,
            seed=seed,
        )
        return train(path, Path(folder, "bundle"), settings)


def replayed(
    orders: Orders,
    bundle: Bundle,
    when: Period,
    settings: LearningSettings = LEARNING,
    on_progress: OnProgress | None = None,
) -> dict[str, Floats]:
    """Return what network, online model and blend had said about the orders of a period.

    A new bundle goes live by a replay of the log (`intent replay`), so the learner begins with the orders that the
    network was trained on. From then on it scores, waits until a label is known, judges what had been published, and
    learns.
    """
    rows = np.flatnonzero(orders.as_of < when.end)
    vectors = np.ascontiguousarray(orders.vectors[rows])
    scores = bundle.score(vectors)
    as_of = orders.as_of[rows]
    learner = OnlineLearner(bundle, settings)
    lived = []
    start = 0
    while start < len(rows):
        end = int(np.searchsorted(as_of, as_of[start] + _BATCH_MS))
        part = slice(start, min(end, start + _BATCH))
        count = part.stop - part.start
        examples = Examples(
            partition=np.zeros(count, np.int32),
            offset=orders.rows[rows[part]],
            event_id=[""] * count,
            customer=[str(customer) for customer in orders.customers[rows[part]]],
            kind=orders.kinds[rows[part]],
            as_of=as_of[part],
            weight=np.ones(count, np.float32),
            segment=scores.segment[part],
            logit=scores.logit[part],
            vectors=vectors[part],
        )
        learner.learn(examples, orders.labels[rows[part]].astype(np.uint8))
        if learner.published_history is not None:
            lived.append(
                np.column_stack([learner.published_history.online, learner.published_history.published])
            )
        start = part.stop
        if on_progress is not None:
            on_progress(start, len(rows))
    online, blend = np.vstack(lived)[as_of >= when.begin].T
    return {"network": scores.probability[as_of >= when.begin], "online": online, "blend": blend}


def adaptive_forest(
    orders: Orders, bundle: Bundle, when: Period, on_progress: OnProgress | None = None
) -> Floats:
    """Return the probabilities of River's adaptive random forest, which learns each order when its label is known.

    It takes the network's logit and all columns. Too slow for the stream (a millisecond and more an example), hence a
    benchmark's matter only [Gomes et al. 2017, doi 10.1007/s10994-017-5642-8].
    """
    from river.forest import ARFClassifier

    rows = np.flatnonzero(orders.as_of < when.end)
    vectors = np.ascontiguousarray(orders.vectors[rows])
    logits = bundle.score(vectors).logit
    scaled = Scaling.fit(vectors[orders.as_of[rows] < when.trained]).apply(vectors)
    as_of, labels = orders.as_of[rows], orders.labels[rows].tolist()
    examples = [dict(enumerate(row)) for row in np.column_stack([logits, scaled]).astype(np.float64).tolist()]
    forest = ARFClassifier(n_models=_TREES, seed=0)
    known, out = 0, []
    for at, now in enumerate(as_of.tolist()):
        while known < at and as_of[known] + DELAY_MS <= now:
            forest.learn_one(examples[known], labels[known])
            known += 1
        if now >= when.begin:
            out.append(forest.predict_proba_one(examples[at]).get(1, 0.5))
        if on_progress is not None:
            on_progress(at + 1, len(rows))
    return np.clip(np.array(out), _CERTAIN, 1 - _CERTAIN)


def refitted_weekly(
    orders: Orders, when: Period, fit: Callable[[Vectors, NDArray[np.int8]], Callable[[Vectors], Floats]]
) -> Floats:
    """Return the probabilities of a model that is fitted anew every week, on all labels known by then.

    Parameters
    ----------
    fit
        Takes vectors and labels, and returns the function from vectors to logits.
    """
    out = []
    for week, now in _weeks(orders, when):
        known = orders.known_at(week)
        logits = fit(orders.vectors[known], orders.labels[known])(orders.vectors[now])
        out.append(1 / (1 + np.exp(-logits)))
    return np.concatenate(out)


def _weeks(orders: Orders, when: Period) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yield when each week of a period begins, and which orders are made in it, unless there are none."""
    for week in range(when.begin, when.end, _WEEK_MS):
        now = orders.within(week, min(week + _WEEK_MS, when.end))
        if now.any():
            yield week, now


def lightgbm(vectors: Vectors, labels: NDArray[np.int8]) -> Callable[[Vectors], Floats]:
    """Fit LightGBM."""
    return fit_lightgbm(vectors, labels, rounds=LIGHTGBM_ROUNDS, parameters=dict(LIGHTGBM))


def lightgbm_default(vectors: Vectors, labels: NDArray[np.int8]) -> Callable[[Vectors], Floats]:
    """Fit LightGBM with the settings of `intent train`, which suit more events."""
    return fit_lightgbm(vectors, labels)


def logistic(vectors: Vectors, labels: NDArray[np.int8]) -> Callable[[Vectors], Floats]:
    """Fit logistic regression on the columns on their log scale."""
    scaling = Scaling.fit(vectors)
    predict = fit_logistic(scaling.apply(vectors), labels)
    return lambda rows: predict(scaling.apply(rows))


def rule(vectors: Vectors, labels: NDArray[np.int8]) -> Callable[[Vectors], Floats]:
    """Calibrate the rule, which itself learns nothing."""
    fitted = platt(rule_scores(vectors, browsing=False), labels)
    return lambda rows: fitted.slope * rule_scores(rows, browsing=False) + fitted.intercept


def bg_nbd_weekly(orders: Orders, when: Period) -> Floats:
    """Return the probabilities of BG/NBD, fitted again every week on all orders until then; it needs no labels."""
    first = np.full(int(orders.customers.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, orders.customers, orders.days)
    out = []
    for week, now in _weeks(orders, when):
        past = orders.as_of < week
        today = int(local_days(np.array([week]))[0])
        histories = histories_at(orders.customers[past], orders.days[past], orders.order_days[past], today)
        model = fit_bg_nbd(histories, penalty=0)
        age = (orders.days[now] - first[orders.customers[now]]).astype(np.float64)
        just = Histories((orders.order_days[now] - 1).astype(np.float64), age, age)
        out.append(model.returns(just, CONTEXT.horizon_ms / DAY_MS))
    return np.concatenate(out)
