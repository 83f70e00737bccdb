"""From scored events to actions: the one entry point, a function of policy, events and memories.

::

    scores of a partition, in offset order ──► timers that the watermark has reached ──► edges ──► actions
                                                  ▲                                       │
                                                  └──────────── memories ◄────────────────┘

However a partition is cut into batches, the actions are the same, in the same order: before a customer's next event is
looked at, the timers have come that the watermark of the record before it had reached; at the end of a batch those that
its last record had reached. An action stands where the record stands that made it due, or that moved the watermark.

An event that is no customer's ends all that was under way: no rule holds at it, and what waited is cancelled. Nothing
is to come for those who are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_128_hexdigest

from features.bundle import BANDS
from features.compiled import njit
from features.traffic import CUSTOMER, TRAFFIC
from features.vector import Vectors
from stream.decisions.conditions import ScoredRows
from stream.decisions.holdout import ARMS
from stream.decisions.memory import Memories, blank, forget, take_over
from stream.decisions.rulebook import Rulebook
from stream.decisions.tables import OUTCOMES, QuietTime, Table
from stream.decisions.timers import fire_next
from stream.decisions.triggers import follow
from stream.messages.action import Action
from stream.messages.score import ReasonRef, SegmentRef

__all__ = ["FOREVER", "Decided", "Moments", "decide", "running_watermarks"]

#: The time to live of memories that never expire, ms.
FOREVER: Final = 2**62

# Columns of what the kernel writes about an action.
_SLOT, _ROW, _RULE, _MOMENT, _AS_OF, _BAND, _SEGMENT = range(7)
_TIMER: Final = -1  # in the column of the row
_ROOM: Final = 256


class Moments(NamedTuple):
    """The scored events of one partition's batch, in offset order; all but ``watermarks`` are aligned.

    Attributes
    ----------
    at
        Position among the accepted records of the batch.
    slots
        Position of the customer.
    event_ids, as_of, vectors, probability, band, segment, reasons
        What the scores say; ``reasons`` is ``None`` where they carry none.
    bought
        Which events are purchases.
    erased
        Which rows are no scores, but requests to forget the customer; ``None``: none.
    bot
        Which events say themselves that they are a machine's; ``None``: none.
    asides
        What is remembered of customers who are handed over, or merged; see `asides_at`.
    asides_at
        Of each row the position in ``asides``, -1 where it has none: an erased row moves its customer's memory there,
        a scored one takes that memory over; ``None``: no row has one.
    watermark
        Of the partition before the batch.
    watermarks
        After each accepted record of the batch.
    """

    at: NDArray[np.int64]
    slots: NDArray[np.int64]
    event_ids: Sequence[str]
    as_of: NDArray[np.int64]
    vectors: Vectors
    probability: NDArray[np.float64]
    band: NDArray[np.uint8]
    segment: NDArray[np.int64]
    bought: NDArray[np.bool_]
    watermark: int
    watermarks: NDArray[np.int64]
    reasons: Sequence[Sequence[ReasonRef]] | None = None
    erased: NDArray[np.bool_] | None = None
    bot: NDArray[np.bool_] | None = None
    asides: Memories | None = None
    asides_at: NDArray[np.int64] | None = None


class Decided(NamedTuple):
    """What `decide` returns.

    Attributes
    ----------
    actions
        In the order in which they became due.
    places
        Where each of them stands: twice the position, among the accepted records, of the one that made it due, and one
        more where that is a timer which the record's watermark has reached.
    due
        For each customer the moment (epoch ms) of the next timer, 0 if there is none.
    counts
        By rule and `stream.decisions.tables.OUTCOMES`: what became of the actions that were due.
    traffic
        By code of `features.traffic.TRAFFIC`: how many of the events were whose.
    """

    actions: list[Action]
    places: list[int]
    due: NDArray[np.int64]
    counts: NDArray[np.int64]
    traffic: NDArray[np.int64]


def running_watermarks(times: NDArray[np.int64], watermark: int, lateness_ms: int) -> NDArray[np.int64]:
    """Return a partition's watermark after each accepted record.

    Parameters
    ----------
    times
        Event times of the accepted records, in offset order.
    watermark
        Before the first of them.
    """
    return np.maximum(np.maximum.accumulate(times - lateness_ms), watermark)


def decide(
    rulebook: Rulebook,
    moments: Moments,
    customers: Sequence[str],
    memories: Memories,
    model_version: str,
    ttl_ms: int = FOREVER,
    excluded: NDArray[np.bool_] | None = None,
) -> Decided:
    """Decide what is to be done about customers, and change what is remembered about them, in place.

    Parameters
    ----------
    customers, memories
        The customers of the batch and those whose timers the watermark reaches in it; ``memories[k]`` is that of
        ``customers[k]``.
    ttl_ms
        A customer who is silent for longer is forgotten, also what was to come after that: whether the state has been
        swept by then makes no difference.
    excluded
        Which of the customers are left out; ``None``: nobody.
    """
    counts = np.zeros((len(rulebook.rules), len(OUTCOMES)), np.int64)
    after = np.concatenate([np.array([moments.watermark], np.int64), moments.watermarks])
    erased = np.zeros(len(moments.at), np.bool_) if moments.erased is None else moments.erased
    bits = rulebook.held(ScoredRows(moments.vectors, moments.probability, moments.segment, moments.reasons))
    traffic = _traffic(rulebook, moments, excluded)
    apart = traffic != CUSTOMER
    bits[apart] = 0
    own = np.ascontiguousarray(
        memories
    )  # those of states are not, for which the kernel would be compiled once more
    if excluded is not None:
        for name in ("waiting", "holds", "rule", "band", "due"):
            own[name][excluded] = 0
    asides = np.ascontiguousarray(blank(0) if moments.asides is None else moments.asides)
    found, intents = _decide(
        rulebook.tables,
        rulebook.quiet_time,
        own,
        moments.slots,
        moments.as_of,
        np.where(apart, 0.0, moments.probability),
        np.where(apart, np.uint8(0), moments.band),
        moments.segment,
        bits,
        moments.bought | apart,  # cancels what waits
        erased,
        asides,
        np.full(len(moments.at), -1, np.int64) if moments.asides_at is None else moments.asides_at,
        after[moments.at],
        after[-1],
        ttl_ms,
        counts,
    )
    if own is not memories:
        memories[:] = own
    if moments.asides is not None:
        moments.asides[:] = asides
    actions, places = _actions(rulebook, moments, customers, model_version, found, intents)
    whose = np.bincount(traffic[~erased], minlength=len(TRAFFIC))
    return Decided(actions, places, memories["due"].copy(), counts, whose)


def _traffic(rulebook: Rulebook, moments: Moments, excluded: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
    """Return whose each event is, as this policy sees it."""
    bot = np.zeros(len(moments.at), np.bool_) if moments.bot is None else moments.bot
    return rulebook.bots.traffic(moments.vectors, bot, None if excluded is None else excluded[moments.slots])


@njit(cache=True, nogil=True)
def _decide(
    t: Table,
    q: QuietTime,
    memories: Memories,
    slots: NDArray[np.int64],
    as_of: NDArray[np.int64],
    probability: NDArray[np.float64],
    band: NDArray[np.uint8],
    segment: NDArray[np.int64],
    bits: NDArray[np.int64],
    bought: NDArray[np.bool_],
    erased: NDArray[np.bool_],
    asides: Memories,
    asides_at: NDArray[np.int64],
    before: NDArray[np.int64],
    last: int,
    ttl_ms: int,
    counts: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:  # pragma: no cover
    found = np.empty((_ROOM, 7), np.int64)
    intents = np.empty(_ROOM, np.float64)
    number = 0
    for i in range(len(slots) + len(memories)):
        row = i < len(slots)
        slot = slots[i] if row else i - len(slots)
        watermark = before[i] if row else last
        m = memories[slot]
        while m.due != 0 and m.due <= watermark:
            moment = m.due
            if moment - m.as_of > ttl_ms:
                forget(m)
                break
            rule = fire_next(t, q, m, counts)
            if rule >= 0:
                found, intents = _with_room(found, intents, number)
                _write(found, intents, number, slot, _TIMER, rule, moment, m)
                number += 1
        if not row:
            continue
        if erased[i]:
            if asides_at[i] >= 0:
                asides[asides_at[i]] = m
            forget(m)
            continue
        if asides_at[i] >= 0:
            take_over(m, asides[asides_at[i]])
        if as_of[i] - m.as_of > ttl_ms:
            forget(m)
        rule = follow(
            t, q, m, as_of[i], probability[i], band[i], segment[i], bits[i], bought[i], watermark, counts
        )
        if rule >= 0:
            found, intents = _with_room(found, intents, number)
            _write(found, intents, number, slot, i, rule, as_of[i], m)
            number += 1
    return found[:number], intents[:number]


@njit(cache=True, nogil=True)
def _with_room(
    found: NDArray[np.int64], intents: NDArray[np.float64], number: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:  # pragma: no cover
    if number < len(found):
        return found, intents
    more = np.empty((2 * number, found.shape[1]), np.int64)
    more[:number] = found
    more_intents = np.empty(2 * number, np.float64)
    more_intents[:number] = intents
    return more, more_intents


@njit(cache=True, nogil=True)
def _write(
    found: NDArray[np.int64],
    intents: NDArray[np.float64],
    number: int,
    slot: int,
    row: int,
    rule: int,
    moment: int,
    m: np.void,
) -> None:  # pragma: no cover
    found[number, _SLOT] = slot
    found[number, _ROW] = row
    found[number, _RULE] = rule
    found[number, _MOMENT] = moment
    found[number, _AS_OF] = m.as_of  # type: ignore[attr-defined]
    found[number, _BAND] = m.scored_band  # type: ignore[attr-defined]
    found[number, _SEGMENT] = m.segment  # type: ignore[attr-defined]
    intents[number] = m.intent  # type: ignore[attr-defined]


def _actions(
    rulebook: Rulebook,
    moments: Moments,
    customers: Sequence[str],
    model_version: str,
    found: NDArray[np.int64],
    intents: NDArray[np.float64],
) -> tuple[list[Action], list[int]]:
    """Return what the kernel has found as actions, as they became due, and their places; `none` is no action."""
    if not len(found):
        return [], []
    rows = found[:, _ROW]
    timers = rows == _TIMER
    place = np.where(
        timers,
        2 * np.searchsorted(moments.watermarks, found[:, _MOMENT]) + 1,
        2 * moments.at[np.where(timers, 0, rows)] if len(moments.at) else 0,
    )
    place[timers & (found[:, _MOMENT] <= moments.watermark)] = -1
    named = [customers[slot] for slot in found[:, _SLOT].tolist()]
    order = sorted(zip(place.tolist(), found[:, _MOMENT].tolist(), named, range(len(found)), strict=True))
    arms = [ARMS[arm] for arm in rulebook.assignment.arms(named).tolist()]
    columns, likely = found.tolist(), intents.tolist()
    rules, experiment, version = rulebook.rules, rulebook.assignment.name, rulebook.version
    segments = [SegmentRef(at, name) for at, name in enumerate(rulebook.segments)]
    made, places = [], []
    for stands, _, customer, at in order:
        _, row, index, moment, as_of, band, segment = columns[at]
        rule = rules[index]
        if rule.action == "none":
            continue
        event = None if row == _TIMER else moments.event_ids[row]
        places.append(stands)
        made.append(
            Action(  # positional: twice as fast as by name
                _action_id(customer, rule.name, rule.trigger, moment, event),
                customer,
                rule.trigger,
                rule.name,
                rule.action,
                likely[at],
                BANDS[band],
                segments[segment],
                as_of,
                moment,
                moment + rulebook.expires_ms[index],
                arms[at],
                experiment,
                version,
                model_version,
                event,
                rule.offer,
                [],
                [] if row == _TIMER or moments.reasons is None else list(moments.reasons[row]),
            )
        )
    return made, places


def _action_id(customer: str, rule: str, trigger: str, moment: int, event: str | None) -> str:
    """Return what names a decision: the same whenever it is made again."""
    return xxh3_128_hexdigest(f"{customer}\0{rule}\0{trigger}\0{moment}\0{event or ''}".encode())
