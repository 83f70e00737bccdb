"""The contract of ``GET /v1/live``. Times are epoch milliseconds."""

from __future__ import annotations

from typing import Literal

import msgspec

from stream.messages.action import Arm
from stream.messages.alert import Alert
from stream.messages.score import Band, Probability, SegmentRef


class Now(msgspec.Struct, frozen=True):
    """The moment that ages and expiries refer to.

    Attributes
    ----------
    clock
        ``wall``: the clock of the service. ``log``: the newest event time, since scores come more than an hour after
        their events, as in a replay.
    """

    at: int
    clock: Literal["wall", "log"]


class LiveCustomer(msgspec.Struct, frozen=True, gc=False):
    """A customer who is about to buy: the last score, which holds until ``expires_at``."""

    customer_id: str
    purchase_intent: Probability
    band: Band
    segment: SegmentRef
    reasons: list[str]
    action: str
    holdout: bool
    as_of: int
    expires_at: int


class SegmentCount(msgspec.Struct, frozen=True, gc=False):
    """Customers of a segment."""

    id: int
    name: str
    customers: int


class Active(msgspec.Struct, frozen=True):
    """Customers with an event in the last minutes, by the band and the segment of their last score."""

    minutes: int
    customers: int
    bands: dict[Band, int]
    segments: list[SegmentCount]


class Rates(msgspec.Struct, frozen=True):
    """Counts by second of the wall clock, the last one ending at ``ends_at``; ``null`` before anybody looked."""

    ends_at: int
    scores: list[int]
    events: list[int | None]


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds from an event's time to its score, of the last five minutes."""

    p50: float
    p99: float
    scores: int


class PartitionLag(msgspec.Struct, frozen=True, gc=False):
    """Records of a partition that are not in the states yet."""

    partition: int
    records: int


class Lag(msgspec.Struct, frozen=True):
    """Records that are not in the states yet."""

    total: int
    partitions: list[PartitionLag]


class ActionCount(msgspec.Struct, frozen=True, gc=False):
    """Actions of one kind and arm."""

    action: str
    arm: Arm
    count: int


class ShownAction(msgspec.Struct, frozen=True, gc=False):
    """An action; ``bought_at`` is the customer's first purchase since, as far as it was seen."""

    action_id: str
    customer_id: str
    action: str
    trigger: str
    rule: str
    arm: Arm
    purchase_intent: Probability
    band: Band
    segment: SegmentRef
    decided_at: int
    expires_at: int
    bought_at: int | None


class ArmOutcome(msgspec.Struct, frozen=True):
    """Customers of an arm whose window has closed, and how many of them bought within it."""

    customers: int
    buyers: int


class Outcome(msgspec.Struct, frozen=True):
    """What came of the first action of each customer.

    Attributes
    ----------
    window_seconds
        A purchase counts within this time after the action: the horizon of the scores.
    open
        Customers whose window is still open; nothing of them is counted.
    difference, low, high
        Share of buyers, treatment less holdout, and the ends of an interval that holds at every look; ``null`` while
        there are too few buyers.
    detail
        The same in one sentence, or why nothing is told.
    """

    window_seconds: float | None
    treatment: ArmOutcome
    holdout: ArmOutcome
    open: int
    difference: float | None
    low: float | None
    high: float | None
    detail: str


class Actions(msgspec.Struct, frozen=True):
    """What was decided: counts, the newest ones, the newest first, and what came of them."""

    counts: list[ActionCount]
    newest: list[ShownAction]
    outcome: Outcome


class RefusedReason(msgspec.Struct, frozen=True, gc=False):
    """Dead letters of one reason; ``newest_at`` is the arrival of the newest."""

    reason: str
    count: int
    newest_at: int


class Refused(msgspec.Struct, frozen=True):
    """Dead letters since a moment, by reason, the most frequent first."""

    since: int
    count: int
    reasons: list[RefusedReason]


class Answered(msgspec.Struct, frozen=True):
    """When each part last answered, and when the newest score was made; ``null`` for never."""

    kafka: int | None = None
    redis: int | None = None
    score: int | None = None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All that the live page shows, but for the quality of scores (``GET /v1/quality``).

    Attributes
    ----------
    since
        Scores and actions that were made before are not seen.
    caught_up
        Whether all is read that was there when the view began; until then counts are too low.
    masked
        Whether ids are masked (INTENT_SERVE_MASK_IDS).
    about_to_buy
        How many customers are; the likeliest of them are ``customers``.
    latency
        ``null`` where the log is a replay, or there are no scores.
    lag
        ``null`` while Redis does not answer.
    unreadable
        Records of the topics that are no messages, and were passed over.
    """

    now: Now
    wall: int
    since: int
    horizon_seconds: float | None
    model_version: str | None
    caught_up: bool
    masked: bool
    about_to_buy: int
    customers: list[LiveCustomer]
    active: Active
    rates: Rates
    latency: Latency | None
    lag: Lag | None
    actions: Actions
    alerts: list[Alert]
    refused: Refused
    answered: Answered
    unreadable: int


class Point(msgspec.Struct, frozen=True, gc=False):
    """A score of a customer's timeline."""

    as_of: int
    purchase_intent: Probability
    band: Band
    purchase: bool


class Timeline(msgspec.Struct, frozen=True):
    """The newest scores and actions of a customer, oldest first, as far as they were seen."""

    customer_id: str
    now: Now
    points: list[Point]
    actions: list[ShownAction]
