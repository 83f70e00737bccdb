"""What is known now: who is about to buy, what was sent, and how fast scores come. Pure: records and times come in.

A customer is about to buy from a score of a wanted band on. The row leaves at a purchase, when the score has expired
(its horizon is over), when the band falls, when another id takes what was known under this one, and at an erasure.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections import Counter, OrderedDict, deque
from collections.abc import Collection, Mapping
from itertools import chain
from typing import Final

import msgspec

from stream.messages.action import Action
from stream.messages.alert import Alert
from stream.messages.score import Band, Score, SegmentRef
from stream.serving.live.masks import Masks
from stream.serving.live.outcome import Outcomes
from stream.serving.live.rates import SECONDS, Latencies, PerSecond
from stream.serving.live.shown import (
    ActionCount,
    Actions,
    Active,
    Answered,
    Lag,
    Latency,
    LiveCustomer,
    Now,
    PartitionLag,
    Point,
    Rates,
    Refused,
    RefusedReason,
    SegmentCount,
    ShownAction,
    Snapshot,
    Timeline,
)

#: Bands of customers who are about to buy.
WANTED: Final[tuple[Band, ...]] = ("high", "medium")
#: Customers who are about to buy: followed, and shown.
MOST_TRACKED: Final = 10_000
MOST_SHOWN: Final = 100
#: Customers with an event in the last `ACTIVE_MS`.
MOST_ACTIVE: Final = 100_000
ACTIVE_MS: Final = 30 * 60_000
#: Customers whose timeline is kept, scores of all of them, and scores and actions of each.
MOST_TIMELINES: Final = 10_000
MOST_DRAWN: Final = 200_000
MOST_POINTS: Final = 100
MOST_SENT: Final = 20
#: Newest actions that are shown, and ids by which repeated ones are known.
MOST_ACTIONS: Final = 50
_MOST_IDS: Final = 10_000
_MOST_KINDS: Final = 200
_MOST_ALERTS: Final = 20
# Scores that come later than this after their events are those of a replay.
_REPLAY_MS: Final = 3_600_000


class LiveView:
    """Puts scores, actions, alerts and dead letters together.

    Parameters
    ----------
    masks
        How ids are shown.
    since_ms
        From when on records come in, epoch ms.

    Attributes
    ----------
    answered
        When Kafka and Redis last answered.
    unreadable
        Records that are no messages, and were passed over.
    caught_up
        Whether all is read that was there when the view began.
    """

    def __init__(self, masks: Masks, since_ms: int) -> None:
        self.answered = Answered()
        self.unreadable = 0
        self.caught_up = False
        self._masks = masks
        self._since_ms = since_ms
        self._newest_score: Score | None = None
        self._newest_as_of = 0
        self._is_replay = False
        self._rows: OrderedDict[str, Score] = OrderedDict()
        self._active: OrderedDict[str, Score] = OrderedDict()
        self._bands: Counter[Band] = Counter()
        self._segments: Counter[tuple[int, str]] = Counter()
        self._leaving: list[tuple[int, str]] = []
        self._timelines: OrderedDict[str, deque[Point]] = OrderedDict()
        self._drawn = 0
        self._sent: OrderedDict[str, deque[Action]] = OrderedDict()
        self._actions: list[Action] = []
        self._action_ids: OrderedDict[str, None] = OrderedDict()
        self._kinds: Counter[tuple[str, str]] = Counter()
        self._outcomes = Outcomes()
        self._scored, self._came = PerSecond(), PerSecond()
        self._came_since: int | None = None
        self._latencies = Latencies()
        self._lag: Lag | None = None
        self._alerts: deque[Alert] = deque(maxlen=_MOST_ALERTS)
        self._letters: dict[str, RefusedReason] = {}
        self._letters_since = since_ms

    def segments(self) -> set[SegmentRef]:
        """Return the segments of the customers who are active."""
        return {SegmentRef(*segment) for segment in self._segments}

    def add_score(self, score: Score) -> None:
        """Take the next score of a partition."""
        second = score.scored_at // 1000
        self._scored.add(second)
        if self._newest_score is None or score.scored_at >= self._newest_score.scored_at:
            self._newest_score = score
        if score.traffic is not None:
            return
        self._newest_as_of = max(self._newest_as_of, score.as_of)
        self._is_replay = score.scored_at - self._newest_as_of > _REPLAY_MS
        if not self._is_replay and score.merged is None:
            self._latencies.add(second, [max(float(score.scored_at - score.event_time), 0.0)])
        self._outcomes.use_window(round(score.horizon_seconds * 1000))
        if score.purchase:
            self._outcomes.buy(score.customer_id, score.event_time)
        if score.merged is not None:
            self._leave(score.merged)
            self._outcomes.merge(score.merged, score.customer_id)
        known = self._active.get(score.customer_id)
        if known is not None and score.as_of < known.as_of:
            return  # repeated after a crash
        self._track(score)
        self._count(score)
        self._draw(score)

    def add_action(self, action: Action) -> None:
        """Take the next action of a partition; repeated ones are dropped."""
        if action.action_id in self._action_ids:
            return
        self._action_ids[action.action_id] = None
        if len(self._action_ids) > _MOST_IDS:
            self._action_ids.popitem(last=False)
        kind = (action.action, action.arm)
        if kind in self._kinds or len(self._kinds) < _MOST_KINDS:
            self._kinds[kind] += 1
        # Of a topic that is read back, one partition may come whole before the next.
        insort(self._actions, action, key=_decided)
        del self._actions[:-MOST_ACTIONS]
        sent = self._sent.setdefault(action.customer_id, deque(maxlen=MOST_SENT))
        self._sent.move_to_end(action.customer_id)
        sent.append(action)
        if len(self._sent) > MOST_TIMELINES:
            self._sent.popitem(last=False)
        self._outcomes.act(action)

    def add_alert(self, alert: Alert) -> None:
        """Take the next alert."""
        self._alerts.append(alert)

    def add_letter(self, reason: str, arrived_at: int) -> None:
        """Take the next dead letter."""
        known = self._letters.get(reason, RefusedReason(reason, 0, arrived_at))
        self._letters[reason] = RefusedReason(reason, known.count + 1, max(known.newest_at, arrived_at))

    def count_letters_since(self, since_ms: int) -> None:
        """Say from when on dead letters come in."""
        self._letters_since = since_ms

    def count_events(self, second: int, count: int) -> None:
        """Take how many events came within a second of the wall clock."""
        self._came_since = second if self._came_since is None else self._came_since
        self._came.add(second, count)

    def measure_lag(self, records: Mapping[int, int]) -> None:
        """Take how many records of each partition are not in the states yet."""
        partitions = [PartitionLag(number, count) for number, count in sorted(records.items())]
        self._lag = Lag(sum(records.values()), partitions)

    def forget_lag(self) -> None:
        """Say that nobody knows how far the states have come."""
        self._lag = None

    def erase(self, customer: str) -> None:
        """Forget a customer."""
        self._leave(customer)
        self._actions = [action for action in self._actions if action.customer_id != customer]
        self._sent.pop(customer, None)
        self._outcomes.forget(customer)
        self._masks.forget(customer)

    def now(self, wall_ms: int) -> Now:
        """Return the moment that ages refer to."""
        return Now(self._newest_as_of, "log") if self._is_replay else Now(wall_ms, "wall")

    def snapshot(self, wall_ms: int, wanted: Collection[Band] = WANTED) -> Snapshot:
        """Return all that is shown.

        Parameters
        ----------
        wall_ms
            The wall clock.
        wanted
            Bands of customers who are listed, among `WANTED`.
        """
        now, newest = self.now(wall_ms), self._newest_score
        self._expire(now.at)
        rows = [row for row in self._rows.values() if row.band in wanted]
        shown = heapq.nlargest(MOST_SHOWN, rows, key=_likeliest)
        second = wall_ms // 1000
        came = self._came.last(second)
        unseen = SECONDS if self._came_since is None else self._came_since - (second - SECONDS)
        return Snapshot(
            now=now,
            wall=wall_ms,
            since=self._since_ms,
            horizon_seconds=None if newest is None else newest.horizon_seconds,
            model_version=None if newest is None else newest.model_version,
            caught_up=self.caught_up,
            masked=self._masks.on,
            about_to_buy=len(rows),
            customers=[self._customer(row) for row in shown],
            active=self._active_now(),
            rates=Rates(
                second * 1000,
                self._scored.last(second),
                [None if at < unseen else count for at, count in enumerate(came)],
            ),
            latency=None if self._is_replay else self._latency(second),
            lag=self._lag,
            actions=Actions(
                [ActionCount(action, arm, n) for (action, arm), n in self._kinds.most_common()],  # type: ignore[arg-type]
                [self._action(action) for action in reversed(self._actions)],
                self._outcomes.at(now.at),
            ),
            alerts=list(reversed(self._alerts)),
            refused=Refused(
                self._letters_since,
                sum(one.count for one in self._letters.values()),
                sorted(self._letters.values(), key=lambda one: -one.count),
            ),
            answered=msgspec.structs.replace(
                self.answered, score=None if newest is None else newest.scored_at
            ),
            unreadable=self.unreadable,
        )

    def timeline(self, customer: str, wall_ms: int) -> Timeline:
        """Return the newest scores and actions of a customer, by the id that is shown or the real one."""
        real = self.real(customer)
        actions = [self._action(action) for action in sorted(self._sent.get(real, ()), key=_decided)]
        points = list(self._timelines.get(real, ()))
        return Timeline(self._masks.shown(real), self.now(wall_ms), points, actions)

    def real(self, shown: str) -> str:
        """Return whose a shown id is; what is none of ours is an id itself.

        Another process may have shown it: what this one has seen is looked through.
        """
        found = self._masks.real(shown)
        if found != shown or not self._masks.masked(shown):
            return found
        seen = chain(self._rows, self._timelines, self._sent)
        return next((customer for customer in seen if self._masks.shown(customer) == shown), shown)

    def _track(self, score: Score) -> None:
        """Let a row come, change or leave."""
        self._rows.pop(score.customer_id, None)
        if score.purchase or score.band not in WANTED:
            return
        self._rows[score.customer_id] = score
        if len(self._rows) > MOST_TRACKED:
            self._rows.popitem(last=False)

    def _count(self, score: Score) -> None:
        self._uncount(self._active.pop(score.customer_id, None))
        self._active[score.customer_id] = score
        heapq.heappush(self._leaving, (score.as_of, score.customer_id))
        if len(self._leaving) > 2 * MOST_ACTIVE:
            self._leaving = [(one.as_of, customer) for customer, one in self._active.items()]
            heapq.heapify(self._leaving)
        self._bands[score.band] += 1
        self._segments[(score.segment.id, score.segment.name)] += 1
        if len(self._active) > MOST_ACTIVE:
            self._uncount(self._active.popitem(last=False)[1])

    def _uncount(self, score: Score | None) -> None:
        if score is None:
            return
        self._bands[score.band] -= 1
        segment = (score.segment.id, score.segment.name)
        self._segments[segment] -= 1
        if not self._segments[segment]:
            del self._segments[segment]

    def _draw(self, score: Score) -> None:
        points = self._timelines.setdefault(score.customer_id, deque(maxlen=MOST_POINTS))
        self._timelines.move_to_end(score.customer_id)
        self._drawn += len(points) < MOST_POINTS
        points.append(Point(score.as_of, score.purchase_intent, score.band, score.purchase))
        while len(self._timelines) > MOST_TIMELINES or self._drawn > MOST_DRAWN:
            self._drawn -= len(self._timelines.popitem(last=False)[1])

    def _leave(self, customer: str) -> None:
        self._rows.pop(customer, None)
        self._uncount(self._active.pop(customer, None))
        self._drawn -= len(self._timelines.pop(customer, ()))

    def _expire(self, now_ms: int) -> None:
        for customer in [one for one, score in self._rows.items() if _expires(score) <= now_ms]:
            del self._rows[customer]
        while self._leaving and self._leaving[0][0] <= now_ms - ACTIVE_MS:
            as_of, customer = heapq.heappop(self._leaving)
            if customer in self._active and self._active[customer].as_of == as_of:
                self._uncount(self._active.pop(customer))

    def _customer(self, score: Score) -> LiveCustomer:
        return LiveCustomer(
            self._masks.shown(score.customer_id),
            score.purchase_intent,
            score.band,
            score.segment,
            [reason.text for reason in score.reasons],
            score.action,
            score.holdout,
            score.as_of,
            _expires(score),
        )

    def _action(self, action: Action) -> ShownAction:
        return ShownAction(
            action.action_id,
            self._masks.shown(action.customer_id),
            action.action,
            action.trigger,
            action.rule,
            action.arm,
            action.purchase_intent,
            action.band,
            action.segment,
            action.decided_at,
            action.expires_at,
            self._outcomes.bought_at(action.customer_id, action.decided_at),
        )

    def _active_now(self) -> Active:
        bands: dict[Band, int] = {band: self._bands[band] for band in ("high", "medium", "low")}
        segments = [
            SegmentCount(*segment, count) for segment, count in sorted(self._segments.items(), reverse=True)
        ]
        return Active(ACTIVE_MS // 60_000, len(self._active), bands, segments)

    def _latency(self, second: int) -> Latency | None:
        found = self._latencies.at(second)
        return None if found is None else Latency(*found)


def _expires(score: Score) -> int:
    return score.as_of + round(score.horizon_seconds * 1000)


def _decided(action: Action) -> tuple[int, str]:
    return action.decided_at, action.action_id


def _likeliest(score: Score) -> tuple[float, int, str]:
    return score.purchase_intent, score.as_of, score.customer_id
