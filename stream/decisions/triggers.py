"""Triggers of events: what a new score changes in a memory, and which rules it makes due.

Edges, not levels: a rule is due when it begins to be the first one that holds, a band when it is entered from below.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.compiled import kernel
from stream.decisions.lines import Lines, watch_lines
from stream.decisions.memory import Memory
from stream.decisions.quiet import quiet_end
from stream.decisions.tables import HIGH, QuietTime, Table
from stream.decisions.timers import attempt, next_due, stop_waiting

__all__ = ["follow"]


@kernel
def _band(t: Table, band: int, intent: float) -> int:  # pragma: no cover
    """Return the band after a score: entered at one bound, left at a lower one."""
    while band < HIGH and intent >= t.enter[band]:
        band += 1
    while band > 0 and intent < t.leave[band - 1]:
        band -= 1
    return band


@kernel
def follow(  # noqa: PLR0912  (one step after another)
    t: Table,
    q: QuietTime,
    m: Memory,
    as_of: int,
    intent: float,
    scored_band: int,
    segment: int,
    bits: int,
    bought: bool,
    watermark: int,
    after: int,
    c: Lines,
    row: int,
    counts: NDArray[np.int64],
) -> int:  # pragma: no cover
    """Let a memory follow a score, and return the rule whose action it makes due, -1 for none.

    Parameters
    ----------
    bits
        The rules that hold, whatever the band.
    bought
        Whether the event is a purchase.
    watermark, after
        Of the partition, before and after the event.
    row
        Of the lines that may be compared with prices.
    """
    known = m.rules == t.rules
    changed = (
        m.rules != 0 and not known
    )  # the rules are others than before: levels are taken over without edges
    if changed:
        m.waiting = np.uint8(0)
        m.compared = np.uint32(0)
        m.fired = 0
        for r in range(t.count):
            if m.as_of + t.after[r] <= watermark:
                m.fired |= 1 << r
    before = int(np.int64(m.band))
    band = _band(t, before, intent)
    holds = bits & t.band_bits[band]
    first = -1
    levels = holds & t.level
    if levels:
        first = 0
        while not levels >> first & 1:
            first += 1
    if as_of > m.as_of:
        m.fired = 0
        if m.waiting > 0:
            if t.silent >> (np.int64(m.waiting) - 1) & 1:
                stop_waiting(m, counts)  # there is an activity again
            elif m.waiting_until < as_of:  # the moments of a customer's actions never go back
                m.waiting_until = quiet_end(as_of, q.left, q.changes_ms, q.offsets_ms)
    if bought:
        stop_waiting(m, counts)
    candidates = 0
    if not changed:
        if first >= 0 and first + 1 != m.rule:
            candidates |= 1 << first
        if band > before:
            candidates |= holds & t.entered
    m.rules = t.rules
    m.band = np.uint8(band)
    m.rule = np.uint8(first + 1)
    m.holds = holds
    m.as_of = max(as_of, m.as_of)
    m.intent = intent
    m.scored_band = np.uint8(scored_band)
    m.segment = np.int32(segment)
    rule = attempt(t, q, m, candidates, as_of, counts) if candidates else -1
    if t.priced:
        watch_lines(t, m, c, row, watermark, after)
    m.due = next_due(t, m)
    return rule
