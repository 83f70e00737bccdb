"""The watermarks of a round: how far the time of each partition had come before and after each accepted record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from features.compiled import kernel


class Watermarks(NamedTuple):
    """Watermarks around the accepted records of a round, whose partition batches stand one after the other; epoch ms.

    Attributes
    ----------
    bounds
        Position of the first accepted record of each partition batch, and the number of records.
    first, last
        Before and after each partition batch.
    before, after
        Before and after each record.
    """

    bounds: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    before: NDArray[np.int64]
    after: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        times: NDArray[np.int64],
        first: Sequence[int],
        lateness_ms: int,
        bounds: Sequence[int] | NDArray[np.intp] | None = None,
        still: NDArray[np.bool_] | None = None,
    ) -> Self:
        """Return the watermarks of records in offset order.

        Parameters
        ----------
        times
            Event times of the accepted records.
        bounds
            ``None``: there is one partition batch.
        still
            Which records move nothing; ``None``: none.
        """
        cuts = np.array((0, len(times)) if bounds is None else bounds, np.int64)
        begin = np.array(first, np.int64)
        found = cls(cuts, begin, begin.copy(), np.empty_like(times), np.empty_like(times))
        _run(times, np.zeros(len(times), np.bool_) if still is None else still, lateness_ms, *found)
        return found


@kernel
def _run(
    times: NDArray[np.int64],
    still: NDArray[np.bool_],
    lateness_ms: int,
    bounds: NDArray[np.int64],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    before: NDArray[np.int64],
    after: NDArray[np.int64],
) -> None:  # pragma: no cover
    for part in range(len(first)):
        watermark = first[part]
        for i in range(bounds[part], bounds[part + 1]):
            before[i] = watermark
            if not still[i]:
                watermark = max(watermark, times[i] - lateness_ms)
            after[i] = watermark
        last[part] = watermark
