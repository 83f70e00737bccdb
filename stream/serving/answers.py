"""What the service says: messages as JSON, and the answer about a customer made of a score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec
import numpy as np

from features.bundle import BANDS
from features.events import Identifier
from features.traffic import TRAFFIC
from features.vector import COLUMN_NAMES, NEVER_S, Vectors
from stream.messages.score import Band, Probability, ReasonRef, Recommendation, SegmentRef, Traffic
from stream.scoring.engine import Engine, Scored

#: Customers that one request may ask for, and events that one request may bring.
MOST: Final = 1_000
#: Hypothetical events of one question.
MOST_HYPOTHETICAL: Final = 20

_SINCE: Final = np.array(["since" in name or "gap" in name for name in COLUMN_NAMES])
_APART: Final[tuple[Traffic | None, ...]] = (None, "bot", "staff")
assert len(_APART) == len(TRAFFIC)

Features = dict[str, float | None]


class Customer(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What is known about a customer as of the last event: equal to the stream's score of that event. Times: epoch ms.

    Attributes
    ----------
    customer_id
        Whose answer it is: of an id that was linked to a customer by a login, that customer's.
    purchase_intent
        Calibrated probability of a purchase within `horizon_seconds` after `as_of`.
    as_of
        The latest event of the customer that is known.
    horizon_ends
        `as_of` and the horizon: later the answer says nothing about the future any more.
    partition, next_offset
        The customer's partition of the events topic, and the first of its records that the answer does not know yet.
    network_score, online_score
        The parts of the published probability. `online_score` is null where there is no online model: as long as no
        learner has read for the bundle, and in scores of a canary. Until the learner has learned its first labels, it
        equals `network_score`, but for rounding.
    action
        What the policy says is to be done; `none` where nothing is.
    features
        The model's input by name; null for never. Absent where the request leaves it out.
    """

    customer_id: str
    purchase_intent: Probability
    horizon_seconds: float
    as_of: int
    horizon_ends: int
    partition: int
    next_offset: int
    network_score: Probability
    online_score: Probability | None
    band: Band
    segment: SegmentRef
    reasons: list[ReasonRef]
    action: str
    holdout: bool
    model_version: str
    features_version: str
    recommendation: Recommendation | None = None
    traffic: Traffic | None = None
    features: Features | None = None


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where a customer's events stand: the partition, and the first record that is not known yet."""

    partition: int
    next_offset: int


class Missing(msgspec.Struct, frozen=True, gc=False):
    """A customer of a batch about whom there is no answer, and why: `unknown`, or `unreadable`."""

    customer_id: str
    reason: Literal["unknown", "unreadable"]


class BatchQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which customers are asked for, up to 1,000, and whether answers have their features."""

    customer_ids: Annotated[list[Identifier], msgspec.Meta(min_length=1, max_length=MOST)]
    features: bool = False


class BatchAnswer(msgspec.Struct, frozen=True):
    """The customers that are known, in the order of the question, and those that are not."""

    customers: list[Customer]
    missing: list[Missing]


class EventOutcome(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What became of an event that was sent.

    Attributes
    ----------
    index
        Its place in the request, from 0.
    outcome
        `accepted`: it is in Kafka. `repeated`: it was taken a short while ago. `ignored`: its type is passed over.
        `refused`: the worker would refuse it, for `reason`.
    partition, offset
        Where it stands in the events topic.
    reason, detail
        As in a dead letter.
    """

    index: int
    outcome: Literal["accepted", "repeated", "ignored", "refused"]
    event_id: str | None = None
    partition: int | None = None
    offset: int | None = None
    reason: str | None = None
    detail: str | None = None


class EventsAnswer(msgspec.Struct, frozen=True):
    """What became of each event of a request, in order, and how many of them are in Kafka."""

    accepted: int
    refused: int
    events: list[EventOutcome]


class Erasure(msgspec.Struct, frozen=True):
    """Where the request to erase a customer stands: it is done once the customer's partition has passed it."""

    partition: int
    offset: int


class HypotheticalScore(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What the stream would say after a hypothetical event, or why it would say nothing."""

    index: int
    outcome: Literal["scored", "repeated", "ignored", "refused"]
    event_id: str | None = None
    as_of: int | None = None
    purchase_intent: Probability | None = None
    band: Band | None = None
    action: str | None = None
    reason: str | None = None
    detail: str | None = None


class WhatIfAnswer(msgspec.Struct, frozen=True):
    """What is known of the customer, what would be said after each event, and what would be known then."""

    before: Customer | None
    events: list[HypotheticalScore]
    after: Customer | None


def segments_of(engine: Engine) -> list[SegmentRef]:
    """Return the segments of the bundle that scores, by their numbers."""
    return [SegmentRef(one.id, one.name) for one in engine.bundle.segmenter.segments]


def customers_of(
    engine: Engine,
    scored: Scored,
    customers: Sequence[str],
    places: Sequence[Place],
    recommended: Sequence[Recommendation | None],
    *,
    features: Sequence[bool],
) -> list[Customer]:
    """Return the answers that scores make.

    Parameters
    ----------
    customers, places, recommended, features
        For each score: whose it is, where that customer's events stand, what is recommended, and whether the answer has
        the features.
    """
    manifest = engine.bundle.manifest
    segments = segments_of(engine)
    horizon_ms = round(manifest.horizon_seconds * 1000)
    online = [None] * len(scored.rows) if scored.online is None else scored.online.tolist()
    versions = [manifest.version] * len(scored.rows)
    if scored.canary is not None:  # it has no online model
        for row in np.flatnonzero(scored.canary.taken).tolist():
            online[row], versions[row] = None, scored.canary.version
    as_of, band, segment = scored.as_of.tolist(), scored.band.tolist(), scored.segment.tolist()
    probability, network = scored.probability.tolist(), scored.network.tolist()
    action, holdout, traffic = scored.action.tolist(), scored.holdout.tolist(), scored.traffic.tolist()
    return [
        Customer(
            customer,
            probability[at],
            manifest.horizon_seconds,
            as_of[at],
            as_of[at] + horizon_ms,
            place.partition,
            place.next_offset,
            network[at],
            online[at],
            BANDS[band[at]],
            segments[segment[at]],
            [] if scored.reasons is None else scored.reasons[at],
            scored.rulebook.actions[action[at]],
            holdout[at],
            versions[at],
            manifest.features_version,
            recommended[at],
            _APART[traffic[at]],
            readable(scored.vectors[at]) if features[at] else None,
        )
        for at, (customer, place) in enumerate(zip(customers, places, strict=True))
    ]


def readable(vector: Vectors) -> Features:
    """Return a model's input by the names of its columns; what never happened is null."""
    found: Features = dict(zip(COLUMN_NAMES, vector.tolist(), strict=True))
    for at in np.flatnonzero(_SINCE & (vector >= NEVER_S)).tolist():
        found[COLUMN_NAMES[at]] = None
    return found
