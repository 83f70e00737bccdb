"""Timers: what is due because nothing happened, because a price has dropped, or because the quiet time is over.

A timer is no object of its own: its moment follows from the customer's latest event and the rule's silence. An
activity before the watermark gets there moves it; a purchase cancels what waits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.compiled import kernel
from features.state import MINUTE_MS
from stream.decisions.caps import allowed, remember
from stream.decisions.lines import (
    Lines,
    cheaper_lines,
    expire_all,
    next_comparison,
    waits_for_price,
)
from stream.decisions.memory import Memory
from stream.decisions.quiet import quiet_end
from stream.decisions.tables import CANCELLED, CAPPED, DROP, DROPPED, IGNORE, SENT, WAITED, QuietTime, Table

__all__ = ["attempt", "fire_next", "next_due", "stop_waiting"]


@kernel
def next_due(t: Table, m: Memory) -> int:  # pragma: no cover
    """Return the moment of a customer's next timer, 0 if there is none."""
    due = m.waiting_until if m.waiting > 0 else 0
    pending = m.holds & t.silent & ~m.fired
    if pending:
        for r in range(t.count):
            if pending >> r & 1:
                at = m.as_of + t.after[r]
                if due == 0 or at < due:
                    due = at
    compared = next_comparison(t, m)
    if compared > 0 and (due == 0 or compared < due):
        due = compared
    return int(due)


@kernel
def fire_next(  # noqa: PLR0917  (a customer, and all that timers look at)
    t: Table, q: QuietTime, m: Memory, counts: NDArray[np.int64], c: Lines, row: int, part: int
) -> tuple[int, int]:  # pragma: no cover
    """Let a customer's next timer come, and return the rule whose action it makes due, -1 for none.

    The other number has the lines of a ``row`` that have become cheaper, as bits, where the rule asks for that.
    """
    if m.rules != t.rules:  # bits of other rules say nothing
        m.waiting = np.uint8(0)
        m.holds = 0
        m.compared = np.uint32(0)
        m.due = 0
        return -1, 0
    moment, noted = m.due, int(np.int64(m.compared)) * MINUTE_MS
    comparing = next_comparison(t, m) == moment
    candidates = 0
    if m.waiting > 0 and m.waiting_until == moment:
        waited = int(np.int64(m.waiting)) - 1
        holds = m.rule == m.waiting if t.level >> waited & 1 else bool(m.holds >> waited & 1)
        if t.priced >> waited & 1:
            comparing = True  # what fell while it waited is news, too
            holds = holds and cheaper_lines(t, c, row, part, waited, moment, noted) != 0
        if holds:
            candidates |= 1 << waited
            m.waiting = np.uint8(0)
        else:
            stop_waiting(m, counts)
    pending = m.holds & t.silent & ~m.fired
    for r in range(t.count):
        if pending >> r & 1 and m.as_of + t.after[r] == moment:
            candidates |= 1 << r
            m.fired |= 1 << r
    priced = m.holds & t.priced if comparing else 0
    for r in range(t.count):
        if priced >> r & 1 and cheaper_lines(t, c, row, part, r, moment, noted) != 0:
            candidates |= 1 << r
    rule = attempt(t, q, m, candidates, moment, counts)
    if m.compared > 0 and not waits_for_price(t, m) and (comparing or next_comparison(t, m) <= moment):
        m.compared = np.uint32(0 if expire_all(t, m, c, row, moment) else moment // MINUTE_MS)
    m.due = next_due(t, m)
    is_priced = rule >= 0 and t.priced >> rule & 1
    return rule, cheaper_lines(t, c, row, part, rule, moment, noted) if is_priced else 0


@kernel
def attempt(
    t: Table, q: QuietTime, m: Memory, candidates: int, moment: int, counts: NDArray[np.int64]
) -> int:  # pragma: no cover
    """Return the first of some rules whose action may be sent at a moment, -1 if none may, or the first has to wait.

    One action a moment: where the first rule's is sent or waits, those of the others are not needed.
    """
    if candidates == 0:
        return -1
    end = quiet_end(moment, q.left, q.changes_ms, q.offsets_ms) if t.any_quiet else moment
    for r in range(t.count):
        if not candidates >> r & 1:
            continue
        if end > moment and t.quiet[r] == DROP:
            counts[r, DROPPED] += 1
        elif end > moment and t.quiet[r] != IGNORE:
            if m.waiting > 0 and m.waiting - 1 <= r:
                counts[r, DROPPED] += 1  # one action waits, that of the first rule
                return -1
            stop_waiting(m, counts)
            m.waiting = np.uint8(r + 1)
            m.waiting_until = end
            counts[r, WAITED] += 1
            return -1
        elif not allowed(t, m, r, moment):
            counts[r, CAPPED] += 1
        else:
            remember(t, m, r, moment)
            counts[r, SENT] += 1
            return r
    return -1


@kernel
def stop_waiting(m: Memory, counts: NDArray[np.int64]) -> None:  # pragma: no cover
    """Cancel what waits, if anything does."""
    if m.waiting > 0:
        counts[np.int64(m.waiting) - 1, CANCELLED] += 1
        m.waiting = np.uint8(0)
