"""A policy as the numbers and arrays that numba code reads. Rules stand by priority; a rule is a bit of a number."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: What becomes of an action in the quiet time.
IGNORE, WAIT, DROP = 0, 1, 2

#: What became of an action that was due: the columns of `Decided.counts`.
OUTCOMES: Final = ("sent", "capped", "waited", "dropped", "cancelled")
SENT, CAPPED, WAITED, DROPPED, CANCELLED = range(len(OUTCOMES))


class Tables(NamedTuple):
    """What the kernels know of a policy.

    Attributes
    ----------
    rules
        Hash of the rules, never 0. Bits in a memory mean something only under the same rules.
    level, entered, silent
        Rules as bits: those that hold or do not, those of entering a band, and those that wait for a silence.
    after
        For each rule the silence it waits for, ms.
    band_bits
        For each band the rules that may hold in it.
    enter, leave
        Intent at which customers enter and leave medium and high.
    quiet
        For each rule `IGNORE`, `WAIT` or `DROP`.
    quiet_left
        See `stream.decisions.quiet.quiet_minutes`.
    changes_ms, offsets_ms
        The shop's time zone.
    actions
        For each rule the hash of its action, never 0.
    capped
        For each rule whether a cap counts its action.
    cap_actions, cap_counts, cap_windows
        One element a cap: the action's hash, or 0 for all actions together; how many; in which window, ms.
    longest
        The longest window, ms.
    """

    rules: int
    level: int
    entered: int
    silent: int
    after: NDArray[np.int64]
    band_bits: NDArray[np.int64]
    enter: NDArray[np.float64]
    leave: NDArray[np.float64]
    quiet: NDArray[np.int64]
    quiet_left: NDArray[np.int64]
    changes_ms: NDArray[np.int64]
    offsets_ms: NDArray[np.int64]
    actions: NDArray[np.uint32]
    capped: NDArray[np.bool_]
    cap_actions: NDArray[np.uint32]
    cap_counts: NDArray[np.int64]
    cap_windows: NDArray[np.int64]
    longest: int
