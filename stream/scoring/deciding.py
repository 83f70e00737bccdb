"""From scores to actions: what the worker does with a batch, and `intent score` with a piece of a log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from features.columns import ERASE, HAND_OVER, EventColumns
from features.events import PURCHASE
from features.fold import NO_ASIDES, Asides
from features.state import States, empty, joined
from features.store.customer_store import Loaded, TimerChanges
from features.vector import WIDTH
from features.watermark import BEGINNING
from stream.decisions.decide import Decided, Moments, decide, running_watermarks
from stream.decisions.memory import memories_of
from stream.messages.action import Action
from stream.scoring.batch import Batch
from stream.scoring.canary import CanaryBundle
from stream.scoring.engine import Engine, Scored, excluded_of
from stream.scoring.outbox import ActionRecord

_encode = msgspec.json.Encoder().encode

A = TypeVar("A", bound=np.generic)


def warm_up(engine: Engine) -> None:
    """Compile what is compiled at first use (seconds, once per machine), before events wait for it."""
    engine.warm_up()
    states = empty(1)
    none, rows = np.zeros(0, np.int64), np.zeros((0, WIDTH), np.float32)
    likely, flags = np.zeros(0, np.float64), np.zeros(0, np.bool_)
    moments = Moments(none, none, [], none, rows, likely, flags.view(np.uint8), none, flags, BEGINNING, none)
    decide(
        engine.rulebook, moments, ["c"], memories_of(states), engine.bundle.manifest.version, engine.ttl_ms
    )


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
        See `Decided.counts`; ``None`` where nothing was decided.
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
    loaded: Sequence[Loaded],
    asides: Asides = NO_ASIDES,
    *,
    acting: bool,
) -> Iterator[Decisions]:
    """Decide on each partition batch of a round; change what is remembered in ``states``.

    Parameters
    ----------
    states
        Of the customers of the batch.
    loaded
        What was loaded for each partition batch.
    asides
        States that are handed over or merged; what is remembered goes with them.
    acting
        Whether there are to be actions. If not, what is remembered is forgotten: it would be out of date later on.
    """
    rows_of_parts = batch.split(batch.rows)
    for part, own, rows, before, found in zip(
        batch.parts, batch.customer_slices, rows_of_parts, batch.watermarks_before, loaded, strict=True
    ):
        customers: Sequence[str] = batch.customers[own]
        theirs = states[own]
        if found.due:
            customers = [*customers, *found.due]
            theirs = joined([theirs, found.states[len(theirs) :]])
        memories = memories_of(theirs)
        due = memories["due"].copy()
        gone = np.flatnonzero(batch.columns.type[rows] == ERASE)
        if acting:
            decided = _decided(engine, batch, scored, rows, own.start, before, customers, theirs, asides)
            records = [] if part.silent else _records(decided, batch.columns, rows.start, gone)
            counts = decided.counts
        else:
            theirs["memory"] = 0
            asides.states["memory"] = 0
            records, counts = [], None
        changed = memories["due"] != due
        changed[batch.slots[rows][gone] - own.start] = True  # the store forgets timers of the erased
        at = np.flatnonzero(changed).tolist()
        timers = TimerChanges([customers[slot] for slot in at], memories["due"][at].tolist())
        yield Decisions(customers, theirs, timers, records, counts)


def _decided(  # noqa: PLR0917  (a part of a batch)
    engine: Engine,
    batch: Batch,
    scored: Scored,
    rows: slice,
    first_customer: int,
    watermark: int,
    customers: Sequence[str],
    states: States,
    asides: Asides,
) -> Decided:
    columns = batch.columns
    times = columns.time[rows]
    still = batch.still[rows]
    if still.any():
        times = np.where(still, watermark + engine.lateness_ms, times)
    moments = moments_of(
        columns,
        scored,
        batch.slots - first_customer,
        np.arange(-rows.start, len(batch.slots) - rows.start),
        watermark,
        running_watermarks(times, watermark, engine.lateness_ms),
        rows,
        asides,
    )
    decided = decide(
        scored.rulebook,
        moments,
        customers,
        memories_of(states),
        engine.bundle.manifest.version,
        engine.ttl_ms,
        excluded_of(customers, scored.excluded),
    )
    if engine.canary is None:
        return decided
    return decided._replace(actions=_by_canary(engine.canary, decided.actions))


def _by_canary(canary: CanaryBundle, actions: Sequence[Action]) -> list[Action]:
    """Return actions, those of a canary's customers with its name: their last scores are its own."""
    own = canary.has([action.customer_id for action in actions]).tolist()
    return [
        structs.replace(action, model_version=canary.version) if has else action
        for action, has in zip(actions, own, strict=True)
    ]


def moments_of(  # noqa: PLR0917  (the arrays of a batch)
    columns: EventColumns,
    scored: Scored,
    slots: NDArray[np.int64],
    places: NDArray[np.int64],
    watermark: int,
    watermarks: NDArray[np.int64],
    rows: slice = slice(0, None),
    asides: Asides = NO_ASIDES,
) -> Moments:
    """Return the scored events of one partition, and the requests to erase, as decisions are made of them.

    Parameters
    ----------
    columns, scored
        Events that were folded, and what the engine made of them.
    slots, places
        For each row of ``columns``, the position of its customer and its position among the accepted records.
    watermark, watermarks
        Before the first accepted record, and after each.
    rows
        The rows of ``columns`` that are of the partition.
    asides
        States that are handed over or merged.
    """
    start, stop, _ = rows.indices(len(columns.type))
    own = slice(*np.searchsorted(scored.rows, [start, stop]).tolist())
    told = scored.rows[own]
    moments = Moments(
        at=places[told],
        slots=slots[told],
        event_ids=columns.event_ids
        if len(told) == len(columns.event_ids)
        else [columns.event_ids[row] for row in told.tolist()],
        as_of=scored.as_of[own],
        vectors=scored.vectors[own],
        probability=scored.probability[own],
        band=scored.band[own],
        segment=scored.segment[own],
        bought=columns.type[told] == PURCHASE,
        reasons=None if scored.reasons is None else scored.reasons[own],
        watermark=watermark,
        watermarks=watermarks,
        bot=columns.bot[told],
    )
    types = columns.type[start:stop]
    erased = start + np.flatnonzero((types == ERASE) | (types == HAND_OVER))
    if len(asides.states):
        rows_of_moments = np.sort(np.concatenate([told, erased]))
        moments = moments._replace(asides=memories_of(asides.states), asides_at=asides.at[rows_of_moments])
    return _with_erasures(moments, told, erased, slots, places) if len(erased) else moments


def _with_erasures(
    moments: Moments,
    told: NDArray[np.intp],
    erased: NDArray[np.intp],
    slots: NDArray[np.int64],
    places: NDArray[np.int64],
) -> Moments:
    """Return moments of scores with those of erasures between them; ``told`` and ``erased`` are their rows."""
    rows = np.sort(np.concatenate([told, erased]))
    at, count = np.searchsorted(rows, told), len(rows)
    gone = np.ones(count, np.bool_)
    gone[at] = False
    by_place = dict(zip(at.tolist(), range(len(told)), strict=True))
    reasons = moments.reasons
    return moments._replace(
        at=places[rows],
        slots=slots[rows],
        event_ids=[moments.event_ids[by_place[place]] if place in by_place else "" for place in range(count)],
        as_of=_spread(moments.as_of, at, count),
        vectors=_spread(moments.vectors, at, count),
        probability=_spread(moments.probability, at, count),
        band=_spread(moments.band, at, count),
        segment=_spread(moments.segment, at, count),
        bought=_spread(moments.bought, at, count),
        reasons=None
        if reasons is None
        else [reasons[by_place[place]] if place in by_place else [] for place in range(count)],
        erased=gone,
        bot=None if moments.bot is None else _spread(moments.bot, at, count),
    )


def _spread(values: NDArray[A], at: NDArray[np.intp], count: int) -> NDArray[A]:
    """Return ``count`` rows of which those ``at`` these positions are the values, and the others zeros."""
    spread: NDArray[Any] = np.zeros((count, *values.shape[1:]), values.dtype)
    spread[at] = values
    return spread


def _records(
    decided: Decided, columns: EventColumns, first_row: int, erased: NDArray[np.intp]
) -> list[ActionRecord]:
    """Return actions as records, and a tombstone at the place of every erasure."""
    records: list[ActionRecord] = [(action.customer_id, _encode(action)) for action in decided.actions]
    for at in erased[::-1].tolist():
        place = int(np.searchsorted(decided.places, 2 * at))
        records.insert(place, (columns.customers[first_row + at], None))
    return records
