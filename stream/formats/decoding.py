"""Records in a format, decoded as `features.events.decode_many` decodes those in our own form.

One record is one event here: partitions, offsets, examples and dead letters all know an event by the place of its
record. A record that holds several is refused with the way out; one that holds none is passed over and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol, cast

from msgspec import structs

from features.events import Decoded, Decoding, Reason, RejectedEvent, Rejection, decode_many
from features.identity import IDENTIFY, HandOver, Identify, decode_identity, is_identity_type
from features.prices import decode_price, is_price_type
from stream.formats.cloudevents import CloudEvents, is_binary
from stream.formats.contract import NATIVE, Fields, Format, Message, Translation, explained
from stream.formats.values import write_json
from stream.kafka.records import arrival


class _Record(Protocol):
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def decode_records(
    records: Sequence[_Record],
    values: Sequence[bytes | None],
    decoding: Decoding,
    form: Format | None,
    *,
    on_fields: Callable[[Fields], None] | None = None,
) -> Decoded:
    """Decode the values of records.

    Parameters
    ----------
    records
        They tell key, headers and arrival.
    values
        Their values, or what stands for them.
    decoding
        How to take events that are not quite of the schema.
    form
        The form of the values, ``None`` for our own.
    on_fields
        Called with the fields of each event that was in another form: they still have names of items.
    """
    if form is None:
        return with_others(decode_many(values, decoding), values)
    passed, rejections = Decoded(), []
    fields: dict[int, Fields] = {}
    logins: dict[int, Identify] = {}
    own: list[bytes | None] = list(values)
    for index, (record, value) in enumerate(zip(records, values, strict=True)):
        if value is None or NATIVE in record.headers:
            continue
        own[index] = None
        message = Message(value, record.key, record.headers, arrival(record))
        try:
            found = _translated(message, form, passed, index)
            if found.events:
                own[index], fields[index] = write_json(found.events[0]), found.events[0]
                if (login := _login_beside(found, passed)) is not None:
                    logins[index] = login
            elif found.logins:
                own[index], fields[index] = write_json(found.logins[0]), found.logins[0]
        except RejectedEvent as rejected:
            rejections.append(Rejection(index, rejected.reason, explained(rejected.detail, form)))
    decoded = with_others(decode_many(own, decoding), own)
    decoded.identities |= {index: logins[index] for index in decoded.indices if index in logins}
    for fault in decoded.rejections:
        detail = explained(fault.detail, form) if fault.index in fields else fault.detail
        rejections.append(Rejection(fault.index, fault.reason, detail))
    if on_fields is not None:
        for index in decoded.indices:
            if index in fields:
                on_fields(fields[index])
    decoded.rejections = sorted(rejections, key=lambda rejection: rejection.index)
    decoded.ignored = sorted(decoded.ignored + passed.ignored)
    decoded.without_counterpart = passed.without_counterpart
    decoded.dropped.update(passed.dropped)
    return decoded


def with_others(decoded: Decoded, values: Sequence[bytes | None]) -> Decoded:
    """Take out of the rejections what is no event, and still no mistake.

    That is what says who is who, what partitions hand to each other (`features.identity`), and what items cost
    (`features.prices`). An event that was handed on becomes one of the customer to whom it goes.
    """
    suspects = [fault for fault in decoded.rejections if fault.reason in _MAY_BE_OTHERS]
    if not suspects:
        return decoded
    others = {fault.index: fault for fault in decoded.rejections}
    events = dict(zip(decoded.indices, decoded.events, strict=True))
    for fault in suspects:
        value = values[fault.index] or b""
        of_price = is_price_type(value)
        if not of_price and not is_identity_type(value):
            continue
        try:
            if of_price:
                decoded.prices[fault.index] = decode_price(value)
                del others[fault.index]
                continue
            identity = decode_identity(value)
        except RejectedEvent as rejected:
            others[fault.index] = Rejection(fault.index, rejected.reason, rejected.detail)
            continue
        del others[fault.index]
        decoded.identities[fault.index] = identity
        if isinstance(identity, HandOver) and identity.event is not None:
            events[fault.index] = structs.replace(identity.event, customer_id=identity.customer_id)
    decoded.rejections = list(others.values())
    decoded.indices = sorted(events)
    decoded.events = [events[index] for index in decoded.indices]
    return decoded


# As which `decode_many` refuses what is no event, but may be an identity or a price.
_MAY_BE_OTHERS: Final = frozenset(
    {Reason.UNKNOWN_TYPE, Reason.TOO_LARGE, Reason.INVALID_FIELD, Reason.NEGATIVE}
)


def values_of(records: Sequence[_Record], form: Format | None) -> list[bytes | None]:
    """Return the values of records, ``None`` for those that ask to erase a customer.

    A CloudEvent without data has no value either: its value here is empty.
    """
    values = [record.value for record in records]
    if form is not None and CloudEvents.title in form.name and None in values:
        return [
            b"" if value is None and is_binary(record.headers) else value
            for record, value in zip(records, values, strict=True)
        ]
    return values


def _translated(message: Message, form: Format, passed: Decoded, index: int) -> Translation:
    """Return what a message holds: one event, one login, or both; if it is nothing, that is put down in ``passed``."""
    found = form.translate(message)
    if len(found.events) > 1 or len(found.logins) > 1:
        several = found.events if len(found.events) > 1 else found.logins
        types = ", ".join(str(fields.get("type")) for fields in several)
        raise RejectedEvent(
            Reason.SEVERAL_EVENTS,
            f"the record holds {len(several)} events ({types}), and a worker takes one a record: write a record "
            f"for each, or send such messages by `intent emit --format {form.name}`",
        )
    passed.without_counterpart.update(found.ignored)
    if not found.events and not found.logins:
        passed.ignored.append(index)
    return found


def _login_beside(found: Translation, passed: Decoded) -> Identify | None:
    """Return the login beside an event; a bad one is left out and counted like a bad optional field."""
    try:
        return cast(Identify, decode_identity(write_json(found.logins[0]))) if found.logins else None
    except RejectedEvent:
        passed.dropped[IDENTIFY] += 1
        return None
