"""Who is held out, so that the effect of actions can be measured: the arms of the experiment.

The hash of a salt and the customer is one point on a line from 0 to 1, always the same. The holdout begins at its left
end, the customers that the shop manages at its right end: whatever a share becomes, people move only across the border
that has moved, and a larger holdout contains the smaller one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from stream.messages.action import Arm

ARMS: Final[tuple[Arm, ...]] = get_args(Arm)
TREATMENT, HOLDOUT, MANAGED = range(len(ARMS))

#: Part of the hash, so that the held-out customers are not those of another experiment on the same ids.
DEFAULT_SALT: Final = "purchase-intent holdout"

_NUMBER: Final = r"(\d+(?:\.\d+)?(?:e-\d+)?)"
_NAME: Final = re.compile(rf"-[0-9a-f]{{4}}-{_NUMBER}(?:\+{_NUMBER})?$")


class Assignment(msgspec.Struct, frozen=True):
    """How customers are assigned to arms.

    Attributes
    ----------
    salt, version
        Another salt draws other people. The version is the shop's name for it.
    holdout, managed
        Shares of customers (0 to 1).
    """

    salt: str
    version: str
    holdout: float
    managed: float = 0.0

    @property
    def name(self) -> str:
        """The version of the assignment: it differs whenever salt, version or a share does."""
        salt = xxh3_64_intdigest(self.salt.encode()) & 0xFFFF
        managed = f"+{self.managed:g}" if self.managed else ""
        return f"{self.version}-{salt:04x}-{self.holdout:g}{managed}"

    @staticmethod
    def shares_of_name(name: str) -> tuple[float, float] | None:
        """Return the holdout and the managed share that a `name` tells; ``None`` where another made it.

        Examples
        --------
        >>> Assignment.shares_of_name("2-0fbb-0.05+0.1")
        (0.05, 0.1)
        """
        found = _NAME.search(name)
        return None if found is None else (float(found[1]), float(found[2] or 0.0))

    def arms(self, customers: Sequence[str]) -> NDArray[np.uint8]:
        """Return the index into `ARMS` for each customer."""
        salt = self.salt.encode() + b"\0"
        points = [xxh3_64_intdigest(salt + customer.encode()) for customer in customers]
        held, managed = int(self.holdout * 2**64), int((1.0 - self.managed) * 2**64)
        return np.fromiter(
            (HOLDOUT if p < held else MANAGED if p >= managed else TREATMENT for p in points),
            np.uint8,
            len(points),
        )


def held_out(customers: Sequence[str], share: float) -> NDArray[np.bool_]:
    """Return whether each customer belongs to the ``share`` (0 to 1) that the default policy leaves alone."""
    held: NDArray[np.bool_] = Assignment(DEFAULT_SALT, "", share).arms(customers) == HOLDOUT
    return held
