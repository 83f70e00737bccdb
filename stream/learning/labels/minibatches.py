"""Where mini-batches end: it matters, since a mini-batch is one step of the online model."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.state import MINUTE_MS

#: A mini-batch ends after so many examples, or with the span of event time that it began in.
BATCH_EXAMPLES: Final = 512
BATCH_MS: Final = 10 * MINUTE_MS


def batch_cuts(as_of: NDArray[np.int64], until: int | None = None) -> list[int]:
    """Return where mini-batches begin, and where the last complete one ends.

    Parameters
    ----------
    as_of
        Of examples in order, epoch ms.
    until
        Up to here, exclusively, all examples are known; by default there are no others.

    Examples
    --------
    >>> batch_cuts(np.array([0, 1, 600_000]), until=700_000), batch_cuts(np.array([0, 1, 600_000]))
    ([0, 2], [0, 2, 3])
    """
    window = as_of // BATCH_MS
    turns = np.flatnonzero(np.diff(window)) + 1
    cuts = [0]
    for start, stop in pairwise([0, *turns.tolist(), len(as_of)]):
        cuts += range(start + BATCH_EXAMPLES, stop + 1, BATCH_EXAMPLES)
        rest = stop > cuts[-1]
        if rest and (until is None or stop < len(as_of) or window_end(int(as_of[stop - 1])) <= until):
            cuts.append(stop)
    return cuts


def window_end(as_of: int) -> int:
    """Return the end of the span that a mini-batch with this ``as_of`` begins in, epoch ms."""
    return window_start(as_of) + BATCH_MS


def window_start(as_of: int) -> int:
    """Return the start of the span that a mini-batch with this ``as_of`` begins in, epoch ms."""
    return as_of // BATCH_MS * BATCH_MS
