"""Segments: found by K-means, never degenerate, named truthfully."""

import numpy as np
import pytest

from features.vector import COLUMN_NAMES, WIDTH, Vectors
from offline.exceptions import TrainingError
from offline.training.segmentation import LEAST_SHARE, Facts, choose_centroids, fit_segmenter, name_segments


def shoppers(seed: int = 1) -> Vectors:
    """Return four kinds of customers: passers-by, browsers, cart builders, loyal buyers."""
    rng = np.random.default_rng(seed)
    kinds = {
        "tenure": (30, 600, 200_000, 900_000),
        "sessions": (1, 1, 3, 9),
        "events": (2, 20, 30, 80),
        "purchases": (0, 0, 0, 6),
        "spend": (0, 0, 0, 400),
        "add_to_cart_7d": (0, 0, 3, 2),
    }
    kind = rng.choice(4, size=2_000, p=[0.5, 0.3, 0.15, 0.05])
    vectors = np.zeros((2_000, WIDTH), np.float32)
    for name, means in kinds.items():
        vectors[:, COLUMN_NAMES.index(name)] = np.array(means)[kind] * rng.lognormal(0, 0.15, 2_000)
    for name in ("sessions", "events", "purchases"):
        at = COLUMN_NAMES.index(name)
        vectors[:, at] = np.round(vectors[:, at])
    return vectors


def test_segments_are_ranked_by_value_and_have_unique_names() -> None:
    segmenter = fit_segmenter(shoppers())
    spend = [segment.profile["spend"] for segment in segmenter.segments]
    names = [segment.name for segment in segmenter.segments]
    assert spend == sorted(spend)
    assert spend[-1] > 300
    assert len(set(names)) == len(names) >= 3
    assert names[-1] in {"Top buyers", "Frequent buyers", "Repeat buyers", "Returning buyers"}
    assert sum(segment.share for segment in segmenter.segments) == pytest.approx(1)


def test_assigning_gives_the_shares_of_the_fit_and_fills_the_column() -> None:
    vectors = shoppers()
    segmenter = fit_segmenter(vectors)
    segments = segmenter.assign(vectors)
    shares = np.bincount(segments) / len(segments)
    assert shares == pytest.approx([segment.share for segment in segmenter.segments])
    assert (vectors[:, COLUMN_NAMES.index("segment")] == segments).all()


def test_equal_seeds_give_equal_segmenters() -> None:
    assert fit_segmenter(shoppers(), seed=3) == fit_segmenter(shoppers(), seed=3)


def test_a_handful_of_far_away_customers_never_makes_a_segment() -> None:
    rng = np.random.default_rng(0)
    crowd = rng.normal(size=(2_000, 2))
    outliers = np.array([[60.0, 60.0], [61.0, 60.0], [60.0, 61.0]])
    points = np.concatenate([crowd, outliers])
    centroids, silhouettes = choose_centroids(points)
    distance = np.square(points[:, None] - centroids[None]).sum(axis=2)
    shares = np.bincount(distance.argmin(axis=1), minlength=len(centroids)) / len(points)
    assert shares.min() >= LEAST_SHARE
    # Without the guard the division with the outliers apart would win.
    free, _ = choose_centroids(points, least_share=0.0)
    assert np.abs(free).max() > 50
    assert set(silhouettes) == {3, 4, 5, 6}


def test_a_name_is_only_given_where_it_is_true() -> None:
    nobody_bought = [
        Facts(buyers=0.0, purchases=0.0, spend=0.0, sessions=s, events=e, carts=c, tenure=100.0)
        for s, e, c in ((1.0, 2.0, 0.0), (1.0, 14.0, 0.1), (4.0, 40.0, 0.1), (4.0, 60.0, 5.0))
    ]
    names = [name for name, _ in name_segments(nobody_bought)]
    assert names == ["Passers-by", "Engaged visitors", "Returning browsers", "Cart builders"] or (
        len(set(names)) == 4
        and not any("buyer" in n or n in ("Top buyers", "Frequent buyers") for n in names)
    )
    assert names[0] == "Passers-by"
    assert names[3] == "Cart builders"


def test_segments_that_nothing_tells_apart_still_get_different_names() -> None:
    alike = Facts(buyers=1.0, purchases=1.0, spend=50.0, sessions=1.0, events=1.0, carts=0.0, tenure=0.0)
    names = [name for name, _ in name_segments([alike] * 6)]
    assert len(set(names)) == 6


def test_customers_who_are_all_alike_are_refused() -> None:
    with pytest.raises(TrainingError, match="100 customers, all much alike"):
        fit_segmenter(np.ones((100, WIDTH), np.float32))


def test_a_column_without_variation_is_left_out() -> None:
    vectors = shoppers()
    vectors[:, COLUMN_NAMES.index("add_to_cart_7d")] = 0
    segmenter = fit_segmenter(vectors)
    assert "add_to_cart_7d" not in segmenter.columns
    assert "spend" in segmenter.columns
