"""One partition's outcomes, as long as an example that waits can need them, and the labels they give.

What a person does under other ids, whose outcomes may be another partition's, counts too: see `FamilyLabels`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.calendar import Zone
from features.compiled import kernel
from features.families import BoughtRun, FamilyOutcomes, LinkRun, bought_as_others
from features.labels import LabelStart, label_starts
from stream.learning.labels.runs import Columns, SortedRuns
from stream.learning.records.outcomes import ERASURE, HANDED_ON, LINK, LOGIN_PURCHASE, PURCHASE, Outcomes
from stream.learning.records.texts import customer_keys

#: Who an erasure concerns when nobody knows who: no record covers a stretch of the topic.
_EVERYBODY: Final = np.uint64(0)


def _table() -> SortedRuns:
    """Return an empty table of outcomes: customer, time and source offset, in this order."""
    return SortedRuns((np.uint64, np.int64, np.int64), _in_order, offset=2)


def _link_table() -> SortedRuns:
    """Return an empty table of links, as `features.families.LinkRun` has them."""
    return SortedRuns((np.uint64, np.int64, np.int64, np.uint64, np.bool_), _in_order, offset=2)


def _in_order(columns: Columns) -> NDArray[np.intp]:
    return np.lexsort(columns[:3][::-1])


class Labeller:
    """What a partition's outcomes say about its examples.

    Parameters
    ----------
    horizon_ms, start, zone
        The horizon rule (`features.labels`).
    """

    def __init__(self, horizon_ms: int, start: LabelStart, zone: Zone) -> None:
        self._horizon_ms = horizon_ms
        self._start: LabelStart = start
        self._zone = zone
        self._purchases = _table()
        self._erasures = _table()
        self._handed_on = _table()  # purchases, by either id
        self._links = _link_table()

    def __len__(self) -> int:
        return sum(map(len, self._tables))

    @property
    def linked(self) -> bool:
        """Whether it knows of linked ids."""
        return bool(len(self._links) or len(self._handed_on))

    def add(self, outcomes: Outcomes) -> None:
        """Take the next outcomes, in the order of their offsets."""
        if not len(outcomes):
            return
        keys = customer_keys(list(outcomes.customer))
        for kind, table in ((PURCHASE, self._purchases), (ERASURE, self._erasures)):
            rows = outcomes.kind == kind
            table.add((keys[rows], outcomes.time[rows], outcomes.offset[rows]))
        if outcomes.other:
            self._add_linked(outcomes, keys, customer_keys(list(outcomes.other)))

    def _add_linked(self, outcomes: Outcomes, keys: NDArray[np.uint64], others: NDArray[np.uint64]) -> None:
        """Take what concerns two ids, by either of them."""
        for kind, table in ((LINK, self._links), (HANDED_ON, self._handed_on)):
            rows = np.flatnonzero((outcomes.kind == kind) | (outcomes.kind == LOGIN_PURCHASE))
            times, offsets = (np.tile(column[rows], 2) for column in (outcomes.time, outcomes.offset))
            ids = np.concatenate([keys[rows], others[rows]])
            if kind == LINK:
                anonymous = np.repeat([True, False], len(rows))
                table.add((ids, times, offsets, np.concatenate([others[rows], keys[rows]]), anonymous))
            else:
                table.add((ids, times, offsets))

    def add_gap(self, offset: int, watermark: int) -> None:
        """Record that outcomes are missing from a source offset on: what was not final then can have no label."""
        self._erasures.add(
            (np.array([_EVERYBODY]), np.array([watermark], np.int64), np.array([offset], np.int64))
        )

    def forget(self, offset: int) -> None:
        """Drop what only examples before this source offset could need."""
        for table in self._tables:
            table.forget(offset)

    def labels(
        self, customer: NDArray[np.uint64], as_of: NDArray[np.int64], offset: NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        """Return 1 for every example whose id purchased in time, else 0; the outcomes must be all there."""
        labels = np.zeros(len(as_of), np.uint8)
        starts = label_starts(as_of, self._start, self._zone)
        for who, when, where in self._purchases:
            _purchased(
                customer, as_of + self._horizon_ms, starts, offset,
                who, when, where, self._start == "0", labels,
            )  # fmt: skip
        return labels

    def cancelled(
        self, customer: NDArray[np.uint64], as_of: NDArray[np.int64], offset: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Return which examples are not to be learned: the customer was erased before the label was final."""
        ends = as_of + self._horizon_ms
        return self.erased(customer, ends, offset) | self.erased(
            np.full(len(customer), _EVERYBODY), ends, offset
        )

    def erased(
        self, customer: NDArray[np.uint64], ends: NDArray[np.int64], offset: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Return which customers were erased after these offsets, and before the watermark had passed these ends."""
        found = np.zeros(len(customer), np.bool_)
        for erased, when, where in self._erasures:
            _erased(customer, ends, offset, erased, when, where, found)
        return found

    def purchases(self) -> list[BoughtRun]:
        """Return what was bought."""
        return [BoughtRun(who, when) for who, when, _ in self._purchases]

    def handed_on(self) -> list[BoughtRun]:
        """Return what was bought under linked ids, by either id."""
        return [BoughtRun(who, when) for who, when, _ in self._handed_on]

    def links(self, partition: int) -> list[LinkRun]:
        """Return the links; the labeller itself does not know its ``partition``."""
        return [LinkRun(partition, *columns) for columns in self._links]

    @property
    def _tables(self) -> tuple[SortedRuns, ...]:
        return self._purchases, self._erasures, self._handed_on, self._links


class FamilyLabels:
    """What the outcomes of all partitions say about examples of people who have several ids.

    Parameters
    ----------
    labellers
        Of all partitions, by their numbers, where there is one.
    horizon_ms, start, zone
        The horizon rule.
    """

    def __init__(
        self, labellers: Sequence[Labeller | None], horizon_ms: int, start: LabelStart, zone: Zone
    ) -> None:
        self._labellers = labellers
        self._rule = horizon_ms, start, zone
        known = [(number, one) for number, one in enumerate(labellers) if one is not None]
        self._outcomes = FamilyOutcomes(
            [run for number, one in known for run in one.links(number)],
            [run for _, one in known for run in one.purchases()],
            [run for _, one in known for run in one.handed_on()],
        )

    def labels(
        self, customer: NDArray[np.uint64], as_of: NDArray[np.int64], labels: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """Return the labels; those that are 0 become 1 where somebody purchased under another id, or a linked one."""
        labels = labels.copy()
        rows = np.flatnonzero(labels == 0)
        horizon_ms, start, local = self._rule
        moments = as_of[rows]
        starts = label_starts(moments, start, local)
        labels[rows] = bought_as_others(
            customer[rows], moments, starts, moments + horizon_ms, self._outcomes, self._undone
        )
        return labels

    def _undone(
        self,
        partition: int,
        ids: NDArray[np.uint64],
        ends: NDArray[np.int64],
        offset: NDArray[np.int64],
    ) -> NDArray[np.bool_]:
        labeller = self._labellers[partition]
        assert labeller is not None  # a link of the partition is known
        return labeller.erased(ids, ends, offset)


@kernel
def _purchased(
    customer: NDArray[np.uint64],
    ends: NDArray[np.int64],
    starts: NDArray[np.int64],
    offset: NDArray[np.int64],
    buyers: NDArray[np.uint64],
    times: NDArray[np.int64],
    offsets: NDArray[np.int64],
    ties: bool,
    labels: NDArray[np.uint8],
) -> None:  # pragma: no cover
    """Mark who purchased after the start and up to the end.

    Only what came after the event counts. With start 0 this is the rule of `features.labels`: what came before is no
    younger than ``as_of``, unless the customer was erased in between.
    """
    for i in range(len(customer)):
        low, high = 0, len(buyers)
        while low < high:  # the first purchase of the customer at the start or later
            middle = (low + high) // 2
            if buyers[middle] < customer[i] or (buyers[middle] == customer[i] and times[middle] < starts[i]):
                low = middle + 1
            else:
                high = middle
        for j in range(low, len(buyers)):
            if buyers[j] != customer[i] or times[j] > ends[i]:
                break
            if offsets[j] > offset[i] and (ties or times[j] > starts[i]):
                labels[i] = 1
                break


@kernel
def _erased(
    customer: NDArray[np.uint64],
    ends: NDArray[np.int64],
    offset: NDArray[np.int64],
    erased: NDArray[np.uint64],
    watermarks: NDArray[np.int64],
    offsets: NDArray[np.int64],
    cancelled: NDArray[np.bool_],
) -> None:  # pragma: no cover
    """Mark whose customer was erased later than the event, while the watermark had not passed the end."""
    for i in range(len(customer)):
        low, high = 0, len(erased)
        while low < high:
            middle = (low + high) // 2
            if erased[middle] < customer[i]:
                low = middle + 1
            else:
                high = middle
        for j in range(low, len(erased)):
            if erased[j] != customer[i] or watermarks[j] > ends[i]:
                break
            if offsets[j] > offset[i]:
                cancelled[i] = True
                break
