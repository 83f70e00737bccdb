"""Pictures of segments: two principal components, dendrogram, profiles, the choice of their number, moves."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots
from scipy.cluster.hierarchy import dendrogram
from sklearn.decomposition import PCA

from features.counts import counted
from offline.chapters.segments.clustering import LEAST_COUNT, STABLE, Points
from offline.chapters.segments.movement import Movement
from offline.chapters.segments.segmented import Segmented
from offline.report.lines import label_at_end, looks
from offline.report.section import Picture, Place
from offline.report.theme import BLUE, DIVERGING, GREY, INK, ORANGE, SEQUENTIAL, SERIES, scale, series_colour
from offline.report.words import short

_DRAWN: Final = 3_000
_LEAVES: Final = 30
_MARKED_LOADING: Final = 0.3
# Lines that have a colour and a name; the others are grey.
_NAMED_LINES: Final = 4


def plane_of(points: Points, seed: int = 0) -> PCA:
    """Return the projection on the two largest principal components (one where there is one column)."""
    return PCA(2 if points.shape[1] > 1 else 1, random_state=seed).fit(points)


def components(segments: Segmented, seed: int = 0) -> Picture:
    """Draw the segments in the plane of the two largest principal components."""
    pca = plane_of(segments.points, seed)
    plane = pca.transform(segments.points)
    if plane.shape[1] == 1:
        plane = np.column_stack([plane, np.zeros(len(plane))])
    rng = np.random.default_rng(seed)
    some = rng.permutation(len(plane))[:_DRAWN]
    figure = go.Figure()
    for k, name in enumerate(segments.names):
        own = some[segments.members[some] == k]
        figure.add_scattergl(
            x=plane[own, 0], y=plane[own, 1], mode="markers", name=short(name),
            marker={"size": 4, "opacity": 0.55, "color": series_colour(k)}, hoverinfo="name",
        )  # fmt: skip
    centers = pca.transform(segments.centroids)
    figure.add_scatter(
        x=centers[:, 0], y=centers[:, 1] if centers.shape[1] > 1 else np.zeros(len(centers)), mode="markers",
        marker={"symbol": "x", "size": 12, "color": INK, "line": {"width": 1, "color": "white"}},
        name="centre", hovertext=segments.names, hoverinfo="text",
    )  # fmt: skip
    shares = pca.explained_variance_ratio_
    figure.update_xaxes(title_text=f"first component ({shares[0]:.0%} of the variance)")
    figure.update_yaxes(title_text=f"second component ({shares[1] if len(shares) > 1 else 0:.0%})")
    figure.update_layout(height=480, legend={"itemsizing": "constant"})
    return Picture(
        "Segments in two principal components",
        figure,
        f"{min(len(plane), _DRAWN):,} of {len(plane):,} shown. {_loadings(pca, segments.words)}",
    )


def _loadings(pca: PCA, words: list[str]) -> str:
    texts = []
    for axis, loadings in zip(("To the right", "Upwards"), pca.components_, strict=False):
        order = np.argsort(-np.abs(loadings))[:3]
        named = [
            f"{words[at]} {'+' if loadings[at] > 0 else '−'}"
            for at in order
            if abs(loadings[at]) >= _MARKED_LOADING
        ]
        if named:
            texts.append(f"{axis}: {', '.join(named)}.")
    return " ".join(texts)


def tree_picture(tree: Points, count: int, rows: int) -> Picture:
    """Draw the top of a hierarchy, with the height at which it falls into so many groups."""
    drawn = dendrogram(tree, p=_LEAVES, truncate_mode="lastp", no_plot=True, count_sort=True)
    figure = go.Figure()
    cut = (tree[-count, 2] + tree[-count + 1, 2]) / 2 if count > 1 else tree[-1, 2] * 1.05
    for x, y in zip(drawn["icoord"], drawn["dcoord"], strict=True):
        figure.add_scatter(
            x=x, y=y, mode="lines", line={"color": BLUE if max(y) < cut else GREY, "width": 1.5},
            showlegend=False, hoverinfo="skip",
        )  # fmt: skip
    figure.add_hline(y=cut, line={"color": ORANGE, "dash": "dot"}, annotation_text=f"{count} groups",
                     annotation_position="top right")  # fmt: skip
    labels = [leaf.strip("()") for leaf in drawn["ivl"]]
    if any(not leaf.startswith("(") for leaf in drawn["ivl"]):
        labels = [leaf.strip("()") if leaf.startswith("(") else "1" for leaf in drawn["ivl"]]
    figure.update_xaxes(
        tickvals=[5 + 10 * at for at in range(len(labels))], ticktext=labels, tickangle=-60,
        title_text="members of the branch", showgrid=False,
    )  # fmt: skip
    figure.update_yaxes(title_text="distance at which branches join")
    figure.update_layout(height=420)
    return Picture(
        "Dendrogram",
        figure,
        f"The hierarchy by Ward's method on {rows:,} of them, from {len(labels)} branches (below) to one (above). "
        "Long vertical lines part groups that differ much; the dotted line cuts the tree into as many groups as there "
        "are segments.",
    )


def profile_picture(segments: Segmented) -> Picture:
    """Draw how far every segment lies from the average, in standard deviations."""
    z = segments.centroids.T
    spread = np.abs(z).max(axis=1)
    rows = np.argsort(-spread)[:14][::-1]
    text = np.array([[f"{value:+.1f}" for value in z[row]] for row in rows])
    names = [short(name, 18) for name in segments.names]
    bound = max(1.0, float(np.abs(z[rows]).max()))
    figure = go.Figure(
        go.Heatmap(
            z=z[rows], x=names, y=[segments.words[row] for row in rows], text=text, texttemplate="%{text}",
            colorscale=scale(DIVERGING), zmin=-bound, zmax=bound, colorbar={"title": "deviations"},
            hovertemplate="%{y}, %{x}: %{z:.2f}<extra></extra>", xgap=2, ygap=2,
        )
    )  # fmt: skip
    figure.update_layout(height=150 + 36 * len(rows), margin={"t": 20})
    figure.update_xaxes(showgrid=False, tickangle=0)
    return Picture(
        "Profile of every segment",
        figure,
        "How far a segment's mean lies from the average of all, in standard deviations: +1 is higher than about five "
        "in six, 0 is average.",
    )


def choice_picture(tried: pd.DataFrame) -> Picture:
    """Draw silhouette and stability by number of segments."""
    figure = make_subplots(
        rows=1, cols=2, subplot_titles=["separation (silhouette)", "stability (adjusted Rand index)"]
    )
    colours = [ORANGE if chosen else BLUE for chosen in tried["chosen"]]
    for at, name in enumerate(("silhouette", "stability"), start=1):
        figure.add_bar(
            x=tried["segments"], y=tried[name], marker_color=colours, showlegend=False, row=1, col=at,
            hovertemplate="%{x} segments: %{y:.3f}<extra></extra>",
        )  # fmt: skip
    if "ward" in tried:
        figure.add_scatter(
            x=tried["segments"], y=tried["ward"], mode="markers", row=1, col=1, showlegend=False,
            marker={"symbol": "diamond-open", "size": 9, "color": INK, "line": {"width": 1.5}},
            hovertemplate="Ward, %{x} segments: %{y:.3f}<extra></extra>",
        )  # fmt: skip
    figure.add_hline(y=STABLE, line={"color": GREY, "dash": "dot"}, row=1, col=2)
    figure.update_xaxes(title_text="segments", dtick=1)
    return Picture(
        "How many segments",
        figure,
        "Orange: chosen, the best separated among divisions that are stable (above the dotted line), have at least "
        f"{LEAST_COUNT} segments and no segment below 2%. Bars: K-means; diamonds: Ward's hierarchy. Stability: how "
        "alike divisions learned from different subsamples are.",
    )


def movement_pictures(found: Movement, segments: Segmented) -> list[Picture]:
    """Draw sizes over time, and the moves in the last step."""
    over_time = go.Figure()
    sizes = found.sizes[segments.names].to_numpy()
    shares_then = pd.DataFrame(
        sizes / np.maximum(sizes.sum(axis=1, keepdims=True), 1), columns=segments.names
    )
    moved = (shares_then.iloc[-1] - shares_then.iloc[0]).abs().sort_values(ascending=False, kind="stable")
    strong = dict(zip(moved.index[:_NAMED_LINES], SERIES, strict=False))
    for look in looks(segments.names, strong):
        over_time.add_scatter(
            x=found.sizes["moment"], y=shares_then[look.name], name=look.name, showlegend=False,
            mode="lines+markers", line={"color": look.colour, "width": look.width},
            customdata=found.sizes[look.name],
            hovertemplate="%{y:.0%} (%{customdata:,})<extra>" + look.name + "</extra>",
        )  # fmt: skip
    last = found.sizes["moment"].iloc[-1]
    label_at_end(
        over_time, {name: (last, float(shares_then[name].iloc[-1])) for name in strong}, strong,
        0.07 * float(shares_then.to_numpy().max()),
    )  # fmt: skip
    over_time.update_xaxes(range=[found.sizes["moment"].iloc[0], last])
    over_time.update_yaxes(title_text="share of known customers", tickformat=".0%", rangemode="tozero")
    moves = found.moves
    shares = moves.to_numpy() / np.maximum(moves.sum(axis=1).to_numpy()[:, None], 1)
    text = [[f"{share:.0%}<br>({count:,})" for share, count in zip(*row, strict=True)]
            for row in zip(shares, moves.to_numpy(), strict=True)]  # fmt: skip
    table = go.Figure(
        go.Heatmap(
            z=shares[::-1], x=[short(name, 18) for name in moves.columns],
            y=[short(name, 24) for name in moves.index[::-1]], text=text[::-1], texttemplate="%{text}",
            colorscale=scale(SEQUENTIAL), zmin=0, zmax=1, showscale=False, xgap=2, ygap=2,
            hovertemplate="from %{y} to %{x}: %{z:.1%}<extra></extra>",
        )
    )  # fmt: skip
    table.update_xaxes(title_text=f"on {_day(found.moments[-1])}", showgrid=False, tickangle=0)
    table.update_yaxes(title_text=f"on {_day(found.moments[-2])}")
    table.update_layout(height=170 + 52 * len(moves), margin={"t": 20})
    return [
        Picture(
            "Segments over time",
            over_time,
            f"Customers as they were known at each moment. In colour: the {counted(len(strong), 'segment')} that "
            "grew or shrank most; grey: the others, which say their name when touched.",
        ),
        Picture(
            "Movement between segments",
            table,
            "Read by rows: of the customers who were in a row's segment at the earlier date, the share (and number) "
            "that is in each column's segment at the later one.",
        ),
    ]


def shares_picture(profile: pd.DataFrame) -> Picture:
    """Draw every segment's share of the customers beside its share of the revenue."""
    names = [short(name) for name in profile["segment"]]
    figure = go.Figure()
    for column, label, colour in (
        ("share of revenue", "revenue", ORANGE),
        ("share", "customers", BLUE),
    ):
        figure.add_bar(
            y=names, x=profile[column], orientation="h", name=label, marker_color=colour,
            text=[_bar_label(share) for share in profile[column]], textposition="outside", cliponaxis=False,
            hovertemplate="%{y}: %{x:.1%} of " + label + "<extra></extra>",
        )  # fmt: skip
    room = 1.18 * float(
        profile[["share", "share of revenue"]].max().max()
    )  # for the figure behind the longest bar
    figure.update_xaxes(title_text="share of all", tickformat=".0%", range=[0, room])
    figure.update_layout(height=150 + 62 * len(names), legend={"traceorder": "reversed"}, bargap=0.25)
    return Picture(
        "Customers and revenue by segment",
        figure,
        "A segment whose revenue bar is longer than its customers bar is worth more than average.",
        "lead",
    )


def _bar_label(share: float) -> str:
    """Return a share in whole percent; only nothing at all is 0%.

    Examples
    --------
    >>> _bar_label(0.0), _bar_label(0.003), _bar_label(0.137)
    ('0%', '<1%', '14%')
    """
    told = f"{share:.0%}"
    return "<1%" if told == "0%" and share > 0 else told


def value_picture(
    names: list[str],
    values: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    axis: str,
    title: str,
    caption: str,
    percent: bool,
    place: Place = "folded",
) -> Picture:
    """Draw a value per segment with its interval."""
    figure = go.Figure(
        go.Bar(
            y=[short(name) for name in names], x=values, orientation="h",
            marker_color=[series_colour(k) for k in range(len(names))],
            error_x={"type": "data", "array": high - values, "arrayminus": values - low, "color": INK},
            hovertemplate="%{y}: %{x:.1%}<extra></extra>" if percent else "%{y}: %{x:,.0f}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_xaxes(title_text=axis, tickformat=".0%" if percent else ",.0f", rangemode="tozero")
    figure.update_layout(height=140 + 46 * len(names), margin={"t": 20})
    return Picture(title, figure, caption, place)


def _day(moment: pd.Timestamp) -> str:
    return f"{moment:%d %b %Y}"
