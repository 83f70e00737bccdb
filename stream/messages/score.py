"""The score: what marketing reads about a customer after each event."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal

import msgspec

Band = Literal["low", "medium", "high"]

Traffic = Literal["bot", "staff"]
Source = Literal["customer", "segment", "popular"]
Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]


class SegmentRef(msgspec.Struct, frozen=True, gc=False):
    """The customer's segment; ids rank segments by value, 0 is the lowest."""

    id: int
    name: str


def is_segment(segment: SegmentRef, wanted: str) -> bool:
    """Whether somebody who wants a segment by its number, or by a part of its name, means this one.

    Examples
    --------
    >>> loyal = SegmentRef(3, "Loyal customers")
    >>> [is_segment(loyal, wanted) for wanted in ("loyal", "3", "2", "0")]
    [True, True, False, False]
    """
    if wanted == str(segment.id):
        return True
    return not wanted.isdigit() and wanted.casefold() in segment.name.casefold()


def segment_names(segments: Collection[SegmentRef]) -> str:
    """Return numbers and names of segments.

    Examples
    --------
    >>> segment_names([SegmentRef(1, "Regulars"), SegmentRef(0, "Visitors")])
    '0 Visitors, 1 Regulars'
    """
    return ", ".join(f"{one.id} {one.name}" for one in sorted(segments, key=lambda one: (one.id, one.name)))


class ReasonRef(msgspec.Struct, frozen=True, gc=False):
    """One reason for a score: something about the customer, and its effect on the published log-odds.

    Attributes
    ----------
    feature
        What the reason is about: a key of `features.reasons.GROUPS`.
    value
        The number that the text speaks of, in the text's unit; 0 where it says never, none or nothing.
    effect
        On the log-odds of ``purchase_intent``, compared with the bundle's reference customer; negative where it makes
        a purchase less likely.
    text
        The fact, in plain English.
    """

    feature: str
    value: float
    effect: float
    text: str = ""


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
    model says, for ``recommendation``, which offline jobs may have replaced in between, and for what being ``stale``
    takes away.

    Attributes
    ----------
    purchase_intent
        Calibrated probability that the customer purchases within ``horizon_seconds`` after ``as_of``.
    as_of
        The moment that the score refers to: the latest event of the customer that is known.
    network_score, online_score
        The parts of the published probability. ``online_score`` is null where there is no online model: as long as no
        learner has read for the bundle, and in scores of a canary. Until the learner has learned its first labels, it
        equals ``network_score``, but for rounding.
    reasons
        The up to three things about the customer that moved ``purchase_intent`` most, in either direction; empty where
        nothing stands out, and for bands that ``INTENT_REASONS`` leaves out.
    action
        What to do, in the policy's words; ``none`` where nothing is to be done.
    holdout
        The customer is left alone, so that the effect of actions can be measured.
    model_version
        The bundle that made the score: the live one, or for a share of the customers a canary.
    recommendation
        What to offer; absent for customers in the holdout, as long as there are no offers for this bundle, and where
        the score is stale.
    stale
        The event had waited in Kafka for longer than ``INTENT_MAX_SCORE_AGE`` when it was scored: the action is
        ``none``. Absent where it is not so.
    purchase
        The event is a purchase: what earlier scores foresaw has happened. Absent where it is not so.
    traffic
        The event is no customer's, but a machine's (``bot``) or of the shop's own people (``staff``): the action is
        ``none``, reasons and recommendation are left out, and nothing is learned from it. Absent for customers.
    merged
        No event of the customer's own made this score: what was known under this anonymous id was merged into what is
        known of the customer, who had logged in (`identify`). Absent where it is not so.
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
    action: str
    holdout: bool
    model_version: str
    features_version: str
    recommendation: Recommendation | None = None
    stale: bool = False
    purchase: bool = False
    traffic: Traffic | None = None
    merged: str | None = None


decode_score = msgspec.json.Decoder(Score).decode
