"""The binary forms of examples and outcomes, and what the scorer writes."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cramjam
import numpy as np
import pytest

from features.bundle import Bundle
from features.exceptions import SchemaMismatch
from features.state import DAY_MS, States, empty
from features.store.customer_store import Loaded
from features.vector import WIDTH, schema_hash
from features.watermark import BEGINNING
from stream.kafka.batches import RecordBatch
from stream.kafka.records import CLOSE, CONTROL
from stream.learning.records.examples import (
    ExampleRecord,
    Examples,
    decode_examples,
    encode_examples,
    layout,
)
from stream.learning.records.header import Header
from stream.learning.records.outcomes import (
    ERASURE,
    PURCHASE,
    OutcomeRecord,
    Outcomes,
    decode_outcomes,
    encode_outcomes,
)
from stream.learning.records.rows import PAYLOAD, read_examples
from stream.learning.records.texts import lengths_of, texts_to_bytes
from stream.scoring.engine import Engine
from stream.scoring.metrics import ScorerMetrics
from stream.scoring.publisher import Output
from stream.scoring.recorder import Recorder
from stream.scoring.sampling import Sampling
from stream.scoring.scorer import Scorer
from stream.setting_values import parse_rates
from tests.bundles import random_bundle
from tests.malformed import good
from tests.stream.records import NOW, PARTITIONS, batch, record

MINUTE = 60_000
LATENESS = 15 * MINUTE


def some(rows: int, chance: np.random.Generator, longest: int = 20) -> Examples:
    offset = np.cumsum(chance.integers(1, 4, rows))
    return Examples(
        np.full(rows, 2, np.int32),
        offset,
        ["é" * int(n) for n in chance.integers(1, longest, rows)],
        [f"c{n}" for n in chance.integers(0, 99, rows)],
        chance.integers(0, 6, rows).astype(np.uint8),
        chance.integers(0, 2**40, rows),
        chance.random(rows).astype(np.float32),
        chance.integers(0, 7, rows),
        chance.normal(size=rows),
        chance.normal(size=(rows, WIDTH)).astype(np.float32),
    )


def header(start: int, stop: int, **more: Any) -> Header:
    fields = {"watermark": 77, "closes": (), "rows": 0, "bundle": "b", "features": "f"} | more
    return Header(start, stop, **fields)


def same(one: Examples, other: Examples) -> None:
    for name in Examples.__slots__:
        mine, theirs = getattr(one, name), getattr(other, name)
        if isinstance(theirs, np.ndarray):
            assert mine.tobytes() == theirs.tobytes(), name
        elif isinstance(theirs, dict):
            assert {key: one.tolist() for key, one in mine.items()} == {
                key: one.tolist() for key, one in theirs.items()
            }
        else:
            assert type(theirs)(mine) == theirs, name


@pytest.mark.parametrize(("rows", "longest"), [(0, 2), (1, 2), (300, 20), (9_000, 128)])
def test_examples_come_back_as_they_were_in_records_that_the_broker_takes(
    rows: int, longest: int, seed: int
) -> None:
    made = some(rows, np.random.default_rng(seed), longest)
    stop = int(made.offset[-1]) + 5 if rows else 9
    raw = list(encode_examples(header(0, stop, closes=(3, stop - 1)), made, 55))
    assert max(map(len, raw)) < 950_000
    assert len(raw) > 1 or rows < 9_000
    parts = [decode_examples(one, 2, "f") for one in raw]
    heads = [part.header for part in parts]
    assert [head.start for head in heads] == [0, *(head.stop for head in heads[:-1])]
    assert (heads[-1].stop, sum(head.rows for head in heads)) == (stop, rows)
    assert [head.watermark for head in heads] == [55] * (len(raw) - 1) + [77], "only the last knows the end"
    assert [at for head in heads for at in head.closes] == [3, stop - 1]
    at = 0
    for part in parts:
        assert part.examples is not None
        same(part.examples, made[at : at + len(part.examples)])
        assert (part.examples.offset >= part.header.start).all()
        assert (part.examples.offset < part.header.stop).all()
        at += len(part.examples)


def test_outcomes_come_back_as_they_were(seed: int) -> None:
    chance = random.Random(seed)
    rows = 500
    made = Outcomes(
        np.array([chance.choice((PURCHASE, ERASURE)) for _ in range(rows)], np.uint8),
        np.arange(rows) * 3,
        np.array([chance.randrange(2**47) for _ in range(rows)], np.int64),
        [f"customer {chance.random()}" for _ in range(rows)],
    )
    parts = [decode_outcomes(raw) for raw in encode_outcomes(header(0, 2000), made, 5, limit=9_000)]
    assert len(parts) > 1
    assert [one for part in parts for one in part.outcomes.customer] == made.customer
    for name in ("kind", "offset", "time"):
        assert (
            np.concatenate([getattr(p.outcomes, name) for p in parts]).tolist()
            == getattr(made, name).tolist()
        )


def test_examples_of_other_features_are_not_looked_at() -> None:
    made = some(3, np.random.default_rng(1))
    [raw] = encode_examples(header(0, 20), made, 0)
    read = decode_examples(raw, 2, "others")
    assert (read.examples, read.header.rows) == (None, 3)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda raw: b"", "begins with nothing"),
        (lambda raw: b"{}" + raw, "begins with 7b7d"),
        (lambda raw: raw[:4] + b"\x05\x00" + raw[6:], "schema version 5, this program reads up to 4"),
        (lambda raw: raw[:12], "damaged"),
        (lambda raw: raw[:-40], "damaged"),
        (lambda raw: raw[:-400], "damaged"),
    ],
)
def test_a_record_of_another_version_is_refused_with_what_to_do(change: Any, text: str) -> None:
    [raw] = encode_examples(header(0, 20), some(9, np.random.default_rng(1)), 0)
    with pytest.raises(SchemaMismatch, match=text):
        decode_examples(change(raw), 2, "f")
    with pytest.raises(SchemaMismatch, match="outcomes"):
        decode_outcomes(raw)


def of_before(raw: bytes, made: Examples) -> bytes:
    """Return a record of these examples as versions 1 and 2 had it."""
    length = int.from_bytes(raw[6:10], "little")
    columns = np.zeros(1, layout(len(made), len(made.beside), compressed=True))
    for name in ("offset", "as_of", "logit", "weight", "segment", "kind"):
        columns[name] = getattr(made, name)
    columns["vector"] = made.vectors
    if made.beside:
        columns["beside"] = list(made.beside.values())
    texts = [*made.event_id, *made.customer]
    body = columns.tobytes() + texts_to_bytes(lengths_of(texts), texts)
    version = 2 if made.beside else 1
    return raw[:4] + version.to_bytes(2, "little") + raw[6 : 10 + length] + cramjam.lz4.compress_block(body)


@pytest.mark.parametrize(("rows", "beside"), [(0, ()), (1, ()), (300, ()), (7, ("new", "other"))])
def test_records_of_before_are_read(rows: int, beside: tuple[str, ...], seed: int) -> None:
    chance = np.random.default_rng(seed)
    made = dataclasses.replace(some(rows, chance), beside={name: chance.random(rows) for name in beside})
    [raw] = encode_examples(header(0, 2000), made, 0)
    old = of_before(raw, made)
    assert raw[4] == 4
    one, other = (decode_examples(each, 2, "f") for each in (raw, old))
    assert one.header == other.header
    assert one.examples is not None
    assert other.examples is not None
    same(one.examples, other.examples)
    read, before = (read_examples([(0, -1, each)], "b", "f").rows for each in (raw, old))
    for name in PAYLOAD.names or ():  # it has gaps
        assert read.payload[name].tobytes() == before.payload[name].tobytes(), name
    assert [column.tobytes() for column in read[:3]] == [column.tobytes() for column in before[:3]]
    for length in range(20, len(old), 1 + len(old) // 50):
        with pytest.raises(SchemaMismatch, match="damaged"):
            decode_examples(old[:length], 2, "f")


def test_sampling_keeps_the_share_of_each_type_and_decides_alike_again() -> None:
    sampling = Sampling(["view_item", "search", "add_to_cart"], parse_rates("view_item=0.2,search=0.5"))
    hashes = np.random.default_rng(3).integers(0, 2**64, 30_000, np.uint64)
    for kind, share, weight in ((0, 0.2, 5.0), (2, 0.5, 2.0), (3, 1.0, 1.0), (6, 0.0, 1.0)):
        kinds = np.full(len(hashes), kind, np.uint8)
        kept = sampling.keep(kinds, hashes)
        assert kept.mean() == pytest.approx(share, abs=0.01)
        assert (kept == sampling.keep(kinds, hashes)).all()
        assert set(sampling.weights(kinds).tolist()) == {weight}


@pytest.mark.parametrize(
    "text", ["view_item", "view_item=2", "view_item=0", "buy=0.1", "search=x", "search=nan"]
)
def test_a_rate_that_is_none_is_refused(text: str) -> None:
    from stream.exceptions import SettingsError

    with pytest.raises(SettingsError):
        parse_rates(text)


class Printer:
    """Keeps what is published."""

    def __init__(self) -> None:
        self.outputs: list[Output] = []

    async def publish(self, outputs: Sequence[Output]) -> None:
        self.outputs += outputs


class MemoryPart:
    """A partition's part in a round, its states in memory."""

    def __init__(self) -> None:
        self.watermark = BEGINNING
        self.states: dict[str, States] = {}


class Desk:
    """A scorer that learns, between fakes."""

    def __init__(self, bundle: Bundle, rates: str = "") -> None:
        self.printer = Printer()
        engine = Engine(bundle, lateness_ms=LATENESS, ttl_ms=400 * DAY_MS, holdout=0.0)
        sampling = Sampling(["view_item"], parse_rates(rates))
        recorder = Recorder(bundle, sampling, LATENESS)
        metrics = ScorerMetrics("test")
        self.scorer = Scorer(engine, self.printer, metrics, "events", PARTITIONS, recorder)  # type: ignore[arg-type]
        self.parts = {number: MemoryPart() for number in range(PARTITIONS)}

    def run(self, *batches: RecordBatch) -> tuple[list[ExampleRecord], list[OutcomeRecord]]:
        """Score the batches in one round, save, and return what the learner gets."""
        parts = [self.parts[one.partition] for one in batches]
        self.printer.outputs.clear()
        read = self.scorer.read(batches, [part.watermark for part in parts])
        loaded = []
        for part, customers in zip(parts, read.customers, strict=True):
            states = empty(len(customers))
            for at, customer in enumerate(customers):
                if customer in part.states:
                    states[at] = part.states[customer]
            loaded.append(Loaded(states, ()))
        result = self.scorer.score(read, loaded)
        asyncio.run(self.scorer.publish(result))
        for part, changes in zip(parts, result.changes, strict=True):
            part.states |= {
                customer: state.copy()
                for customer, state in zip(changes.customers, changes.states, strict=True)
            }
            part.watermark = changes.watermark
        return (
            [
                decode_examples(raw, output.partition, schema_hash())
                for output in self.printer.outputs
                for raw in output.examples
            ],
            [decode_outcomes(raw) for output in self.printer.outputs for raw in output.outcomes],
        )


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder: Path = tmp_path_factory.mktemp("bundle")
    return random_bundle(folder)


def test_the_scorer_writes_examples_purchases_erasures_and_closes(bundle: Bundle) -> None:
    desk = Desk(bundle)
    close = record(8, b"", None, headers=[(CONTROL, CLOSE)])
    [examples], [outcomes] = desk.run(
        batch(
            record(3, good(1, NOW)),
            record(4, good(2, NOW + MINUTE).replace(b"view_item", b"purchase")),
            record(5, None),
            record(6, b"no json"),
            record(7, good(3, NOW + 2 * MINUTE)),
            close,
        )
    )
    assert examples.examples is not None
    assert examples.examples.offset.tolist() == [3, 7]
    assert examples.examples.event_id == ["good-1", "good-3"]
    assert examples.examples.as_of.tolist() == [NOW, NOW + 2 * MINUTE]
    told = outcomes.outcomes
    assert told.kind.tolist() == [PURCHASE, ERASURE]
    assert told.offset.tolist() == [4, 5]
    assert told.time.tolist() == [NOW + MINUTE, NOW + MINUTE - LATENESS]
    for head in (examples.header, outcomes.header):
        assert (head.start, head.stop, head.closes) == (3, 9, (8,))
        assert head.watermark == NOW + 2 * MINUTE - LATENESS
        assert head.bundle == bundle.manifest.version
    [output] = desk.printer.outputs
    assert [letter.offset for letter in output.letters] == [6], "a control record is no dead letter"


def test_an_example_holds_what_the_score_was_made_of(bundle: Bundle) -> None:
    [record_], _ = Desk(bundle).run(batch(*(record(at, good(at, NOW + at)) for at in range(5))))
    assert record_.examples is not None
    vectors = record_.examples.vectors.copy()
    said = bundle.score(vectors)
    assert record_.examples.logit.tobytes() == said.logit.tobytes()
    assert record_.examples.segment.tolist() == said.segment.tolist()
    assert vectors.tobytes() == record_.examples.vectors.tobytes()


def test_nothing_is_written_of_machines_not_even_what_they_buy(bundle: Bundle) -> None:
    def marked(value: bytes) -> bytes:
        return value.replace(b"}", b',"bot":true}')

    bought = good(2, NOW + 1).replace(b"view_item", b"purchase")
    [examples], [outcomes] = Desk(bundle).run(
        batch(
            record(0, marked(good(1, NOW))),
            record(1, marked(bought)),
            record(2, good(3, NOW + 2)),
            record(3, bought.replace(b"good-2", b"good-4")),
        )
    )
    assert examples.examples is not None
    assert examples.examples.event_id == ["good-3"]
    assert outcomes.outcomes.offset.tolist() == [3]


def test_a_batch_without_records_says_that_its_stretch_was_seen(bundle: Bundle) -> None:
    desk = Desk(bundle)
    desk.run(batch(record(0, good(1, NOW))))
    [examples], [outcomes] = desk.run(RecordBatch(batch(record(0, None)).partition, [], 1, 4))
    for head in (examples.header, outcomes.header):
        assert (head.start, head.stop, head.rows, head.watermark) == (1, 4, 0, NOW - LATENESS)


def test_a_sampled_out_event_makes_no_example_but_its_weight_is_carried(bundle: Bundle) -> None:
    desk = Desk(bundle, "view_item=0.25")
    paced = [(at, NOW + at * MINUTE) for at in range(400)]  # more at once are a machine's
    [one], _ = desk.run(batch(*(record(at, good(at, time), timestamp=time) for at, time in paced)))
    assert one.examples is not None
    assert 50 < len(one.examples) < 150
    assert set(one.examples.weight.tolist()) == {4.0}
