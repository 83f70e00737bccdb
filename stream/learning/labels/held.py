"""Examples of one partition that wait, in little memory, and with work in proportion to what comes and goes.

What is large (vectors) lies in pages, in the order of arrival, is written once and copied once, when it is learned.
What is small, and decides the order, lies in sorted runs. A page is dropped when its last example is learned; since
event time and arrival differ by the lateness at most, that is soon after its first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.structured import pieces
from stream.learning.labels.cursors import Cursor
from stream.learning.labels.runs import Columns, SortedRuns
from stream.learning.records.rows import PAYLOAD, ExampleRows, Payload

#: Examples of a page: 140 kB. It is also how exactly a restart knows from where to read again.
PAGE: Final = 512


class _Page:
    """Examples in the order of their source offsets; ``before`` is the cursor from which they would be read again."""

    __slots__ = ("before", "filled", "first", "left", "payload")

    def __init__(self, before: Cursor, first: int) -> None:
        self.before = before
        self.first = first  # source offset
        self.filled = 0
        self.left = 0
        self.payload: Payload = np.empty(PAGE, PAYLOAD)


class Keys(NamedTuple):
    """What decides order and label of examples, and where the rest of each lies."""

    as_of: NDArray[np.int64]
    offset: NDArray[np.int64]
    customer: NDArray[np.uint64]
    place: NDArray[np.int64]


class Held:
    """The waiting examples of one partition and one generation.

    They leave in two steps: `pop` gives out the keys of those that are final, in order; their payload stays, and counts
    as not learned, until `drop`.
    """

    def __init__(self) -> None:
        self._keys = SortedRuns((np.int64, np.int64, np.uint64, np.int64), _by_as_of, offset=1)
        self._pages: dict[int, _Page] = {}  # by number, in the order of arrival
        self._number = -1

    def __bool__(self) -> bool:
        return bool(self._pages)

    def add(self, rows: ExampleRows, cursors: Sequence[Cursor], record: NDArray[np.intp]) -> None:
        """Hold examples in the order of their source offsets; ``cursors[record[i]]`` is where row i would be read."""
        place = np.empty(len(rows.as_of), np.int64)
        at = 0
        while at < len(place):
            page = self._pages.get(self._number)
            if page is None or page.filled == PAGE:
                self._number += 1
                page = self._pages[self._number] = _Page(cursors[record[at]], int(rows.offset[at]))
            until = min(at + PAGE - page.filled, len(place))
            stop = page.filled + until - at
            pieces(page.payload)[page.filled : stop] = pieces(rows.payload[at:until])
            start = self._number * PAGE
            place[at:until] = np.arange(start + page.filled, start + stop)
            page.left += until - at
            page.filled, at = stop, until
        self._keys.add((rows.as_of, rows.offset, rows.customer, place))

    def pop(self, until: int | None) -> Keys:
        """Return the keys of the examples older than ``until`` (by default of all) in order, each once."""
        return Keys(*self._keys.pop_below(until))

    def payload(self, place: NDArray[np.int64]) -> Payload:
        """Return the payload of the examples at these places."""
        found = np.empty(len(place), PAYLOAD)
        for number, rows in _by_page(place):
            pieces(found)[rows] = pieces(self._pages[number].payload)[place[rows] % PAGE]
        return found

    def drop(self, place: NDArray[np.int64]) -> None:
        """Forget examples that are learned, or will never be."""
        for number, rows in _by_page(place):
            page = self._pages[number]
            page.left -= len(rows)
            if not page.left:
                del self._pages[number]

    @property
    def oldest(self) -> int | None:
        """The lowest ``as_of`` of an example that was not popped."""
        return self._keys.lowest

    @property
    def begins(self) -> tuple[Cursor, int] | None:
        """Where reading would have to begin again, and the source offset there; ``None`` where nothing is left."""
        page = next(iter(self._pages.values()), None)
        return None if page is None else (page.before, page.first)


def _by_as_of(columns: Columns) -> NDArray[np.intp]:
    """Return the order by ``as_of``, then by source offset: in that order they came."""
    return np.argsort(columns[0], kind="stable")


def _by_page(place: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Yield each page's number and the positions of its places."""
    page = place // PAGE
    order = np.argsort(page, kind="stable")
    numbers, starts = np.unique(page[order], return_index=True)
    for number, (low, high) in zip(numbers.tolist(), pairwise([*starts.tolist(), len(order)]), strict=True):
        yield number, order[low:high]
