"""Records in a format, decoded as `features.events.decode_many` decodes those in our own form.

One record is one event here: partitions, offsets, examples and dead letters all know an event by the place of its
record. A record that holds several is refused with the way out; one that holds none is passed over and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from features.events import Decoded, Decoding, Reason, RejectedEvent, Rejection, decode_many
from stream.formats.contract import NATIVE, Format, Message, explained
from stream.formats.values import write_json
from stream.kafka.records import arrival


class _Record(Protocol):
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def decode_records(
    records: Sequence[_Record], values: Sequence[bytes | None], decoding: Decoding, form: Format | None
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
    """
    if form is None:
        return decode_many(values, decoding)
    passed, rejections = Decoded(), []
    translated: list[bytes | None] = []
    for index, (record, value) in enumerate(zip(records, values, strict=True)):
        own = value
        if value is not None and NATIVE not in record.headers:
            message = Message(value, record.key, record.headers, arrival(record))
            try:
                own = _translated(message, form, passed, index)
            except RejectedEvent as rejected:
                own = None
                rejections.append(Rejection(index, rejected.reason, explained(rejected.detail, form)))
        translated.append(own)
    decoded = decode_many(translated, decoding)
    decoded.rejections = sorted(
        [_explained(rejection, form) for rejection in decoded.rejections] + rejections,
        key=lambda rejection: rejection.index,
    )
    decoded.ignored = sorted(decoded.ignored + passed.ignored)
    decoded.without_counterpart = passed.without_counterpart
    return decoded


def _translated(message: Message, form: Format, passed: Decoded, index: int) -> bytes | None:
    """Return the one event of a message as JSON; one that holds none is put down in ``passed``."""
    found = form.translate(message)
    if len(found.events) > 1:
        types = ", ".join(str(fields.get("type")) for fields in found.events)
        raise RejectedEvent(
            Reason.SEVERAL_EVENTS,
            f"the record holds {len(found.events)} events ({types}), and a worker takes one a record: write a record "
            f"for each, or send such messages by `intent emit --format {form.name}`",
        )
    passed.without_counterpart.update(found.ignored)
    if not found.events:
        passed.ignored.append(index)
        return None
    return write_json(found.events[0])


def _explained(rejection: Rejection, form: Format) -> Rejection:
    return Rejection(rejection.index, rejection.reason, explained(rejection.detail, form))
