"""The watermark of a partition: how far event time has come, and which events are too late or too early for it."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compiled import kernel

#: The watermark before any event.
BEGINNING: Final = int(np.iinfo(np.int64).min)

#: An event may claim to have happened this long (ms) after its arrival: clocks differ.
MAX_AHEAD_MS: Final = 5 * 60_000

ACCEPTED, LATE, FUTURE = 0, 1, 2


class Verdicts(NamedTuple):
    """Verdicts (`ACCEPTED`, `LATE` or `FUTURE`) in the order of the events, and the watermark after them."""

    verdicts: NDArray[np.uint8]
    watermark: int


def judge(
    times: NDArray[np.int64], arrivals: NDArray[np.int64], watermark: int, lateness_ms: int
) -> Verdicts:
    """Judge events one by one, in offset order, against the watermark that the accepted ones before them left.

    Parameters
    ----------
    times, arrivals
        Event time and arrival of each event, epoch ms.
    watermark
        Highest accepted event time so far minus ``lateness_ms``; `BEGINNING` before any event.

    Examples
    --------
    >>> minute = 60_000
    >>> times = np.array([60, 44, 45]) * minute
    >>> judge(times, times + minute, BEGINNING, 15 * minute).verdicts.tolist()
    [0, 1, 0]
    """
    verdicts = np.zeros(len(times), np.uint8)
    return Verdicts(verdicts, int(_judge(times, arrivals, watermark, lateness_ms, verdicts)))


@kernel
def _judge(
    times: NDArray[np.int64],
    arrivals: NDArray[np.int64],
    watermark: int,
    lateness_ms: int,
    verdicts: NDArray[np.uint8],
) -> int:  # pragma: no cover
    for i in range(len(times)):
        if times[i] > arrivals[i] + MAX_AHEAD_MS:
            verdicts[i] = FUTURE
        elif times[i] < watermark:
            verdicts[i] = LATE
        else:
            watermark = max(watermark, times[i] - lateness_ms)
    return watermark
