"""What really happened, as the scorer tells it batch by batch: purchases, erasures, links, and how far event time is.

The order of the rows is that of the source offsets. An erasure carries the watermark that stood before it, because it
cancels what waits and not what was final already, and that must not depend on where a batch ended.

Where people log in, two ids are one person's (`features.identity`). A link says so; its time is no older than any event
of the partition before it. What is bought later under the anonymous id is told where it first came, and at once under
both ids: it may reach the other partition when that is further on in time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.exceptions import SchemaMismatch
from stream.learning.records.header import (
    OUTCOMES,
    RECORD_BYTES,
    TIME_LIMIT,
    Header,
    check_offsets,
    check_times,
    pack,
    stretches,
    unpack,
)
from stream.learning.records.texts import lengths_of, texts_from_bytes, texts_to_bytes

PURCHASE: Final = 0
ERASURE: Final = 1
LINK: Final = 2  # what is known of an id is handed over, or on, to another one
HANDED_ON: Final = 3  # a purchase under a linked id
LOGIN_PURCHASE: Final = 4  # a purchase that tells the login itself: both at once

# One outcome without its ids: offset, time, kind and two lengths.
_FIXED_BYTES: Final = 8 + 8 + 1 + 2 + 2
_CHARACTER_BYTES: Final = 4  # of UTF-8, at most


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Purchases, erasures and links, one element each.

    Attributes
    ----------
    kind
        `PURCHASE`, `ERASURE`, `LINK`, `HANDED_ON` or `LOGIN_PURCHASE`.
    offset
        Source offset.
    time
        Of a purchase its event time, of a link that of the login or of the partition's newest event, of an erasure the
        partition's watermark before it; epoch ms.
    customer
        Who bought, was erased, or was linked.
    other
        To whom an id is linked; empty for purchases and erasures. No element at all where nobody is linked.
    """

    kind: NDArray[np.uint8]
    offset: NDArray[np.int64]
    time: NDArray[np.int64]
    customer: Sequence[str]
    other: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.offset)

    @classmethod
    def none(cls) -> Outcomes:
        """Return no outcomes."""
        return cls(np.zeros(0, np.uint8), np.zeros(0, np.int64), np.zeros(0, np.int64), [])

    def __getitem__(self, rows: slice) -> Outcomes:
        return Outcomes(
            self.kind[rows], self.offset[rows], self.time[rows], self.customer[rows], self.other[rows]
        )


def joined(parts: Sequence[Outcomes]) -> Outcomes:
    """Return the outcomes of all parts, at least one, in their order."""
    if len(parts) == 1:
        return parts[0]
    return Outcomes(
        np.concatenate([part.kind for part in parts]),
        np.concatenate([part.offset for part in parts]),
        np.concatenate([part.time for part in parts]),
        [customer for part in parts for customer in part.customer],
        [other for part in parts for other in part.other or [""] * len(part)]
        if any(part.other for part in parts)
        else (),
    )


#: Of most records of a live worker.
NOTHING: Final = Outcomes.none()


class OutcomeRecord(NamedTuple):
    """A record of the outcomes topic."""

    header: Header
    outcomes: Outcomes


def encode_outcomes(
    header: Header, outcomes: Outcomes, before: int, limit: int = RECORD_BYTES
) -> Iterator[bytes]:
    """Yield the records of a batch, at least one; ``before`` is the watermark before it."""
    lengths, others = lengths_of(outcomes.customer), lengths_of(outcomes.other)
    sizes = _FIXED_BYTES + _CHARACTER_BYTES * lengths.astype(np.int64)
    if len(others):
        sizes += _CHARACTER_BYTES * others.astype(np.int64)
    for rows, own in stretches(header, outcomes.offset, sizes, before, limit):
        part = outcomes[rows]
        linked = any(part.other)
        texts = (part.customer, part.other) if linked else (part.customer,)
        spans = np.concatenate([lengths[rows], others[rows]]) if linked else lengths[rows]
        body = (
            part.offset.astype("<i8").tobytes(),
            part.time.astype("<i8").tobytes(),
            part.kind.tobytes(),
            texts_to_bytes(spans, *texts),
        )
        yield pack(OUTCOMES, own, b"".join(body), linked=linked)


def decode_outcomes(raw: bytes | None, latest: int = TIME_LIMIT) -> OutcomeRecord:
    """Return what `encode_outcomes` wrote; ``latest`` is the latest time that it can tell of, epoch ms.

    Raises
    ------
    SchemaMismatch
        The record was written by another version of this program, or is damaged.
    """
    header, body, _ = unpack(OUTCOMES, raw, latest)
    rows = header.rows
    if not rows and not body:
        return OutcomeRecord(header, NOTHING)
    try:
        offset = np.frombuffer(body, "<i8", rows)
        time = np.frombuffer(body, "<i8", rows, 8 * rows)
        kind = np.frombuffer(body, "u1", rows, 16 * rows)
        linked = bool((kind >= LINK).any())
        texts = texts_from_bytes(body[17 * rows :], 2 * rows if linked else rows)
        if rows:
            check_offsets(header, offset)
            if int(kind.max()) > LOGIN_PURCHASE:
                raise ValueError(f"an outcome of kind {int(kind.max())}")
            told = time[kind != ERASURE]  # an erasure has the watermark before it, which may be the beginning
            if len(told):
                check_times(told, latest)
            if int(time.max()) > latest:
                raise ValueError(f"a time {int(time.max())}, where {latest} is possible at the latest")
    except (ValueError, OverflowError) as error:
        raise SchemaMismatch(f"a record of the outcomes topic is damaged ({error}): it is left out") from None
    return OutcomeRecord(header, Outcomes(kind, offset, time, texts[:rows], texts[rows:]))
