"""All that is held about one person: what lies in Redis, and what the topics still have.

Only the partitions where the ids live are read, and all of the dead letters: what was refused may lie anywhere.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from aiokafka import ConsumerRecord

from features.decoding import Undecodable, decoded
from features.exceptions import SchemaMismatch
from features.links import Link
from features.offers import CustomerItems
from features.state import view, view_time
from features.store.customer_store import LoadRequest
from features.store.keys import items_keys, link_keys, state_keys, timers_key
from features.store.redis_store import RedisStore
from features.vector import COLUMN_NAMES, schema_hash
from stream.exceptions import TopicMismatch
from stream.kafka.reading import TopicReader
from stream.learning.records.examples import decode_examples
from stream.learning.records.outcomes import decode_outcomes
from stream.ownership.standing import partition_count
from stream.person.ids import homes_of, link_view
from stream.settings import Settings

OnTopic = Callable[[str], Callable[[int, int], None]]
RowsOf = Callable[[ConsumerRecord], Iterator[dict[str, Any]]]

_any: Final = msgspec.json.Decoder().decode
_KINDS: Final = ("purchase", "erasure", "login", "purchase that was handed on", "purchase that tells a login")


def stored(store: RedisStore, settings: Settings, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return what Redis holds under each id: key and content."""
    partitions = partition_count(settings, store)
    found: list[dict[str, Any]] = []
    for one, partition in zip(ids, homes_of(ids, partitions), strict=True):
        (held,) = store.load_many([LoadRequest(partition, [one], items_of=[one], links_of=[one])])
        record = store.record(partition)
        incarnation = 0 if record is None else record.incarnation
        if held.states["events"][0]:
            [key] = state_keys(settings.redis_prefix, partition, [one], incarnation)
            found.append({"key": key.decode(), "state": view(held.states[0])})
        if held.links[0] is not None:
            [key] = link_keys(settings.redis_prefix, partition, [one], incarnation)
            link = Link.from_bytes(held.links[0])
            found.append({"key": key.decode(), "link": link_view(link) | {"last_used": view_time(link.time)}})
        if held.items[0] is not None:
            [key] = items_keys(settings.redis_prefix, partition, [one])
            items = CustomerItems.from_bytes(held.items[0])
            content = {"version": items.version, "items": items.items, "new_items": items.new_items}
            found.append({"key": key.decode(), "items": content})
        if record is not None and (due := store.timer_of(partition, record, one)):
            found.append(
                {"key": timers_key(settings.redis_prefix, partition, incarnation), "due": view_time(due)}
            )
    return found


def records_of(
    settings: Settings, ids: Sequence[str], on_topic: OnTopic
) -> dict[str, list[dict[str, Any]] | None]:
    """Return the records about these ids that each topic holds now, those of a partition in order.

    Where there is no such topic, it is ``None``.

    Parameters
    ----------
    on_topic
        Called with the name of a topic before it is read; what it returns is called with offsets passed and in all.
    """
    return asyncio.run(_records_of(settings, ids, on_topic))


async def _records_of(
    settings: Settings, ids: Sequence[str], on_topic: OnTopic
) -> dict[str, list[dict[str, Any]] | None]:
    keys = {one.encode() for one in ids}
    found: dict[str, list[dict[str, Any]] | None] = {}

    def keyed(record: ConsumerRecord) -> Iterator[dict[str, Any]]:
        if record.key in keys:
            yield {"value": _content(record.value), "headers": _headers(record)}

    def example(record: ConsumerRecord) -> Iterator[dict[str, Any]]:
        return _examples(record, ids)

    def outcome(record: ConsumerRecord) -> Iterator[dict[str, Any]]:
        return _outcomes(record, ids)

    for topic, rows, kept_apart in (
        (settings.events_topic, keyed, True),
        (settings.scores_topic, keyed, True),
        (settings.actions_topic, keyed, True),
        (settings.examples_topic, example, True),
        (settings.outcomes_topic, outcome, True),
        (settings.dead_letters_topic, keyed, False),
    ):
        if topic:
            try:
                found[topic] = [
                    row async for row in _read(settings, topic, ids if kept_apart else None, rows, on_topic)
                ]
            except TopicMismatch:
                found[topic] = None
    return found


async def _read(
    settings: Settings, topic: str, ids: Sequence[str] | None, rows: RowsOf, on_topic: OnTopic
) -> AsyncIterator[dict[str, Any]]:
    """Yield what a topic's records say; only the partitions of some ids are read, or all."""
    async with TopicReader(settings, topic) as reader:
        homes = set(reader.ends) if ids is None else set(homes_of(ids, reader.partitions))
        starts = {p: end for p, end in reader.ends.items() if p not in homes}
        async for _, records in reader.read(starts, on_topic(topic)):
            for record in records:
                place = {
                    "partition": record.partition,
                    "offset": record.offset,
                    "time": view_time(record.timestamp),
                }
                for row in rows(record):
                    yield place | row


def _examples(record: ConsumerRecord, ids: Collection[str]) -> Iterator[dict[str, Any]]:
    """Yield the scored events of these ids that wait, or waited, for a label."""
    try:
        examples = decode_examples(record.value or b"", record.partition, schema_hash()).examples
    except SchemaMismatch:  # another version of this program wrote it; the learner passes it over, too
        return
    if examples is None:
        return
    for at, customer in enumerate(examples.customer):
        if customer in ids:
            row = examples.vectors[at]
            yield {
                "customer_id": customer,
                "event_id": examples.event_id[at],
                "as_of": view_time(int(examples.as_of[at])),
                "vector": {name: float(value) for name, value in zip(COLUMN_NAMES, row, strict=True)},
            }


def _outcomes(record: ConsumerRecord, ids: Collection[str]) -> Iterator[dict[str, Any]]:
    """Yield what really happened to these ids, as the learner is told."""
    try:
        outcomes = decode_outcomes(record.value).outcomes
    except SchemaMismatch:  # see above
        return
    others = outcomes.other or [""] * len(outcomes)
    for at in np.flatnonzero(
        [a in ids or b in ids for a, b in zip(outcomes.customer, others, strict=True)]
    ).tolist():
        yield {
            "customer_id": outcomes.customer[at],
            **({"other_id": others[at]} if others[at] else {}),
            "kind": _KINDS[int(outcomes.kind[at])],
            "event_time": view_time(int(outcomes.time[at])),
        }


def _content(raw: bytes | None) -> Any:
    """Return a value as JSON where it is, else as text in base 64."""
    if raw is None:
        return None
    try:
        return decoded(_any, raw)
    except Undecodable:
        return {"base64": base64.b64encode(raw).decode()}


def _headers(record: ConsumerRecord) -> dict[str, str]:
    return {name: (value or b"").decode(errors="backslashreplace") for name, value in record.headers}
