"""How much of the best possible score each model reaches, on simulated customers it has not seen.

``python -m benchmarks.network`` (``make bench-network``) trains the rule, logistic regression, LightGBM and the
network on 4 to 5 million events, calibrates them on the day after, and measures them on other customers and later
days, against the exact probability of a purchase (`offline.simulator.oracle`):

::

    400,000 customers   days 0 to 10  training  |  day 10 to 11  calibration
    100,000 others                                               days 11 to 14  test

``share`` is the part of the best possible AUC above .5, ``log_loss_share`` the part of the best possible gain over
constant prevalence, ``ece`` the calibration error against the exact probability. Takes minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.state import DAY_MS, MINUTE_MS
from offline.examples.examples import Context, Examples, build_examples
from offline.simulator.oracle import exact_probability
from offline.simulator.shop import ShopParameters
from offline.simulator.simulation import DEFAULT_START, simulate
from offline.training.models import EvaluatedModel, fit_models, judge_models
from offline.training.segmentation import fit_segmenter
from offline.training.splitting import Split
from offline.training.train import latest_vectors

HORIZON_MS: Final = 30 * MINUTE_MS
TRAINED_CUSTOMERS: Final = 400_000
TESTED_CUSTOMERS: Final = 100_000
CALIBRATION_DAY, TEST_DAY, DAYS = 10, 11, 14
TRAINING_SEED, TEST_SEED = 1, 2


class Data(NamedTuple):
    """Training and calibration examples of some customers, test examples of others with their exact probability."""

    split: Split
    trained: Examples
    tested: Examples
    rows: NDArray[np.int64]
    exact: NDArray[np.float64]


def simulate_data(customers: int, others: int) -> Data:
    """Return the data, segments assigned."""
    start = round(DEFAULT_START.timestamp() * 1000)
    split = Split(
        start, start + CALIBRATION_DAY * DAY_MS, start + TEST_DAY * DAY_MS, start + DAYS * DAY_MS, HORIZON_MS
    )
    shop, context = ShopParameters.default(), Context(HORIZON_MS, "0")

    def examples(count: int, days: int, seed: int) -> tuple[pa.Table, Examples]:
        with step(f"Simulating {count:,} customers and folding their events") as on_progress:
            log = simulate(shop, count, days, seed)
            return log, build_examples(log, context, on_progress=on_progress)

    _, trained = examples(customers, TEST_DAY, TRAINING_SEED)
    log, tested = examples(others, DAYS, TEST_SEED)
    with step("Computing the exact probabilities"):
        rows = split.slices(tested).test
        exact = exact_probability(log, HORIZON_MS)[tested.rows[rows]]
    with step("Finding segments"):
        segmenter = fit_segmenter(latest_vectors(trained, split))
        for some in (trained, tested):
            segmenter.assign(some.vectors)
    return Data(split, trained, tested, rows, exact)


def compare(data: Data, epochs: float | None = None) -> tuple[int, dict[str, EvaluatedModel]]:
    """Return how many events were trained on, and every model's measures on the test examples."""
    slices = data.split.slices(data.trained)
    models = fit_models(data.trained, slices.train, HORIZON_MS, epochs=epochs, progress=step)
    judged = judge_models(
        models,
        (data.trained, slices.calibration),
        (data.tested, data.rows),
        exact=data.exact,
        progress=step,
    )
    return len(slices.train), judged


@contextmanager
def step(description: str) -> Iterator[Callable[[int, int], None]]:
    """Say on standard error what is being done, and how long it took."""
    print(f"{description} ...", end="", file=sys.stderr, flush=True)
    begun = time.perf_counter()
    yield lambda done, total: None
    print(f" {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--customers", type=int, default=TRAINED_CUSTOMERS, help="customers to train on")
    parser.add_argument("--others", type=int, default=TESTED_CUSTOMERS, help="other customers to test on")
    parser.add_argument("--epochs", type=float, default=None, help="epochs of the network")
    options = parser.parse_args()
    events, judged = compare(simulate_data(options.customers, options.others), options.epochs)
    figures = {
        name: {
            "auc": model.metrics["auc"],
            "share": model.metrics["share"],
            "log_loss_share": model.metrics["log_loss_share"],
            "ece": model.metrics["ece_vs_exact"],
        }
        for name, model in judged.items()
        if name != "best_possible"
    }
    if options.json:
        print(json.dumps(figures))
        return
    best = judged["best_possible"].metrics
    print(
        f"Trained on {events:,} events, tested on {best['examples']:,} of {best['customers']:,} other customers "
        f"(prevalence {best['prevalence']:.2%}, best possible AUC {best['auc']:.4f})"
    )
    print(f"{'':10} {'AUC':>7} {'share':>7} {'log-loss share':>15} {'ECE':>7}")
    for name, row in figures.items():
        print(
            f"{name:10} {row['auc']:7.4f} {row['share']:7.4f} {row['log_loss_share']:15.4f} {row['ece']:7.4f}"
        )


if __name__ == "__main__":
    main()
