"""How large a network and how many epochs the training data can bear.

With many examples the settings tuned on the simulated shop are used as they are. With few, sizes and epochs
are compared on training customers that are held out for it; calibration and test slices play no part. A small log of
orders has settings of its own: a few hundred held-out customers can't tell which settings hold a season later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.vector import Vectors
from offline.training.network import NetworkSettings, fit_network
from offline.training.scaling import Scaling

#: From this many training examples on, nothing is compared.
PLENTY: Final = 100_000

#: For small logs of orders: one wide, smooth layer. Chosen on the orders of Online Retail up to 2011-07.
ORDERS: Final = NetworkSettings(hidden=(256,), activation="tanh", epochs=24.0, batch=64, side_weight=0.5)
#: From this many examples on `ORDERS` holds.
ENOUGH_ORDERS: Final = 1_000

_HELD_OUT: Final = 0.2  # share of the training customers
_SIZES: Final = ((128, 64), (32,))
_EPOCHS: Final = (2.0, 4.0, 8.0, 16.0)
_STEPS_AN_EPOCH: Final = 64  # that small data should at least have, as far as the batch allows
_BATCHES: Final = (64, 2048)


def choose_settings(
    scaled: Vectors,
    targets: NDArray[np.uint8],
    customers: NDArray[np.int64],
    scaling: Scaling,
    *,
    epochs: float | None = None,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> NetworkSettings:
    """Return the settings for this training data.

    Parameters
    ----------
    scaled, targets, scaling
        As `offline.training.network.fit_network` takes them.
    customers
        Number of each example's customer.
    epochs
        Where given, only sizes are compared.
    """
    default = NetworkSettings(seed=seed)
    tried = _EPOCHS if epochs is None else (epochs,)
    if len(scaled) >= PLENTY:
        return default if epochs is None else default._replace(epochs=epochs)
    batch = int(np.clip(2 ** round(np.log2(max(len(scaled) / _STEPS_AN_EPOCH, 1))), *_BATCHES))
    options = [default._replace(hidden=h, epochs=e, batch=batch) for h in _SIZES for e in tried]
    known = np.unique(customers)
    held = np.random.default_rng(seed).permutation(known)[: int(len(known) * _HELD_OUT)]
    out = np.isin(customers, held)
    losses = []
    for done, option in enumerate(options):
        network = fit_network(scaled[~out], targets[~out], scaling, option)
        losses.append(log_loss(network.scaled_logits(scaled[out]), targets[out, 0]))
        if on_progress is not None:
            on_progress(done + 1, len(options))
    return options[int(np.argmin(losses))]


def log_loss(logits: NDArray[np.float64], labels: NDArray[np.uint8]) -> float:
    """Return the mean log-loss of logits, in nats."""
    return float((np.logaddexp(0, logits) - logits * labels).mean())
