"""Partitions in memory on which people log in: what one hands over is appended to the log of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, cast

import msgspec
import numpy as np
import pyarrow as pa
from aiokafka import ConsumerRecord

from features.links import Link
from features.partition import partitions_of
from features.state import States, empty
from features.store.customer_store import Loaded
from features.watermark import BEGINNING
from stream.formats.contract import NATIVE, Format
from stream.kafka.batches import RecordBatch
from stream.kafka.signatures import HandOverKeys
from stream.logs.archive import FirstPass, take_events
from stream.messages.score import Score, decode_score
from stream.ownership.promised import unpack_outbox
from stream.scoring.engine import Engine
from stream.scoring.publisher import Output
from stream.scoring.recorder import Recorder
from stream.scoring.scorer import Scorer
from tests.stream.records import NOW

MINUTE = 60_000


def happening(
    number: int, customer: str, minute: float, type_: str = "view_item", **fields: Any
) -> dict[str, Any]:
    """Return the fields of an event."""
    time = NOW + int(minute * MINUTE)
    return {"event_id": f"e{number}", "type": type_, "customer_id": customer, "event_time": time} | fields


def login(number: int, anonymous: str, customer: str, minute: float) -> dict[str, Any]:
    """Return the fields of an identify event."""
    time = NOW + int(minute * MINUTE)
    return {
        "event_id": f"l{number}", "type": "identify", "anonymous_id": anonymous, "customer_id": customer,
        "event_time": time,
    }  # fmt: skip


class Shop:
    """A topic, and the states that the scorer makes of it.

    Attributes
    ----------
    scores
        Everything published, in order.
    actions
        Everything decided.
    tombstones
        Whose scores were erased.
    """

    def __init__(
        self,
        engine: Engine,
        partitions: int = 3,
        recorder: Recorder | None = None,
        form: Format | None = None,
        keys: HandOverKeys | None = None,
    ) -> None:
        self._keys = keys
        self.partitions = partitions
        self.logs: list[list[ConsumerRecord]] = [[] for _ in range(partitions)]
        self.states: dict[str, States] = {}
        self.links: dict[str, bytes] = {}
        self.scores: list[Score] = []
        self.tombstones: list[str] = []
        self.actions: list[tuple[str, bytes | None]] = []
        self.outputs: list[Output] = []
        self.silent = False
        self._now = NOW  # when something arrives, epoch ms
        self._engine = engine
        self._scorer = Scorer(
            engine, cast(Any, None), cast(Any, None), "events", partitions, recorder, form=form,
            clock=lambda: NOW, hand_over_keys=keys,
        )  # fmt: skip
        self._read = [0] * partitions
        self._watermarks = [BEGINNING] * partitions
        self._taken: list[Mapping[int, tuple[int, int]]] = [{} for _ in range(partitions)]

    def home(self, customer: str) -> int:
        """Return the partition of a customer."""
        return int(partitions_of([customer.encode()], self.partitions)[0])

    def emit(self, fields: dict[str, Any]) -> None:
        """Append what happened to the log of its partition."""
        key = fields.get("anonymous_id", fields["customer_id"])
        self._now = fields["event_time"]
        self.append(self.home(key), key, msgspec.json.encode(fields))

    def append(  # noqa: PLR0917  (a record)
        self,
        partition: int,
        key: str,
        value: bytes | None,
        timestamp: int | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Append a record to a log; by default it arrives when the newest event did."""
        log, raw, arrived = self.logs[partition], key.encode(), self._now if timestamp is None else timestamp
        log.append(ConsumerRecord("events", partition, len(log), arrived, 1, raw, value, None, 1, 1, headers))

    def run(self, chance: Random | None = None, most: int = 100) -> None:
        """Score everything, batch by batch, in an order that chance decides; some hand-overs come twice."""
        chance = chance or Random(0)
        while waiting := [p for p in range(self.partitions) if self._read[p] < len(self.logs[p])]:
            partition = chance.choice(waiting)
            start = self._read[partition]
            records = self.logs[partition][start : start + chance.randint(1, most)]
            handed = self._score(partition, records)
            for _ in range(chance.choice((1, 1, 2))):
                for home, key, value in handed:
                    signed = [] if self._keys is None else [self._keys.header(key.encode(), value)]
                    self.append(home, key, value, headers=[NATIVE, *signed])

    def _score(self, partition: int, records: Sequence[ConsumerRecord]) -> Sequence[tuple[int, str, bytes]]:
        start, stop = records[0].offset, records[-1].offset + 1
        read = self._scorer.read(
            [RecordBatch(partition, records, start, stop, silent=self.silent)], [self._watermarks[partition]]
        )
        [customers] = read.customers
        states = empty(len(customers))
        for at, customer in enumerate(customers):
            if customer in self.states:
                states[at] = self.states[customer][0]
        links = [self.links.get(customer) for customer in customers]
        result = self._scorer.score(read, [Loaded(states, (), (), links, self._taken[partition])])
        [changes], [output] = result.changes, result.outputs
        self.outputs.append(output)
        self.scores += [decode_score(value) for _, value in output.scores if value is not None]
        self.tombstones += [customer for customer, value in output.scores if value is None]
        for at, customer in enumerate(changes.customers):
            if changes.states["events"][at]:
                self.states[customer] = changes.states[at : at + 1].copy()
            else:
                self.states.pop(customer, None)
        for customer, link in changes.links.changed.items():
            self.links.pop(customer, None)
            if link is not None:
                self.links[customer] = link
        self._taken[partition] = changes.links.taken or self._taken[partition]
        self._read[partition], self._watermarks[partition] = stop, changes.watermark
        if not changes.outbox:
            return []
        promised = unpack_outbox(changes.outbox)
        self.actions += promised.actions
        return promised.handed

    def taken(self, partition: int) -> Mapping[int, tuple[int, int]]:
        """Return the last hand-overs that a partition has taken."""
        return self._taken[partition]

    def link(self, customer: str) -> Link:
        """Return how an id stands to others."""
        return Link.from_bytes(self.links[customer]) if customer in self.links else Link()

    def counts(self) -> dict[str, int]:
        """Return how many events are known of everybody."""
        return {customer: int(state["events"][0]) for customer, state in self.states.items()}


def archived(shop: Shop) -> pa.Table:
    """Return the topic as the archive has it."""
    taken = FirstPass(partitions=shop.partitions)
    table = pa.concat_tables([take_events(taken, number, log, None) for number, log in enumerate(shop.logs)])
    return table.replace_schema_metadata({"intent.source": "kafka"})


def assert_counted_alike(found: States, wanted: States) -> None:
    """Assert that what comes out exactly in any order is alike, money and decayed counts within rounding."""
    for name in ("events", "first_time", "last_time", "type_counts", "type_times", "purchase_times",
                 "channel_counts", "ring_at"):  # fmt: skip
        np.testing.assert_array_equal(found[name], wanted[name], err_msg=name)
    for name in ("spend", "refunded", "decayed"):
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-9, atol=1e-9, err_msg=name)
