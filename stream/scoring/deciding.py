"""From scores to actions: what the worker does with a round, and `intent score` with a piece of a log."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, pairwise
from typing import NamedTuple, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.columns import ERASE, HAND_OVER, EventColumns
from features.events import PURCHASE
from features.fold import NO_ASIDES, Asides
from features.price_table import NO_PRICES, PriceTable
from features.state import States, empty, joined
from features.store.customer_store import Loaded, TimerChanges
from features.store.packed_states import from_packed, to_packed
from features.structured import pieces
from stream.decisions.actions import Customers, Details, Moments, Standing
from stream.decisions.decide import Decided, decide
from stream.decisions.holding import ScoredRows
from stream.decisions.memory import Memories, copied, memories_of, put_back
from stream.decisions.rulebook import Rulebook
from stream.decisions.watermarks import Watermarks
from stream.ownership.promised import ActionRecord
from stream.scoring.batch import Batch
from stream.scoring.engine import Engine, Scored, excluded_of

_encode = msgspec.json.Encoder().encode

_NO_NAMES: Mapping[int, str] = {}


def warm_up(engine: Engine) -> None:
    """Compile what is compiled at first use (seconds, once per machine), before events wait for it."""
    engine.warm_up()
    nothing = engine.score_nothing()
    none, states = np.zeros(0, np.int64), from_packed(to_packed(empty(1)))
    customers = Customers(["c"], np.zeros(1, np.int64), Standing(none, states[:0]))
    marks = Watermarks.of(none, [0], engine.lateness_ms)
    moments = moments_of(*nothing, none, none, marks, prices=[NO_PRICES])
    decide(engine.rulebook, moments, customers, copied(states), details_of(engine), engine.ttl_ms)


class Concerned(NamedTuple):
    """Whom a round concerns: the customers of the batch, then those whose timers come in it though they are not there.

    Attributes
    ----------
    names, parts
        Their ids and partition batches.
    due
        For each partition batch, which of them are there for their timers alone.
    due_states
        The states of these.
    loaded
        What was loaded for each partition batch.
    standing
        States from before the round.
    """

    names: Sequence[str]
    parts: NDArray[np.int64]
    due: Sequence[slice]
    due_states: States
    loaded: Sequence[Loaded]
    standing: Standing

    @classmethod
    def of(cls, batch: Batch, states: States, loaded: Sequence[Loaded]) -> Self:
        """Look at the customers of a round before their events are folded into their ``states``."""
        numbers = np.arange(len(batch.parts))
        parts = np.repeat(numbers, [own.stop - own.start for own in batch.customer_slices])
        names, due_states, moments = batch.customers, states[:0], memories_of(states)["due"]
        counts = [len(found.due) for found in loaded]
        if any(counts):
            names = [*names, *chain.from_iterable(found.due for found in loaded)]
            due_states = joined(
                [found.states[len(found.states) - len(found.due) :] for found in loaded if found.due]
            )
            parts = np.concatenate([parts, np.repeat(numbers, counts)])
            moments = np.concatenate([moments, memories_of(due_states)["due"]])
        standing = Standing.of((states, due_states), moments, np.array(batch.watermarks, np.int64)[parts])
        ends = len(batch.customers) + np.cumsum([0, *counts])
        due = [slice(*two) for two in pairwise(ends.tolist())]
        return cls(names, parts, due, due_states, loaded, standing)

    def states_of(self, part: int, own: States) -> States:
        """Return the states of all whom a partition batch concerns, of which these are its ``own`` customers'."""
        whole, due = self.loaded[part].states, self.due[part]
        if due.start == due.stop:
            return own
        if len(self.loaded) > 1:  # else they were loaded together, and still lie so
            start = len(self.names) - len(self.due_states)
            pieces(whole)[: len(own)] = pieces(own)
            pieces(whole)[len(own) :] = pieces(self.due_states[due.start - start : due.stop - start])
        return whole


class Decisions(NamedTuple):
    """What was decided on one partition batch.

    Attributes
    ----------
    customers, states
        The customers of the batch, then those whose timers have come, and their states with what is remembered now.
    timers
        Whose timers change.
    actions
        What is to be published; nothing is in a silent batch.
    counts
        By rule and outcome, see `Decided.counts`; ``None`` where nothing was decided.
    """

    customers: Sequence[str]
    states: States
    timers: TimerChanges
    actions: Sequence[ActionRecord]
    counts: NDArray[np.int64] | None


def decisions(
    engine: Engine,
    batch: Batch,
    scored: Scored,
    states: States,
    concerned: Concerned,
    asides: Asides = NO_ASIDES,
    *,
    acting: bool,
    item_names: Mapping[int, str] = _NO_NAMES,
    prices: Sequence[PriceTable] = (),
) -> Iterator[Decisions]:
    """Decide on a round, and give what was decided on each partition batch; change what ``states`` remember.

    Parameters
    ----------
    states
        Of the customers of the batch.
    concerned
        Whom the round concerns.
    asides
        States that are handed over or merged; what is remembered goes with them.
    acting
        Whether there are to be actions. If not, what is remembered is forgotten: it would be out of date later on.
    item_names
        See `Details.item_names`.
    prices
        See `Moments.prices`.
    """
    own = len(states)
    memories = copied(states, concerned.due_states)
    before = memories["due"].copy()
    erased = np.flatnonzero(batch.columns.type == ERASE)
    decided = None
    if acting:
        details = details_of(engine, item_names)
        decided = _decided(engine, batch, scored, concerned, memories, asides, details, prices)
    else:
        memories.view(np.uint8)[:] = 0
        asides.states["memory"] = 0
    put_back(memories[:own], states)
    put_back(memories[own:], concerned.due_states)
    changed = memories["due"] != before
    changed[batch.slots[erased]] = True  # the store forgets timers of the erased
    changed[own:] = True  # what was due is over
    for at, part in enumerate(batch.parts):
        slices = batch.customer_slices[at], concerned.due[at]
        slots = np.concatenate([one.start + np.flatnonzero(changed[one]) for one in slices]).tolist()
        timers = TimerChanges([concerned.names[slot] for slot in slots], memories["due"][slots].tolist())
        customers = [name for one in slices for name in concerned.names[one]]
        theirs = concerned.states_of(at, states[slices[0]])
        records = [] if decided is None or part.silent else _records(decided, at, batch, erased)
        yield Decisions(customers, theirs, timers, records, None if decided is None else decided.counts[at])


def details_of(engine: Engine, item_names: Mapping[int, str] = _NO_NAMES) -> Details:
    """Return where the actions of an engine's scores have from what they tell."""
    manifest, canary = engine.bundle.manifest, engine.canary
    if canary is None:
        return Details(engine.zone, manifest.currency, manifest.version, item_names=item_names)
    return Details(engine.zone, manifest.currency, manifest.version, canary.version, canary.has, item_names)


def _decided(  # noqa: PLR0917  (a round)
    engine: Engine,
    batch: Batch,
    scored: Scored,
    concerned: Concerned,
    memories: Memories,
    asides: Asides,
    details: Details,
    prices: Sequence[PriceTable],
) -> Decided:
    columns, excluded = batch.columns, scored.left_out
    if excluded is not None and len(concerned.names) > len(excluded):
        due = concerned.names[len(excluded) :]
        excluded = np.concatenate([excluded, excluded_of(due, scored.excluded)])
    bounds = batch.rows.searchsorted(batch.bounds)
    marks = Watermarks.of(columns.time, batch.watermarks_before, engine.lateness_ms, bounds, batch.still)
    moments = moments_of(columns, scored, batch.slots, np.arange(len(columns)), marks, asides, prices)
    customers = Customers(concerned.names, concerned.parts, concerned.standing, excluded, scored.assignees)
    decided = decide(scored.rulebook, moments, customers, memories, details, engine.ttl_ms)
    put_back(moments.asides, asides.states)
    return decided


def moments_of(
    columns: EventColumns,
    scored: Scored,
    slots: NDArray[np.int64],
    places: NDArray[np.int64],
    watermarks: Watermarks,
    asides: Asides = NO_ASIDES,
    prices: Sequence[PriceTable] = (),
) -> Moments:
    """Return scored events as the policy in force, which has chosen their actions, decides on them.

    Parameters
    ----------
    columns, scored
        Events that were folded, and what the engine made of them.
    slots, places
        For each row of ``columns``, the position of its customer and its position among the accepted records.
    watermarks
        Of the accepted records.
    asides
        States that are handed over or merged.
    prices
        See `Moments.prices`.
    """
    rows = scored.rows
    gone = np.flatnonzero((columns.type == ERASE) | (columns.type == HAND_OVER))
    asides_at = asides.at if len(asides.states) else np.full(len(columns), -1, np.int64)
    return Moments(
        places[rows],
        rows,
        slots[rows],
        scored.as_of,
        scored.probability,
        scored.band,
        scored.segment,
        scored.reasons,
        scored.held,
        scored.traffic,
        columns.type[rows] == PURCHASE,
        scored.vectors,
        scored.carts,
        columns.event_ids,
        columns.items,
        places[gone],
        slots[gone],
        asides_at[gone],
        copied(asides.states),
        asides_at[rows],
        watermarks,
        None if scored.canary is None else scored.canary.taken,
        scored.priced,
        prices,
    )


def by_another(
    rulebook: Rulebook, moments: Moments, bot: NDArray[np.bool_], excluded: NDArray[np.bool_] | None
) -> Moments:
    """Return scored events as another policy decides on them.

    Parameters
    ----------
    bot
        Which events say themselves that they are a machine's.
    excluded
        Which customers are left out.
    """
    rows = ScoredRows(moments.vectors, moments.probability, moments.segment, moments.reasons)
    staff = None if excluded is None else excluded[moments.slots]
    return moments._replace(
        held=rulebook.held(rows), traffic=rulebook.bots.traffic(moments.vectors, bot, staff)
    )


def _records(decided: Decided, part: int, batch: Batch, erased: NDArray[np.intp]) -> list[ActionRecord]:
    """Return the actions of a partition batch as records, and a tombstone at the place of every erasure in it."""
    start, stop = bisect_left(decided.parts, part), bisect_left(decided.parts, part + 1)
    records: list[ActionRecord] = [
        (action.customer_id, _encode(action)) for action in decided.actions[start:stop]
    ]
    if len(erased):
        first, end = batch.rows.searchsorted(batch.bounds[part : part + 2])
        places = decided.places[start:stop]
        for at in erased[(erased >= first) & (erased < end)][::-1].tolist():
            records.insert(bisect_left(places, 2 * at), (batch.columns.customers[at], None))
    return records
