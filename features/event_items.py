"""The items that events are about, by their ids: looked up only for the few events that somebody asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.events import Event, decode

#: Items of one event, at most.
MOST_EVENT_ITEMS: Final = 8

_NOBODY: Final = -1


class EventItems:
    """The items of each row of a batch; rows are picked as those of an array are.

    Parameters
    ----------
    of
        Returns the items of one of the events.
    rows
        For each row the event; `-1`: the row is no event.

    Examples
    --------
    >>> items = EventItems([["a"], ["b", "c", "b"]].__getitem__, np.array([0, 1]))
    >>> items[np.array([1])].of(0)
    ['b', 'c']
    """

    __slots__ = ("_of", "_rows")

    def __init__(self, of: Callable[[int], Sequence[str | None]], rows: NDArray[np.int64]) -> None:
        self._of = of
        self._rows = rows

    @classmethod
    def of_events(cls, events: Sequence[Event]) -> EventItems:
        """Return the items of decoded events."""

        def of(row: int) -> list[str | None]:
            return _items(events[row])

        return cls(of, np.arange(len(events)))

    @classmethod
    def of_values(
        cls, data: NDArray[np.uint8], at: NDArray[np.int64], length: NDArray[np.int64]
    ) -> EventItems:
        """Return the items of good events from their JSON, which lies in a buffer."""

        def of(row: int) -> list[str | None]:
            return _items(decode(data[at[row] : at[row] + length[row]].tobytes()))

        return cls(of, np.arange(len(at)))

    @classmethod
    def of_table(cls, table: pa.Table) -> EventItems:
        """Return the items of rows of an event log."""
        item, lines = table["item_id"], table["items"]

        def of(row: int) -> list[str | None]:
            return [item[row].as_py(), *(line["item_id"] for line in lines[row].as_py() or ())]

        return cls(of, np.arange(len(table)))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: Any) -> EventItems:
        return EventItems(self._of, self._rows[rows])

    def of(self, row: int, most: int | None = MOST_EVENT_ITEMS) -> list[str]:
        """Return the distinct items of a row, the first ``most`` of them; ``None``: all."""
        event = int(self._rows[row])
        named = [] if event == _NOBODY else [item for item in self._of(event) if item]
        return list(dict.fromkeys(named))[:most]

    def and_then(self, other: EventItems) -> EventItems:
        """Return the rows of both, one after the other."""
        shift = int(self._rows.max(initial=_NOBODY)) + 1
        own, others = self._of, other._of

        def of(event: int) -> Sequence[str | None]:
            return own(event) if event < shift else others(event - shift)

        rows = np.where(other._rows == _NOBODY, _NOBODY, other._rows + shift)
        return EventItems(of, np.concatenate([self._rows, rows]))

    def with_others(self, at: Sequence[int]) -> EventItems:
        """Return these with a row that is no event before each position ``at``."""
        return EventItems(self._of, np.insert(self._rows, at, _NOBODY))


def _items(event: Event) -> list[str | None]:
    return [event.item_id, *(line.item_id for line in event.items or ())]


#: The items of no event.
NO_ITEMS: Final = EventItems(lambda _: (), np.zeros(0, np.int64))
