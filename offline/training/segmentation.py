"""Find segments of customers: K-means on standardised log features, named so that marketing can use them.

The number of segments is chosen by the mean silhouette [Rousseeuw 1987, doi 10.1016/0377-0427(87)90125-7],
but a division that cuts off a handful of customers never wins, however well it separates them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from features.segments import Segment, Segmenter
from features.vector import COLUMN_NAMES, Vectors
from offline.exceptions import TrainingError
from offline.training.needs import LEAST_CUSTOMERS

#: Numbers of segments that are tried.
COUNTS: Final = (3, 4, 5, 6)
#: Every segment holds at least this share of the customers.
LEAST_SHARE: Final = 0.02
#: What segments are told apart by; columns without variation in the log are left out.
SEGMENT_COLUMNS: Final = ("tenure", "sessions", "events", "purchases", "spend", "add_to_cart_7d")

_FITTED: Final = 50_000  # customers that K-means sees
_JUDGED: Final = 5_000  # customers in the silhouette, which costs their square
_STARTS: Final = 5
_CONSTANT: Final = 1e-6  # a column that deviates less on the log scale tells nobody apart
_DAY_S: Final = 86_400.0

# Facts about a segment's members, and the bounds between words for them.
_BUYERS_SHARE: Final = 0.5  # from which a segment counts as one of buyers
_REPEAT_PURCHASES: Final = 1.5
_REGULAR_PURCHASES: Final = 4.0
_RETURNING_SESSIONS: Final = 1.5
_CARTS: Final = 0.5
_ENGAGED_EVENTS: Final = 8.0
_FEW_EVENTS: Final = 4.0


class Facts(NamedTuple):
    """What names are chosen by: means over the members of a segment, in the columns' units."""

    buyers: float  # share of members that ever bought
    purchases: float
    spend: float
    sessions: float
    events: float
    carts: float  # decayed with a half-life of a week
    tenure: float  # seconds

    @property
    def value(self) -> tuple[float, float, float, float]:
        """What segments are ranked by: money, purchases, carts, events (rounded: traces don't rank)."""
        return round(self.spend), round(self.purchases, 1), round(self.carts, 1), self.events

    @classmethod
    def of(cls, vectors: Vectors) -> Facts:
        """Return the facts of the members' vectors."""
        mean = {
            name: float(column(vectors, name).mean()) for name in ("purchases", "spend", "sessions", "events")
        }
        return cls(
            buyers=float((column(vectors, "purchases") > 0).mean()),
            carts=float(column(vectors, "add_to_cart_7d").mean()),
            tenure=float(column(vectors, "tenure").mean()),
            **mean,
        )


class _Name(NamedTuple):
    """A name, whether it is true of a segment, and how well it fits relative to other true ones."""

    name: str
    text: str
    holds: bool
    fit: float


def column(vectors: Vectors, name: str) -> NDArray[np.float32]:
    """Return one column of vectors by name."""
    return vectors[:, COLUMN_NAMES.index(name)]


def fit_segmenter(vectors: Vectors, *, seed: int = 0) -> Segmenter:
    """Find segments among customers.

    Parameters
    ----------
    vectors
        The latest vector of every customer at the end of the training period, shape ``(customers, WIDTH)``.

    Raises
    ------
    TrainingError
        There are too few customers, or all are alike.
    """
    logs = np.column_stack(
        [np.log1p(np.maximum(column(vectors, n).astype(np.float64), 0)) for n in SEGMENT_COLUMNS]
    )
    scale = logs.std(axis=0)
    varying = scale > _CONSTANT
    if len(vectors) < LEAST_CUSTOMERS or not varying.any():
        raise TrainingError(
            f"the training period has {len(vectors)} customers, all much alike: segments need at least "
            f"{LEAST_CUSTOMERS} different ones; use a longer log"
        )
    names = [name for name, kept in zip(SEGMENT_COLUMNS, varying, strict=True) if kept]
    center, scale = logs[:, varying].mean(axis=0), scale[varying]
    points = (logs[:, varying] - center) / scale
    centroids, silhouettes = choose_centroids(points, seed=seed)
    members = _nearest(points, centroids)
    facts = [Facts.of(vectors[members == k]) for k in range(len(centroids))]
    order = sorted(range(len(facts)), key=lambda k: facts[k].value)
    named = name_segments([facts[k] for k in order])
    return Segmenter(
        columns=names,
        center=center.tolist(),
        scale=scale.tolist(),
        segments=[
            Segment(
                id=rank,
                name=named[rank][0],
                description=named[rank][1],
                share=float((members == k).mean()),
                centroid=centroids[k].tolist(),
                profile={n: float(np.median(column(vectors[members == k], n))) for n in names},
            )
            for rank, k in enumerate(order)
        ],
        silhouettes={str(k): value for k, value in silhouettes.items()},
    )


def choose_centroids(
    points: NDArray[np.float64],
    *,
    counts: tuple[int, ...] = COUNTS,
    least_share: float = LEAST_SHARE,
    seed: int = 0,
) -> tuple[NDArray[np.float64], dict[int, float]]:
    """Return the centroids of the best division, and the mean silhouette of every number of segments tried.

    A division with a segment below ``least_share`` loses to any without; if all have one, its small segments
    are merged into their neighbours.
    """
    rng = np.random.default_rng(seed)
    fitted = points if len(points) <= _FITTED else points[rng.choice(len(points), _FITTED, replace=False)]
    judged = fitted[rng.choice(len(fitted), min(_JUDGED, len(fitted)), replace=False)]
    distinct = len(np.unique(fitted, axis=0))
    found: dict[int, NDArray[np.float64]] = {}
    silhouettes: dict[int, float] = {}
    for count in counts:
        if count >= distinct:
            break
        found[count] = KMeans(count, n_init=_STARTS, random_state=seed).fit(fitted).cluster_centers_
        members = _nearest(judged, found[count])
        silhouettes[count] = float(silhouette_score(judged, members)) if len(np.unique(members)) > 1 else -1.0
    if not found:
        return np.unique(fitted, axis=0), {}
    shares = {k: np.bincount(_nearest(fitted, c), minlength=k) / len(fitted) for k, c in found.items()}
    even = [k for k in found if shares[k].min() >= least_share]
    best = max(even or found, key=lambda k: silhouettes[k])
    return found[best][shares[best] >= least_share], silhouettes


def name_segments(facts: list[Facts]) -> list[tuple[str, str]]:
    """Return a unique name and a one-line description for each segment.

    Names that are not true of a segment are never given to it; among the true ones the assignment that fits
    best over all segments wins, and whoever is left over is called by its rank.
    """
    options = [_archetypes(fact, facts) for fact in facts]
    cost = np.array([[-a.fit if a.holds else 1e3 for a in row] for row in options])
    named: list[tuple[str, str]] = [("", "")] * len(facts)
    for k, j in zip(*linear_sum_assignment(cost), strict=True):
        archetype = options[k][j]
        name = archetype.name if archetype.holds else f"Value group {k + 1} of {len(facts)}"
        named[k] = (
            name,
            f"{archetype.text if archetype.holds else 'Members are alike in value'}; {_numbers(facts[k])}",
        )
    return named


def _archetypes(f: Facts, everyone: list[Facts]) -> list[_Name]:
    """Return all names with their fit to one segment; fits compare logarithms of means."""
    buyers = f.buyers >= _BUYERS_SHARE
    richest = np.log1p(f.spend) - np.log1p(max(e.spend for e in everyone))
    per_session = np.log1p(f.events / max(f.sessions, 1.0))
    sessions, purchases, carts = np.log1p(f.sessions), np.log1p(f.purchases), np.log1p(f.carts)
    returning = f.sessions >= _RETURNING_SESSIONS
    return [
        _Name("Top buyers", "Buy most often and spend most", buyers and f.purchases >= _REGULAR_PURCHASES,
                   2 * purchases + 4 * richest),
        _Name("Frequent buyers", "Buy again and again", buyers and f.purchases >= _REPEAT_PURCHASES,
                   purchases + sessions / 2),
        _Name("Repeat buyers", "Have bought more than once", buyers and f.purchases >= _REPEAT_PURCHASES,
                   1.5 - abs(purchases - np.log1p(2))),
        _Name("First-time buyers", "Have bought once", buyers and f.purchases < _REPEAT_PURCHASES,
                   1.5 - sessions / 2),
        _Name("Returning buyers", "Bought, and keep coming back", buyers and returning, sessions / 2 + 0.5),
        _Name("Cart builders", "Fill carts, have not bought", not buyers and f.carts >= _CARTS, 1 + carts),
        _Name("Returning browsers", "Come back to look, have not bought", not buyers and returning,
                   sessions + 0.5 - carts / 2),
        _Name("Regular visitors", "Visit often, have not bought", not buyers and returning,
              sessions - carts / 2),
        _Name("Engaged visitors", "Look around at length in one visit, have not bought",
                   not buyers and not returning and f.events >= _ENGAGED_EVENTS, per_session),
        _Name("One-time visitors", "Came once, have not bought", not buyers and not returning, 1.0),
        _Name("Window shoppers", "Look around for a while, have not bought", not buyers,
                   1.5 - abs(per_session - np.log(8)) / 2 - abs(sessions - np.log(2))),
        _Name("Passers-by", "Leave after a few clicks, have not bought",
                   not buyers and not returning and f.events < _FEW_EVENTS, 3 - per_session),
    ]  # fmt: skip


def _numbers(f: Facts) -> str:
    """Return the segment's means as words."""
    parts = [f"on average {f.sessions:.1f} visits", f"{f.purchases:.1f} purchases"]
    if f.spend >= 1:
        parts.append(f"{f.spend:,.0f} spent")
    parts.append(
        f"known for {f.tenure / _DAY_S:.0f} days" if f.tenure >= _DAY_S else "known for less than a day"
    )
    return ", ".join(parts)


def _nearest(points: NDArray[np.float64], centroids: NDArray[np.float64]) -> NDArray[np.int64]:
    distances = np.stack([np.square(points - c).sum(axis=1) for c in centroids])
    nearest: NDArray[np.int64] = distances.argmin(axis=0)
    return nearest
