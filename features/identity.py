"""Anonymous to known: what a shop says of who is who, and what partitions hand to each other.

A shop sends an `Identify` when somebody logs in. The partition of the anonymous id stores a link (`features.links`) and
hands what it knows over to the customer's partition: as a `HandOver`, a record of the events topic, since the log of a
partition is all that its states follow from. What comes later under the linked id is handed on in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import structs

from features.events import (
    MAX_BYTES,
    MAX_ID,
    MAX_TIME_MS,
    MIN_TIME_MS,
    Event,
    EventTime,
    Identifier,
    check_event,
    check_identifiers,
    epoch_ms,
)
from features.refusals import Reason, RejectedEvent, refusal

__all__ = ["HandOver", "Identify", "decode_identity", "encode_identity", "is_identity_type"]

#: Types of records that say who is who; no feature counts them.
IDENTIFY: Final = "identify"
MERGE: Final = "merge"
IDENTITY_TYPES: Final = (IDENTIFY, MERGE)

#: A hand-over holds an event of `MAX_BYTES`, and its way.
HAND_OVER_BYTES: Final = 2 * MAX_BYTES

#: Ids through which something is handed on, at most: what has come so far stays where it is.
MOST_STEPS: Final = 16


class Identify(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Somebody who was anonymous is known: the value of a record, keyed by the anonymous id.

    Parameters
    ----------
    event_id
        Unique per event.
    anonymous_id
        Under which the person came; must equal the record's key.
    customer_id
        Who it is.
    event_time
        When it was found out: epoch milliseconds, or RFC 3339 text with a zone.
    """

    event_id: Identifier
    anonymous_id: Identifier
    customer_id: Identifier
    event_time: EventTime
    type: Literal["identify"] = "identify"


# As the record of a partition has room for them (`features.store.partition_record`).
_Partition = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
_Offset = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Number = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]


class HandOver(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """What the partition of one id hands to that of another, the key: a record that only workers write.

    Parameters
    ----------
    event_id, event_time
        Of the event or the `Identify` that it comes from.
    customer_id
        To whom it goes.
    anonymous_id
        From whom it comes in the beginning.
    source
        Partition of the record that it was made of, that record's offset, and which of the hand-overs made of it this
        is. Each one is taken once: no other of the same partition lies between.
    path
        The ids that it has passed, the first and the last included.
    state
        What was known (`features.state.to_bytes`).
    event
        What has happened.
    erase
        Whether the customer is to be erased.
    assigned
        By which id the person of the state is assigned to an arm of the experiment, where that is another one than the
        anonymous id.
    """

    event_id: Annotated[str, msgspec.Meta(max_length=MAX_ID)]
    customer_id: Identifier
    anonymous_id: Identifier
    event_time: Annotated[int, msgspec.Meta(ge=MIN_TIME_MS, le=MAX_TIME_MS)]
    source: tuple[_Partition, _Offset, _Number]
    path: Annotated[list[Identifier], msgspec.Meta(min_length=1, max_length=2 * MOST_STEPS)]
    type: Literal["merge"]
    state: bytes | None = None
    event: Event | None = None
    erase: bool = False
    assigned: Identifier | None = None


_json = msgspec.json.Encoder().encode


class _Typed(msgspec.Struct, gc=False):
    type: Any = None


_type_of = msgspec.json.Decoder(_Typed).decode
_decoders: Final[dict[str, Callable[[bytes], Identify | HandOver]]] = {
    IDENTIFY: msgspec.json.Decoder(Identify).decode,
    MERGE: msgspec.json.Decoder(HandOver).decode,
}


def encode_identity(identity: Identify | HandOver) -> bytes:
    """Return the record's value."""
    return _json(identity)


def identity_text(identity: Identify | HandOver) -> str:
    """Return what a log says of an identity, beside the event that was handed on."""
    if isinstance(identity, HandOver) and identity.event is not None:
        identity = structs.replace(identity, event=None)
    return encode_identity(identity).decode()


def is_identity_type(value: bytes) -> bool:
    """Whether a value says of itself that it is of one of `IDENTITY_TYPES`."""
    return _said_type(value) in IDENTITY_TYPES


def is_hand_over(value: bytes) -> bool:
    """Whether a value says of itself that it hands something over."""
    return bool(_said_type(value) == MERGE)


class _Sourced(msgspec.Struct, gc=False):
    source: tuple[int, ...] = (0, 0)  # partition and offset, and more in a hand-over


_source_of = msgspec.json.Decoder(_Sourced).decode


def source_offset(value: bytes) -> int:
    """Return the offset of the record that a worker's record was made of, 0 where it does not say."""
    return _source_of(value).source[1]


def _said_type(value: bytes) -> Any:
    try:
        return _type_of(value).type if len(value) <= HAND_OVER_BYTES else None
    except (msgspec.DecodeError, ValueError, RecursionError, TypeError):
        return None


def decode_identity(value: bytes) -> Identify | HandOver:
    """Return what a value of one of `IDENTITY_TYPES` holds.

    Raises
    ------
    RejectedEvent
        With the reason and a sentence that names the field.
    """
    try:
        name = _type_of(value).type
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise RejectedEvent(Reason.INVALID_FIELD, f"the value says of no type that it is: {error}") from None
    if name not in IDENTITY_TYPES:
        raise RejectedEvent(
            Reason.UNKNOWN_TYPE, f"the type is {name!r}, not one of {', '.join(IDENTITY_TYPES)}"
        )
    if name == IDENTIFY and len(value) > MAX_BYTES:
        raise RejectedEvent(Reason.TOO_LARGE, f"the value has {len(value)} bytes, the limit is {MAX_BYTES}")
    try:
        identity = _decoders[name](value)
    except msgspec.ValidationError as error:
        raise refusal(value, str(error), IDENTITY_TYPES) from None
    except (ValueError, RecursionError) as error:
        raise RejectedEvent(Reason.INVALID_FIELD, f"the value is no {name}: {error}") from None
    ids = [identity.event_id, identity.anonymous_id, identity.customer_id]
    if isinstance(identity, HandOver):
        ids += identity.path
        ids += [] if identity.assigned is None else [identity.assigned]
        _check_contents(identity, len(value))
    _check(ids, epoch_ms(identity.event_time))
    if isinstance(identity, Identify) and identity.anonymous_id == identity.customer_id:
        raise RejectedEvent(
            Reason.INVALID_FIELD,
            f"anonymous_id and customer_id are both {identity.customer_id!r}: nobody is merged with themselves",
        )
    return identity


def _check_contents(handed: HandOver, size: int) -> None:
    """Look at what is handed over, in a value of ``size`` bytes, as if it had come by itself."""
    contents = (handed.state is not None, handed.event is not None, handed.erase)
    if sum(contents) > 1:
        raise RejectedEvent(
            Reason.INVALID_FIELD, "a merge has one of state, event and erase, or none, and never two of them"
        )
    if not handed.event_id and not handed.erase:
        raise RejectedEvent(Reason.INVALID_FIELD, "event_id must not be empty")
    if handed.event is not None:
        check_event(handed.event, size)


def _check(ids: Sequence[str], time: int) -> None:
    check_identifiers(ids)
    if not MIN_TIME_MS <= time <= MAX_TIME_MS:
        raise RejectedEvent(Reason.INVALID_FIELD, "event_time must lie in 1973 to 9999 (UTC)")
