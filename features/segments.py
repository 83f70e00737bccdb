"""Segments of customers: nearest centroid on standardised log features.

Training (`offline.training.segmentation`) finds the centroids and names; assigning is here, because training, replay
and the stream must agree on it.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from features.compiled import njit
from features.exceptions import BundleError
from features.vector import COLUMN_NAMES, SEGMENT_AT, Vectors


class Segment(Struct, frozen=True, kw_only=True):
    """One segment: its rank by value (0 = lowest) is its id."""

    id: int
    name: str
    description: str
    share: float  # of the customers in the training data
    centroid: list[float]  # on the standardised log scale
    profile: dict[str, float]  # medians of the members, in the columns' units


class Segmenter(Struct, frozen=True, kw_only=True):
    """Assign customers to the nearest centroid of ``(log(1 + column) - center) / scale``.

    Attributes
    ----------
    columns
        Names of the vector columns that are looked at.
    center, scale
        Mean and standard deviation of each on the log scale, in the training data.
    segments
        Ordered by id.
    silhouettes
        Mean silhouette by number of segments that was tried.
    """

    columns: list[str]
    center: list[float]
    scale: list[float]
    segments: list[Segment]
    silhouettes: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = [name for name in self.columns if name not in COLUMN_NAMES]
        if unknown:
            raise BundleError(
                f"the segmenter looks at {unknown[0]!r}, which is not a column of the model's input: train again"
            )
        width = len(self.columns)
        lengths = {len(self.center), len(self.scale), *(len(s.centroid) for s in self.segments)}
        if (
            not self.segments
            or lengths != {width}
            or [s.id for s in self.segments] != list(range(len(self.segments)))
        ):
            raise BundleError("the segmenter is damaged: its arrays differ in length; train again")
        if min(self.scale, default=1.0) <= 0:
            raise BundleError("the segmenter is damaged: a scale is not above 0; train again")

    def assign(self, vectors: Vectors) -> NDArray[np.int64]:
        """Return the segment id of every row and write it to the rows' segment column."""
        out = np.zeros(len(vectors), np.int64)  # also of a row so far off that no centroid is near
        _nearest(
            vectors,
            np.array([COLUMN_NAMES.index(name) for name in self.columns], np.int64),
            np.array(self.center),
            np.array(self.scale),
            np.array([s.centroid for s in self.segments]),
            out,
        )
        vectors[:, SEGMENT_AT] = out
        return out


@njit(cache=True, nogil=True)
def _nearest(
    vectors: Vectors,
    at: NDArray[np.int64],
    center: NDArray[np.float64],
    scale: NDArray[np.float64],
    centroids: NDArray[np.float64],
    out: NDArray[np.int64],
) -> None:  # pragma: no cover
    point = np.empty(len(at))
    for i in range(len(vectors)):
        for j in range(len(at)):
            point[j] = (np.log1p(max(np.float64(vectors[i, at[j]]), 0.0)) - center[j]) / scale[j]
        best = np.inf
        for k in range(len(centroids)):
            distance = 0.0
            for j in range(len(at)):
                distance += (point[j] - centroids[k, j]) ** 2
            if distance < best:
                best = distance
                out[i] = k
