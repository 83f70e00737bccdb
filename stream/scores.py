"""The contract of the scored topic, and its encoding."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import Annotated, Literal

import msgspec
import numpy as np

from features.bundle import BANDS, Bundle
from features.columns import ERASE, EventColumns
from stream.decisions import ACTIONS
from stream.engine import Scored

Band = Literal["low", "medium", "high"]
Action = Literal[
    "none", "recommend_items", "offer_incentive", "remind_of_cart", "assist_checkout", "cross_sell"
]
Source = Literal["customer", "segment", "popular"]
Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]


class SegmentRef(msgspec.Struct, frozen=True, gc=False):
    """The customer's segment; ids rank segments by value, 0 is the lowest."""

    id: int
    name: str


class ReasonRef(msgspec.Struct, frozen=True, gc=False):
    """One reason for a score: a feature, its value, and its effect on the log-odds."""

    feature: str
    value: float
    effect: float


class Recommendation(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What to offer the customer, and which items to show: what `intent recommend --write` has written.

    Attributes
    ----------
    offer, text
        The kind of offer for the customer's segment and band, for campaign tools and for people.
    items
        Item ids, best first.
    source
        Whose items they are: the list made for this customer (popular ones where nothing more personal did better),
        those that suit the segment, or what is popular with everybody.
    policy_version
        Names the offer policy.
    new_items
        Of the customer's own items, those that the customer has never had to do with; absent where there are none.
    """

    offer: str
    text: str
    items: list[str]
    source: Source
    policy_version: str
    new_items: list[str] = []


class Score(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The value of a record in the scored topic. Times are epoch milliseconds.

    After a crash a score may come again. It then equals the first one but for ``scored_at``, for what a newer online
    model says, and for ``recommendation``, which offline jobs may have replaced in between.

    Attributes
    ----------
    purchase_intent
        Calibrated probability that the customer purchases within ``horizon_seconds`` after ``as_of``.
    as_of
        The moment that the score refers to: the latest event of the customer that is known.
    network_score, online_score
        The parts of the published probability; ``online_score`` is null until there is an online model.
    holdout
        The customer is left alone, so that the effect of actions can be measured.
    recommendation
        What to offer; absent for customers in the holdout, and as long as there are no offers for this bundle.
    """

    event_id: str
    customer_id: str
    event_time: int
    scored_at: int
    purchase_intent: Probability
    horizon_seconds: float
    as_of: int
    network_score: Probability
    online_score: Probability | None
    band: Band
    segment: SegmentRef
    reasons: list[ReasonRef]
    action: Action
    holdout: bool
    model_version: str
    features_version: str
    recommendation: Recommendation | None = None


_encode = msgspec.json.Encoder().encode
decode_score = msgspec.json.Decoder(Score).decode


def with_tombstones(
    scores: list[tuple[str, bytes]], columns: EventColumns, scored: Scored
) -> list[tuple[str, bytes | None]]:
    """Return the scores with a tombstone at the place of every erasure."""
    records: list[tuple[str, bytes | None]] = list(scores)
    for row in np.flatnonzero(columns.type == ERASE)[::-1].tolist():
        records.insert(int(np.searchsorted(scored.rows, row)), (columns.customers[row], None))
    return records


def encode_scores(
    bundle: Bundle,
    columns: EventColumns,
    scored: Scored,
    scored_at: int,
    recommended: Sequence[Recommendation | None] | None = None,
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
    """
    manifest = bundle.manifest
    segments = [SegmentRef(s.id, s.name) for s in bundle.segmenter.segments]
    version, features, horizon = manifest.version, manifest.features_version, manifest.horizon_seconds
    reasons: list[ReasonRef] = []
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
                    ACTIONS[action],
                    holdout,
                    version,
                    features,
                    recommendation,
                )
            ),
        )
        for row, as_of, segment, network, online, probability, band, action, holdout, recommendation in zip(
            scored.rows.tolist(),
            scored.as_of.tolist(),
            scored.segment.tolist(),
            scored.network.tolist(),
            repeat(None, len(scored.rows)) if scored.online is None else scored.online.tolist(),
            scored.probability.tolist(),
            scored.band.tolist(),
            scored.action.tolist(),
            scored.holdout.tolist(),
            repeat(None, len(scored.rows)) if recommended is None else recommended,
            strict=True,
        )
    ]
