"""The stage "segments": who the customers are, what each group brings, and who moves between groups."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score

from offline.exploration.statistics import wilson
from offline.exploration.view import LogView
from offline.problem import Problem
from offline.report.section import Picture, Section, Table
from offline.report.workspace import Workspace
from offline.segments.clustering import (
    LEAST_SHARE,
    choose_count,
    dense_groups,
    hierarchy,
    kmeans,
    nearest,
    silhouette,
)
from offline.segments.movement import MOMENTS, movement
from offline.segments.net import CustomerView
from offline.segments.pictures import (
    choice_picture,
    components,
    movement_pictures,
    profile_picture,
    tree_picture,
    value_picture,
)
from offline.segments.segmented import Segmented, segment_customers, segment_rows

#: Where the stage leaves its `Segmented` for later ones, and where a command may leave a number of segments.
SHARED, COUNT, VIEW = "segments", "segment_count", "customer_view"
#: Shorter logs are not asked who moves.
_LEAST_HOURS: Final = 24
_RAW_COUNT: Final = 2
Parts = list[Table | Picture]


def segment(workspace: Workspace) -> Section:
    """Run the stage on the input of a report."""
    segments = segments_of(workspace)
    with workspace.progress("Comparing ways of dividing"):
        if workspace.input == "log":
            return segment_log_section(log_view(workspace), segments, seed=workspace.options.seed)
        return segment_table_section(workspace.problem, segments, seed=workspace.options.seed)


def log_view(workspace: Workspace) -> LogView:
    """Return the view of the log, made once for all stages that want one."""
    if VIEW not in workspace.shared:
        workspace.shared[VIEW] = CustomerView.of(workspace.log, workspace.context)
    view: LogView = workspace.shared[VIEW]
    return view


def segments_of(workspace: Workspace) -> Segmented:
    """Return the segments of the input, found once for all stages that want them."""
    if SHARED not in workspace.shared:
        count, seed = workspace.shared.get(COUNT), workspace.options.seed
        with workspace.progress("Finding segments") as on_progress:
            workspace.shared[SHARED] = (
                segment_customers(log_view(workspace), count=count, seed=seed, on_progress=on_progress)
                if workspace.input == "log"
                else segment_rows(workspace.problem, count=count, seed=seed, on_progress=on_progress)
            )
    segments: Segmented = workspace.shared[SHARED]
    return segments


def segment_log_section(view: LogView, segments: Segmented, *, seed: int = 0) -> Section:
    """Return what there is to say about segments of customers."""
    parts, figures, compared = _common(segments, "customers", seed)
    currency = view.currency
    revenue = segments.frame["monetary"].to_numpy()
    total = max(float(revenue.sum()), 1e-12)
    rows = []
    for k, name in enumerate(segments.names):
        own = segments.frame[segments.members == k]
        rows.append(
            {
                "segment": name,
                "customers": len(own),
                "share": len(own) / len(segments.frame),
                "orders (mean)": own["purchases"].mean(),
                "spent (mean)": own["monetary"].mean(),
                "spent (median)": own["monetary"].median(),
                "share of revenue": float(own["monetary"].sum()) / total,
                "silent (days)": own["recency"].median(),
            }
        )
    profile = pd.DataFrame(rows)
    best = profile.iloc[int(profile["share of revenue"].to_numpy().argmax())]
    summary = [
        f"{len(segments.frame):,} customers fall into {segments.count} segments "
        f"({', '.join(f'{r.segment}: {r.share:.0%}' for r in profile.itertuples())}).",
        f'"{best["segment"]}" are {best["share"]:.0%} of the customers and bring {best["share of revenue"]:.0%} of '
        f"the revenue ({best['spent (mean)']:,.0f} {currency} each).",
    ]
    formats = {"share": ".1%", "orders (mean)": ".1f", "spent (mean)": ",.0f", "spent (median)": ",.0f",
               "share of revenue": ".1%", "silent (days)": ".0f"}  # fmt: skip
    said = pd.DataFrame({"segment": segments.names, "what they do": segments.descriptions})
    parts[:0] = [
        Table(
            "Segments and what they bring",
            profile,
            f"Money in {currency}, less refunds. Silent: median days since the last event.",
            formats,
        ),
        Table("Segments in words", said),
    ]
    figures |= {"profile": profile, "compared": compared}
    if (view.last - view.first) / pd.Timedelta(hours=1) >= _LEAST_HOURS:
        found = movement(view, segments)
        moved = _moved(found.moves)
        summary.append(
            f"From {found.moments[-2]:%d %b %Y} to {found.moments[-1]:%d %b %Y}, {moved:.0%} of the customers known "
            "before moved to another segment."
        )
        if len(found.later) and found.later["mean spent"].max() > 0:
            top = found.later.sort_values("mean spent", ascending=False).iloc[0]
            summary.append(
                f'Who was among "{top["segment"]}" on {found.since:%d %b %Y} spent {top["mean spent"]:,.0f} {currency} '
                f"afterwards on average ({top['low']:,.0f} to {top['high']:,.0f}); they brought "
                f"{top['share of revenue']:.0%} of what customers known by then spent."
            )
            later = found.later
            parts.append(
                value_picture(
                    list(later["segment"]), later["mean spent"].to_numpy(), later["low"].to_numpy(),
                    later["high"].to_numpy(), f"spent afterwards per customer ({currency})", "What came afterwards",
                    f"Customers divided by what was known on {found.since:%d %b %Y}; spending from then to "
                    f"{found.moments[-1]:%d %b %Y}, with 95 % intervals.", percent=False,
                )
            )  # fmt: skip
            parts.append(
                Table("What came afterwards, in figures", later,
                      formats={"ordered": ".1%", "mean spent": ",.1f", "low": ",.1f", "high": ",.1f",
                               "share of revenue": ".1%"})
            )  # fmt: skip
        parts += movement_pictures(found, segments)
        figures |= {
            "movement": {
                "moments": found.moments,
                "sizes": found.sizes,
                "moves": found.moves.reset_index(names="from"),
                "moved": moved,
                "since": found.since,
                "later": found.later,
                "steps": MOMENTS,
            }
        }
    raw = _raw_money(segments, seed)
    summary.append(_why_logs(raw, segments))
    return Section("segments", "Segments", summary, parts, figures | {"raw": raw})


def segment_table_section(problem: Problem, segments: Segmented, *, seed: int = 0) -> Section:
    """Return what there is to say about segments of a table's rows."""
    parts, figures, compared = _common(segments, f"{problem.unit}s", seed)
    sizes = segments.sizes()
    positive = np.array([int(problem.target[segments.members == k].sum()) for k in range(segments.count)])
    low, high = wilson(positive, sizes)
    rate = positive / np.maximum(sizes, 1)
    profile = pd.DataFrame(
        {
            "segment": segments.names,
            f"{problem.unit}s": sizes,
            "share": sizes / sizes.sum(),
            "positive": positive,
            "rate": rate,
            "low": low,
            "high": high,
            "lift": rate / problem.prevalence,
            "share of positives": positive / max(positive.sum(), 1),
        }
    )
    medians = segments.frame.groupby(segments.members).median()
    medians.index = pd.Index(segments.names, name="segment")
    best, worst = int(np.argmax(rate)), int(np.argmin(rate))
    summary = [
        f"{len(segments.frame):,} {problem.unit}s fall into {segments.count} segments, divided by "
        f"{len(segments.columns)} "
        "numeric columns; the target takes no part.",
        f'"{segments.names[best]}": {rate[best]:.1%} positive ({low[best]:.1%} to {high[best]:.1%}), '
        f"{rate[best] / problem.prevalence:.1f} times the average; "
        f'"{segments.names[worst]}": {rate[worst]:.1%}.',
    ]
    if problem.leaks:
        summary.append(f"{', '.join(problem.leaks)} took no part in dividing: it seems to know the target.")
    summary.append("A table without times does not tell who moves between segments.")
    formats = dict.fromkeys(("share", "rate", "low", "high", "share of positives"), ".1%") | {"lift": ".2f"}
    parts = [
        Table("Segments and what they bring", profile, f"Rate: {problem.target_name}, 95 % intervals.", formats),
        value_picture(segments.names, rate, low, high, problem.target_name, "What each segment brings",
                      "Share of positive rows with 95 % intervals (Wilson).", percent=True),
        *parts,
        Table("Medians of every segment", medians, "In the columns' own units."),
    ]  # fmt: skip
    return Section(
        "segments", "Segments", summary, parts, {**figures, "profile": profile, "compared": compared}
    )


def _common(segments: Segmented, unit: str, seed: int) -> tuple[Parts, dict[str, Any], pd.DataFrame]:
    """Return what logs and tables share: pictures, and the ways of dividing compared."""
    points, count = segments.points, segments.count
    tree = hierarchy(points, count, seed=seed)
    sample, dense = dense_groups(points, seed=seed)
    of_sample = nearest(sample, segments.centroids)
    tried = segments.choice.tried
    chosen = tried[tried["segments"] == count]
    compared = pd.DataFrame(
        [
            _way("K-means", segments.members, silhouette(points, segments.members, seed=seed),
                 float(chosen["stability"].iloc[0]) if len(chosen) else np.nan, 1.0),
            _way("hierarchical (Ward)", tree.members, silhouette(points, tree.members, seed=seed), tree.stability,
                 adjusted_rand_score(segments.members, tree.members)),
            _way("density (HDBSCAN)", dense, silhouette(sample, dense, seed=seed), np.nan,
                 adjusted_rand_score(of_sample[dense >= 0], dense[dense >= 0]) if (dense >= 0).any() else np.nan),
        ]
    )  # fmt: skip
    formats = {"silhouette": ".3f", "stability": ".3f", "smallest": ".1%"}
    parts: Parts = [
        components(segments, seed),
        profile_picture(segments),
        choice_picture(tried),
        Table("How many segments, in figures", tried, f"Smallest: share of {unit} in the smallest segment.", formats),
        tree_picture(tree.tree, count, len(tree.tree) + 1),
        Table(
            "Three ways of dividing",
            compared,
            "Stability: mean adjusted Rand index between divisions learned from subsamples. HDBSCAN finds "
            "dense regions "
            "and leaves out what lies between them; few or very uneven groups, or much left out, mean that "
            f"{unit} differ by degrees rather than in kind, and segments are cuts through one cloud.",
            {"silhouette": ".3f", "stability": ".3f", "smallest": ".1%", "left out": ".1%", "as K-means": ".2f"},
        ),
    ]  # fmt: skip
    names = [{"name": name, "description": text} for name, text in
             zip(segments.names, segments.descriptions, strict=True)]  # fmt: skip
    return parts, {"segments": names, "columns": segments.columns, "tried": tried}, compared


def _way(name: str, members: np.ndarray, width: float, stability: float, alike: float) -> dict[str, Any]:
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


def _raw_money(segments: Segmented, seed: int) -> dict[str, float]:
    """Return what becomes of the best silhouette without logarithms."""
    values = segments.frame[segments.columns].to_numpy()
    points = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-12)
    best: dict[str, float] = {}
    for count in range(_RAW_COUNT, 6):
        members = nearest(points, kmeans(points, count, seed))
        width = silhouette(points, members, seed=seed)
        if not best or width > best["silhouette"]:
            smallest = float(np.bincount(members, minlength=count).min() / len(members))
            best = {"segments": count, "silhouette": width, "smallest": smallest}
    return best


def _why_logs(raw: dict[str, float], segments: Segmented) -> str:
    tried = segments.choice.tried
    own = tried[tried["segments"] == choose_count(tried)]["silhouette"].iloc[0]
    if raw["smallest"] >= LEAST_SHARE:
        return f"Divided on the log scale: silhouette {own:.2f} ({raw['silhouette']:.2f} on the raw scale)."
    return (
        f"Divided on the log scale (silhouette {own:.2f}). On the raw scale {raw['segments']:.0f} segments seem better "
        f"({raw['silhouette']:.2f}), but only by cutting off {raw['smallest']:.2%} of the customers."
    )


def _moved(moves: pd.DataFrame) -> float:
    known = moves.iloc[:-1].to_numpy()
    return 1 - float(np.trace(known)) / max(float(known.sum()), 1.0)
