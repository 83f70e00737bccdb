"""Records that say who is who, as rows of a batch."""

from __future__ import annotations

from collections.abc import Container, Mapping

from features.columns import ERASE, MERGE, PASS, OtherRow
from features.events import epoch_ms
from features.identity import HandOver, Identify
from stream.scoring.batch import RecordStatus

Identities = Mapping[int, Identify | HandOver]


def other_rows(identities: Identities, events: Container[int] = ()) -> dict[int, OtherRow]:
    """Return the rows of identities that are no events, by the position of their record.

    ``events`` are the positions of records that are events, and may tell a login besides.
    """
    rows = {}
    for i, identity in identities.items():
        time = epoch_ms(identity.event_time)
        if isinstance(identity, Identify):
            if i not in events:
                rows[i] = OtherRow(identity.anonymous_id, PASS, identity.event_id, time)
        elif identity.event is None:
            kind = ERASE if identity.erase else MERGE
            rows[i] = OtherRow(identity.customer_id, kind, identity.event_id, time)
    return rows


def erased_by(identities: Identities) -> list[int]:
    """Return the positions of records that hand an erasure over."""
    return [i for i, identity in identities.items() if isinstance(identity, HandOver) and identity.erase]


def handed(identities: Identities) -> set[int]:
    """Return the positions of records that other partitions have handed over."""
    return {i for i, identity in identities.items() if isinstance(identity, HandOver)}


def row_status(row: OtherRow) -> RecordStatus:
    """Return what the record of a row that is no event is to the scorer."""
    return {PASS: RecordStatus.IDENTIFY, MERGE: RecordStatus.MERGE, ERASE: RecordStatus.ERASE}[row.type]
