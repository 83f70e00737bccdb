"""What really happened: the horizon rule that turns a history into labels.

An event is positive if its customer purchases in ``(as_of + start, as_of + horizon]``. The start is 0, or the next
calendar day in the shop's time zone for orders that are weeks apart (parts of one basket on one day are not another
order). Where the history ends before ``as_of + horizon`` the label is unknown.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from features.calendar import Zone, next_day
from features.compiled import kernel, njit
from features.state import DAY_MS

LabelStart = Literal["0", "next-day"]

POSITIVE: Final = 1
NEGATIVE: Final = 0
UNKNOWN: Final = -1


def default_label_start(horizon_ms: int) -> LabelStart:
    """Return the start that fits the horizon: the next day from a horizon of one day on."""
    return "next-day" if horizon_ms >= DAY_MS else "0"


def label_starts(as_of: NDArray[np.int64], start: LabelStart, zone: Zone) -> NDArray[np.int64]:
    """Return for each ``as_of`` (epoch ms) the moment after which a purchase counts."""
    if start == "0":
        return as_of
    return _next_days(as_of, zone.changes_ms, zone.offsets_ms) - 1


def horizon_labels(
    customers: NDArray[np.int64],
    as_of: NDArray[np.int64],
    purchase_time: NDArray[np.int64],
    *,
    horizon_ms: int,
    start: LabelStart,
    zone: Zone,
    end: int,
) -> NDArray[np.int8]:
    """Label every event of a history.

    Parameters
    ----------
    customers
        Customer of each event, as a number, in order of arrival.
    as_of
        What is known about the customer when the event is scored refers to this moment, epoch ms.
    purchase_time
        Event time (epoch ms) of the events that are purchases, -1 for the others.
    end
        The watermark that the history reaches, epoch ms.

    Returns
    -------
    numpy.ndarray
        `POSITIVE`, `NEGATIVE`, or `UNKNOWN` where ``as_of + horizon_ms`` lies beyond ``end``. With start 0 a
        purchase at the very moment ``as_of`` counts if it arrived later (times are only exact to the millisecond).
    """
    bought = np.flatnonzero(purchase_time >= 0)
    order = bought[np.lexsort((bought, purchase_time[bought], customers[bought]))]
    labels = np.empty(len(customers), np.int8)
    _label(
        customers,
        as_of,
        label_starts(as_of, start, zone),
        customers[order],
        purchase_time[order],
        order,
        horizon_ms,
        start == "0",
        end,
        labels,
    )
    return labels


@kernel
def _label(
    customers: NDArray[np.int64],
    as_of: NDArray[np.int64],
    starts: NDArray[np.int64],
    buyers: NDArray[np.int64],
    times: NDArray[np.int64],
    arrival: NDArray[np.int64],
    horizon_ms: int,
    ties: bool,
    end: int,
    labels: NDArray[np.int8],
) -> None:  # pragma: no cover
    for i in range(len(customers)):
        if as_of[i] + horizon_ms > end:
            labels[i] = UNKNOWN
            continue
        low = np.searchsorted(buyers, customers[i], side="left")
        high = np.searchsorted(buyers, customers[i], side="right")
        labels[i] = NEGATIVE
        for j in range(low + np.searchsorted(times[low:high], starts[i], side="left"), high):
            if times[j] > as_of[i] + horizon_ms:
                break
            if times[j] > starts[i] or (ties and arrival[j] > i):
                labels[i] = POSITIVE
                break


@njit(cache=True, nogil=True)
def _next_days(
    as_of: NDArray[np.int64], changes_ms: NDArray[np.int64], offsets_ms: NDArray[np.int64]
) -> NDArray[np.int64]:  # pragma: no cover
    out = np.empty_like(as_of)
    for i in range(len(as_of)):
        out[i] = next_day(as_of[i], changes_ms, offsets_ms)
    return out
