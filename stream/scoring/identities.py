"""Records that say who is who, as rows of a batch."""

from __future__ import annotations

from collections.abc import Mapping

from features.columns import ERASE, MERGE, PASS, OtherRow
from features.events import epoch_ms
from features.identity import HandOver, Identify
from stream.scoring.batch import RecordStatus

Identities = Mapping[int, Identify | HandOver]


def other_rows(identities: Identities) -> dict[int, OtherRow]:
    """Return the rows of identities that are no events, by the position of their record."""
    rows = {}
    for i, identity in identities.items():
        time = epoch_ms(identity.event_time)
        if isinstance(identity, Identify):
            rows[i] = OtherRow(identity.anonymous_id, PASS, identity.event_id, time)
        elif identity.event is None:
            kind = ERASE if identity.erase else MERGE
            rows[i] = OtherRow(identity.customer_id, kind, identity.event_id, time)
    return rows


def erased_by(identities: Identities) -> list[int]:
    """Return the positions of records that hand an erasure over."""
    return [i for i, identity in identities.items() if isinstance(identity, HandOver) and identity.erase]


def record_status(identity: Identify | HandOver) -> RecordStatus | None:
    """Return what an identity's record is to the scorer, ``None`` where it is an event."""
    if isinstance(identity, Identify):
        return RecordStatus.IDENTIFY
    return RecordStatus.MERGE if identity.event is None else None
