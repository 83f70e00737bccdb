"""Timers: what is due because nothing happened, or because the quiet time is over.

A timer is no object of its own: its moment follows from the customer's latest event and the rule's silence. An
activity before the watermark gets there moves it; a purchase cancels what waits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.compiled import njit
from stream.decisions.caps import allowed, remember
from stream.decisions.memory import Memory
from stream.decisions.quiet import quiet_end
from stream.decisions.tables import CANCELLED, CAPPED, DROP, DROPPED, IGNORE, SENT, WAITED, QuietTime, Table

__all__ = ["attempt", "fire_next", "next_due", "stop_waiting"]


@njit(cache=True, nogil=True)
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
    return int(due)


@njit(cache=True, nogil=True)
def fire_next(t: Table, q: QuietTime, m: Memory, counts: NDArray[np.int64]) -> int:  # pragma: no cover
    """Let a customer's next timer come, and return the rule whose action it makes due, -1 for none."""
    if m.rules != t.rules:  # bits of other rules say nothing
        m.waiting = np.uint8(0)
        m.holds = 0
        m.due = 0
        return -1
    moment = m.due
    candidates = 0
    if m.waiting > 0 and m.waiting_until == moment:
        waited = int(np.int64(m.waiting)) - 1
        if (t.level >> waited & 1 and m.rule == m.waiting) or (
            not t.level >> waited & 1 and m.holds >> waited & 1
        ):
            candidates |= 1 << waited
            m.waiting = np.uint8(0)
        else:
            stop_waiting(m, counts)
    pending = m.holds & t.silent & ~m.fired
    for r in range(t.count):
        if pending >> r & 1 and m.as_of + t.after[r] == moment:
            candidates |= 1 << r
            m.fired |= 1 << r
    rule = attempt(t, q, m, candidates, moment, counts)
    m.due = next_due(t, m)
    return rule


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def stop_waiting(m: Memory, counts: NDArray[np.int64]) -> None:  # pragma: no cover
    """Cancel what waits, if anything does."""
    if m.waiting > 0:
        counts[np.int64(m.waiting) - 1, CANCELLED] += 1
        m.waiting = np.uint8(0)
