"""Caps: how many actions a customer may get in a rolling window of event time.

The moments of a customer's actions never go back, so that a window that ends at the newest one is the fullest. What
caps count is remembered for the last `REMEMBERED` actions; while all of those lie within the longest window, nothing is
sent, and so no cap is exceeded whatever was forgotten before.
"""

from __future__ import annotations

from features.compiled import kernel
from stream.decisions.memory import REMEMBERED, Memory
from stream.decisions.tables import Table

__all__ = ["allowed", "remember"]


@kernel
def allowed(t: Table, m: Memory, rule: int, moment: int) -> bool:  # pragma: no cover
    """Return whether all caps allow the action of a rule at a moment."""
    if not t.capped[rule]:
        return True
    used = 0
    for i in range(REMEMBERED):
        if m.sent_times[i] != 0 and moment - m.sent_times[i] < t.longest:
            used += 1
    if used == REMEMBERED:
        return False
    for c in range(t.caps):
        if t.cap_actions[c] != 0 and t.cap_actions[c] != t.actions[rule]:
            continue
        count = 0
        for i in range(REMEMBERED):
            if m.sent_times[i] == 0 or moment - m.sent_times[i] >= t.cap_windows[c]:
                continue
            if t.cap_actions[c] == 0 or m.sent_actions[i] == t.actions[rule]:
                count += 1
        if count >= t.cap_counts[c]:
            return False
    return True


@kernel
def remember(t: Table, m: Memory, rule: int, moment: int) -> None:  # pragma: no cover
    """Count an action that is sent, in the place of the oldest one."""
    if not t.capped[rule]:
        return
    oldest = 0
    for i in range(REMEMBERED):
        if m.sent_times[i] < m.sent_times[oldest]:
            oldest = i
    m.sent_times[oldest] = moment
    m.sent_actions[oldest] = t.actions[rule]
