"""Through a sale with labels as late as in life: frozen network, online models, their blend, and the best possible.

Every figure compares what had been published (`stream.learning.model.history`) with the exact probability of a
purchase: ``share`` is the part of the best possible AUC above .5, ``log_loss_share`` the part of the best possible
gain over constant prevalence, ``ece`` the calibration error. ``python -m benchmarks.learning --only drift``.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.learning.sales import (
    CUSTOMERS,
    DAYS,
    TRAINED_CUSTOMERS,
    OnProgress,
    SaleLog,
    Step,
    sale_log,
    trained_bundle,
)
from features.bundle import Bundle
from features.state import DAY_MS
from offline.simulator.simulation import DEFAULT_START
from offline.training.soft_measures import ece_against, log_loss_share, share, soft_log_loss
from stream.learning.labels.minibatches import BATCH_EXAMPLES, batch_cuts
from stream.learning.model.settings import LearningSettings
from stream.learning.online_learner import OnlineLearner
from stream.messages.alert import Alert

#: Days of the windows by name: the sale lasts from day 8 to day 13.
WINDOWS: Final = {
    "before": (0, 8),
    "first_day": (8, 9),
    "sale": (9, 13),
    "day_after": (13, 14),
    "rest": (14, DAYS),
}
JUDGED: Final = ("frozen", "online", "blend")
#: What the blend should reach: at least (>=) or at most (<=).
GOALS: Final = (
    ("s10", "sale", "ece", "<=", 0.01),
    ("s10", "sale", "share", ">=", 0.955),
    ("s10", "sale", "log_loss_share", ">=", 0.90),
    ("s9", "sale", "share", ">=", 0.96),
    *((name, "first_day", "ece", "<=", 0.015) for name in ("s10", "s9")),
    *((name, "day_after", "ece", "<=", 0.01) for name in ("s10", "s9")),
    *((name, window, "excess_loss", "<=", 0.02) for name in ("s10", "s9") for window in WINDOWS),
)


class Played(NamedTuple):
    """What had been published about each example, the alerts, and how many a second of one core were learned."""

    frozen: NDArray[np.float64]
    online: NDArray[np.float64]
    blend: NDArray[np.float64]
    alerts: list[Alert]
    speed: float


@contextmanager
def _silent(description: str) -> Iterator[OnProgress]:
    yield lambda done, total: None


def play(log: SaleLog, bundle: Bundle, settings: LearningSettings, on_progress: OnProgress) -> Played:
    """Play the examples of a log through the learner, in order of release and in its mini-batches."""
    learner = OnlineLearner(bundle, settings)
    count = len(log.labels)
    said = [np.empty(count) for _ in JUDGED]
    alerts: list[Alert] = []
    cuts = batch_cuts(log.examples.as_of)
    begun = time.process_time()
    for start, stop in zip(cuts, cuts[1:], strict=False):
        alerts += learner.learn(log.examples[start:stop], log.labels[start:stop])
        assert learner.published_history is not None
        lived = learner.published_history
        for one, published in zip(said, (lived.network, lived.online, lived.published), strict=True):
            one[start:stop] = published
        on_progress(stop, count)
    return Played(*said, alerts, count / (time.process_time() - begun))


def judge(log: SaleLog, played: Played) -> dict[str, Any]:
    """Return the figures of each window, and the alerts."""
    found: dict[str, Any] = {}
    for window, (first, end) in WINDOWS.items():
        rows = (log.day >= first) & (log.day < end)
        exact = log.exact[rows]
        found[window] = {
            name: {
                "share": share(exact, said[rows]),
                "log_loss_share": log_loss_share(exact, said[rows]),
                "ece": ece_against(exact, said[rows]),
            }
            for name, said in zip(JUDGED, played[:3], strict=True)
        }
        frozen, online, blend = (soft_log_loss(exact, said[rows]) for said in played[:3])
        found[window]["blend"]["excess_loss"] = blend / min(frozen, online) - 1.0
    found["alerts"] = [
        {
            "kind": alert.kind,
            "since_day": _day(alert.since),
            "noticed_day": _day(alert.as_of),
            "drifted": {one.name: one.value for one in alert.drifted[:5]},
        }
        for alert in played.alerts
    ]
    return found


def run_drift(
    step: Step = _silent,
    *,
    trained: int = TRAINED_CUSTOMERS,
    customers: int = CUSTOMERS,
    settings: LearningSettings = LearningSettings(),  # noqa: B008  (immutable)
) -> dict[str, Any]:
    """Return the figures of both sales, how fast learning went, goals, and the course of the error for the picture.

    Parameters
    ----------
    step
        Opens a step of the work by its description and yields where to report what is done and in all.
    trained, customers
        How many customers the network is trained on, and how many others live through each sale.
    """
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        bundle = trained_bundle(Path(folder), trained, step)
    speeds = []
    for name in ("s10", "s9"):
        log = sale_log(name, bundle, customers, step)
        _warm_up(log, bundle, settings)
        with step("Learning from delayed labels") as on_progress:
            played = play(log, bundle, settings, on_progress)
        found[name] = judge(log, played) | {"course": _course(log, played)}
        speeds.append(played.speed)
    found["learner_examples_per_second"] = min(speeds)
    found["goals"] = [
        {
            "goal": f"{sale} {window} {figure} {sign} {goal:g}",
            "value": (value := found[sale][window]["blend"][figure]),
            "reached": bool(value >= goal if sign == ">=" else value <= goal),
        }
        for sale, window, figure, sign, goal in GOALS
    ]
    return found


def drift_tables(found: dict[str, Any]) -> list[Table]:
    """Return the figures as tables, one a sale, and the goals."""
    tables = []
    for name in ("s10", "s9"):
        table = Table(
            title=f"Sale {name.upper()}, day 8 to 13", caption="share / log-loss share / ECE, against exact"
        )
        table.add_column("window")
        for judged in JUDGED:
            table.add_column(judged, justify="right")
        for window in WINDOWS:
            rows = found[name][window]
            table.add_row(
                window,
                *(
                    f"{rows[j]['share']:.3f} / {rows[j]['log_loss_share']:.3f} / {rows[j]['ece']:.4f}"
                    for j in JUDGED
                ),
            )
        tables.append(table)
    goals = Table(title="Goals of the blend")
    for column in ("goal", "value", "reached"):
        goals.add_column(column)
    for goal in found["goals"]:
        goals.add_row(goal["goal"], f"{goal['value']:.4f}", "yes" if goal["reached"] else "no")
    return [*tables, goals]


def _course(log: SaleLog, played: Played) -> dict[str, list[float]]:
    """Return by quarter of a day how much each probability loses against the exact one, in nats per example."""
    quarter = np.floor(log.day * 4).astype(np.int64)
    course: dict[str, list[float]] = {"day": [], **{name: [] for name in JUDGED}}
    for number in np.unique(quarter):
        rows = quarter == number
        exact = log.exact[rows]
        best = soft_log_loss(exact, exact)
        course["day"].append(float(number) / 4)
        for name, said in zip(JUDGED, played[:3], strict=True):
            course[name].append(soft_log_loss(exact, said[rows]) - best)
    return course


def _warm_up(log: SaleLog, bundle: Bundle, settings: LearningSettings) -> None:
    """Learn two mini-batches for nothing: compiling is not part of what is measured."""
    learner = OnlineLearner(bundle, settings)
    for start in (0, BATCH_EXAMPLES):
        part = slice(start, start + BATCH_EXAMPLES)
        learner.learn(log.examples[part], log.labels[part])


def _day(ms: int) -> float:
    return (ms - DEFAULT_START.timestamp() * 1000) / DAY_MS
