"""Rows of an archive that are no events.

They say who is who, what partitions have handed to each other (`features.identity`), and what items cost
(`features.prices`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from features.events import Event, Rejection
from features.identity import HandOver, Identify, identity_text
from features.prices import Price, PriceCopy, encode_price


def new_identities(
    handed: dict[tuple[int, int], tuple[int, int]],
    partition: int,
    found: Mapping[int, Identify | HandOver],
    faults: Mapping[int, Rejection],
) -> dict[int, Identify | HandOver]:
    """Return the identities that are good, each hand-over once: ``handed`` has the last one by partition and sender."""
    new: dict[int, Identify | HandOver] = {}
    for at, identity in sorted(found.items()):
        if at in faults:
            continue
        if isinstance(identity, HandOver):
            sender, *place = identity.source
            if tuple(place) <= handed.get((partition, sender), (-1, -1)):
                continue
            handed[partition, sender] = (place[0], place[1])
        new[at] = identity
    return new


class ArchivedRow(NamedTuple):
    """An event, or what stands for one, whose it is, and its identity as the log has it."""

    event: Event
    type: str
    customer: str | None
    identity: str | None


def rows_of(
    event: Event | None, identity: Identify | HandOver | None, price: Price | PriceCopy | None = None
) -> list[ArchivedRow]:
    """Return the rows of an event, of an identity, of an event that was handed on, or of a price.

    An event that tells a login is both, one after the other: that has the same effect. A price is nobody's.
    """
    if price is not None:
        blank = Event(
            event_id=price.event_id, type="search", customer_id=price.item_id, event_time=price.event_time
        )
        return [ArchivedRow(blank, price.type, None, encode_price(price).decode())]
    if event is not None and isinstance(identity, Identify):
        return [_row_of(None, identity), _row_of(event, None)]
    return [_row_of(event, identity)]


def _row_of(event: Event | None, identity: Identify | HandOver | None) -> ArchivedRow:
    if event is None:  # of an identity, whose own id is the key
        assert identity is not None
        customer = identity.anonymous_id if isinstance(identity, Identify) else identity.customer_id
        event = Event(
            event_id=identity.event_id, type="search", customer_id=customer, event_time=identity.event_time
        )
        return ArchivedRow(event, identity.type, customer, identity_text(identity))
    text = None if identity is None else identity_text(identity)
    return ArchivedRow(event, event.type, event.customer_id, text)
