"""Windows of a log: rows that may be sent at once, because none of them depends on what workers make of another one.

Some rows have workers tell other partitions something, by records of the events topic (`features.identity`,
`features.prices`): a login hands over what was known of an id, later events of that id are handed on, and a price is
copied to all partitions. A window ends before the first row that such a record should precede:

- an event of somebody to whom another id of the window hands something;
- any event that happened longer after such a row than `LEAD_MS`, or the lateness if that is shorter. Till then neither
  a price nor a timer misses anything: what a timer sees depends on the watermark, which lies one lateness behind.

A log that has no such row is one window.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from features.identity import Identify, decode_identity, is_identity_type
from features.logins import LinksAtOnce
from features.prices import Price, decode_price
from features.refusals import RejectedEvent
from stream.logs.rows import Encoded

#: Event time by which rows may be ahead of what workers have not handed over yet.
LEAD_MS: Final = 300_000

_NEVER: Final = -(2**63)


class Window(NamedTuple):
    """Rows of a piece of a log, from ``start`` to ``stop``.

    Attributes
    ----------
    closes
        Whether workers have to hand over all that they were told so far before the next row is sent.
    """

    start: int
    stop: int
    closes: bool


class Windows:
    """Cuts a log into windows, piece by piece.

    Parameters
    ----------
    partitions
        Of the events topic. A single one tells others no prices.
    lateness_ms
        How late an event may be.

    Attributes
    ----------
    open
        Whether workers may have something to hand over because of the rows since the last cut.
    """

    def __init__(self, partitions: int, lateness_ms: int) -> None:
        self._copies = partitions > 1
        self._lead_ms = min(LEAD_MS, lateness_ms)
        self._links = LinksAtOnce()
        self._known: set[bytes] = set()  # who is linked, or has been
        self._tellers: dict[str, str] = {}  # by family, whose rows are handed on in this window
        self._since: int | None = None  # event time of the first row of which something is told
        self._newest = _NEVER

    @property
    def open(self) -> bool:
        """See the class."""
        return self._since is not None

    def of(self, rows: Encoded) -> Iterator[Window]:
        """Yield the windows of the next rows; the last one may go on in those that follow."""
        start = 0
        for cut in self._cuts(rows):
            yield Window(start, cut, True)
            start = cut
        if start < len(rows.values):
            yield Window(start, len(rows.values), False)

    def _cuts(self, rows: Encoded) -> Iterator[int]:
        if not (self._known or self.open or rows.said):
            self._newest = max(self._newest, int(rows.due_ms.max(initial=_NEVER)))
            return
        said = set(rows.said)
        times = np.maximum(np.maximum.accumulate(rows.due_ms), self._newest).tolist()
        for at, (key, time) in enumerate(zip(rows.keys, times, strict=True)):
            self._newest = time
            overdue = self._since is not None and time - self._since > self._lead_ms
            if not overdue and at not in said and key not in self._known:
                continue
            one = "" if key is None else key.decode(errors="replace")
            what = _said(rows.values[at]) if at in said else None
            if overdue or self._depends(one, what):
                yield at
                self._tellers.clear()
                self._since = None
            if self._tells(one, what, erased=rows.values[at] is None):
                self._since = time if self._since is None else self._since

    def _depends(self, one: str, what: Identify | Price | None) -> bool:
        """Whether somebody else has something handed to those with whom this row has to do."""
        if isinstance(what, Price):
            return False
        ids = (one, what.customer_id) if isinstance(what, Identify) else (one,)
        return any(self._tellers.get(self._family(each), one) != one for each in ids)

    def _tells(self, one: str, what: Identify | Price | None, *, erased: bool) -> bool:
        """Take note of a row; return whether workers tell other partitions something because of it."""
        if isinstance(what, Price):
            return self._copies
        if isinstance(what, Identify):
            self._known |= {one.encode(), what.customer_id.encode()}
            before = {self._family(one), self._family(what.customer_id)}
            linked = self._links.take(one, what.customer_id)
            told = any(self._tellers.pop(family, "") for family in before)
            if linked or told:
                self._tellers[self._family(one)] = one
            return linked
        if one not in self._links.holders.links and not erased:
            return False
        self._tellers[self._family(one)] = one
        return True

    def _family(self, one: str) -> str:
        return self._links.holders.families.of(one)


def _said(value: bytes | None) -> Identify | Price | None:
    """Return what a row says that is no event, ``None`` where workers refuse it."""
    try:
        if value is None or not is_identity_type(value):
            found = None if value is None else decode_price(value)
            return found if isinstance(found, Price) else None
        identity = decode_identity(value)
    except RejectedEvent:
        return None
    return identity if isinstance(identity, Identify) else None
