"""Cells that belong to an order, and stand in its first row only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from offline.datasets.conversion import Tally
from offline.datasets.values import Bools, mask

#: Fields that say something about an order as a whole. Its value is none of them: `offline.datasets.order_lines`
#: counts one that stands in one row.
ORDER_FIELDS: Final = (
    "customer_id", "event_time", "type", "currency", "country", "channel", "device", "session_id",
)  # fmt: skip
_ORDER: Final = "order_id"


@dataclass
class OrderCells:
    """Fills the empty cells of orders, block by block."""

    _file: Path | None = None
    _last: dict[str, pa.Array] = field(default_factory=dict)  # the last row of the block before

    def filled(self, file: Path, raw: Mapping[str, pa.Array], notes: Tally) -> dict[str, pa.Array]:
        """Return the columns of a block, by field, with empty cells taken from the row above of the same order.

        Parameters
        ----------
        file
            Where the block comes from.
        raw
            Columns by field of an event.
        notes
            Counts the rows in which a cell was filled.
        """
        wanted = [name for name in ORDER_FIELDS if name in raw]
        if _ORDER not in raw or not wanted or not len(raw[_ORDER]):
            return dict(raw)
        known = (
            self._last if file == self._file else {name: raw[name].slice(0, 1) for name in [_ORDER, *wanted]}
        )
        both = {name: pa.concat_arrays([known[name], raw[name]]) for name in [_ORDER, *wanted]}
        same = _same_as_above(both[_ORDER])
        filled, changed = dict(raw), np.zeros(len(same), bool)
        for name in wanted:
            source = np.where(mask(pc.is_valid(both[name])) | ~same, np.arange(len(same)), 0)
            source = np.maximum.accumulate(source)
            full = both[name].take(pa.array(source))
            changed |= mask(pc.and_(pc.is_null(both[name]), pc.is_valid(full)))
            both[name] = full
            filled[name] = full.slice(1)
        self._file, self._last = file, {name: column.slice(len(column) - 1) for name, column in both.items()}
        example = None
        if changed.any():
            example = f"{file.name}: order {both[_ORDER][int(np.argmax(changed))].as_py()!r}"
        notes.add(
            "row that says of its order only what differs: filled from the row above",
            int(changed.sum()),
            example,
        )
        return filled


def _same_as_above(order: pa.Array) -> Bools:
    """Mark the rows that have the order of the row above."""
    return np.concatenate([[False], mask(pc.equal(order.slice(1), order.slice(0, len(order) - 1)))]).astype(
        bool
    )
