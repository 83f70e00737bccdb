"""What a record of the events topic says besides its value: key, arrival, and whether it is a control record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.events import MAX_ID, Event, Reason, Rejection, epoch_ms
from features.identity import HandOver, Identify
from features.partition import partitions_of
from features.prices import Price, PriceCopy
from features.state import fault_of
from features.watermark import MAX_AHEAD_MS
from stream.kafka.record_columns import Record
from stream.kafka.unreadable import unreadable

#: Header in which a replayed record carries its arrival (epoch ms, decimal); it then counts instead of the broker's,
#: but never as later than that.
ARRIVED_AT: Final = "arrived_at"
#: Header of a record that is no event but tells the workers something; `CLOSE` ends a replay on a partition.
CONTROL: Final = "control"
CLOSE: Final = b"close"
TIME_DIGITS: Final = 16  # more are no time


def is_close(record: Record) -> bool:
    """Whether a record is no event, but the end of a replay on its partition."""
    return record.key is None and (CONTROL, CLOSE) in record.headers


def arrival(record: Record) -> int:
    """Return when a record arrived, epoch ms: what a replay says, and at most the broker's append time."""
    appended = int(record.timestamp)
    for name, value in record.headers:
        if name == ARRIVED_AT and value is not None and value.isdigit() and len(value) < TIME_DIGITS:
            return min(int(value), appended)
    return appended


def unreadable_records(records: Sequence[Record]) -> list[Rejection]:
    """Return the rejections of records that could not be parsed as they are."""
    faults = ((at, unreadable(record)) for at, record in enumerate(records))
    return [Rejection(at, fault.reason, fault.detail) for at, fault in faults if fault is not None]


def key_faults(
    keys: Sequence[bytes | None],
    events: Mapping[int, Event],
    erasures: Sequence[int],
    homes: NDArray[np.int64],
    partitions: int,
) -> dict[int, Rejection]:
    """Return what is wrong with the keys of events and of requests to erase, by position.

    ``homes`` is the partition that each record came on.
    """
    belongs = partitions_of([key or b"" for key in keys], partitions)
    faults = {}
    for i in (*events, *erasures):
        key, event = keys[i], events.get(i)
        if not key:
            fault = Reason.MISSING_KEY, "the record has no key; the key is the customer id"
        elif event is not None and event.customer_id.encode() != key:
            fault = Reason.KEY_MISMATCH, f"the key is {key!r}, but customer_id is {event.customer_id!r}"
        elif event is None and not _is_identifier(key):
            fault = (
                Reason.KEY_MISMATCH,
                f"a null value asks to erase the customer {key!r}, which is no customer id",
            )
        elif belongs[i] != homes[i]:
            fault = Reason.WRONG_PARTITION, _wrong_partition(key, int(belongs[i]), int(homes[i]))
        else:
            continue
        faults[i] = Rejection(i, *fault)
    return faults


def _is_identifier(key: bytes) -> bool:
    try:
        return len(key.decode()) <= MAX_ID
    except UnicodeDecodeError:
        return False


_KEYED: Final = {Identify: "anonymous_id", HandOver: "customer_id"}


def identity_faults(
    identities: Mapping[int, Identify | HandOver],
    keys: Sequence[bytes | None],
    arrivals: NDArray[np.int64],
    homes: NDArray[np.int64],
    partitions: int,
) -> dict[int, Rejection]:
    """Return what is wrong with identities, by the position of their record.

    Parameters
    ----------
    keys, arrivals, homes
        Of each record: the key, when it arrived (epoch ms), and the partition that it came on.
    """
    faults = {}
    at = list(identities)
    belongs = partitions_of([keys[i] or b"" for i in at], partitions).tolist()
    for i, home in zip(at, belongs, strict=True):
        identity, key = identities[i], keys[i]
        name = _KEYED[type(identity)]
        wanted = getattr(identity, name)
        ahead = epoch_ms(identity.event_time) - int(arrivals[i])
        if not key:
            fault = Reason.MISSING_KEY, f"the record has no key; the key is the {name}"
        elif key != wanted.encode():
            fault = Reason.KEY_MISMATCH, f"the key is {key!r}, but {name} is {wanted!r}"
        elif home != homes[i]:
            fault = Reason.WRONG_PARTITION, _wrong_partition(key, home, int(homes[i]))
        elif isinstance(identity, Identify) and ahead > MAX_AHEAD_MS:
            fault = Reason.FUTURE, _too_early(ahead)
        elif isinstance(identity, HandOver) and identity.source[0] >= partitions:
            fault = (
                Reason.INVALID_FIELD,
                f"source names partition {identity.source[0]}, the topic has {partitions}",
            )
        elif isinstance(identity, HandOver) and (damage := _damage(identity)):
            fault = Reason.INVALID_FIELD, damage
        else:
            continue
        faults[i] = Rejection(i, *fault)
    return faults


def price_faults(
    prices: Mapping[int, Price | PriceCopy],
    keys: Sequence[bytes | None],
    arrivals: NDArray[np.int64],
    homes: NDArray[np.int64],
    partitions: int,
) -> dict[int, Rejection]:
    """Return what is wrong with prices, by the position of their record; for the rest see `identity_faults`.

    A copy has the key of its item, and belongs to whichever partition it was written to.
    """
    faults = dict[int, Rejection]()
    if not prices:
        return faults
    at = list(prices)
    belongs = partitions_of([keys[i] or b"" for i in at], partitions).tolist()
    for i, home in zip(at, belongs, strict=True):
        price, key = prices[i], keys[i]
        copied = isinstance(price, PriceCopy)
        ahead = epoch_ms(price.event_time) - int(arrivals[i])
        if not key:
            fault = Reason.MISSING_KEY, "the record has no key; the key is the item_id"
        elif key != price.item_id.encode():
            fault = Reason.KEY_MISMATCH, f"the key is {key!r}, but item_id is {price.item_id!r}"
        elif not copied and home != homes[i]:
            fault = Reason.WRONG_PARTITION, _wrong_partition(key, home, int(homes[i]))
        elif not copied and ahead > MAX_AHEAD_MS:
            fault = Reason.FUTURE, _too_early(ahead)
        elif isinstance(price, PriceCopy) and price.source[0] >= partitions:
            fault = (
                Reason.INVALID_FIELD,
                f"source names partition {price.source[0]}, the topic has {partitions}",
            )
        else:
            continue
        faults[i] = Rejection(i, *fault)
    return faults


def _wrong_partition(key: bytes, belongs: int, came_on: int) -> str:
    return (
        f"the key {key!r} belongs to partition {belongs} and came on {came_on}: the producer must partition by murmur2 "
        "(librdkafka: partitioner=murmur2_random)"
    )


def _too_early(ahead_ms: int) -> str:
    return f"event time is {ahead_ms / 1000:.0f} s after the arrival, {MAX_AHEAD_MS // 1000} s are allowed"


def _damage(handed: HandOver) -> str:
    """Return what is wrong with the state that is handed over."""
    if handed.state is None:
        return ""
    fault = fault_of(handed.state)
    return fault and f"the state that is handed over {fault}"
