"""Events that somebody sends over HTTP, checked by the very code that checks them in the stream.

Each message becomes the records that it would be in the events topic, as of now, and the scorer's intake reads them:
what it would reject is rejected here, for the same reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from features.events import Decoding, Event, RejectedEvent, Rejection, decode_many, encode
from features.identity import HandOver, Identify
from features.partition import partitions_of
from features.prices import Price, PriceCopy
from features.refusals import Reason
from features.watermark import BEGINNING
from stream.formats.contract import Format, Message, explained
from stream.formats.decoding import with_others
from stream.formats.values import write_json
from stream.kafka.batches import RecordBatch
from stream.scoring.batch import Batch, RecordStatus
from stream.scoring.engine import Engine
from stream.scoring.intake import read_batches


@dataclass(slots=True)
class SentRecord:
    """A record as it would be in the events topic: a `stream.kafka.batches.Record`."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass(slots=True)
class Candidate:
    """An event of a message, on its way.

    Attributes
    ----------
    index
        The place of the message.
    value
        The event in our own form.
    event_id, key
        The event's id, and the key of its record (customer, or item of a price); empty where they are not known.
    partition
        Where it belongs.
    rejection
        Why it is refused, ``None`` where it is not.
    ignored
        Whether it is of a type that is passed over.
    """

    index: int
    value: bytes
    event_id: str = ""
    key: str = ""
    partition: int = -1
    rejection: Rejection | None = None
    ignored: bool = False

    @property
    def wanted(self) -> bool:
        """Whether it is an event, and not refused so far."""
        return self.rejection is None and not self.ignored


@dataclass(slots=True)
class Checked:
    """Candidates, in the order of their messages, and the batch that was made of those that are events."""

    candidates: list[Candidate] = field(default_factory=list)
    batch: Batch | None = None
    of_batch: list[Candidate] = field(default_factory=list)


def candidates_of(
    messages: Sequence[bytes], form: Format | None, decoding: Decoding, partitions: int, now_ms: int
) -> list[Candidate]:
    """Return the events of messages, with their keys; what cannot be read is rejected.

    Parameters
    ----------
    form
        The form of the messages, ``None`` for our own. A message in another form may hold several events.
    partitions
        Of the events topic.
    now_ms
        The time of messages that name none, epoch ms.
    """
    found = [one for at, raw in enumerate(messages) for one in _translated(at, raw, form, decoding, now_ms)]
    values = [one.value if one.wanted else None for one in found]
    decoded = with_others(decode_many(values, decoding), values)
    for rejection in decoded.rejections:
        found[rejection.index].rejection = rejection
    for at in decoded.ignored:
        found[at].ignored = True
    for at, event in zip(decoded.indices, decoded.events, strict=True):
        _name(found[at], event)
    for at, identity in decoded.identities.items():
        _name(found[at], identity)
        if isinstance(identity, HandOver):
            detail = "only workers hand states over: send an identify event"
            found[at].rejection = Rejection(at, Reason.UNKNOWN_TYPE, detail)
    for at, price in decoded.prices.items():
        _name(found[at], price)
        if isinstance(price, PriceCopy):
            detail = "only workers copy prices: send a price event"
            found[at].rejection = Rejection(at, Reason.UNKNOWN_TYPE, detail)
    named = [one for one in found if one.wanted]
    homes = partitions_of([one.key.encode() for one in named], partitions).tolist()
    for one, home in zip(named, homes, strict=True):
        one.partition = home
    return found


def check(
    candidates: list[Candidate],
    watermarks: Mapping[int, int],
    engine: Engine,
    decoding: Decoding,
    *,
    partitions: int,
    now_ms: int,
) -> Checked:
    """Judge events as the worker would now.

    Parameters
    ----------
    watermarks
        By partition, epoch ms; one that is not known rejects nothing as late.
    """
    wanted: dict[int, list[Candidate]] = {}
    for one in candidates:
        if one.wanted:
            wanted.setdefault(one.partition, []).append(one)
    if not wanted:
        return Checked(candidates)
    parts = [
        RecordBatch(
            partition,
            [SentRecord(at, now_ms, one.key.encode(), one.value) for at, one in enumerate(own)],
            0,
            len(own),
        )
        for partition, own in wanted.items()
    ]
    marks = [watermarks.get(partition, BEGINNING) for partition in wanted]
    batch = read_batches(parts, marks, engine, partitions=partitions, decoding=decoding)
    of_batch = [one for own in wanted.values() for one in own]
    for rejection in batch.rejections:
        of_batch[rejection.index].rejection = rejection
    for at in batch.where(RecordStatus.IGNORED).tolist():
        of_batch[at].ignored = True
    return Checked(candidates, batch, of_batch)


def _name(candidate: Candidate, event: Event | Identify | HandOver | Price | PriceCopy) -> None:
    candidate.event_id = event.event_id
    match event:
        case Identify():
            candidate.key = event.anonymous_id
        case Price() | PriceCopy():
            candidate.key = event.item_id
        case _:
            candidate.key = event.customer_id


def _translated(
    index: int, raw: bytes, form: Format | None, decoding: Decoding, now_ms: int
) -> list[Candidate]:
    """Return the events of one message, each in our own form."""
    if form is None:
        return [Candidate(index, raw)]
    try:
        found = form.translate(Message(raw, arrived_at=now_ms))
    except RejectedEvent as rejected:
        detail = explained(rejected.detail, form)
        return [Candidate(index, raw, rejection=Rejection(index, rejected.reason, detail))]
    if not found.events and not found.logins:
        return [Candidate(index, raw, ignored=True)]
    values = [write_json(fields) for fields in found.events]
    decoded = decode_many(values, decoding)  # without the names of items, which events do not keep
    for at, event in zip(decoded.indices, decoded.events, strict=True):
        values[at] = encode(event)
    made = [Candidate(index, value) for value in values]
    for rejection in decoded.rejections:
        made[rejection.index].rejection = Rejection(
            rejection.index, rejection.reason, explained(rejection.detail, form)
        )
    return made + [Candidate(index, write_json(fields)) for fields in found.logins]
