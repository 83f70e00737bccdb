"""What segments of customers and of a table's rows are shown by alike."""

from __future__ import annotations

from typing import Any, NamedTuple

from offline.chapters.segments.pictures import choice_picture, components, profile_picture, tree_picture
from offline.chapters.segments.segmented import Clusters
from offline.chapters.segments.ways import compare_ways, ways_picture, ways_table
from offline.report.section import Picture, Table

Parts = list[Table | Picture]


class Shown(NamedTuple):
    """Parts of a section in the order of reading, and their figures."""

    who: Parts
    how: Parts
    figures: dict[str, Any]


def show(segments: Clusters, unit: str, seed: int = 0) -> Shown:
    """Return pictures of who the segments are, and of how they were found.

    Parameters
    ----------
    unit
        What is divided, in the plural.
    """
    tried = segments.choice.tried
    ways = compare_ways(segments, seed)
    names = [
        {"name": name, "description": text}
        for name, text in zip(segments.names, segments.descriptions, strict=True)
    ]
    figures = {"segments": names, "columns": segments.columns, "tried": tried, "compared": ways.compared}
    how: Parts = [
        choice_picture(tried),
        Table(
            "How many segments, in figures",
            tried.rename(columns={"ward": "silhouette (Ward)"}),
            f"Silhouette and stability of K-means, and the silhouette of Ward's hierarchy cut into as many groups. "
            f"Smallest: share of {unit} in the smallest segment.",
            {"silhouette": ".3f", "stability": ".3f", "smallest": ".1%", "silhouette (Ward)": ".3f"},
        ),
        tree_picture(ways.tree, segments.count, len(ways.tree) + 1),
        ways_table(ways, unit),
        ways_picture(segments, ways, seed),
    ]
    return Shown([components(segments, seed), profile_picture(segments)], how, figures)
