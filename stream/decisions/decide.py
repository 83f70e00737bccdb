"""From scored events to actions: the one entry point, a function of policy, events and memories.

::

    scores of a partition, in offset order ──► timers that the watermark has reached ──► edges ──► actions
                                                  ▲                                       │
                                                  └──────────── memories ◄────────────────┘

However a partition is cut into batches, the actions are the same, in the same order: before a customer's next event is
looked at, the timers have come that the watermark of the record before it had reached; at the end of a batch those that
its last record had reached. An action stands where the record stands that made it due, or that moved the watermark.
The partition batches of a round are decided on together; a customer belongs to one of them.

An event that is no customer's ends all that was under way: no rule holds at it, and what waited is cancelled. Nothing
is to come for those who are left out.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compiled import kernel, njit
from features.traffic import CUSTOMER, TRAFFIC
from stream.decisions.actions import Customers, Details, Moments, actions_of
from stream.decisions.found import FOUND, NO_ROW, ROOM, Found, with_room, write
from stream.decisions.lines import NOTHING_COMPARED, Lines
from stream.decisions.memory import (
    CODES,
    NO_REASONS,
    Memories,
    Memory,
    Reasons,
    forget,
    forget_reasons,
    take_over,
)
from stream.decisions.rulebook import Rulebook
from stream.decisions.tables import OUTCOMES, QuietTime, Table
from stream.decisions.timers import fire_next
from stream.decisions.triggers import follow
from stream.messages.action import Action

__all__ = ["FOREVER", "Decided", "decide"]

#: The time to live of memories that never expire, ms.
FOREVER: Final = 2**62

#: What nothing is to come of any more for who is left out.
_UNDER_WAY: Final = ("waiting", "holds", "rule", "band", "due", "compared")


class Decided(NamedTuple):
    """What `decide` returns.

    Attributes
    ----------
    actions
        In the order in which they became due, partition batch by partition batch.
    places
        Where each of them stands: twice the position, among the accepted records, of the one that made it due, and one
        more where that is a timer which the record's watermark has reached.
    parts
        The partition batch of each of them.
    counts
        By partition batch, rule and `stream.decisions.tables.OUTCOMES`: what became of the actions that were due.
    traffic
        By code of `features.traffic.TRAFFIC`: how many of the events were whose.
    """

    actions: list[Action]
    places: list[int]
    parts: list[int]
    counts: NDArray[np.int64]
    traffic: NDArray[np.int64]


def decide(
    rulebook: Rulebook,
    moments: Moments,
    customers: Customers,
    memories: Memories,
    details: Details,
    ttl_ms: int = FOREVER,
) -> Decided:
    """Decide what is to be done about customers, and change what is remembered about them, in place.

    Parameters
    ----------
    customers, memories
        The customers of the round and those whose timers the watermarks reach in it; ``memories[k]`` is that of
        ``customers.names[k]``.
    details
        Where actions have from what they tell beside the decision.
    ttl_ms
        A customer who is silent for longer is forgotten, also what was to come after that: whether the state has been
        swept by then makes no difference.
    """
    marks = moments.watermarks
    counts = np.zeros((len(marks.first), len(rulebook.rules), len(OUTCOMES)), np.int64)
    if customers.excluded is not None:
        for name in _UNDER_WAY:
            memories[name][customers.excluded] = 0
    lines = NOTHING_COMPARED
    if rulebook.compares_prices:
        lines = Lines.of(
            (moments.priced, moments.slots),
            (customers.standing.states, customers.standing.slots),
            customers.parts,
            moments.prices,
        )
    kept = Reasons.of(moments.reasons, len(moments.at)) if rulebook.has_timers else NO_REASONS
    found = _decide(
        rulebook.tables,
        rulebook.quiet_time,
        memories,
        customers.parts,
        moments.at,
        moments.slots,
        moments.as_of,
        moments.probability,
        moments.band,
        moments.segment,
        moments.held,
        moments.traffic,
        moments.bought,
        kept.codes,
        kept.effects,
        moments.forgotten_at,
        moments.forgotten_slots,
        moments.forgotten_asides,
        moments.asides,
        moments.asides_at,
        marks.before,
        marks.after,
        marks.last,
        lines,
        ttl_ms,
        counts,
    )
    whose = np.bincount(moments.traffic, minlength=len(TRAFFIC))
    return Decided(*actions_of(rulebook, moments, customers, details, found), counts, whose)


@njit(cache=True, nogil=True)
def _decide(
    t: Table,
    q: QuietTime,
    memories: Memories,
    parts: NDArray[np.int64],
    at: NDArray[np.int64],
    slots: NDArray[np.int64],
    as_of: NDArray[np.int64],
    probability: NDArray[np.float64],
    band: NDArray[np.uint8],
    segment: NDArray[np.int64],
    held: NDArray[np.int64],
    traffic: NDArray[np.uint8],
    bought: NDArray[np.bool_],
    codes: NDArray[np.uint8],
    effects: NDArray[np.int16],
    forgotten_at: NDArray[np.int64],
    forgotten_slots: NDArray[np.int64],
    forgotten_asides: NDArray[np.int64],
    asides: Memories,
    asides_at: NDArray[np.int64],
    before: NDArray[np.int64],
    after: NDArray[np.int64],
    last: NDArray[np.int64],
    c: Lines,
    ttl_ms: int,
    counts: NDArray[np.int64],
) -> Found:  # pragma: no cover
    found, number, gone = np.zeros(ROOM, FOUND), 0, 0
    latest = np.full(len(memories), NO_ROW, np.int64)
    for i in range(len(slots) + 1):
        while gone < len(forgotten_at) and (i == len(slots) or forgotten_at[gone] < at[i]):
            slot, aside = forgotten_slots[gone], forgotten_asides[gone]
            outcome, watermark = counts[parts[slot]], before[forgotten_at[gone]]
            found, number = _come(
                t, q, memories, slot, parts[slot], latest, watermark, c, ttl_ms, outcome, found, number
            )
            if aside >= 0:
                asides[aside] = memories[slot]
            forget(memories[slot])
            gone += 1
        if i == len(slots):
            break
        slot = slots[i]
        m, outcome, watermark = memories[slot], counts[parts[slot]], before[at[i]]
        if 0 < m.due <= watermark:
            found, number = _come(
                t, q, memories, slot, parts[slot], latest, watermark, c, ttl_ms, outcome, found, number
            )
        if asides_at[i] >= 0:
            take_over(m, asides[asides_at[i]])
        if as_of[i] - m.as_of > ttl_ms:
            forget(m)
        apart = traffic[i] != CUSTOMER
        rule = follow(
            t,
            q,
            m,
            as_of[i],
            0.0 if apart else probability[i],
            0 if apart else int(band[i]),
            segment[i],
            0 if apart else held[i],
            bought[i] or apart,  # cancels what waits
            watermark,
            after[at[i]],
            c,
            i,
            outcome,
        )
        latest[slot] = i
        _keep_reasons(m, codes, effects, i)
        if rule >= 0:
            found = with_room(found, number)
            write(found[number], slot, i, i, rule, as_of[i], m, 0)
            number += 1
    for slot in range(len(memories)):
        part = parts[slot]
        if 0 < memories[slot].due <= last[part]:
            found, number = _come(
                t, q, memories, slot, part, latest, last[part], c, ttl_ms, counts[part], found, number
            )
    return found[:number]


@njit(cache=True, nogil=True)
def _come(
    t: Table,
    q: QuietTime,
    memories: Memories,
    slot: int,
    part: int,
    latest: NDArray[np.int64],
    watermark: int,
    c: Lines,
    ttl_ms: int,
    counts: NDArray[np.int64],
    found: Found,
    number: int,
) -> tuple[Found, int]:  # pragma: no cover
    """Let a customer's timers come that the watermark has reached."""
    m = memories[slot]
    while m.due != 0 and m.due <= watermark:
        moment = m.due
        if moment - m.as_of > ttl_ms:
            forget(m)
            break
        row = latest[slot]
        if row == NO_ROW and len(c.standing) > 0:
            row = c.standing[slot]
        rule, cheaper = fire_next(t, q, m, counts, c, row, part)
        if rule >= 0:
            found = with_room(found, number)
            write(found[number], slot, NO_ROW, latest[slot], rule, moment, m, cheaper)
            number += 1
    return found, number


@kernel
def _keep_reasons(
    m: Memory, codes: NDArray[np.uint8], effects: NDArray[np.int16], row: int
) -> None:  # pragma: no cover
    """Remember the reasons of a score, which timers will tell."""
    if len(codes) == 0 or codes[row, 0] == 0:
        forget_reasons(m)
        return
    m.codes = np.uint16(CODES)
    for k in range(codes.shape[1]):
        m.reasons[k] = codes[row, k]
        m.effects[k] = effects[row, k]
