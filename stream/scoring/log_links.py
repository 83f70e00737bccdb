"""The links of a partition of an archived log: followed as the worker follows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import structs
from numpy.typing import NDArray

from features.columns import HAND_OVER, MERGE, PASS, EventColumns, from_table
from features.events import Event
from features.fold import Asides
from features.identity import IDENTIFY, IDENTITY_TYPES, HandOver, Identify, decode_identity
from features.state import empty, joined
from features.store.customer_store import Loaded
from stream.decisions.assignees import Assigning, Step
from stream.scoring.batch import Batch
from stream.scoring.identities import other_rows
from stream.scoring.linking import Linked, linked

_TIME: Final = "event_time"

# A topic has fewer.
_MOST_PARTITIONS: Final = 1 << 31


class LogLinks:
    """Who is linked to whom in a partition, and what was taken of others.

    Parameters
    ----------
    lateness_ms, ttl_ms
        How late an event may be, and how long states and links live.
    regrouped
        Whether the rows may be of several partitions of the topic. Each of them took what was handed over in its own
        order, so it is known by where it came from and where it went to.

    Attributes
    ----------
    stored
        The stored form of each link.
    taken
        The last hand-over of each partition.
    """

    def __init__(self, lateness_ms: int, ttl_ms: int, *, regrouped: bool = False) -> None:
        self._regrouped = regrouped
        self.stored: dict[str, bytes] = {}
        self.taken: Mapping[int, tuple[int, int]] = {}
        self._asides = empty(1)
        self._assigned: Mapping[str, str] = {}  # where logins are merged at once
        self._given = {0: ""}
        self._lateness_ms = lateness_ms
        self._ttl_ms = ttl_ms

    def concern(self, table: pa.Table) -> bool:
        """Whether any row of a table may be about who is who."""
        return bool(self.stored) or table["identity"].null_count < len(table)

    def in_place(
        self, table: pa.Table, columns: EventColumns, identities: Mapping[int, Identify | HandOver]
    ) -> tuple[EventColumns, Asides, Assigning]:
        """Return columns of accepted rows, the states beside them, and who assigns, where logins are merged at once.

        Each row that hands a state over is followed by the one that merges it, which may be in the next piece.
        """
        rows = sorted(identities)
        hands = pc.equal(table["type"].take(rows), IDENTIFY).to_numpy()
        columns = columns.with_types(rows, np.where(hands, HAND_OVER, MERGE).tolist())
        at = np.full(len(columns), -1, np.int64)
        at[rows] = np.cumsum(hands)
        self._asides = joined([self._asides[-1:], empty(int(hands.sum()))])
        latest = np.maximum.accumulate(columns.time)
        times = np.where(columns.type >= PASS, latest, columns.time)
        steps = [Step(row, columns.customers[row], int(columns.type[row])) for row in rows]
        return replace(columns, time=times), Asides(self._asides, at), self.standing(steps)

    def standing(self, steps: Sequence[Step] = ()) -> Assigning:
        """Return what assigns the customers of accepted rows where logins are merged at once."""
        return Assigning(self._assigned, steps, dict(self._given))

    def settle(self, assigning: Assigning, found: Linked | None = None) -> None:
        """Take over what rows have changed that were folded.

        Parameters
        ----------
        found
            What `follow` has returned.
        """
        if found is None:
            self._assigned = assigning.now
            self._given = {0: assigning.given[max(assigning.given)]}
            return
        changed, self.taken = found.changes(0)
        for customer, link in changed.items():
            self.stored.pop(customer, None)
            if link is not None:
                self.stored[customer] = link

    def columns(self, table: pa.Table, currency: str) -> tuple[EventColumns, dict[int, Identify | HandOver]]:
        """Return the columns of accepted rows, and by row what says who is who."""
        others = pc.is_in(table["type"], pa.array(IDENTITY_TYPES)).to_numpy()
        identities: dict[int, Identify | HandOver] = {}
        for row, text in enumerate(table["identity"].to_pylist()):
            if text is not None:
                identity = decode_identity(text.encode())
                if isinstance(identity, HandOver):
                    identity = self._placed(identity, table, row, event=not others[row])
                identities[row] = identity
        owners = table["customer_id"]
        rows = {
            row: other._replace(customer=owners[row].as_py()) for row, other in other_rows(identities).items()
        }
        columns = from_table(table.filter(pa.array(~others)), currency)
        places = np.searchsorted(np.flatnonzero(~others), list(rows))
        return columns.with_rows(places.tolist(), list(rows.values())), identities

    def _placed(self, handed: HandOver, table: pa.Table, row: int, *, event: bool) -> HandOver:
        """Return a hand-over with the event of its row, and a place that no other one of the log has."""
        if event:
            handed = structs.replace(handed, event=_event(table, row))
        if self._regrouped and (home := table["partition"][row].as_py()) is not None:
            sender, *place = handed.source
            handed = structs.replace(handed, source=(sender + _MOST_PARTITIONS * home, place[0], place[1]))
        return handed

    def follow(  # noqa: PLR0917  (a batch)
        self,
        table: pa.Table,
        columns: EventColumns,
        identities: Mapping[int, Identify | HandOver],
        customers: list[str],
        slots: NDArray[np.int64],
        watermark: int,
    ) -> Linked | None:
        """Follow the links of accepted rows, see `stream.scoring.linking.linked`; then `settle`."""
        count = len(columns)
        batch = Batch(
            parts=(),
            watermarks_before=[watermark],
            watermarks=[watermark],
            records=(),
            partition=np.zeros(count, np.int64),
            offset=np.arange(count),
            appended=columns.time,
            arrival=columns.time,
            status=np.zeros(count, np.uint8),
            rejections=(),
            dropped={},
            without_counterpart={},
            rows=np.arange(count),
            columns=columns,
            still=np.isin(np.arange(count), list(identities)),
            identities=identities,
            prices={},
            event_at=lambda row: _event(table, row),
            customers=customers,
            slots=slots,
            customer_slices=[slice(0, len(customers))],
            bounds=np.array([0, count], np.intp),
        )
        links = [self.stored.get(customer) for customer in customers]
        return linked(
            batch, [Loaded(empty(0), (), links=links)], [self.taken], self._lateness_ms, self._ttl_ms
        )


def _event(table: pa.Table, row: int) -> Event:
    names = ("event_id", "type", "customer_id")
    time = table[_TIME][row].cast(pa.int64()).as_py()
    return Event(**{name: table[name][row].as_py() for name in names}, event_time=time)
