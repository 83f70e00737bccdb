"""What the kernel of `stream.decisions.decide` finds to be done: one element for each action, in a growing array."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from features.compiled import kernel, njit
from features.reasons import MOST
from stream.decisions.memory import CODES, Memory

#: In the place of a row: a timer made the action due, or the customer has no row.
NO_ROW: Final = -1

FOUND: Final = np.dtype(
    [
        ("slot", "<i8"),  # of the customer
        ("row", "<i8"),  # the score that made it due, or `NO_ROW`
        ("latest", "<i8"),  # the customer's score before, also if a timer made it due, or `NO_ROW`
        ("rule", "<i8"),
        ("moment", "<i8"),
        ("as_of", "<i8"),
        ("intent", "<f8"),
        ("band", "<i8"),
        ("segment", "<i8"),
        ("cheaper", "<i8"),  # the lines (`PricedLines`) whose price has dropped, as bits
        ("effects", "<i8", (MOST,)),  # of the remembered reasons, see `stream.decisions.memory`
        ("reasons", "<i8", (MOST,)),  # their codes, 0 = none
    ]
)

Found = NDArray[np.void]

#: One element of `Found` in numba code, where fields are attributes; type checkers don't know them.
One: TypeAlias = Any

#: How many there is room for at first.
ROOM: Final = 256


@njit(cache=True, nogil=True)
def with_room(found: Found, number: int) -> Found:  # pragma: no cover
    """Return an array with room for one more."""
    if number < len(found):
        return found
    more = np.zeros(2 * number, FOUND)
    more[:number] = found
    return more


@kernel
def write(  # noqa: PLR0917  (what is written down)
    f: One, slot: int, row: int, latest: int, rule: int, moment: int, m: Memory, cheaper: int
) -> None:  # pragma: no cover
    """Write down that an action is due, and what is remembered of the customer's last score."""
    f.slot = slot
    f.row = row
    f.latest = latest
    f.rule = rule
    f.moment = moment
    f.as_of = m.as_of
    f.intent = m.intent
    f.band = m.scored_band
    f.segment = m.segment
    f.cheaper = cheaper
    known = m.codes == CODES
    for k in range(MOST):
        f.effects[k] = m.effects[k] if known else 0
        f.reasons[k] = m.reasons[k] if known else 0
