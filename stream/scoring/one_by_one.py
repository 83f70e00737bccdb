"""Records read one by one: all that is not as nearly every record is, and the reference for those that are.

A record is an event, a request to erase a customer, a sign that a replay ends, what says who is who or what an item
costs, or nothing of that: then it is rejected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Self, cast

import numpy as np
from numpy.typing import NDArray

from features.events import Decoding, Event, Reason, Rejection
from features.identity import HandOver, Identify
from features.partition import partitions_of
from features.prices import Price, PriceCopy
from stream.formats.contract import Format
from stream.formats.decoding import decode_records, values_of
from stream.kafka.record_columns import Record
from stream.kafka.records import identity_faults, is_close, key_faults, price_faults, unreadable_records
from stream.kafka.signatures import HandOverKeys, signature_faults


class OneByOne(NamedTuple):
    """What records are, by their positions.

    Attributes
    ----------
    events
        Events with the right key on the right partition.
    rejections
        Whatever cannot be taken.
    identities
        What says who is who, and what other partitions have handed over.
    prices
        What items cost, in the order of their records.
    erasures
        Customers who are to be erased.
    closes, ignored
        Signs that a replay ends, and what is passed over.
    dropped, without_counterpart
        See `stream.scoring.batch.Batch`.
    """

    events: dict[int, Event]
    rejections: list[Rejection]
    identities: dict[int, Identify | HandOver]
    prices: dict[int, Price | PriceCopy]
    erasures: dict[int, str]
    closes: list[int]
    ignored: list[int]
    dropped: Mapping[str, int]
    without_counterpart: Mapping[str, int]

    def at(self, places: Sequence[int]) -> Self:
        """Return the same where the first record stands at the first of these places, and so on."""
        return self._replace(
            events={places[i]: event for i, event in self.events.items()},
            rejections=[replace(one, index=places[one.index]) for one in self.rejections],
            identities={places[i]: identity for i, identity in self.identities.items()},
            prices={places[i]: price for i, price in self.prices.items()},
            erasures={places[i]: customer for i, customer in self.erasures.items()},
            closes=[places[i] for i in self.closes],
            ignored=[places[i] for i in self.ignored],
        )


def read_one_by_one(  # noqa: PLR0917  (records, and what is known of them)
    records: Sequence[Record],
    arrival: NDArray[np.int64],
    partition: NDArray[np.int64],
    partitions: int,
    poison: Mapping[int, str],
    *,
    decoding: Decoding,
    form: Format | None,
    hand_over_keys: HandOverKeys | None,
) -> OneByOne:
    """Decode records and check their keys and partitions.

    Parameters
    ----------
    arrival, partition
        When each of them arrived, epoch ms, and the partition that it came on.
    poison
        Why records are to be rejected unread, by their positions.
    partitions, decoding, form, hand_over_keys
        See `stream.scoring.intake.read_batches`.
    """
    keys = [record.key for record in records]
    values = values_of(records, form)
    for i in poison:
        keys[i] = values[i] = b""  # nobody looks at them
    broken = unreadable_records(records)
    lost = {rejection.index for rejection in broken}
    for index in lost:
        values[index] = b""
    decoded = decode_records(records, values, decoding, form)
    events, at, rejections = decoded.events, decoded.indices, decoded.rejections
    identities = decoded.identities
    if poison:
        rejections = [
            Rejection(one.index, Reason.POISON, poison[one.index]) if one.index in poison else one
            for one in rejections
        ]
    closes = [i for i, key in enumerate(keys) if key is None and is_close(records[i])] if None in keys else []
    if closes or broken:
        closes = [i for i in closes if i not in lost]
        others = lost.union(closes)
        rejections = [rejection for rejection in rejections if rejection.index not in others] + broken
    erasures = [i for i, value in enumerate(values) if value is None] if None in values else []
    taken = dict(zip(at, events, strict=True))
    if erasures or identities or not _keys_fit(keys, taken, partition, partitions):
        faults = key_faults(keys, taken, erasures, partition, partitions)
        faults |= identity_faults(identities, keys, arrival, partition, partitions)
        faults |= signature_faults(identities, records, hand_over_keys)
        rejections += faults.values()
        taken = {i: event for i, event in taken.items() if i not in faults}
        erasures = [i for i in erasures if i not in faults]
        identities = {i: identity for i, identity in identities.items() if i not in faults}
    faults = price_faults(decoded.prices, keys, arrival, partition, partitions)
    faults |= signature_faults(decoded.prices, records, hand_over_keys)
    rejections += faults.values()
    return OneByOne(
        taken,
        rejections,
        identities,
        {i: price for i, price in sorted(decoded.prices.items()) if i not in faults},
        {i: cast("bytes", keys[i]).decode() for i in erasures},
        closes,
        decoded.ignored,
        decoded.dropped,
        decoded.without_counterpart,
    )


def _keys_fit(
    keys: Sequence[bytes | None], events: Mapping[int, Event], partition: NDArray[np.int64], partitions: int
) -> bool:
    """Whether, as nearly always, every key is its event's customer and belongs to its partition."""
    own = [keys[i] for i in events]
    if [event.customer_id.encode() for event in events.values()] != own:
        return False
    came_on = partition[np.fromiter(events, np.intp, len(events))]
    return bool((partitions_of(cast("list[bytes]", own), partitions) == came_on).all())
