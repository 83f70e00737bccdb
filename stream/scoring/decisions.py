"""What marketing should do next, given the band, the cart and the session; and who is held out to measure it.

The rules are few and readable on purpose: they are the product's default policy, to be replaced by a shop's own.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from features.vector import COLUMN_NAMES, Vectors

ACTIONS: Final = (
    "none",
    "recommend_items",
    "offer_incentive",
    "remind_of_cart",
    "assist_checkout",
    "cross_sell",
)
NO_ACTION: Final = 0
_NONE, _RECOMMEND, _INCENTIVE, _REMIND, _ASSIST, _CROSS_SELL = range(len(ACTIONS))

#: Action by band (low, medium, high) without and with something in the cart. Who is likely to buy anyway is helped,
#: not discounted; an incentive goes to those in between.
_POLICY: Final = np.array([[_NONE, _NONE], [_INCENTIVE, _REMIND], [_RECOMMEND, _ASSIST]], np.uint8)

_CART: Final = COLUMN_NAMES.index("cart_quantity")
_BOUGHT: Final = COLUMN_NAMES.index("session_purchase")

# Part of the hash, so that the held-out customers are not those of another experiment on the same ids.
_SALT: Final = b"purchase-intent holdout\0"


def actions(band: NDArray[np.uint8], vectors: Vectors, holdout: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the index into `ACTIONS` for every row; held-out customers get ``none``."""
    chosen = _POLICY[band, (vectors[:, _CART] > 0).astype(np.intp)]
    chosen[(vectors[:, _BOUGHT] > 0) & (band > 0)] = _CROSS_SELL
    chosen[holdout] = _NONE
    return chosen


def held_out(customers: list[str], share: float) -> NDArray[np.bool_]:
    """Return whether each customer belongs to the ``share`` (0 to 1) that marketing leaves alone, always the same."""
    limit = int(share * 2**64)
    return np.fromiter(
        (xxh3_64_intdigest(_SALT + c.encode()) < limit for c in customers), np.bool_, len(customers)
    )
