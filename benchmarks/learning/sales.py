"""Two sales of the simulated shop: a network trained without them, and the examples of customers who meet them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.bundle import Bundle
from features.log import write_log
from features.state import MINUTE_MS
from offline.examples.examples import Context, build_examples
from offline.simulator.oracle import exact_probability
from offline.simulator.shop import SALES, ShopParameters
from offline.simulator.simulation import DEFAULT_START, simulate
from offline.training.network import NetworkSettings
from offline.training.train import TrainingSettings, train
from stream.learning.records.examples import Examples

HORIZON_MS: Final = 30 * MINUTE_MS
DAYS: Final = 18
TRAINED_CUSTOMERS: Final = 200_000
CUSTOMERS: Final = 100_000
TRAINING_SEED, SEED = 1, 2
# Stronger decay than the default keeps more of the ranking when customers change: share in S10 .954, not .937.
NETWORK: Final = NetworkSettings(l2=1e-3)

OnProgress = Callable[[int, int], None]
Step = Callable[[str], AbstractContextManager[OnProgress]]


class SaleLog(NamedTuple):
    """Examples of one sale in order of release, what happened, and the exact probability of it."""

    examples: Examples
    labels: NDArray[np.uint8]
    exact: NDArray[np.float64]

    @property
    def day(self) -> NDArray[np.float64]:
        """Days since the simulation's beginning."""
        return (self.examples.as_of - DEFAULT_START.timestamp() * 1000) / (24 * 60 * MINUTE_MS)


def trained_bundle(folder: Path, customers: int, step: Step) -> Bundle:
    """Train on a log without a sale, of other customers."""
    with step(f"Simulating {customers:,} customers without a sale") as on_progress:
        log = simulate(ShopParameters.default(), customers, DAYS, TRAINING_SEED, on_progress=on_progress)
        path = folder / "clean.parquet"
        write_log(path, log)
    return train(
        path,
        folder / "bundle",
        TrainingSettings(horizon_ms=HORIZON_MS, network=NETWORK, baselines=False),
        progress=step,
    )


def sale_log(name: str, bundle: Bundle, customers: int, step: Step) -> SaleLog:
    """Simulate the sale ``s9`` or ``s10`` and return its examples with known labels."""
    shop = msgspec.structs.replace(ShopParameters.default(), sale=SALES[name])
    with step(f"Simulating {customers:,} customers with the sale {name.upper()}") as on_progress:
        log = simulate(shop, customers, DAYS, SEED, on_progress=on_progress)
        folded = build_examples(log, Context(HORIZON_MS, "0"), on_progress=on_progress)
    with step("Computing the exact probabilities"):
        exact = exact_probability(log, HORIZON_MS)
    rows = np.flatnonzero(folded.usable)
    rows = rows[np.argsort(folded.as_of[rows], kind="stable")]
    with step("Scoring by the network"):
        vectors = np.ascontiguousarray(folded.vectors[rows])
        segment = bundle.segmenter.assign(vectors)
        logit = bundle.logits(vectors)
    count = len(rows)
    examples = Examples(
        partition=np.zeros(count, np.int32),
        offset=folded.rows[rows],
        event_id=(),
        customer=(),
        kind=folded.kinds[rows],
        as_of=folded.as_of[rows],
        weight=np.ones(count, np.float32),
        segment=segment,
        logit=logit,
        vectors=vectors,
    )
    return SaleLog(examples, folded.labels[rows].astype(np.uint8), exact[folded.rows[rows]])
