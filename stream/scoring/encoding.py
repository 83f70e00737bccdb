"""The contract of the scored topic, and its encoding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.bundle import BANDS, Bundle
from features.columns import EventColumns
from features.events import PURCHASE
from stream.messages.score import ReasonRef, Recommendation, Score, SegmentRef, Traffic
from stream.scoring.engine import Scored
from stream.scoring.reasons import Reasons

_encode = msgspec.json.Encoder().encode


def with_tombstones(
    scores: list[tuple[str, bytes]], columns: EventColumns, scored: Scored, erased: NDArray[np.bool_]
) -> list[tuple[str, bytes | None]]:
    """Return the scores with a tombstone at the place of every erasure: the rows that are ``erased``."""
    records: list[tuple[str, bytes | None]] = list(scores)
    for row in np.flatnonzero(erased)[::-1].tolist():
        records.insert(int(np.searchsorted(scored.rows, row)), (columns.customers[row], None))
    return records


def encode_scores(
    bundle: Bundle,
    columns: EventColumns,
    scored: Scored,
    scored_at: int,
    recommended: Sequence[Recommendation | None] | None = None,
    stale: NDArray[np.bool_] | None = None,
    merged: Sequence[str | None] | None = None,
) -> list[tuple[str, bytes]]:
    """Return customer and JSON of every score of a batch, in the order of its events.

    Parameters
    ----------
    columns, scored
        The batch, and what the engine made of it.
    scored_at
        The wall clock, epoch ms.
    recommended
        One for each score.
    stale
        Which of the scores come too late for an action: they recommend nothing either.
    merged
        Of each score the anonymous id whose state was merged.
    """
    manifest = bundle.manifest
    segments = [SegmentRef(s.id, s.name) for s in bundle.segmenter.segments]
    features, horizon = manifest.features_version, manifest.horizon_seconds
    versions: Iterable[str] = repeat(manifest.version, len(scored.rows))
    onlines: Iterable[float | None] = (
        repeat(None, len(scored.rows)) if scored.online is None else scored.online.tolist()
    )
    if scored.canary is not None:  # it has no online model
        taken, other = scored.canary.taken.tolist(), scored.canary.version
        versions = [other if one else manifest.version for one in taken]
        onlines = [None if one else online for one, online in zip(taken, onlines, strict=True)]
    apart: tuple[Traffic | None, ...] = (None, "bot", "staff")
    actions = scored.rulebook.actions
    bought = columns.type[scored.rows] == PURCHASE
    customers, ids, times = columns.customers, columns.event_ids, columns.time.tolist()
    return [
        (
            customers[row],
            _encode(
                Score(  # positional: twice as fast as by name
                    ids[row],
                    customers[row],
                    times[row],
                    scored_at,
                    probability,
                    horizon,
                    as_of,
                    network,
                    online,
                    BANDS[band],
                    segments[segment],
                    reasons,
                    actions[action],
                    holdout,
                    version,
                    features,
                    None if late else recommendation,
                    late,
                    purchase,
                    apart[traffic],
                    anonymous,
                )
            ),
        )
        for (
            row,
            as_of,
            segment,
            network,
            online,
            probability,
            band,
            action,
            holdout,
            recommendation,
            late,
            purchase,
            reasons,
            traffic,
            version,
            anonymous,
        ) in zip(
            scored.rows.tolist(),
            scored.as_of.tolist(),
            scored.segment.tolist(),
            scored.network.tolist(),
            onlines,
            scored.probability.tolist(),
            scored.band.tolist(),
            scored.action.tolist(),
            scored.holdout.tolist(),
            repeat(None, len(scored.rows)) if recommended is None else recommended,
            repeat(False, len(scored.rows)) if stale is None else stale.tolist(),
            bought.tolist(),
            _reasons(scored),
            scored.traffic.tolist(),
            versions,
            repeat(None, len(scored.rows)) if merged is None else merged,
            strict=True,
        )
    ]


def _reasons(scored: Scored) -> Iterable[list[ReasonRef]]:
    """Return the reasons of every score, or what is encoded as them."""
    if scored.reasons is None:
        none: list[ReasonRef] = []
        return repeat(none, len(scored.rows))
    made = scored.reasons.encoded() if isinstance(scored.reasons, Reasons) else scored.reasons
    return cast(Iterable[list[ReasonRef]], made)  # msgspec writes what is JSON as it is
