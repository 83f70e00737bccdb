"""The scoring engine alone, without Kafka and Redis, on a log in batches as a worker gets them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from features.bundle import MANIFEST, Bundle
from features.columns import from_events
from features.events import decode_many
from features.state import DAY_MS, MINUTE_MS, empty
from stream.scoring.encoding import encode_scores
from stream.scoring.engine import Engine, slots_of
from stream.setting_values import ReasonBands

_BATCH: Final = 4000
# Shares of the scores below the bands medium and high, as training has them.
_BELOW: Final = (0.80, 0.95)


def engine_with(bundle: Bundle, reasons: ReasonBands) -> Engine:
    """Return an engine with the settings of a worker."""
    return Engine(bundle, lateness_ms=15 * MINUTE_MS, ttl_ms=400 * DAY_MS, holdout=0.05, reasons=reasons)


def score(engine: Engine, values: Sequence[bytes]) -> list[float]:
    """Decode, fold, score and encode events in their order; return the probabilities."""
    states, known, probabilities = empty(len(values)), dict[str, int](), list[float]()
    for start in range(0, len(values), _BATCH):
        columns = from_events(
            decode_many(values[start : start + _BATCH]).events, engine.bundle.manifest.currency
        )
        customers, slots = slots_of(columns.customers)
        rows = np.array([known.setdefault(customer, len(known)) for customer in customers])
        own = states[rows]
        scored = engine.score(columns, customers, slots, own)
        states[rows] = own
        encode_scores(engine.bundle, columns, scored, 0)
        probabilities += scored.probability.tolist()
    return probabilities


def set_bands(folder: Path, values: Sequence[bytes]) -> None:
    """Have a bundle's bands be the top 5% and the next 15% of its scores of these events, as after a training."""
    bundle = Bundle.load(folder)
    medium, high = np.quantile(score(engine_with(bundle, "off"), values), _BELOW)
    manifest = msgspec.structs.replace(
        bundle.manifest, band_thresholds={"medium": float(medium), "high": float(high)}
    )
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
