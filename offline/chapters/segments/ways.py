"""K-means beside a hierarchy and a density-based way: how well and how steadily each divides, and in pictures."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from plotly.subplots import make_subplots
from sklearn.metrics import adjusted_rand_score

from offline.chapters.segments.clustering import (
    Members,
    Points,
    dense_groups,
    dense_stability,
    hierarchy,
    nearest,
    silhouette,
)
from offline.chapters.segments.pictures import plane_of
from offline.chapters.segments.segmented import Clusters
from offline.report.section import Picture, Table
from offline.report.theme import GREY, series_colour

_DRAWN: Final = 2_000


class Ways(NamedTuple):
    """Three ways of dividing the same points.

    Attributes
    ----------
    compared
        One row for each way: segments, silhouette, stability, smallest share, share left out, likeness to K-means.
    tree
        Ward's hierarchy, as SciPy has it.
    sample
        Points that all three are drawn on.
    members
        Groups of the sample by way; -1 where a point is left out.
    """

    compared: pd.DataFrame
    tree: Points
    sample: Points
    members: dict[str, Members]


def compare_ways(segments: Clusters, seed: int = 0) -> Ways:
    """Divide the points of segments by a hierarchy and by density, too."""
    points, count = segments.points, segments.count
    ward = hierarchy(points, count, seed=seed)
    sample, dense = dense_groups(points, seed=seed)
    own, by_ward = nearest(sample, segments.centroids), nearest(sample, ward.centroids)
    tried = segments.choice.tried
    chosen = tried.loc[tried["segments"] == count, "stability"]
    alike = adjusted_rand_score(own[dense >= 0], dense[dense >= 0]) if (dense >= 0).any() else np.nan
    rows = [
        _row("K-means", segments.members, silhouette(points, segments.members, seed=seed),
             float(chosen.iloc[0]) if len(chosen) else np.nan, 1.0),
        _row("hierarchical (Ward)", ward.members, silhouette(points, ward.members, seed=seed), ward.stability,
             adjusted_rand_score(segments.members, ward.members)),
        _row("density (HDBSCAN)", dense, silhouette(sample, dense, seed=seed), dense_stability(sample, seed=seed),
             alike),
    ]  # fmt: skip
    members = {"K-means": own, "hierarchical (Ward)": by_ward, "density (HDBSCAN)": dense}
    return Ways(pd.DataFrame(rows), ward.tree, sample, members)


def ways_table(ways: Ways, unit: str) -> Table:
    """Return the comparison; ``unit`` is what the points are, in the plural."""
    formats = {
        "silhouette": ".3f",
        "stability": ".3f",
        "smallest": ".1%",
        "left out": ".1%",
        "as K-means": ".2f",
    }
    caption = (
        "Silhouette: how much nearer a point is to its own group than to the next, 1 at best. Stability: how alike "
        "divisions learned from different subsamples are (mean adjusted Rand index, 1 is equal, 0 is chance). HDBSCAN "
        "finds dense regions and leaves out what lies between them; few, very uneven or unsteady groups, or much left "
        f"out, mean that {unit} differ by degrees rather than in kind, and that segments are cuts through one cloud."
    )
    return Table("Three ways of dividing", ways.compared, caption, formats)


def ways_picture(segments: Clusters, ways: Ways, seed: int = 0) -> Picture:
    """Draw the three divisions side by side in the plane of two principal components."""
    some = np.random.default_rng(seed).permutation(len(ways.sample))[:_DRAWN]
    plane = plane_of(segments.points, seed).transform(ways.sample[some])
    if plane.shape[1] == 1:
        plane = np.column_stack([plane, np.zeros(len(plane))])
    figure = make_subplots(rows=1, cols=3, subplot_titles=list(ways.members), horizontal_spacing=0.04,
                           shared_yaxes=True)  # fmt: skip
    for column, members in enumerate(ways.members.values(), 1):
        groups = members[some]
        for group in np.unique(groups):
            own = groups == group
            figure.add_scattergl(
                x=plane[own, 0], y=plane[own, 1], mode="markers", showlegend=False, row=1, col=column,
                marker={"size": 4, "opacity": 0.25 if group < 0 else 0.6,
                        "color": GREY if group < 0 else series_colour(int(group))},
                hovertext="left out" if group < 0 else f"group {int(group) + 1}", hoverinfo="text",
            )  # fmt: skip
    figure.update_xaxes(title_text="first component", nticks=5)
    figure.update_yaxes(title_text="second component", col=1)
    figure.update_layout(height=360, margin={"t": 40})
    return Picture(
        "Three ways of dividing, in two principal components",
        figure,
        f"The same {len(some):,} points each time; a colour is a group, and colours of different ways have nothing to "
        "do with each other. Grey: left out by HDBSCAN.",
    )


def _row(name: str, members: Members, width: float, stability: float, alike: float) -> dict[str, Any]:
    inside = members[members >= 0]
    counts = np.unique(inside, return_counts=True)[1]
    return {
        "way": name,
        "segments": len(counts),
        "silhouette": width,
        "stability": stability,
        "smallest": float(counts.min() / len(members)) if len(counts) else np.nan,
        "left out": 1 - len(inside) / len(members),
        "as K-means": alike,
    }
