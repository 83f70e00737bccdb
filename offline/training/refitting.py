"""Small logs of orders: once the models are measured, train the network again, on every example with a known label.

With a horizon of weeks, the embargoes and the slices that models are measured on take most of a year's log: of nine
months of orders, the training slice holds a quarter. So the measures come from the slices, and the network that goes
into the bundle is trained again on everything, with the same settings. It is the mean of some networks, each trained
without a part of the customers: that steadies small networks [Breiman 1996, doi 10.1007/BF00058655], and gives every
example a logit from a network that has not seen its customer, which the calibration is fitted on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.bundle import Calibration
from offline.examples.examples import Examples
from offline.training.budget import ENOUGH_ORDERS, ORDERS, PLENTY
from offline.training.calibration import platt
from offline.training.network import Network, NetworkSettings, averaged, fit_network
from offline.training.scaling import Scaling
from offline.training.side_targets import side_targets

#: Networks in the mean, and parts that the customers are divided into.
MEMBERS: Final = 5
#: The calibration is fitted on the latest part of the examples: what holds now counts.
LATEST: Final = 1 / 3

_LEAST_OF_A_CLASS: Final = 10


class Refitted(NamedTuple):
    """The network of the bundle.

    ``rows`` are the examples it was trained on; ``reference`` are the probabilities of the latest of them, which the
    calibration was fitted on, by networks that have not seen their customers.
    """

    network: Network
    calibration: Calibration
    rows: NDArray[np.int64]
    reference: NDArray[np.float64]


def settings_for(examples: Examples, rows: NDArray[np.int64], seed: int = 0) -> NetworkSettings | None:
    """Return the settings for a small log of orders; None for other logs, and where there are very few of them."""
    if len(rows) < ENOUGH_ORDERS or not worth_refitting(examples):
        return None
    return ORDERS._replace(seed=seed)


def worth_refitting(examples: Examples) -> bool:
    """Tell whether the log is one of orders, and small."""
    orders = examples.types == ("purchase",)
    return orders and int(np.count_nonzero(examples.usable)) < PLENTY


def refit(
    examples: Examples,
    horizon_ms: int,
    settings: NetworkSettings,
    *,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> Refitted | None:
    """Train on every example with a known label; None where the latest ones are too few to calibrate on.

    Parameters
    ----------
    examples
        With the segment column filled.
    on_progress
        Called with networks done and in all.
    """
    rows = np.flatnonzero(examples.usable)
    rows = rows[np.argsort(examples.as_of[rows], kind="stable")]
    labels, customers = examples.labels[rows], examples.customers[rows]
    latest = slice(len(rows) - int(len(rows) * LATEST), None)
    positive = int(np.count_nonzero(labels[latest] > 0))
    if min(positive, len(labels[latest]) - positive) < _LEAST_OF_A_CLASS:
        return None
    vectors = examples.vectors[rows]
    scaling = Scaling.fit(vectors)
    scaled = scaling.apply(vectors)
    targets = np.column_stack([labels.astype(np.uint8), side_targets(examples, rows, horizon_ms)])
    part = parts_of(customers, MEMBERS, seed)
    members, unseen = [], np.empty(len(rows))
    for member in range(MEMBERS):
        out = part == member
        own = settings._replace(seed=settings.seed + member)
        network = fit_network(scaled[~out], targets[~out], scaling, own)
        unseen[out] = network.scaled_logits(scaled[out])
        members.append(network)
        if on_progress is not None:
            on_progress(member + 1, MEMBERS)
    calibration = platt(unseen[latest], labels[latest])
    return Refitted(averaged(members), calibration, rows, calibration.probabilities(unseen[latest]))


def parts_of(customers: NDArray[np.int64], parts: int, seed: int) -> NDArray[np.int64]:
    """Return for each example the part, of about equal size, that its customer belongs to."""
    known, at = np.unique(customers, return_inverse=True)
    return np.random.default_rng(seed).permutation(np.arange(len(known)) % parts)[at]
