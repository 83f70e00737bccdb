"""What is fuzzed: whoever reads bytes from outside, with good values to begin with and what must hold for all others.

A target takes bytes and returns what became of them in a word. What it may raise is caught in it; anything else is a
fault.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple

import numpy as np
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError

from features.bundle import CALIBRATION, MANIFEST, SEGMENTER, Bundle
from features.columns import from_events, from_scan
from features.decoding import Undecodable
from features.event_scan import Values, scan
from features.events import decode_many
from features.exceptions import BundleError, IntentError, SchemaMismatch, UnreadableRecord, UnreadableState
from features.identity import HandOver, Identify, decode_identity, encode_identity
from features.links import Link
from features.offers import Catalogue, CustomerItems, OfferPolicy
from features.refusals import Reason, RejectedEvent
from features.sealing import unsealed
from features.state import MEMORY_BYTES, STATE_VERSION, empty, to_bytes
from features.store.packed_states import read_packed, to_packed
from features.store.partition_record import PartitionRecord
from features.store.redis_url import parse_redis_url
from features.vector import WIDTH
from features.watermark import BEGINNING
from stream.addresses import masked_url
from stream.decisions.policy_file import parse_policy
from stream.exceptions import PolicyError, SettingsError
from stream.formats.contract import Message
from stream.formats.values import write_json
from stream.kafka.unreadable import unreadable
from stream.learner import learning_settings
from stream.learning.learning import Learning
from stream.learning.records.rows import read_examples, read_outcomes
from stream.learning.snapshot_store import Lease
from stream.scoring.engine import Engine
from stream.scoring.intake import read_batches
from stream.settings import load_settings
from tests.bundles import random_bundle, save_bundle
from tests.malformed import MALFORMED, good
from tests.stream.formats.test_any_message import GOOD, named
from tests.stream.kafka.test_parsing import built, parsed, sealed
from tests.stream.learning.test_hostile_bytes import EXAMPLE_RECORD, OUTCOME_RECORD
from tests.stream.learning.test_hostile_bytes import NOW as LEARNED
from tests.stream.packing import assert_same, assert_same_columns, columns_of, packed, parts_of
from tests.stream.records import NOW, PARTITIONS, batch, record
from tests.stream.scoring.any_scores import AnyScore, encoding_of
from tests.stream.scoring.test_intake_columns import REQUIRED, plain_members

Take = Callable[[bytes], str]


class Target(NamedTuple):
    """Something that reads bytes.

    Attributes
    ----------
    seeds
        Good values, and some bad ones.
    take
        Reads bytes, and says in a word what became of them.
    share
        Of all inputs: slow targets get fewer.
    """

    seeds: Sequence[bytes]
    take: Take
    share: float


def targets() -> dict[str, Callable[[], Target]]:
    """Return how each target is made, by its name."""
    return {
        "events": _events,
        "columns": _columns,
        "formats": _formats,
        "intake": _intake,
        "batches": _batches,
        "logins": _logins,
        "states": _states,
        "records": _records,
        "examples": _examples,
        "outcomes": _outcomes,
        "snapshot": _snapshot,
        "bundle": _bundle,
        "settings": _settings,
        "policy": _policy,
        "scores": _scores,
    }


def _events() -> Target:
    def take(raw: bytes) -> str:
        found = decode_many([raw])
        assert len(found.events) + len(found.rejections) + len(found.ignored) == 1
        for one in found.rejections:
            assert one.reason in Reason
            assert one.detail
        return "taken" if found.events else "refused"

    return Target([*(case.value for case in MALFORMED if case.value), *map(good, range(4))], take, 0.3)


def _columns() -> Target:
    """An event's JSON, or members of one, as it is read straight into columns: as by itself, or left to that."""
    partition = np.zeros(1, np.int64)

    def take(raw: bytes) -> str:
        if not raw.startswith(b"{"):
            raw = b"{%b,%b}" % (REQUIRED, raw)
        decoded = decode_many([raw])
        key = decoded.events[0].customer_id.encode() if decoded.events else b"anna"
        data = np.frombuffer(raw + key, np.uint8)
        places = (np.array([number]) for number in (len(raw), len(key), 0, len(raw)))
        found = scan(Values(data, *places), partition, 1, "EUR")
        if not found.rows["plain"][0]:
            return "left"
        assert decoded.events
        assert not decoded.dropped
        assert_same_columns(from_scan(found, data), from_events(decoded.events, "EUR"))
        return "taken"

    return Target([*plain_members(), *(case.value for case in MALFORMED if case.value)], take, 0.1)


def _formats() -> Target:
    names = list(GOOD)
    seeds = [bytes([at]) + json.dumps(one).encode() for at, name in enumerate(names) for one in GOOD[name]]
    forms = [named(name) for name in names]

    def take(raw: bytes) -> str:
        form = forms[(raw[0] if raw else 0) % len(forms)]
        try:
            found = form.translate(Message(raw[1:], key=b"u-7", arrived_at=NOW))
            values = [write_json(fields) for fields in found.events]
        except RejectedEvent as refused:
            assert refused.reason in Reason
            assert refused.detail
            return "refused"
        decoded = decode_many(values)
        assert len(decoded.events) + len(decoded.rejections) + len(decoded.ignored) == len(values)
        return "taken"

    return Target(seeds, take, 0.15)


def _intake() -> Target:
    """Value, key, and up to three headers, whose lengths stand in front: read by itself, and as columns."""
    engine = _engine()
    head = struct.Struct("<HBBBq")

    def take(raw: bytes) -> str:
        if len(raw) < head.size:
            return "too short"
        size, key_size, name_size, count, arrived = head.unpack_from(raw)
        rest = raw[head.size :]
        value, rest = rest[:size], rest[size:]
        key, rest = rest[:key_size], rest[key_size:]
        name, content = rest[:name_size], rest[name_size:]
        headers = [("arrived_at", b"%d" % arrived)]
        headers += [(name.decode("latin-1"), content or None)] * (count % 3)
        part = batch(record(7, value or None, key or None, headers=headers))
        found = read_batches([part], [BEGINNING], engine, partitions=PARTITIONS)
        if (columns := packed(part)) is not None:
            assert_same(found, read_batches([columns], [BEGINNING], engine, partitions=PARTITIONS))
        assert len(found.columns) + len(found.rejections) <= 2
        for fault in found.rejections:
            assert fault.detail
        return "refused" if found.rejections else "taken"

    seeds = [
        head.pack(len(v), 4, 3, n, NOW) + v + b"anna" + b"abc" + b"1"
        for n in range(3)
        for v in map(good, range(3))
    ]
    seeds += [head.pack(0, 4, 7, 1, NOW) + b"anna" + b"control" + b"close"]
    return Target(seeds, take, 0.03)


def _batches() -> Target:
    seeds = [built(0, [[("a", b"1"), ("b", None)], []], codec) for codec in range(5)]
    head = 21  # what the checksum is of begins here: it is made good, or nothing behind it would ever be read

    def take(raw: bytes) -> str:
        if len(raw) > head:
            raw = struct.pack(">qi", 0, len(raw) - 12) + raw[12:]
            raw = sealed(raw, 0)
        try:
            found = parsed(raw)
            assert parts_of(columns_of(raw)) == parts_of(found)
        except CorruptRecordException:
            return "corrupt"
        except UnsupportedCodecError:  # of a later Kafka than this program knows: its text says so
            return "refused"
        return "marked" if any(unreadable(one) for one in found) else "taken"

    return Target(seeds, take, 0.01)


def _logins() -> Target:
    identify = Identify(event_id="e", anonymous_id="a", customer_id="c", event_time=NOW)
    handed = HandOver(
        event_id="e", customer_id="c", anonymous_id="a", event_time=NOW, source=(1, 2, 3), path=["a", "c"],
        type="merge", state=to_bytes(empty(1))[0],
    )  # fmt: skip

    def take(raw: bytes) -> str:
        try:
            found = decode_identity(raw)
        except RejectedEvent as refused:
            assert refused.detail
            return "refused"
        assert decode_identity(encode_identity(found)) == found
        return "taken"

    return Target([encode_identity(identify), encode_identity(handed)], take, 0.1)


def _states() -> Target:
    known = empty(2)
    known["version"], known["events"], known["spend"] = STATE_VERSION, 3, [2.5, 9]
    known["memory"][1] = range(MEMORY_BYTES)
    neighbours = to_packed(known)

    def take(raw: bytes) -> str:
        states, faults = read_packed([neighbours[0], raw, neighbours[1]])
        assert states[[0, 2]].tobytes() == known.tobytes()
        assert set(faults) <= {1}
        return "refused" if faults else "taken"

    return Target([*to_bytes(empty(1)), *to_bytes(known), *neighbours, *to_packed(empty(1))], take, 0.05)


def _records() -> Target:
    """Partition records, links, offers and leases; the first byte says which."""
    kinds: list[tuple[Callable[[bytes], Any], type[Exception], bytes]] = [
        (PartitionRecord.from_bytes, UnreadableRecord, PartitionRecord(7, b"t" * 16, 40, 12, 3).to_bytes()),
        (Link.from_bytes, UnreadableState, Link("ada", members=("a", "b"), time=5).to_bytes()),
        (CustomerItems.from_bytes, SchemaMismatch, CustomerItems("1f", ["a"], ["b"]).to_bytes()),
        (OfferPolicy.from_bytes, SchemaMismatch, b"{}"),
        (Catalogue.from_bytes, SchemaMismatch, Catalogue("1f", ["a"]).to_bytes()),
        (Lease.from_bytes, SchemaMismatch, Lease(3, bytes(16)).to_bytes()),
        (unsealed, Undecodable, b"sealed"),
    ]

    def take(raw: bytes) -> str:
        read, refusal, _ = kinds[(raw[0] if raw else 0) % len(kinds)]
        try:
            return "taken" if read(raw[1:]) is not None else "refused"
        except refusal:
            return "refused"

    return Target([bytes([at]) + one[2] for at, one in enumerate(kinds)], take, 0.1)


def _examples() -> Target:
    def take(raw: bytes) -> str:
        read = read_examples([(3, LEARNED, raw)], "b", "f")
        return "refused" if read.unreadable else "taken"

    return Target([EXAMPLE_RECORD], take, 0.03)


def _outcomes() -> Target:
    def take(raw: bytes) -> str:
        read = read_outcomes([(3, LEARNED, raw)])
        return "refused" if read.unreadable else "taken"

    return Target([OUTCOME_RECORD], take, 0.05)


def _snapshot() -> Target:
    """A learner's snapshot without its checksum, as former versions wrote it: with it, hardly anything else is read."""
    bundle = random_bundle(Path(mkdtemp(prefix="fuzz")))
    learning = learning_settings(load_settings())
    saved = Learning.begin(bundle, learning, 2).saved()

    def take(raw: bytes) -> str:
        try:
            Learning.resume(bundle, learning, 2, raw)
        except IntentError:
            return "refused"
        return "taken"

    return Target([b"INTLEARN" + saved.snapshot[8:-8], saved.snapshot], take, 0.005)


def _bundle() -> Target:
    """One file of a bundle, by the first byte."""
    folder = save_bundle(Path(mkdtemp(prefix="fuzz")))
    names = (MANIFEST, SEGMENTER, CALIBRATION)
    whole = [(folder / name).read_bytes() for name in names]

    def take(raw: bytes) -> str:
        at = (raw[0] if raw else 0) % len(names)
        (folder / names[at]).write_bytes(raw[1:])
        try:
            scores = Bundle.load(folder).score(np.zeros((1, WIDTH), np.float32))
        except (BundleError, SchemaMismatch):
            return "refused"
        finally:
            (folder / names[at]).write_bytes(whole[at])
        assert 0.0 <= scores.probability[0] <= 1.0
        return "taken"

    return Target([bytes([at]) + one for at, one in enumerate(whole)], take, 0.001)


def _settings() -> Target:
    names = (
        "redis",
        "kafka",
        "state_ttl",
        "lateness",
        "timezone",
        "currency",
        "holdout",
        "format",
        "partitions",
        "bundle",
    )
    good_ones = (
        "redis://u:p@h:1/2",
        "a:1,b:2",
        "400d",
        "PT15M",
        "Europe/Berlin",
        "EUR",
        ".1",
        "ga4",
        "12",
        "bundle",
    )
    secret = "correct-horse"

    def take(raw: bytes) -> str:
        at = (raw[0] if raw else 0) % len(names)
        text = raw[1:].decode(errors="replace")
        try:
            found = load_settings(**{names[at]: text})
        except SettingsError as error:
            assert "\n" not in str(error) or "\n" in text
            return "refused"
        if names[at] == "redis":
            parse_redis_url(text)
        assert found.masked()
        shown = masked_url(f"redis://u:{secret}{text}@h")
        assert secret not in shown, shown
        return "taken"

    return Target([bytes([at]) + one.encode() for at, one in enumerate(good_ones)], take, 0.002)


def _policy() -> Target:
    text = (
        "version: 1\nbands: {medium: {enter: 0.5, leave: 0.45}}\ncaps: [1 per 12h, 3 per 1d]\n"
        'quiet: {from: "22:00", to: "06:00", then: wait}\nrules:\n'
        "  - {name: cart, trigger: cart_abandoned, after: 40m, action: remind, when: {cart_value: more than 0}}\n"
    )

    def take(raw: bytes) -> str:
        try:
            parse_policy(raw.decode(errors="replace"))
        except PolicyError as error:
            assert str(error).strip()
            return "refused"
        return "taken"

    return Target([text.encode()], take, 0.005)


def _scores() -> Target:
    """Numbers, codes, flags, and two texts of a score: the kernel writes it as msgspec does, or leaves it to it."""
    engine = _engine()
    head = struct.Struct("<3d2q5BB")

    def take(raw: bytes) -> str:
        if len(raw) < head.size:
            return "too short"
        *numbers, time, as_of, band, segment, action, traffic, flags, size = head.unpack_from(raw)
        texts = raw[head.size :][:size], raw[head.size + size :][:128]
        online, *others = (  # whole numbers tell nothing of how fractions are written
            number % 1.0 if math.isfinite(number) else number for number in numbers
        )
        one = AnyScore(
            *(text.decode(errors="replace") for text in texts),
            time,
            as_of,
            *others,
            None if flags & 16 else online,
            *(band, segment, action, traffic),
            *(bool(flags & 1 << at) for at in range(4)),
        )
        encoding = encoding_of(engine, [one])
        written, refused = encoding.written()
        if len(refused):
            return "refused"
        assert list(written) == encoding.each(np.arange(1))
        return "taken"

    numbers = [(0.5, 0.0, 1.0), (1e-5, 1e-6, 1 / 3), (2.0**-36, 0.1 + 0.2, 0.999999)]
    times = [(NOW, NOW), (0, 2**63 - 1)]
    seeds = [
        head.pack(*three, *both, at, at, at, at, flags, 8) + b"e-000001" + text
        for at, three in enumerate(numbers)
        for both in times
        for flags, text in enumerate((b"ada", "Bärbel".encode(), b"u-7 (new)", b"", b"x" * 128))
    ]
    return Target(seeds, take, 0.002)


@cache
def _engine() -> Engine:
    folder = Path(mkdtemp(prefix="fuzz"))
    return Engine(random_bundle(folder), lateness_ms=900_000, ttl_ms=400 * 86_400_000, holdout=0.0)
