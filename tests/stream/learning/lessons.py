"""Made-up examples that something can be learned from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.bundle import Bundle
from features.vector import COLUMN_NAMES, WIDTH
from stream.learning.records.examples import Examples

START = 1_736_121_600_000
TELLING = COLUMN_NAMES.index("session_add_to_cart")


def lesson(
    bundle: Bundle, count: int, seed: int, *, start: int = START, gap_ms: int = 2_000, shift: float = 0.0
) -> tuple[Examples, NDArray[np.uint8]]:
    """Return examples in order and their labels: the calibrated logit, less 3, plus what carts tell and a shift."""
    chance = np.random.default_rng(seed)
    vectors = chance.gamma(0.6, 20.0, size=(count, WIDTH)).astype(np.float32)
    vectors[:, TELLING] = chance.poisson(0.5, count)
    scores = bundle.score(vectors)
    logit = np.log(scores.probability / (1 - scores.probability))
    true = 1 / (1 + np.exp(-(logit - 3 + shift + 1.5 * np.log1p(vectors[:, TELLING]))))
    examples = Examples(
        partition=np.zeros(count, np.int32),
        offset=np.arange(count),
        event_id=[f"e{i}" for i in range(count)],
        customer=[f"c{i % 97}" for i in range(count)],
        kind=np.zeros(count, np.uint8),
        as_of=start + gap_ms * np.arange(count),
        weight=np.ones(count, np.float32),
        segment=scores.segment,
        logit=scores.logit,
        vectors=vectors,
    )
    return examples, (chance.random(count) < true).astype(np.uint8)


def batches(count: int, size: int = 256) -> list[slice]:
    """Return mini-batches."""
    return [slice(at, min(at + size, count)) for at in range(0, count, size)]


def log_loss(labels: NDArray[np.uint8], p: NDArray[np.float64]) -> float:
    """Return the mean log-loss."""
    return float(-np.where(labels > 0, np.log(p), np.log1p(-p)).mean())
