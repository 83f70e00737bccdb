"""Where people log in, examples are those that the scorer writes and the learner labels, bit for bit."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from features.bundle import Bundle
from features.labels import NEGATIVE, POSITIVE, UNKNOWN
from features.log import LOG_SCHEMA, conform, read_log, write_log
from features.logins import NO_LOGINS, split_logins
from features.state import DAY_MS
from features.vector import SEGMENT_AT, WIDTH
from offline.examples.buckets import BuildSettings, build_folder, read_folder
from offline.examples.examples import Asked, Context, Examples, build_examples, example_types
from offline.simulator.logins import with_late_logins
from offline.simulator.shop import ShopParameters
from offline.simulator.simulation import simulate
from offline.training.streamed import judged
from offline.training.train import fingerprint
from stream.scoring.engine import Engine
from stream.scoring.recorder import Recorder
from stream.scoring.sampling import Sampling
from tests.bundles import random_bundle
from tests.stream.scoring.identity_bench import MINUTE, Shop, archived
from tests.stream.scoring.learner_bench import labelled

LATENESS = 15 * MINUTE
FIELDS = (
    "event_id",
    "type",
    "customer_id",
    "channel",
    "item_id",
    "price",
    "quantity",
    "value",
    "currency",
    "country",
)


class Example(NamedTuple):
    """What an example says, but for its segment, which is the bundle's."""

    as_of: int
    vector: bytes
    label: int


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder: Path = tmp_path_factory.mktemp("bundle")
    return random_bundle(folder)


@pytest.fixture(scope="module")
def log() -> pa.Table:
    """Two days in which every second customer logs in late; then some events still come under the anonymous id."""
    shop = ShopParameters.default()
    table = with_late_logins(simulate(shop, customers=160, days=2, seed=5), 0.5, seed=3)
    owners, logged_in = table["customer_id"].to_pylist(), set()
    for row, (customer, identity) in enumerate(zip(owners, table["identity"].to_pylist(), strict=True)):
        if identity is not None:
            logged_in.add(customer)
        elif f"anonymous-{customer}" in logged_in and row % 3 == 0:
            owners[row] = f"anonymous-{customer}"
    at = table.schema.get_field_index("customer_id")
    return table.set_column(at, table.schema.field(at), pa.array(owners, pa.string()))


def context(bundle: Bundle) -> Context:
    said = bundle.manifest
    return Context(
        round(said.horizon_seconds * 1000), said.label_start, said.timezone, said.currency, LATENESS
    )


def plain(vector: bytes) -> bytes:
    """Return a model's input without its segment."""
    values = np.frombuffer(vector, np.float32).copy()
    values[SEGMENT_AT] = 0
    return values.tobytes()


def streamed(log: pa.Table, bundle: Bundle, partitions: int) -> tuple[dict[str, Example], Shop]:
    """Return what a scorer and the learner make of a log, by event, and what they made it of."""
    recorder = Recorder(bundle, Sampling(example_types(log), {}), LATENESS)
    engine = Engine(bundle, lateness_ms=LATENESS, ttl_ms=400 * DAY_MS, holdout=0.0)
    shop, last = Shop(engine, partitions, recorder), 0
    for row in log.to_pylist():
        fields = {name: row[name] for name in FIELDS if row[name] is not None}
        if row["items"]:
            lines = [
                {name: value for name, value in line.items() if value is not None} for line in row["items"]
            ]
            fields["items"] = lines
        fields["event_time"] = last = round(row["event_time"].timestamp() * 1000)
        if row["identity"] is not None:
            shop.run()  # what came before is known when somebody logs in, and so is the login to what follows
            shop.emit(msgspec.json.decode(row["identity"]))
            shop.run()
        else:
            shop.emit(fields)
            if fields["customer_id"].startswith("anonymous"):
                shop.run()
    shop.run()
    found, _ = labelled(shop, bundle, recorder, last + 30 * DAY_MS, Random(1))
    return {one.event_id: Example(one.as_of, plain(one.vector), one.label) for one in found}, shop


def built(log: pa.Table, examples: Examples) -> dict[str, Example]:
    ids = log["event_id"].to_pylist()
    kept = np.flatnonzero(examples.usable)
    return {
        ids[int(examples.rows[at])]: Example(
            int(examples.as_of[at]), examples.vectors[at].tobytes(), int(examples.labels[at])
        )
        for at in kept.tolist()
    }


def assert_alike(wanted: dict[str, Example], found: dict[str, Example]) -> None:
    """Assert that all that the log can tell of is what was streamed; labels of the log's end are not known."""
    assert len(found) > 0.8 * len(wanted)
    assert not {event: (one, wanted.get(event)) for event, one in found.items() if one != wanted.get(event)}


def test_a_log_with_logins_gives_the_examples_that_were_streamed(bundle: Bundle, log: pa.Table) -> None:
    wanted, _ = streamed(log, bundle, 1)
    events, logins = split_logins(log)
    assert_alike(wanted, built(events, build_examples(events, context(bundle), logins=logins)))


def test_an_archived_topic_gives_the_examples_that_were_streamed(
    bundle: Bundle, log: pa.Table, tmp_path: Path
) -> None:
    wanted, shop = streamed(log, bundle, 4)
    write_log(tmp_path / "archive.parquet", archived(shop))
    events, logins = split_logins(read_log(tmp_path / "archive.parquet", identities=True))
    found = build_examples(events, context(bundle), logins=logins)
    assert len(events) > len(log) - len(logins.before), "what was handed on comes twice"
    assert len(found) == len(log) - len(logins.before), "and counts once"
    assert_alike(wanted, built(events, found))


@pytest.mark.parametrize("buckets", [1, 3])
@pytest.mark.parametrize("partitions", [None, 4])
def test_buckets_hold_whole_families(
    bundle: Bundle, log: pa.Table, tmp_path: Path, buckets: int, partitions: int | None
) -> None:
    path, of = tmp_path / "log.parquet", context(bundle)
    write_log(path, log if partitions is None else archived(streamed(log, bundle, partitions)[1]))
    events, logins = split_logins(read_log(path, identities=True))
    wanted = build_examples(events, of, logins=logins)
    asked = Asked(of.horizon_ms, of.label_start, of.timezone, of.currency, of.lateness_ms)
    manifest = build_folder(
        path, tmp_path / "examples", BuildSettings(asked, buckets=buckets, workers=1, memory=10**9)
    )
    found = read_folder(tmp_path / "examples").examples
    for name in ("vectors", "as_of", "labels", "event_time", "kinds", "counted", "apart"):
        assert getattr(found, name).tobytes() == getattr(wanted, name).tobytes(), name
    assert found.customers.tolist() == np.unique(wanted.customers, return_inverse=True)[1].tolist()
    assert (found.refused, found.repeated) == (wanted.refused, wanted.repeated)
    assert manifest.logins
    assert manifest.data == fingerprint(path, events.filter(pc.is_null(events["identity"])), logins)


def test_who_logs_in_has_fewer_wrong_negatives(bundle: Bundle, log: pa.Table) -> None:
    events, logins = split_logins(log)
    alone = build_examples(events, context(bundle))
    followed = build_examples(events, context(bundle), logins=logins)
    assert alone.rows.tolist() == followed.rows.tolist()
    known = alone.labels != UNKNOWN
    changed = known & (alone.labels != followed.labels)
    assert changed.sum() > 10
    assert set(alone.labels[changed].tolist()) == {NEGATIVE}
    assert set(followed.labels[changed].tolist()) == {POSITIVE}


def test_what_is_judged_of_a_log_is_what_is_learned_from_it(bundle: Bundle, log: pa.Table) -> None:
    events, logins = split_logins(log)
    built_ = build_examples(events, context(bundle), logins=logins)
    manifest = msgspec.structs.replace(bundle.manifest, example_types=list(built_.types))
    ids = events["event_id"].take(built_.rows)
    found = judged(events, ids, built_.as_of, manifest, since=0, lateness_ms=LATENESS, logins=logins)
    kept = np.flatnonzero(built_.usable)
    assert found.scores.tolist() == kept.tolist()
    assert found.labels.tolist() == built_.labels[kept].tolist()
    people = {*zip(found.customers.tolist(), built_.customers[kept].tolist(), strict=True)}
    assert len(people) == len(np.unique(found.customers)) == len(np.unique(built_.customers[kept]))


def test_the_ids_of_a_person_are_one_customer(bundle: Bundle, log: pa.Table) -> None:
    events, logins = split_logins(log)
    found = build_examples(events, context(bundle), logins=logins)
    names = np.array([name.removeprefix("anonymous-") for name in events["customer_id"].to_pylist()])[
        found.rows
    ]
    for name in np.unique(names)[:40]:
        assert len(np.unique(found.customers[names == name])) == 1
    assert len(np.unique(found.customers)) == len(np.unique(names))


def test_a_log_without_logins_is_built_as_ever(bundle: Bundle) -> None:
    table = simulate(ShopParameters.default(), customers=30, days=1, seed=5)
    events, logins = split_logins(table)
    assert events is table
    assert logins is NO_LOGINS
    found = build_examples(table, context(bundle), logins=logins)
    assert found.vectors.shape == (len(table), WIDTH)


def test_a_silent_partition_of_a_person_leaves_labels_unknown(bundle: Bundle) -> None:
    def row(event_id: str, customer: str, minute: int, partition: int, **fields: Any) -> dict[str, Any]:
        time = 1_736_121_600_000 + minute * MINUTE
        return {
            "event_id": event_id, "type": "view_item", "customer_id": customer, "event_time": time,
            "arrived_at": time, "partition": partition, "offset": minute,
        } | fields  # fmt: skip

    said = {"type": "identify", "event_id": "l", "anonymous_id": "a", "customer_id": "ada"}
    identity = msgspec.json.encode(said | {"event_time": 1_736_121_600_000 + 2 * MINUTE}).decode()
    rows = [
        row("e1", "a", 1, 0), row("l", "a", 2, 0, type="identify", identity=identity), row("e2", "ada", 3, 1),
        row("e3", "bert", 4, 1), row("e4", "carl", 300, 1),
    ]  # fmt: skip
    table = conform(pa.Table.from_pylist(rows, pa.schema([LOG_SCHEMA.field(name) for name in rows[1]])))
    events, logins = split_logins(table)
    found = build_examples(events, context(bundle), logins=logins)
    assert found.labels.tolist() == [UNKNOWN, UNKNOWN, NEGATIVE, UNKNOWN]
