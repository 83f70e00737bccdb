"""Divide points into groups in three ways, and choose how many groups by separation and by stability.

How well groups are separated is their mean silhouette [Rousseeuw 1987, doi 10.1016/0377-0427(87)90125-7]; how stable a
division is, the mean adjusted Rand index between divisions learned from different subsamples [Ben-Hur, Elisseeff and
Guyon 2002; Hubert and Arabie 1985, doi 10.1007/BF01908075]. Neither alone will do: on raw money the best silhouette
is that of a handful of customers cut off from all others.
"""

from __future__ import annotations

import warnings
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score

from features.counts import counted
from offline.exceptions import TrainingError
from offline.progress import OnProgress

Points = NDArray[np.float64]
Members = NDArray[np.int64]

#: Numbers of groups that are tried. Two are shown, but only taken where nothing else is stable: "good and bad
#: customers" is no segmentation that marketing could act on.
COUNTS: Final = (2, 3, 4, 5, 6, 7, 8)
LEAST_COUNT: Final = 3
#: Every group holds at least this share of the points.
LEAST_SHARE: Final = 0.02
#: Mean adjusted Rand index from which a division counts as stable.
STABLE: Final = 0.8
#: Silhouettes that differ by less are equal; then the more stable division wins.
TIE: Final = 0.01

_STARTS: Final = 5
_SUBSAMPLES: Final = 8
_SUBSAMPLE_SHARE: Final = 0.8
_JUDGED: Final = 4_000  # points in a silhouette, which costs their square
_FITTED: Final = 50_000  # points that K-means sees
_LINKED: Final = 4_000  # points in a hierarchy, which costs their square
_LINKED_SUBSAMPLES: Final = 4
_DENSE: Final = 15_000  # points that HDBSCAN sees
_DENSE_JUDGED: Final = 5_000  # points that its subsamples are drawn from
_DENSE_SUBSAMPLES: Final = 4
_ELSEWHERE: Final = -2  # the group of a point that a subsample does not hold
_LEAST_POINTS: Final = 30


class Choice(NamedTuple):
    """The chosen number of groups, the centroids, every point's group, and the table the choice was made from."""

    number: int
    centroids: Points
    members: Members
    tried: pd.DataFrame


class Hierarchy(NamedTuple):
    """Ward's hierarchy of a sample, and every point's group where the tree is cut into so many groups."""

    tree: Points
    centroids: Points
    members: Members
    stability: float


def choose(points: Points, *, seed: int = 0, on_progress: OnProgress | None = None) -> Choice:
    """Choose the number of groups of K-means.

    Among the divisions whose smallest group holds `LEAST_SHARE` and whose stability reaches `STABLE`, with at least
    `LEAST_COUNT` groups, the highest silhouette wins; where no division is like that, the most stable one.

    Parameters
    ----------
    points
        On comparable scales, shape ``(rows, columns)``.
    on_progress
        Called with numbers of groups tried and in all.

    Raises
    ------
    TrainingError
        There are too few different points.
    """
    rng = np.random.default_rng(seed)
    distinct = len(np.unique(points, axis=0))
    if len(points) < _LEAST_POINTS or distinct <= LEAST_COUNT:
        raise TrainingError(
            f"there are {counted(len(points), 'row')} to divide into segments, {distinct} of them different: "
            f"at least {_LEAST_POINTS} are needed, {LEAST_COUNT + 1} of them different"
        )
    fitted = without_handfuls(_some(points, _FITTED, rng), seed)
    judged = _some(fitted, _JUDGED, rng)
    subsamples = [_some(fitted, round(_SUBSAMPLE_SHARE * len(fitted)), rng) for _ in range(_SUBSAMPLES)]
    tree = linkage(judged, method="ward")
    rows, found = [], {}
    counts = [count for count in COUNTS if count < distinct]
    for done, count in enumerate(counts):
        found[count] = kmeans(fitted, count, seed)
        divisions = [nearest(judged, kmeans(s, count, seed + 1 + at)) for at, s in enumerate(subsamples)]
        shares = np.bincount(nearest(fitted, found[count]), minlength=count) / len(fitted)
        rows.append(
            {
                "segments": count,
                "silhouette": silhouette(judged, nearest(judged, found[count])),
                "stability": agreement(divisions),
                "smallest": float(shares.min()),
                "ward": silhouette(judged, fcluster(tree, count, criterion="maxclust").astype(np.int64)),
            }
        )
        if on_progress is not None:
            on_progress(done + 1, len(counts))
    tried = pd.DataFrame(rows)
    best = choose_count(tried)
    tried["chosen"] = tried["segments"] == best
    return Choice(best, found[best], nearest(points, found[best]), tried)


def without_handfuls(points: Points, seed: int = 0) -> Points:
    """Return the points without those few that lie so far out that they would be a segment of their own.

    They are put into the nearest segment in the end; left in, they would be what every division is about.
    """
    kept = points
    while len(points) - len(kept) < LEAST_SHARE * len(points):
        members = nearest(kept, kmeans(kept, 2, seed))
        shares = np.bincount(members, minlength=2) / len(kept)
        if shares.min() >= LEAST_SHARE:
            return kept
        kept = kept[members == shares.argmax()]
    return kept


def choose_count(tried: pd.DataFrame) -> int:
    """Return the number of segments that wins in a table with silhouette, stability and smallest share.

    Examples
    --------
    >>> raw = pd.DataFrame({"segments": [2, 3, 4], "silhouette": [0.9, 0.41, 0.43],
    ...                     "stability": [0.95, 0.97, 0.99], "smallest": [0.006, 0.1, 0.008]})
    >>> choose_count(raw)
    3
    """
    even = tried[tried["smallest"] >= LEAST_SHARE]
    stable = even[even["stability"] >= STABLE]
    usable = stable[stable["segments"] >= LEAST_COUNT]
    if not len(usable):
        left = stable if len(stable) else even if len(even) else tried
        return int(left.sort_values("stability", ascending=False)["segments"].iloc[0])
    top = usable[usable["silhouette"] >= usable["silhouette"].max() - TIE]
    return int(top.sort_values("stability", ascending=False)["segments"].iloc[0])


def kmeans(points: Points, count: int, seed: int) -> Points:
    """Return the centroids of K-means."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Number of distinct clusters")  # fewer distinct points
        fitted = KMeans(count, n_init=_STARTS, random_state=seed).fit(points)
    return np.asarray(fitted.cluster_centers_)


def nearest(points: Points, centroids: Points) -> Members:
    """Return the nearest centroid of every point."""
    distances = np.stack([np.square(points - centroid).sum(axis=1) for centroid in centroids])
    return np.asarray(distances.argmin(axis=0), np.int64)


def hierarchy(points: Points, count: int, *, seed: int = 0) -> Hierarchy:
    """Divide by Ward's method [Ward 1963]; beyond 4,000 points on a sample, the others go to the nearest mean."""
    rng = np.random.default_rng(seed)
    sample = _some(points, _LINKED, rng)
    tree, centroids = _ward(sample, count)
    subsamples = [
        _some(sample, round(_SUBSAMPLE_SHARE * len(sample)), rng) for _ in range(_LINKED_SUBSAMPLES)
    ]
    divisions = [nearest(sample, _ward(subsample, count)[1]) for subsample in subsamples]
    return Hierarchy(tree, centroids, nearest(points, centroids), agreement(divisions))


def _ward(points: Points, count: int) -> tuple[Points, Points]:
    tree = linkage(points, method="ward")
    groups = fcluster(tree, count, criterion="maxclust")
    return tree, np.stack([points[groups == group].mean(axis=0) for group in np.unique(groups)])


def dense_groups(points: Points, *, seed: int = 0) -> tuple[Points, Members]:
    """Return a sample of the points and its groups by HDBSCAN, -1 where a point lies in no dense region.

    A group has at least `LEAST_SHARE` of the points [Campello, Moulavi and Sander 2013,
    doi 10.1007/978-3-642-37456-2_14].
    """
    sample = _some(points, _DENSE, np.random.default_rng(seed))
    return sample, _dense(sample)


def dense_stability(points: Points, *, seed: int = 0) -> float:
    """Return how alike HDBSCAN divides what different subsamples share; what it leaves out counts as a group."""
    rng = np.random.default_rng(seed)
    sample = _some(points, _DENSE_JUDGED, rng)
    size = round(_SUBSAMPLE_SHARE * len(sample))
    parts = [np.sort(rng.choice(len(sample), size, replace=False)) for _ in range(_DENSE_SUBSAMPLES)]
    found = []
    for part in parts:
        members = np.full(len(sample), _ELSEWHERE, np.int64)
        members[part] = _dense(sample[part])
        found.append(members)
    alike = []
    for at, one in enumerate(found):
        for other in found[at + 1 :]:
            both = (one != _ELSEWHERE) & (other != _ELSEWHERE)
            alike.append(adjusted_rand_score(one[both], other[both]))
    return float(np.mean(alike))


def _dense(points: Points) -> Members:
    least = max(5, round(LEAST_SHARE * len(points)))
    return np.asarray(
        HDBSCAN(min_cluster_size=least, min_samples=10, copy=True).fit_predict(points), np.int64
    )


def silhouette(points: Points, members: Members, *, seed: int = 0) -> float:
    """Return the mean silhouette, of a sample where there are many points; -1 where all are in one group."""
    known = np.flatnonzero(members >= 0)
    known = _some(known, _JUDGED, np.random.default_rng(seed))
    if len(np.unique(members[known])) < 2:  # noqa: PLR2004  (one group is separated from nothing)
        return -1.0
    return float(silhouette_score(points[known], members[known]))


def agreement(divisions: list[Members]) -> float:
    """Return the mean adjusted Rand index over all pairs of divisions of the same points."""
    pairs = [(a, b) for at, a in enumerate(divisions) for b in divisions[at + 1 :]]
    return float(np.mean([adjusted_rand_score(a, b) for a, b in pairs]))


def _some(rows: NDArray[np.generic], most: int, rng: np.random.Generator) -> NDArray:  # type: ignore[type-arg]
    return rows if len(rows) <= most else rows[np.sort(rng.choice(len(rows), most, replace=False))]
