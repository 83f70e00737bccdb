"""The stage "segments": who the customers are, what each group brings, and who moves between groups."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from offline.chapters.segments.clustering import LEAST_SHARE, choose_count, kmeans, nearest, silhouette
from offline.chapters.segments.common import Parts, show
from offline.chapters.segments.movement import MOMENTS, Movement, movement
from offline.chapters.segments.pictures import movement_pictures, shares_picture, value_picture
from offline.chapters.segments.segmented import Segmented, segment_customers, segment_rows
from offline.chapters.segments.table_section import segment_table_section
from offline.chapters.workspace import Workspace
from offline.report.section import Section, Table
from offline.views.log_view import LogView

#: Shorter logs are not asked who moves.
_LEAST_HOURS: Final = 24
_RAW_COUNT: Final = 2


def segment(workspace: Workspace) -> Section:
    """Run the stage on the input of a report."""
    segments = segments_of(workspace)
    with workspace.progress("Comparing ways of dividing"):
        if workspace.input == "log":
            return segment_log_section(workspace.customer_view, segments, seed=workspace.options.seed)
        return segment_table_section(workspace.problem, segments, seed=workspace.options.seed)


def segments_of(workspace: Workspace) -> Segmented:
    """Return the segments of the input, found once for all stages that want them."""
    if workspace.handover.segments is not None:
        return workspace.handover.segments
    count, seed = workspace.options.segment_count, workspace.options.seed
    with workspace.progress("Finding segments") as on_progress:
        segments = (
            segment_customers(workspace.customer_view, count=count, seed=seed, on_progress=on_progress)
            if workspace.input == "log"
            else segment_rows(workspace.problem, count=count, seed=seed, on_progress=on_progress)
        )
    workspace.handover.segments = segments
    return segments


def segment_log_section(view: LogView, segments: Segmented, *, seed: int = 0) -> Section:
    """Return what there is to say about segments of customers."""
    who, how, figures = show(segments, "customers", seed)
    profile = _profile(segments)
    summary = _summary(profile, segments, view.currency)
    parts: Parts = [*_profile_parts(profile, segments, view), *who]
    figures["profile"] = profile
    if (view.last - view.first) / pd.Timedelta(hours=1) >= _LEAST_HOURS:
        found = movement(view, segments)
        summary += _movement_sentences(found, view.currency)
        parts += [*_later_parts(found, view.currency), *movement_pictures(found, segments)]
        figures["movement"] = _movement_figures(found)
    raw = _raw_money(segments, seed)
    summary.append(_why_logs(raw, segments))
    return Section("segments", "Segments", summary, [*parts, *how], figures | {"raw": raw})


def _profile(segments: Segmented) -> pd.DataFrame:
    total = max(float(segments.frame["monetary"].sum()), 1e-12)
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
    return pd.DataFrame(rows)


def _summary(profile: pd.DataFrame, segments: Segmented, currency: str) -> list[str]:
    best = profile.iloc[int(profile["share of revenue"].to_numpy().argmax())]
    return [
        f"{len(segments.frame):,} customers fall into {segments.count} segments "
        f"({', '.join(f'{r.segment}: {r.share:.0%}' for r in profile.itertuples())}).",
        f'"{best["segment"]}" are {best["share"]:.0%} of the customers and bring {best["share of revenue"]:.0%} of '
        f"the revenue ({best['spent (mean)']:,.0f} {currency} each).",
    ]


def _profile_parts(profile: pd.DataFrame, segments: Segmented, view: LogView) -> Parts:
    formats = {"share": ".1%", "orders (mean)": ".1f", "spent (mean)": ",.0f", "spent (median)": ",.0f",
               "share of revenue": ".1%", "silent (days)": ".0f"}  # fmt: skip
    last = "event" if view.browsing else "order"
    return [
        Table(
            "Segments and what they bring",
            profile,
            f"Money in {view.currency}, less refunds; orders that were taken back in full do not count"
            f"{'' if view.browsing else ', and customers without other orders are left out'}. Silent: median days "
            f"since the last {last}.",
            formats,
        ),
        Table(
            "Segments in words",
            pd.DataFrame({"segment": segments.names, "a typical customer": segments.descriptions}),
        ),
        shares_picture(profile),
    ]


def _movement_sentences(found: Movement, currency: str) -> list[str]:
    sentences = [
        f"From {found.moments[-2]:%d %b %Y} to {found.moments[-1]:%d %b %Y}, {_moved(found.moves):.0%} of the "
        "customers known before moved to another segment."
    ]
    if len(found.later) and found.later["mean spent"].max() > 0:
        top = found.later.loc[found.later["mean spent"].idxmax()]
        sentences.append(
            f'Customers who were "{top["segment"]}" on {found.since:%d %b %Y} spent {top["mean spent"]:,.0f} '
            f"{currency} each from then on (95 % interval {top['low']:,.0f} to {top['high']:,.0f}): "
            f"{top['share of revenue']:.0%} of what all customers known by then spent afterwards."
        )
    return sentences


def _later_parts(found: Movement, currency: str) -> Parts:
    later = found.later
    if not len(later) or later["mean spent"].max() <= 0:
        return []
    formats = {
        "ordered": ".1%",
        "mean spent": ",.1f",
        "low": ",.1f",
        "high": ",.1f",
        "share of revenue": ".1%",
    }
    return [
        value_picture(
            list(later["segment"]), later["mean spent"].to_numpy(), later["low"].to_numpy(),
            later["high"].to_numpy(), f"spent afterwards per customer ({currency})", "What came afterwards",
            f"Customers divided by what was known on {found.since:%d %b %Y}; spending from then to "
            f"{found.moments[-1]:%d %b %Y}, with 95\u00a0% intervals.", percent=False,
        ),
        Table(
            "What came afterwards, in figures",
            later,
            f"Ordered: share that ordered after {found.since:%d %b %Y}; money in {currency}, low and high: 95 % "
            "interval of the mean.",
            formats,
        ),
    ]  # fmt: skip


def _movement_figures(found: Movement) -> dict[str, Any]:
    return {
        "moments": found.moments,
        "sizes": found.sizes,
        "moves": found.moves.reset_index(names="from"),
        "moved": _moved(found.moves),
        "since": found.since,
        "later": found.later,
        "steps": MOMENTS,
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
    start = f"Divided on the log scale, where the segments' separation (silhouette, 1 at best) is {own:.2f}"
    if raw["smallest"] >= LEAST_SHARE:
        return f"{start} ({raw['silhouette']:.2f} on the raw scale)."
    return (
        f"{start}. On the raw scale {raw['segments']:.0f} segments seem better ({raw['silhouette']:.2f}), but "
        f"only by cutting off {raw['smallest']:.2%} of the customers."
    )


def _moved(moves: pd.DataFrame) -> float:
    known = moves.iloc[:-1].to_numpy()
    return 1 - float(np.trace(known)) / max(float(known.sum()), 1.0)
