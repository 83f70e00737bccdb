"""The items of events that name several, looked up only where a wish list asks for them."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from features.columns import EventColumns
from features.events import PURCHASE
from features.state import States
from features.wishes import UNWISH, WISH, Hashes


class Named(NamedTuple):
    """The items of events that name several and take them off the wish list, as hashes, row after row.

    ``ends`` has where those of each row end; no rows where there is no such event.
    """

    hashes: Hashes
    ends: NDArray[np.int64]


_NOTHING_NAMED: Final = Named(np.zeros(0, np.uint64), np.zeros(0, np.int64))


def named_items(states: States, slots: NDArray[np.int64], columns: EventColumns, asides: States) -> Named:
    """Return the items of the events that name several, where there may be a wish list that asks for them."""
    kinds = columns.type
    several = (columns.cart_hash == 0) & (columns.item_hash != 0) & ((kinds == PURCHASE) | (kinds == UNWISH))
    rows = np.flatnonzero(several)
    if not len(rows) or not len(columns.items):
        return _NOTHING_NAMED
    wished = [states["wish_items"][slots[rows], 0], asides["wish_items"][:, 0], kinds == WISH]
    if not any(one.any() for one in wished):
        return _NOTHING_NAMED
    items = [columns.items.of(row, None) for row in rows.tolist()]
    counts = np.zeros(len(slots), np.int64)
    counts[rows] = [len(own) for own in items]
    hashes = [xxh3_64_intdigest(item.encode()) for own in items for item in own]
    return Named(np.array(hashes, np.uint64), np.cumsum(counts))
