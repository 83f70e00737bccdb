"""The stage "segments": who the customers are, what each group brings, and who moves between groups."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
import pandas as pd

from features.counts import counted
from offline.chapters.segments.at_risk import AT_RISK, Quiet, quiet_customers
from offline.chapters.segments.clustering import LEAST_SHARE, choose_count, kmeans, nearest, silhouette
from offline.chapters.segments.common import Parts, show
from offline.chapters.segments.movement import MOMENTS, NOT_YET, Movement, movement
from offline.chapters.segments.names import TRUE_OF
from offline.chapters.segments.pictures import movement_pictures, shares_picture, value_picture
from offline.chapters.segments.rules import bounds_text
from offline.chapters.segments.segmented import (
    Clusters,
    Groups,
    Segmented,
    group_customers,
    segment_customers,
    segment_rows,
)
from offline.chapters.segments.table_section import segment_table_section
from offline.chapters.workspace import Workspace
from offline.exceptions import TrainingError
from offline.lab.differences import LEAST, Claim, highest_share, supported
from offline.progress import OnProgress
from offline.report.section import Finding, Section, Table
from offline.views.huge_orders import huge_words
from offline.views.log_view import LogView

#: Shorter logs are not asked who moves.
_LEAST_HOURS: Final = 24
_RAW_COUNT: Final = 2
# Where insight lists all customers with their segment.
_CUSTOMERS_FILE: Final = "lifetime_values.csv"
_NEAR: Final = 0.02  # of a fraction in words to the share


def segment(workspace: Workspace) -> Section:
    """Run the stage on the input of a report."""
    segments = segments_of(workspace)
    options = workspace.options
    if isinstance(segments, Groups):
        view = workspace.customer_view
        with workspace.progress("Finding clusters") as on_progress:
            clusters = clusters_of(view, segments, options.segment_count, options.seed, on_progress)
        with workspace.progress("Comparing ways of dividing"):
            return segment_log_section(view, segments, clusters, seed=options.seed)
    assert isinstance(segments, Clusters)  # a table has no rules
    with workspace.progress("Comparing ways of dividing"):
        return segment_table_section(workspace.problem, segments, seed=options.seed)


def segments_of(workspace: Workspace) -> Segmented:
    """Return the segments of the input, found once for all stages: a log's by rules, a table's by likeness."""
    if workspace.handover.segments is not None:
        return workspace.handover.segments
    count, seed = workspace.options.segment_count, workspace.options.seed
    with workspace.progress("Finding segments") as on_progress:
        segments: Segmented = (
            group_customers(workspace.customer_view)
            if workspace.input == "log"
            else segment_rows(workspace.problem, count=count, seed=seed, on_progress=on_progress)
        )
    workspace.handover.segments = segments
    return segments


def clusters_of(
    view: LogView, groups: Groups, count: int | None, seed: int, on_progress: OnProgress | None = None
) -> Clusters | str:
    """Return clusters of customers, or in words why there are none."""
    try:
        return segment_customers(view, groups, count=count, seed=seed, on_progress=on_progress)
    except TrainingError as error:
        if count is not None:
            raise
        return str(error)


def segment_log_section(view: LogView, groups: Groups, clusters: Clusters | str, *, seed: int = 0) -> Section:
    """Return what there is to say about customers by rules, and beside them by likeness.

    Parameters
    ----------
    clusters
        Or why there are none.
    """
    profile = _profile(groups)
    summary = _summary(profile, groups, view)
    parts: Parts = _profile_parts(profile, groups, view)
    figures: dict[str, Any] = {
        "segments": [
            {"name": name, "description": text}
            for name, text in zip(groups.names, groups.descriptions, strict=True)
        ],
        "profile": profile,
        "bounds": groups.bounds._asdict(),
    }
    findings: list[Finding] = []
    if (view.last - view.first) / pd.Timedelta(hours=1) >= _LEAST_HOURS:
        found = movement(view, groups)
        sentences, again = _movement_sentences(found, groups)
        summary += sentences
        findings = again + _about_to_be_lost(profile, groups, quiet_customers(view, groups, found.since))
        parts += [*_later_parts(found, view.currency), *movement_pictures(found, groups)]
        figures["movement"] = _movement_figures(found)
    if isinstance(clusters, str):
        details = [f"No clusters of customers who are alike: {clusters}."]
        return Section("segments", "Segments", summary, parts, figures, details, findings)
    who, how, shown = show(clusters, "customers", seed)
    raw = _raw_money(clusters, seed)
    parts += [
        _clusters_table(clusters, groups, _why_logs(raw, clusters)),
        *who,
        *how,
    ]
    figures |= {"clusters": shown.pop("segments")} | shown | {"raw": raw}
    return Section("segments", "Segments", summary, parts, figures, findings=findings)


def _profile(groups: Groups) -> pd.DataFrame:
    total = max(float(groups.frame["monetary"].sum()), 1e-12)
    rows = []
    for k, name in enumerate(groups.names):
        own = groups.frame[groups.members == k]
        rows.append(
            {
                "segment": name,
                "customers": len(own),
                "share": len(own) / len(groups.frame),
                "orders (median)": own["purchases"].median(),
                "spent (median)": own["monetary"].median(),
                "spent (all)": float(own["monetary"].sum()),
                "share of revenue": float(own["monetary"].sum()) / total,
                "last seen (days ago)": own["recency"].median(),
            }
        )
    return pd.DataFrame(rows)


def _summary(profile: pd.DataFrame, groups: Groups, view: LogView) -> list[str]:
    largest = profile.sort_values("share", ascending=False, kind="stable")
    summary = [
        f"{counted(len(groups.frame), 'customer')} fall into {counted(groups.count, 'segment')} by fixed rules ("
        f"{', '.join(_listed(largest))})."
    ]
    # What is said of fewer customers is an anecdote.
    many = profile[profile["customers"] >= LEAST]
    if many["spent (all)"].sum() > 0:
        best = many.loc[many["spent (all)"].idxmax()]
        said = (
            f'"{best["segment"]}" ({groups.descriptions[int(best.name)]}) are {best["share"]:.0%} of the customers '
            f"and have brought {best['share of revenue']:.0%} of the revenue; half of them spent about "
            f"{best['spent (median)']:,.0f} {view.currency} or more."
        )
        summary.append(" ".join([said, *huge_words(view)]))
    return summary


def _listed(largest: pd.DataFrame) -> list[str]:
    """Return the shares of segments in words, those left out that round to nothing."""
    said = [f"{row.segment}: {row.share:.0%}" for row in largest.itertuples() if f"{row.share:.0%}" != "0%"]
    return said if len(said) == len(largest) else [*said, "the others less than 1% each"]


def _profile_parts(profile: pd.DataFrame, groups: Groups, view: LogView) -> Parts:
    formats = {"share": ".1%", "orders (median)": ".0f", "spent (median)": ",.0f", "spent (all)": ",.0f",
               "share of revenue": ".1%", "last seen (days ago)": ".0f"}  # fmt: skip
    if not view.browsing:
        profile = profile.rename(columns={"last seen (days ago)": "last order (days ago)"})
        formats["last order (days ago)"] = ".0f"
    parts: Parts = [
        Table(
            "Segments and what they bring",
            profile,
            f"Money in {view.currency}, less refunds; orders that were taken back in full do not count"
            f"{'' if view.browsing else ', and customers without other orders are left out'}. Median: half of the "
            "segment's customers have more, half less.",
            formats,
            "open",
        ),
        Table(
            "Who belongs to which segment",
            pd.DataFrame({"segment": groups.names, "who belongs to it": groups.descriptions}),
            f"The rules hold for every customer of a segment. {bounds_text(groups.bounds, view.currency)}",
        ),
    ]
    if profile["spent (all)"].sum() <= 0:
        return parts
    picture = shares_picture(profile)
    return [*parts, replace(picture, caption=" ".join([picture.caption, *huge_words(view)]))]


def _clusters_table(clusters: Clusters, groups: Groups, why: str) -> Table:
    of = np.array(groups.names, object)[groups.members]
    rows = []
    for k, name in enumerate(clusters.names):
        own = of[clusters.members == k]
        counts = pd.Series(own).value_counts()
        rows.append(
            {
                "cluster": name,
                "customers": len(own),
                "share": len(own) / len(of),
                "in the middle": clusters.descriptions[k],
                "most of them are": ", ".join(
                    f"{at} {count / len(own):.0%}" for at, count in counts[:2].items()
                ),
            }
        )
    return Table(
        "Customers who are alike",
        pd.DataFrame(rows),
        'Found by K-means, without any rule. A name that begins with "Mostly", and every range in a name, is true of '
        f"at least {TRUE_OF:.0%} of the customers. {why}",
        {"share": ".1%"},
    )


def _about_to_be_lost(profile: pd.DataFrame, groups: Groups, quiet: Quiet | None) -> list[Finding]:
    """Return who is about to be lost, where customers like them did order less often than comparable others."""
    sizes = profile.set_index("segment")
    if quiet is None or AT_RISK not in sizes.index or sizes.loc[AT_RISK, "customers"] < LEAST:
        return []
    own, found = sizes.loc[AT_RISK], quiet.found
    return [
        Finding(
            f"{counted(int(own['customers']), 'customer')} are about to be lost: they ordered twice or more, but "
            f"not in the "
            f"last {counted(groups.bounds.active, 'day')}. They brought {own['share of revenue']:.0%} of the revenue.",
            f"Of {found.size:,} such customers on {quiet.since:%d %b %Y}, {found.share:.0%} ordered within the "
            f"{counted(quiet.days, 'day')} after, of others with as many orders, the last of them lately, "
            f"{found.others:.0%}; "
            "the difference is more than chance.",
            "Write to them now: remind them, ask what was wrong, offer what they used to buy.",
            int(own["customers"]),
            file=_CUSTOMERS_FILE,
        )
    ]


def _movement_sentences(found: Movement, groups: Groups) -> tuple[list[str], list[Finding]]:
    """Return what there is to say of moves, and the segment that orders again most, if that is more than chance."""
    first, last = found.moments[-2], found.moments[-1]
    known = found.moves.drop(index=NOT_YET)
    sentences = []
    if known.to_numpy().sum():
        sentences.append(
            f"From {first:%d %b %Y} to {last:%d %b %Y}, {_moved(found.moves):.0%} of the customers known before "
            "moved to another segment."
        )
    later = found.later
    findings: list[Finding] = []
    if not len(later) or not later["ordered"].sum():
        return sentences, findings
    by_name = later.set_index("segment")
    best = highest_share(by_name["ordered"], by_name["customers"])
    if best is not None and supported([Claim("", best.p_value)])[0]:
        own, others = by_name.loc[best.group], by_name.drop(index=best.group)
        sentences.append(
            f'{_of_people(own["share"], own["low"], own["high"])} who were "{best.group}" on '
            f"{found.since:%d %b %Y} ordered again by {last:%d %b %Y}, of all "
            f"others known by then {others['ordered'].sum() / others['customers'].sum():.0%}: "
            f"they are {own['customers'] / by_name['customers'].sum():.0%} of the customers known then and brought "
            f"{own['share of revenue']:.0%} of what these customers spent afterwards."
        )
        rest = others["ordered"].sum() / others["customers"].sum()
        today = int((groups.members == groups.names.index(best.group)).sum())
        findings.append(
            Finding(
                f'{_of_people(own["share"], own["low"], own["high"], interval=False)} in the segment "{best.group}" '
                f"ordered again within {counted((last - found.since).days, 'day')}, {rest:.0%} of all others.",
                f"95% interval {own['low']:.0%} to {own['high']:.0%}; the difference is more than chance.",
                "Keep them: thank them and show them what is new first. Spend discounts elsewhere.",
                today,
                file=_CUSTOMERS_FILE,
            )
        )
    return sentences, findings


def _of_people(share: float, low: float, high: float, *, interval: bool = True) -> str:
    """Return a share of customers in words, where a small fraction is within two percentage points of it.

    Examples
    --------
    >>> _of_people(0.76, 0.71, 0.8)
    'About 3 of 4 customers (76%; 95% interval 71% to 80%)'
    >>> _of_people(0.56, 0.5, 0.62)
    '56% of the customers (95% interval 50% to 62%)'
    """
    within = f"; 95% interval {low:.0%} to {high:.0%}" if interval else ""
    for below in (2, 3, 4, 5, 10):
        count = round(share * below)
        if 0 < count < below and abs(count / below - share) <= _NEAR:
            return f"About {count} of {counted(below, 'customer')} ({share:.0%}{within})"
    return f"{share:.0%} of the customers{f' ({within[2:]})' if within else ''}"


def _later_parts(found: Movement, currency: str) -> Parts:
    later = found.later
    if not len(later) or not later["ordered"].sum():
        return []
    formats = dict.fromkeys(("share", "low", "high", "share of revenue"), ".1%") | dict.fromkeys(
        ("median spent", "median low", "median high", "mean spent"), ",.0f"
    )
    since, until = f"{found.since:%d %b %Y}", f"{found.moments[-1]:%d %b %Y}"
    return [
        value_picture(
            list(later["segment"]), later["share"].to_numpy(), later["low"].to_numpy(),
            later["high"].to_numpy(), "share that ordered afterwards", "What came afterwards",
            f"Customers divided by what was known on {since}; orders from then to {until}, with 95\u00a0% intervals.",
            percent=True,
        ),
        Table(
            "What came afterwards, in figures",
            later,
            f"Share: of the segment's customers on {since}, who ordered by {until}; low and high: its 95% interval. "
            f"Spent: by {until}, in {currency}, nothing where there was no order; the median and its interval from "
            f"{LEAST} customers on.",
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


def _raw_money(segments: Clusters, seed: int) -> dict[str, float]:
    """Return what becomes of the best silhouette without logarithms."""
    values = segments.frame[segments.columns].to_numpy()
    points = np.nan_to_num(
        (values - np.nanmean(values, axis=0)) / np.maximum(np.nanstd(values, axis=0), 1e-12)
    )
    best: dict[str, float] = {}
    for count in range(_RAW_COUNT, 6):
        members = nearest(points, kmeans(points, count, seed))
        width = silhouette(points, members, seed=seed)
        if not best or width > best["silhouette"]:
            smallest = float(np.bincount(members, minlength=count).min() / len(members))
            best = {"segments": count, "silhouette": width, "smallest": smallest}
    return best


def _why_logs(raw: dict[str, float], segments: Clusters) -> str:
    tried = segments.choice.tried
    own = tried[tried["segments"] == choose_count(tried)]["silhouette"].iloc[0]
    start = f"Divided on the log scale, where the segments' separation (silhouette, 1 at best) is {own:.2f}"
    if raw["smallest"] >= LEAST_SHARE:
        return f"{start} ({raw['silhouette']:.2f} on the raw scale)."
    return (
        f"{start}. On the raw scale {counted(raw['segments'], 'segment')} seem better ({raw['silhouette']:.2f}), but "
        f"only by cutting off {raw['smallest']:.2%} of the customers."
    )


def _moved(moves: pd.DataFrame) -> float:
    known = moves.iloc[:-1].to_numpy()
    return 1 - float(np.trace(known)) / max(float(known.sum()), 1.0)
