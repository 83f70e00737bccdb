"""One partition of a log, scored as the worker scores it, in pieces that bound the memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.columns import MERGE, EventColumns, from_table
from features.fold import NO_ASIDES, Asides
from features.log import ERASED
from features.price_table import NO_PRICES, PriceTable
from features.prices import PRICE_TYPES, decode_price
from features.state import States, empty
from features.structured import picked
from features.traffic import TRAFFIC
from features.usual_days import UsualDays
from features.watermark import ACCEPTED, BEGINNING
from stream.decisions.actions import Customers, Moments, Standing
from stream.decisions.assignees import Assigning
from stream.decisions.decide import decide
from stream.decisions.memory import copied, memories_of, put_back
from stream.decisions.rulebook import Rulebook
from stream.decisions.tables import OUTCOMES
from stream.decisions.watermarks import Watermarks
from stream.messages.action import Action
from stream.scoring.deciding import by_another, details_of, moments_of
from stream.scoring.engine import Engine, Scored
from stream.scoring.linking import Linked
from stream.scoring.log_links import LogLinks
from stream.scoring.pricing import table_after

#: Rows scored at a time; bounds the memory that vectors take (about 270 bytes a row).
CHUNK: Final = 100_000


@dataclass(slots=True)
class DecidedLog:
    """What one policy decides on a log.

    Attributes
    ----------
    rulebook
        The policy.
    actions
        In the order of their moments.
    counts
        By rule and `stream.decisions.tables.OUTCOMES`: what became of the actions that were due.
    traffic
        By code of `features.traffic.TRAFFIC`: how many of the events were whose.
    """

    rulebook: Rulebook
    actions: list[Action]
    counts: NDArray[np.int64]
    traffic: NDArray[np.int64]

    @classmethod
    def nothing(cls, rulebook: Rulebook) -> Self:
        """Return what a policy has decided before the first event."""
        counts = np.zeros((len(rulebook.rules), len(OUTCOMES)), np.int64)
        return cls(rulebook, [], counts, np.zeros(len(TRAFFIC), np.int64))


class ScoredChunk(NamedTuple):
    """A piece: the rows of the partition whose events were folded, these events, and their scores.

    ``merged`` has by the position of a row the anonymous id whose state it merged.
    """

    rows: NDArray[np.intp]
    columns: EventColumns
    scored: Scored
    merged: Mapping[int, str] = MappingProxyType({})


class _LinkedRows(NamedTuple):
    """Rows whose links were followed: their columns, the states beside them, who assigns, and whom rows merge."""

    columns: EventColumns
    asides: Asides
    assigning: Assigning
    found: Linked | None = None
    merged: Mapping[int, str] = MappingProxyType({})


class ScoredPartition:
    """The events of a partition, and the states after those that were scored.

    Parameters
    ----------
    table
        Its rows, in the order of arrival.
    engine
        Scores.
    usual
        Says which dates are lonely.
    decided
        Policies whose actions are wanted; they are added here.
    remember
        Whether states are to remember what the policy in force decides, as in the stream, whoever asks for its actions.
    item_names
        Ids of items by their hashes, by which actions tell what is in a cart.
    in_place
        Whether logins are merged at once (`stream.scoring.in_place`).
    regrouped
        Whether the rows may be of several partitions of the topic.

    Attributes
    ----------
    watermark
        Epoch ms.
    duplicates, dead_letters
        How many events were repetitions, and how many were refused.
    done
        Rows that were looked at.
    links
        Who is linked to whom.
    prices
        What items cost.
    """

    def __init__(
        self,
        table: pa.Table,
        engine: Engine,
        usual: UsualDays = UsualDays(),  # noqa: B008  (never changed)
        decided: Sequence[DecidedLog] = (),
        *,
        in_place: bool = False,
        regrouped: bool = False,
        remember: bool = True,
        item_names: Mapping[int, str] | None = None,
    ) -> None:
        self.watermark = BEGINNING
        self.duplicates = self.dead_letters = self.done = 0
        self._in_place = in_place
        self.links = LogLinks(engine.lateness_ms, engine.ttl_ms, regrouped=regrouped)
        self.prices: PriceTable = NO_PRICES
        self._table = table
        self._engine = engine
        self._usual = usual
        self._customers, self._codes = codes_of(table)
        self._states = empty(len(self._customers))
        self._parts = np.zeros(len(self._customers), np.int64)
        self._item_names = item_names or {}
        inforce = engine.rulebook
        self._deciders: list[tuple[Rulebook, States, DecidedLog | None]] = [
            (one.rulebook, self._states if one.rulebook is inforce else empty(len(self._customers)), one)
            for one in decided
        ]
        if remember and all(rulebook is not inforce for rulebook, *_ in self._deciders):
            self._deciders.append((inforce, self._states, None))
        self._compares = any(rulebook.compares_prices for rulebook, *_ in self._deciders)

    def score(self) -> Iterator[ScoredChunk]:
        """Score everything, piece by piece."""
        engine, currency = self._engine, self._engine.bundle.manifest.currency
        for start in range(0, len(self._table), CHUNK):
            chunk = self._table.slice(start, CHUNK)
            times = chunk["event_time"].cast(pa.int64()).to_numpy()
            before = self.watermark
            verdicts = self._verdicts(chunk, times)
            erased = pc.equal(chunk["type"], ERASED).to_numpy()
            priced = pc.is_in(chunk["type"], pa.array(PRICE_TYPES)).to_numpy()
            self.dead_letters += int(np.count_nonzero((verdicts != ACCEPTED) & ~erased))
            kept = np.flatnonzero((verdicts == ACCEPTED) & ~erased & ~priced)
            slots, events = self._codes[start + kept], chunk.take(kept)
            linked = self._linked(events, currency, slots, before)
            columns, asides = linked.columns, linked.asides
            standing = self._standing()
            scored = engine.score(
                columns,
                self._customers,
                slots,
                self._states,
                asides=asides,
                assigning=linked.assigning,
                with_prices=self._compares,
            )
            self.links.settle(linked.assigning, linked.found)
            self.duplicates += scored.duplicates
            accepted = np.flatnonzero(verdicts == ACCEPTED)
            still = pc.is_valid(chunk["identity"]).to_numpy()[accepted]
            marks = Watermarks.of(times[accepted], [before], engine.lateness_ms, still=still)
            if priced.any():
                noted = marks.after[priced[accepted]].tolist()
                texts = chunk["identity"].filter(pa.array(priced)).to_pylist()
                said = [decode_price(text.encode()) for text in texts]
                self.prices = table_after(self.prices, said, noted, before, currency).table
            if self._deciders:
                places = np.searchsorted(accepted, kept)
                moments = moments_of(columns, scored, slots, places, marks, asides, [self.prices])
                self._decide(moments, columns, scored, standing)
                put_back(moments.asides, asides.states)
            self.done += len(chunk)
            yield ScoredChunk(start + kept, columns, scored, linked.merged)

    def _verdicts(self, chunk: pa.Table, times: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Judge the rows that came to this partition first; what says who is who, and what was handed on, is not."""
        arrivals = self._usual.arrivals(times, chunk["arrived_at"].cast(pa.int64()).to_numpy())
        own = pc.is_null(chunk["identity"]).to_numpy()
        if own.all():
            verdicts, self.watermark = self._engine.admit(times, arrivals, self.watermark)
            return verdicts
        verdicts = np.full(len(chunk), ACCEPTED, np.uint8)
        verdicts[own], self.watermark = self._engine.admit(times[own], arrivals[own], self.watermark)
        return verdicts

    def _linked(
        self, table: pa.Table, currency: str, slots: NDArray[np.int64], watermark: int
    ) -> _LinkedRows:
        """Return accepted rows once links were followed."""
        asides, assigning, found = NO_ASIDES, self.links.standing(), None
        if not self.links.concern(table):
            return _LinkedRows(from_table(table, currency), asides, assigning)
        columns, identities = self.links.columns(table, currency)
        if self._in_place:
            columns, asides, assigning = self.links.in_place(table, columns, identities)
        elif found := self.links.follow(table, columns, identities, self._customers, slots, watermark):
            columns, asides, assigning = found.batch.columns, found.asides, found.assigning
        merging = np.flatnonzero(columns.type == MERGE).tolist()
        merged = {row: identities[row].anonymous_id for row in merging}
        return _LinkedRows(columns, asides, assigning, found, merged)

    def _standing(self) -> Standing:
        """Return states of before a piece, of those whose timers come in it by any of the policies."""
        reached = np.zeros(len(self._customers), np.bool_)
        for _, states, _ in self._deciders:
            due = memories_of(states)["due"]
            reached |= (due != 0) & (due <= self.watermark)
        slots = np.flatnonzero(reached)
        return Standing(slots, picked(self._states, slots))

    def _decide(self, moments: Moments, columns: EventColumns, scored: Scored, standing: Standing) -> None:
        """Decide on a piece by each of the policies."""
        engine = self._engine
        customers = Customers(self._customers, self._parts, standing, scored.left_out, scored.assignees)
        details = details_of(engine, self._item_names)
        for rulebook, states, one in self._deciders:
            theirs = moments
            if rulebook is not scored.rulebook:
                theirs = by_another(rulebook, moments, columns.bot[scored.rows], scored.left_out)
            memories = copied(states)
            found = decide(rulebook, theirs, customers, memories, details, engine.ttl_ms)
            put_back(memories, states)
            if one is not None:
                one.actions += found.actions
                one.counts += found.counts[0]
                one.traffic += found.traffic

    def known(self) -> tuple[list[str], States]:
        """Return the customers who have a state, and their states."""
        alive = self._states["events"] > 0
        customers = [c for c, lives in zip(self._customers, alive.tolist(), strict=True) if lives]
        return customers, picked(self._states, alive)


def codes_of(table: pa.Table) -> tuple[list[str], NDArray[np.int64]]:
    """Return the distinct customers and each row's position among them (rows of erased customers get 0)."""
    encoded = pc.fill_null(table["customer_id"].combine_chunks(), "").dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)
