"""How many events workers and the learner are behind, and whether that is too much."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, NamedTuple

from kafka import TopicPartition

from features.durations import duration_ms, duration_short
from features.exceptions import SchemaMismatch
from features.watermark import BEGINNING
from stream.kafka.topics import longest_horizon
from stream.learning.records.header import EXAMPLES, Header, unpack
from stream.settings import Settings

_POLL_MS: Final = 2_000
# A worker scores so many events within a few seconds.
_FAR_BEHIND: Final = 100_000
# The learner waits for horizon and lateness anyway, and for a mini-batch beyond (`stream.learning.vigilance`).
_LEARNER_SLACK: Final = timedelta(minutes=20)


class Lag(NamedTuple):
    """How many events a group is behind; what to do if that is too much, and empty if it is not."""

    events: int
    remedy: str


def worker_lag(
    consumer: Any, settings: Settings, tps: list[TopicPartition], done: Mapping[TopicPartition, int]
) -> Lag:
    """Return how many events workers are behind that have ``done`` the events topic up to these offsets."""
    behind = sum(end - begin for begin, end in _unread(consumer, tps, done).values())
    remedy = (
        f"more than {_FAR_BEHIND:,} are many: look again in a minute, and if the number does not fall, start another "
        "worker, up to one per partition"
    )
    return Lag(behind, remedy if behind > _FAR_BEHIND else "")


def learner_lag(
    consumer: Any, settings: Settings, tps: list[TopicPartition], done: Mapping[TopicPartition, int]
) -> Lag:
    """Return how many events the learner is behind that has ``done`` the examples topic up to these offsets.

    A record there tells of a whole batch, or that a partition is idle: what counts is the events that it tells of.
    """
    behind = waited_ms = 0
    for tp, (begin, end) in _unread(consumer, tps, done).items():
        try:
            first, last = (_header_at(consumer, tp, offset) for offset in (begin, end - 1))
        except SchemaMismatch:  # the learner passes it over, with a dead letter
            behind += end - begin
            continue
        behind += max(last.stop - first.start, 0)
        if first.watermark > BEGINNING:
            waited_ms = max(waited_ms, last.watermark - first.watermark)
    usual_ms = duration_ms(longest_horizon(settings) + settings.lateness + _LEARNER_SLACK)
    remedy = (
        f"more than {_FAR_BEHIND:,} are many if they span more than {duration_short(usual_ms)} (horizon, lateness and "
        f"{duration_short(duration_ms(_LEARNER_SLACK))}), and these span {duration_short(waited_ms)}: look again in a "
        "minute, and if the number does not fall, make fewer examples with `INTENT_SAMPLE`"
    )
    return Lag(behind, remedy if behind > _FAR_BEHIND and waited_ms > usual_ms else "")


def _unread(
    consumer: Any, tps: list[TopicPartition], done: Mapping[TopicPartition, int]
) -> dict[TopicPartition, tuple[int, int]]:
    """Return the first offset that a group has not read, and the end, of the partitions where it has not read all."""
    ends, begins = consumer.end_offsets(tps), consumer.beginning_offsets(tps)
    starts = {tp: max(done.get(tp, 0), begins[tp]) for tp in tps}
    return {tp: (starts[tp], ends[tp]) for tp in tps if starts[tp] < ends[tp]}


def _header_at(consumer: Any, tp: TopicPartition, offset: int) -> Header:
    found = records_at(consumer, tp, offset)
    return unpack(EXAMPLES, found[0].value if found else None)[0]


def records_at(consumer: Any, tp: TopicPartition, offset: int) -> list[Any]:
    """Return the record at an offset, or the next one; none if it does not come in time."""
    consumer.assign([tp])
    consumer.seek(tp, offset)
    return [one for own in consumer.poll(timeout_ms=_POLL_MS, max_records=1).values() for one in own]
