"""Arrivals in a topic of which some records have their producer's time, as a worker takes them.

See `stream.ownership.arrivals`: such a record arrived at most when the next one with the broker's time did.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from aiokafka import ConsumerRecord
from numpy.typing import NDArray

from stream.kafka.batches import NEVER
from stream.kafka.clocks import is_appended


class Clocks:
    """Where a partition's records turn from one clock to the other.

    Examples
    --------
    >>> clocks = Clocks()
    >>> clocks.note([ConsumerRecord("e", 0, at, 100 * at, at % 2, b"", b"", None, 0, 0, ()) for at in range(3)])
    >>> clocks.bounds(np.arange(4)).tolist() == [100, NEVER, NEVER, NEVER]
    True
    """

    def __init__(self) -> None:
        self._created_from: list[int] = []
        self._appended_from: list[int] = []
        self._times: list[int] = []

    def note(self, records: Sequence[ConsumerRecord]) -> None:
        """Take note of the partition's next records."""
        for record in records:
            if is_appended(record) == (len(self._created_from) == len(self._appended_from)):
                continue  # the same clock as before
            if is_appended(record):
                self._appended_from.append(record.offset)
                self._times.append(record.timestamp)
            else:
                self._created_from.append(record.offset)

    def bounds(self, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return when records had arrived at the latest, epoch ms."""
        run = np.searchsorted(self._created_from, offsets, side="right") - 1
        ends = np.array([*self._appended_from, NEVER, NEVER], np.int64)
        times = np.array([*self._times, NEVER, NEVER], np.int64)
        return np.where((run >= 0) & (offsets < ends[run]), times[run], NEVER)

    def bounded(self, table: pa.Table) -> pa.Table:
        """Return rows of the log with their arrivals bounded."""
        if not self._created_from:
            return table
        at = table.column_names.index("arrived_at")
        arrivals = table["arrived_at"].cast(pa.int64()).to_numpy()
        least = np.minimum(arrivals, self.bounds(table["offset"].to_numpy()))
        kind = table.schema.field(at)
        return table.set_column(at, kind, pa.array(least).cast(kind.type))
