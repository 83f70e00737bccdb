"""Bundles that score beside the live one, judged on the same examples by the same labels.

What matters is the difference of two log-losses, and how sure it is. Two things would make an interval too narrow:

- The examples of a customer share a label and much else, so they do not count as independent. Customers are thrown into
  `GROUPS` groups by their hash, and the spread between the sums of groups is that of the difference [Wolter 2007,
  Introduction to Variance Estimation, chapter 2, random groups]. That takes the same memory whatever the traffic.
- People look whenever they like, and promote when they see what they hoped for. So the interval is that of a confidence
  sequence, which holds at all looks together (`features.sequence`).

Both the live network and what was published are compared with: the online model belongs to the live bundle, and another
one begins without it.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.sequence import boundary
from stream.learning.judging.prequential import Cell, Figures

#: Who is compared: the live network, what was published, and the bundle beside.
COMPARED: Final = ("network", "blend", "beside")
#: Groups of customers.
GROUPS: Final = 256
#: Bundles that are remembered; of more the one that was silent for longest is forgotten.
MOST_RIVALS: Final = 4

#: The interval is an approximation that needs some examples, buyers and groups.
LEAST_EXAMPLES: Final = 1_000
LEAST_BUYERS: Final = 20
_LEAST_GROUPS: Final = 30
# Examples at which the sequence is narrowest: some hours or days of a shop.
_TUNED_FOR: Final = 100_000

# Rows of the sums of groups: weights, and for each comparison weighted differences and their squares.
_WEIGHT, _THAN_NETWORK, _THAN_BLEND, _NETWORK_SQUARES, _BLEND_SQUARES = range(5)
_SUMS: Final = (5, GROUPS)


class Difference(msgspec.Struct, frozen=True):
    """By how much the log-loss of a bundle beside is higher (where it is positive) than another's.

    ``low`` and ``high`` are the ends of its 95% interval, ``None`` as long as there is too little to say.
    """

    value: float
    low: float | None
    high: float | None


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a bundle beside the live one.

    Attributes
    ----------
    version
        Names it.
    since, as_of
        Event time of the first and of the last example that both scored, epoch ms.
    examples
        How many there were.
    figures
        By `COMPARED`, all of the same examples.
    than
        The difference from the live network, and from what was published.
    buyers
        After how many of the examples the customer bought; ``None`` where a learner of before did not say.
    """

    version: str
    since: int
    as_of: int
    examples: int
    figures: dict[str, Figures]
    than: dict[str, Difference]
    buyers: int | None = None


class _Rival(NamedTuple):
    """The sums of one bundle; ``counts`` holds examples, buyers, and the first and the last ``as_of``."""

    cell: Cell
    groups: NDArray[np.float64]
    counts: NDArray[np.int64]


class Rivals:
    """Counts what bundles beside the live one said."""

    def __init__(self) -> None:
        self._rivals: dict[str, _Rival] = {}

    def count(
        self,
        version: str,
        as_of: NDArray[np.int64],
        customers: NDArray[np.uint64],
        labels: NDArray[np.uint8],
        weights: NDArray[np.float64],
        live: NDArray[np.float64],
        beside: NDArray[np.float64],
    ) -> None:
        """Count a mini-batch of which a bundle scored some.

        Parameters
        ----------
        live
            The live network's probabilities and the published ones, shape ``(examples, 2)``.
        beside
            Of the bundle, NaN where it said nothing.
        """
        rows = np.flatnonzero((beside >= 0.0) & (beside <= 1.0))
        if not len(rows):
            return
        rival = self._of(version, int(as_of[rows[0]]))
        losses = rival.cell.count(labels[rows], weights[rows], np.column_stack([live[rows], beside[rows]]))
        group = (customers[rows] % np.uint64(GROUPS)).astype(np.int64)
        np.add.at(rival.groups[_WEIGHT], group, weights[rows])
        for than, (sums, squares) in enumerate(
            ((_THAN_NETWORK, _NETWORK_SQUARES), (_THAN_BLEND, _BLEND_SQUARES))
        ):
            difference = weights[rows] * (losses[:, 2] - losses[:, than])
            np.add.at(rival.groups[sums], group, difference)
            np.add.at(rival.groups[squares], group, difference**2)
        rival.counts[0] += len(rows)
        rival.counts[1] += np.count_nonzero(labels[rows])
        rival.counts[3] = max(int(rival.counts[3]), int(as_of[rows].max()))

    def judged(self) -> list[Judged]:
        """Return what is known of each bundle, the newest last."""
        return [
            Judged(
                version=version,
                since=int(rival.counts[2]),
                as_of=int(rival.counts[3]),
                examples=int(rival.counts[0]),
                figures=figures,
                than={
                    "network": _difference(rival, _THAN_NETWORK, _NETWORK_SQUARES),
                    "blend": _difference(rival, _THAN_BLEND, _BLEND_SQUARES),
                },
                buyers=int(rival.counts[1]),
            )
            for version, rival in self._rivals.items()
            if (figures := rival.cell.figures(COMPARED))
        ]

    def _of(self, version: str, as_of: int) -> _Rival:
        if version not in self._rivals:
            if len(self._rivals) == MOST_RIVALS:
                del self._rivals[min(self._rivals, key=lambda one: int(self._rivals[one].counts[3]))]
            counts = np.array([0, 0, as_of, as_of], np.int64)
            self._rivals[version] = _Rival(Cell.empty(), np.zeros(_SUMS), counts)
        return self._rivals[version]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the state."""
        names = np.frombuffer(msgspec.json.encode(list(self._rivals)), np.uint8)
        found: dict[str, NDArray[Any]] = {"names": names}
        for at, rival in enumerate(self._rivals.values()):
            found |= {
                f"{at}/histogram": rival.cell.histogram,
                f"{at}/sums": rival.cell.sums,
                f"{at}/groups": rival.groups,
                f"{at}/counts": rival.counts,
            }
        return found

    def set_arrays(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Continue from a state that `arrays` returned; what another version of this program counted is left out."""
        names = msgspec.json.decode(arrays["names"].tobytes(), type=list[str]) if "names" in arrays else []
        self._rivals = {
            name: _Rival(
                Cell(arrays[f"{at}/histogram"].copy(), arrays[f"{at}/sums"].copy()),
                arrays[f"{at}/groups"].copy(),
                arrays[f"{at}/counts"].copy(),
            )
            for at, name in enumerate(names)
            if arrays[f"{at}/groups"].shape == _SUMS
        }


def _difference(rival: _Rival, sums: int, squares: int) -> Difference:
    """Return a mean difference with its interval: a ratio of sums over groups, linearised.

    The clock of the sequence are independent examples: those that there are, over the design effect [Kish 1965].
    """
    weight, summed = rival.groups[_WEIGHT], rival.groups[sums]
    mass = weight.sum()
    value = float(summed.sum() / mass)
    examples, buyers = rival.counts[:2].tolist()
    groups = int(np.count_nonzero(weight))
    if examples < LEAST_EXAMPLES or buyers < LEAST_BUYERS or groups < _LEAST_GROUPS:
        return Difference(value, None, None)
    residual = (summed - value * weight)[weight > 0]
    error = float(np.sqrt((residual**2).sum() * groups / (groups - 1)) / mass)
    independent = float(np.sqrt(rival.groups[squares].sum()) / mass)
    design_effect = (error / independent) ** 2 if independent > 0 else 1.0
    half = error * float(boundary(examples / max(design_effect, 1.0), tuned_for=_TUNED_FOR))
    return Difference(value, value - half, value + half)
