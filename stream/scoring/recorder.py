"""What the scorer writes for the learner about each batch: examples, and what happened.

Nothing is written of events that are no customer's, not even of purchases: the learner never hears of them. (Of what is
handed on only the event itself and the ids say so: the state of whoever has it is on another partition.)

What is handed on makes an example where it arrives, and an outcome where it came first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.bundle import Bundle
from features.columns import ERASE
from features.events import EVENT_TYPES, PURCHASE, Event, epoch_ms
from features.identity import HandOver
from features.text_column import taken
from features.watermark import BEGINNING
from stream.learning.records.examples import Examples, encode_examples
from stream.learning.records.header import Header
from stream.learning.records.outcomes import (
    ERASURE,
    HANDED_ON,
    LINK,
    LOGIN_PURCHASE,
    Outcomes,
    encode_outcomes,
)
from stream.learning.records.outcomes import PURCHASE as PURCHASED
from stream.scoring.batch import Batch, RecordStatus
from stream.scoring.engine import Scored
from stream.scoring.linking import Linked
from stream.scoring.sampling import Sampling
from stream.setting_values import parse_rates
from stream.settings import Settings


class LearnerRecords(NamedTuple):
    """Records of the examples and of the outcomes topic."""

    examples: Sequence[bytes] = ()
    outcomes: Sequence[bytes] = ()


class Recorder:
    """Writes down what a bundle's scorer saw.

    Parameters
    ----------
    bundle
        Who scores.
    sampling
        Which events become examples.
    lateness_ms
        How late an event may be.
    beside
        Bundles that score what becomes an example, too; what they say is written down and not published.
    """

    def __init__(
        self, bundle: Bundle, sampling: Sampling, lateness_ms: int, beside: Sequence[Bundle] = ()
    ) -> None:
        self._bundle = bundle.manifest.version
        self._features = bundle.manifest.features_version
        self._sampling = sampling
        self._lateness_ms = lateness_ms
        self._beside = beside

    def records(self, batch: Batch, scored: Scored, links: Linked | None = None) -> list[LearnerRecords]:
        """Return the records about each partition batch; ``links`` says what was handed on."""
        columns, rows = batch.columns, batch.rows
        types = columns.type
        kept = self._sampling.keep(types[scored.rows], columns.event_hash[scored.rows]) & scored.of_customers
        sampled = np.flatnonzero(kept)
        bought = scored.rows[(types[scored.rows] == PURCHASE) & scored.of_customers]
        if batch.identities:
            marks = _watermarks(batch, self._lateness_ms)
            kept &= scored.as_of >= marks[scored.rows]
            sampled = np.flatnonzero(kept)
            bought = bought[columns.time[bought] >= marks[bought]]
        handed = {} if links is None else _handed(links, columns.time, scored.excluded)
        linked = [row for row, one in handed.items() if not batch.identities or one.time >= marks[row]]
        gone = np.flatnonzero(types == ERASE)
        happened = np.sort(np.concatenate([bought, gone, np.array(linked, np.intp)]))
        closes = batch.where(RecordStatus.CLOSE)
        beside = self._said_beside(scored, sampled)
        written = []
        for part, before, watermark, own_rows, own_closes, own_examples, own_outcomes in zip(
            batch.parts,
            batch.watermarks_before,
            batch.watermarks,
            batch.split(rows),
            batch.split(closes),
            batch.split(rows[scored.rows[sampled]]),
            batch.split(rows[happened]),
            strict=True,
        ):
            closed = tuple(batch.offset[closes[own_closes]].tolist())
            header = Header(part.start, part.stop, watermark, closed, 0, self._bundle, self._features)
            said = {version: every[own_examples] for version, every in beside.items()}
            examples = self._examples(batch, scored, sampled[own_examples], said)
            outcomes = self._outcomes(batch, happened[own_outcomes], handed, own_rows.start, before)
            written.append(_encoded(header, examples, outcomes, before))
        return written

    def idle(self, offset: int, watermark: int) -> LearnerRecords:
        """Return the records that declare a partition idle.

        Parameters
        ----------
        offset
            Source offset of the next event.
        watermark
            How far event time is, told by the other partitions, epoch ms.
        """
        header = Header(offset, offset, watermark, (), 0, self._bundle, self._features)
        return _encoded(header, Examples.none(), Outcomes.none(), watermark)

    def _said_beside(self, scored: Scored, at: NDArray[np.intp]) -> dict[str, NDArray[np.float64]]:
        """Return what the bundles beside say of the events ``at`` these positions, each with its own segments."""
        return {
            bundle.manifest.version: bundle.score(scored.vectors[at]).probability for bundle in self._beside
        }

    def _examples(
        self, batch: Batch, scored: Scored, at: NDArray[np.intp], beside: Mapping[str, NDArray[np.float64]]
    ) -> Examples:
        """Return the scored events ``at`` these positions as examples."""
        columns, rows = batch.columns, scored.rows[at]
        records = batch.rows[rows]
        kinds = columns.type[rows]
        all_of_them = len(at) > 0 and int(at[-1] - at[0]) == len(at) - 1
        own = slice(int(at[0]), int(at[-1]) + 1) if all_of_them else at  # without a copy
        return Examples(
            batch.partition[records].astype(np.int32),
            batch.offset[records],
            taken(columns.event_ids, rows),
            taken(columns.customers, rows),
            kinds,
            scored.as_of[own],
            self._sampling.weights(kinds),
            scored.segment[own],
            scored.logit[own],
            scored.vectors[own],
            beside,
        )

    def _outcomes(
        self, batch: Batch, rows: NDArray[np.intp], handed: Mapping[int, _Handed], first: int, before: int
    ) -> Outcomes:
        """Return what happened in these ``rows`` of a partition batch that begins with row ``first``."""
        if not len(rows):
            return Outcomes.none()
        columns, picked = batch.columns, rows.tolist()
        erased = columns.type[rows] == ERASE
        time = columns.time[rows]
        if erased.any():
            past = slice(first, int(rows[-1]) + 1)
            reached = np.where(batch.still[past], BEGINNING, columns.time[past] - self._lateness_ms)
            marks = np.maximum(np.maximum.accumulate(reached), before)
            time = np.where(erased, marks[rows - first], time)
        kinds = np.where(erased, ERASURE, PURCHASED).astype(np.uint8)
        linked = [at for at, row in enumerate(picked) if row in handed]
        kinds[linked] = [handed[picked[at]].kind for at in linked]
        time[linked] = [handed[picked[at]].time for at in linked]
        return Outcomes(
            kinds,
            batch.offset[batch.rows[rows]],
            time,
            list(taken(columns.customers, rows)),
            [handed[row].to if row in handed else "" for row in picked] if linked else (),
        )


class _Handed(NamedTuple):
    """An outcome that concerns two ids: its kind, when, and to whom the row's id is linked."""

    kind: int
    time: int
    to: str


def _handed(links: Linked, times: NDArray[np.int64], excluded: frozenset[str]) -> dict[int, _Handed]:
    """Return what is to be told of linked ids, by the row of the batch; ``times`` say when a hand-over counts."""
    found: dict[int, _Handed] = {}
    for row, one in links.passed_on():
        if one.event is None:
            found[row] = _Handed(LINK, int(times[row]), one.customer_id)
        elif _bought(one, one.event, excluded):
            kind = LOGIN_PURCHASE if row in found else HANDED_ON
            found[row] = _Handed(kind, epoch_ms(one.event.event_time), one.customer_id)
    return found


def _bought(handed: HandOver, event: Event, excluded: frozenset[str]) -> bool:
    """Whether what is handed on is a purchase of a customer, as far as can be told."""
    return (
        event.type == EVENT_TYPES[PURCHASE]
        and event.bot is not True
        and excluded.isdisjoint((handed.path[-1], handed.customer_id))
    )


def _watermarks(batch: Batch, lateness_ms: int) -> NDArray[np.int64]:
    """Return the watermark of its partition at each row: what was handed on may lie before it.

    What is final already must not depend on what still comes, so nothing is learned from that.
    """
    marks = np.where(batch.still, BEGINNING, batch.columns.time - lateness_ms)
    for own, before in zip(batch.split(batch.rows), batch.watermarks_before, strict=True):
        marks[own] = np.maximum(np.maximum.accumulate(marks[own]), before)
    return marks


def recorder_of(settings: Settings, bundle: Bundle, beside: Sequence[Bundle] = ()) -> Recorder:
    """Return who writes examples and outcomes of what ``bundle`` scores."""
    sampling = Sampling(bundle.manifest.example_types, parse_rates(settings.sample))
    return Recorder(bundle, sampling, settings.lateness_ms, beside)


def _encoded(header: Header, examples: Examples, outcomes: Outcomes, before: int) -> LearnerRecords:
    return LearnerRecords(
        list(encode_examples(header, examples, before)), list(encode_outcomes(header, outcomes, before))
    )
