"""A policy as the numbers and arrays that numba code reads. Rules stand by priority; a rule is a bit of a number."""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

#: What becomes of an action in the quiet time.
IGNORE, WAIT, DROP = 0, 1, 2

#: What became of an action that was due: the columns of `Decided.counts`.
OUTCOMES: Final = ("sent", "capped", "waited", "dropped", "cancelled")
SENT, CAPPED, WAITED, DROPPED, CANCELLED = range(len(OUTCOMES))


#: Rules are bits of a number in a customer's memory.
MAX_RULES: Final = 48
MAX_CAPS: Final = 200

#: The highest band, as an index into `features.bundle.BANDS`.
HIGH: Final = 2

#: What the kernels know of a policy: one element, which numba code passes on as a pointer.
TABLES: Final = np.dtype(
    [
        (
            "rules",
            "<i8",
        ),  # hash of the rules, never 0; bits in a memory mean something only under the same rules
        ("count", "<i8"),  # of rules
        ("level", "<i8"),  # rules that hold or do not, as bits
        ("entered", "<i8"),  # rules of entering a band
        ("silent", "<i8"),  # rules that wait for a silence
        ("after", "<i8", (MAX_RULES,)),  # the silence that each rule waits for, ms
        ("priced", "<i8"),  # rules that wait for a price to drop
        ("least_drop", "<f8", (MAX_RULES,)),  # by how much, as a part of the price
        ("lines", "<i8", (MAX_RULES,)),  # which lines each of them asks for, as bits
        ("every", "<i8"),  # how often lines are compared with prices, minutes
        ("band_bits", "<i8", (3,)),  # the rules that may hold in each band
        ("enter", "<f8", (2,)),  # intent at which customers enter medium and high
        ("leave", "<f8", (2,)),
        ("quiet", "<i8", (MAX_RULES,)),  # `IGNORE`, `WAIT` or `DROP`
        ("any_quiet", "<i8"),  # whether there is a quiet time at all
        ("actions", "<u4", (MAX_RULES,)),  # hash of each rule's action, never 0
        ("capped", "u1", (MAX_RULES,)),  # whether a cap counts the rule's action
        ("caps", "<i8"),  # how many there are
        ("cap_actions", "<u4", (MAX_CAPS,)),  # the action's hash, or 0 for all actions together
        ("cap_counts", "<i8", (MAX_CAPS,)),
        ("cap_windows", "<i8", (MAX_CAPS,)),  # ms
        ("longest", "<i8"),  # the longest window, ms
    ]
)

#: An element of `TABLES` in numba code, where fields are attributes; type checkers don't know them.
Table: TypeAlias = Any


class QuietTime(NamedTuple):
    """When it is quiet: see `stream.decisions.quiet.quiet_minutes`, and the shop's zone (`features.calendar.Zone`)."""

    left: NDArray[np.int64]
    changes_ms: NDArray[np.int64]
    offsets_ms: NDArray[np.int64]
