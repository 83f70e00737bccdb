"""Examples that are built bucket by bucket are those that are built in memory, to the bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from features.exceptions import LogError, SchemaMismatch
from features.log import read_log, write_log
from features.logins import split_logins
from features.vector import COLUMN_NAMES
from features.watermark import BEGINNING
from offline.examples.buckets import BucketError, BuildSettings, build_folder, read_folder, read_manifest
from offline.examples.buckets.cluster import require_shared
from offline.examples.buckets.scan import Watermarks, scan
from offline.examples.buckets.sizes import bucket_count, parse_size
from offline.examples.buckets.spill import bucket_of
from offline.examples.examples import Asked, Context, Examples, build_examples
from offline.examples.sampling import sample_customers
from offline.simulator.logins import with_late_logins
from offline.simulator.oracle import exact_probability
from offline.simulator.price_drops import with_price_drops
from tests.offline.examples.bucket_logs import MINUTE, clean, rough, write

distributed = pytest.importorskip("distributed")
CONTEXT = Context(30 * MINUTE, "0")
MEMORY = 10**9


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a cluster whose only worker does two tasks at once."""
    with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=2,
        processes=True,
        memory_limit="1GB",
        dashboard_address="127.0.0.1:0",
        local_directory=str(tmp_path_factory.mktemp("dask")),
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("log") / "log.parquet", rough())


@pytest.fixture(scope="module")
def expected(log: Path) -> Examples:
    return build_examples(read_log(log), CONTEXT)


def assert_equal(found: Examples, expected: Examples) -> None:
    for field in fields(Examples):
        ours, theirs = getattr(found, field.name), getattr(expected, field.name)
        if field.name == "customers":  # in memory, customers without any example have a number too
            theirs = np.unique(theirs, return_inverse=True)[1]
        if isinstance(theirs, np.ndarray):
            assert ours.dtype == theirs.dtype, field.name
            assert ours.tobytes() == theirs.tobytes(), field.name
        else:
            assert ours == theirs, field.name


@pytest.mark.parametrize("buckets", [1, 3, 16])
def test_a_cluster_builds_what_is_built_in_memory(
    buckets: int, log: Path, expected: Examples, scheduler: str, tmp_path: Path
) -> None:
    assert expected.refused > 50
    assert expected.repeated > 500
    assert expected.apart.sum() > 100
    folder = tmp_path / "examples"
    manifest = build_folder(log, folder, BuildSettings(buckets=buckets, scheduler=scheduler))
    assert_equal(read_folder(folder).examples, expected)
    assert (manifest.buckets, len(manifest.shards)) == (buckets, buckets)
    assert {path.name for path in folder.iterdir()} == {
        "examples.json",
        *(shard.file for shard in manifest.shards),
    }


def test_workers_of_this_machine_build_the_same(log: Path, expected: Examples, tmp_path: Path) -> None:
    settings = BuildSettings(buckets=2, workers=2, memory=MEMORY)
    build_folder(log, tmp_path / "examples", settings)
    assert_equal(read_folder(tmp_path / "examples").examples, expected)


def test_the_manifest_counts_what_the_shards_hold(
    log: Path, expected: Examples, scheduler: str, tmp_path: Path
) -> None:
    table = read_log(log)
    written = build_folder(log, tmp_path / "examples", BuildSettings(buckets=5, scheduler=scheduler))
    manifest = read_manifest(tmp_path / "examples")
    assert manifest == written
    assert (manifest.rows, manifest.refused, manifest.repeated) == (
        len(expected),
        expected.refused,
        expected.repeated,
    )
    assert manifest.examples == np.count_nonzero(expected.usable)
    assert manifest.positive == np.count_nonzero(expected.labels[expected.usable] == 1)
    assert manifest.data.customers == pc.count_distinct(table["customer_id"]).as_py()
    assert manifest.erased == pc.sum(pc.equal(table["type"], "erased")).as_py() > 0
    assert manifest.erased + manifest.data.events == len(table)
    assert manifest.context == CONTEXT
    for shard in manifest.shards:
        read = pq.read_table(tmp_path / "examples" / shard.file)
        customers = read["customer_id"].cast(pa.string()).unique().to_pylist()
        assert (len(read), {bucket_of(c, 5) for c in customers}) == (shard.rows, {int(shard.file[7:12])})


def test_a_shard_can_be_read_beside_the_log(log: Path, scheduler: str, tmp_path: Path) -> None:
    build_folder(log, tmp_path / "examples", BuildSettings(buckets=2, scheduler=scheduler))
    shard = pq.read_table(tmp_path / "examples" / "bucket-00001.parquet")
    events = read_log(log).take(shard["row"])
    for name in ("customer_id", "type"):
        assert shard[name].cast(pa.string()).to_pylist() == events[name].to_pylist()
    for name in ("event_time", "partition"):
        assert pc.all(pc.equal(shard[name], events[name])).as_py()
    assert set(shard["label"].to_pylist()) == {0, 1, None}
    vectors = np.frombuffer(b"".join(shard["vector"].to_pylist()), "<f4").reshape(len(shard), -1)
    assert (vectors[:, COLUMN_NAMES.index("events")] >= 1).all()


def test_a_log_without_partitions_is_taken_as_one(scheduler: str, tmp_path: Path) -> None:
    table = rough(300, seed=8)
    partial = table["partition"].to_pylist()
    partial[len(partial) // 2] = None
    at = table.schema.get_field_index("partition")
    path = write(tmp_path / "log.parquet", table.set_column(at, "partition", pa.array(partial, pa.int32())))
    build_folder(path, tmp_path / "examples", BuildSettings(buckets=3, scheduler=scheduler))
    assert_equal(read_folder(tmp_path / "examples").examples, build_examples(read_log(path), CONTEXT))


def test_texts_of_a_log_may_be_missing_or_of_another_form(scheduler: str, tmp_path: Path) -> None:
    table = clean(300).drop_columns(["device", "country", "category"])
    currencies = ["eur", "EUR", "USD", None] * (len(table) // 4 + 1)
    for name, column in (
        ("channel", table["channel"].cast(pa.large_string())),
        ("type", table["type"].cast(pa.binary())),
        ("currency", pa.array(currencies[: len(table)])),
    ):
        table = table.set_column(table.schema.get_field_index(name), name, column)
    pq.write_table(table, tmp_path / "log.parquet")
    manifest = build_folder(
        tmp_path / "log.parquet", tmp_path / "examples", BuildSettings(buckets=2, scheduler=scheduler)
    )
    expected = build_examples(read_log(tmp_path / "log.parquet"), CONTEXT)
    assert manifest.context.currency == "EUR"
    assert_equal(read_folder(tmp_path / "examples").examples, expected)


def test_a_simulated_log_keeps_its_exact_probabilities(scheduler: str, tmp_path: Path) -> None:
    path = write(tmp_path / "log.parquet", clean(300), simulated=True)
    build_folder(path, tmp_path / "examples", BuildSettings(buckets=3, scheduler=scheduler))
    examples, exact, _, _ = read_folder(tmp_path / "examples")
    assert exact is not None
    assert (exact == exact_probability(read_log(path), CONTEXT.horizon_ms)[examples.rows]).all()


def test_orders_are_labelled_from_the_next_day_on(scheduler: str, tmp_path: Path) -> None:
    table = clean(2_000).filter(pc.equal(clean(2_000)["type"], "purchase"))
    path = write(tmp_path / "log.parquet", table)
    asked = Asked(86_400_000, timezone="Asia/Tokyo", currency="USD")
    manifest = build_folder(path, tmp_path / "e", BuildSettings(asked, buckets=2, scheduler=scheduler))
    assert manifest.context == Context(86_400_000, "next-day", "Asia/Tokyo", "USD")
    assert manifest.types == ("purchase",)
    assert_equal(read_folder(tmp_path / "e").examples, build_examples(read_log(path), manifest.context))


def test_an_empty_log_makes_a_folder_without_examples(scheduler: str, tmp_path: Path) -> None:
    write_log(tmp_path / "log.parquet", clean(10).slice(0, 0))
    manifest = build_folder(tmp_path / "log.parquet", tmp_path / "e", BuildSettings(scheduler=scheduler))
    assert (manifest.rows, manifest.shards, len(read_folder(tmp_path / "e").examples)) == (0, [], 0)


def test_a_part_of_the_customers_is_read_whole(
    log: Path, expected: Examples, scheduler: str, tmp_path: Path
) -> None:
    build_folder(log, tmp_path / "e", BuildSettings(buckets=3, scheduler=scheduler))
    loaded = read_folder(tmp_path / "e", most_rows=len(expected) // 3)
    assert loaded.share == pytest.approx(1 / 3, abs=1e-4)
    table = read_log(log)
    chosen = sample_customers(table, loaded.share)["customer_id"].unique()
    ids = table["customer_id"].take(expected.rows)
    kept = np.flatnonzero(pc.is_in(ids, chosen).to_numpy())
    assert 0.2 < len(kept) / len(expected) < 0.5
    assert (loaded.examples.rows == expected.rows[kept]).all()
    assert loaded.examples.vectors.tobytes() == expected.vectors[kept].tobytes()


def test_watermarks_go_on_from_where_the_piece_before_left_them(log: Path) -> None:
    whole, pieces = scan(log, 15 * MINUTE, most_pieces=1), scan(log, 15 * MINUTE, most_pieces=100)
    assert len(whole.pieces) == 1 < len(pieces.pieces)
    assert whole.watermarks == pieces.watermarks
    assert [p.start for p in pieces.pieces] == np.cumsum([0, *(p.rows for p in pieces.pieces[:-1])]).tolist()
    assert all(w >= BEGINNING for p in pieces.pieces for w in p.watermarks.values())
    table = read_log(log)
    columns = [table[n].cast(pa.int64()).to_numpy() for n in ("event_time", "arrived_at", "partition")]
    together = Watermarks({}, 15 * MINUTE).judge(*columns)
    apart = [
        Watermarks(p.watermarks, 15 * MINUTE).judge(*(c[p.start : p.start + p.rows] for c in columns))
        for p in pieces.pieces
    ]
    assert (np.concatenate(apart) == together).all()


def test_more_memory_means_fewer_buckets() -> None:
    small, large = (bucket_count(10**7, 60.0, memory) for memory in (200 * 10**6, 4 * 10**9))
    assert small > large > 1
    assert bucket_count(1000, 60.0, 200 * 10**6) == 1


@pytest.mark.parametrize("text", ["", "much", "-1GB", "0", "1 parsec"])
def test_an_amount_of_memory_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BucketError, match=r"invalid size .*: use 600MB"):
        parse_size(text)


def test_workers_that_do_not_see_the_folder_are_named(log: Path, scheduler: str, tmp_path: Path) -> None:
    with distributed.Client(scheduler, set_as_default=False) as client:
        require_shared(client, log, tmp_path)
        with pytest.raises(BucketError, match=rf"the worker tcp://.* does not see {tmp_path}/elsewhere"):
            require_shared(client, log, tmp_path / "elsewhere")


def test_a_broken_row_is_named_and_nothing_is_left(scheduler: str, tmp_path: Path) -> None:
    table = clean(200)
    at = table.schema.get_field_index("channel")
    broken = table.set_column(at, "channel", pa.array(["web"] * (len(table) - 1) + ["pigeon"]))
    pq.write_table(broken, tmp_path / "log.parquet", row_group_size=500)
    (tmp_path / "examples").mkdir()
    with pytest.raises(LogError, match=r"channel = 'pigeon' breaks the event contract"):
        build_folder(tmp_path / "log.parquet", tmp_path / "examples", BuildSettings(scheduler=scheduler))
    assert not list((tmp_path / "examples").iterdir())


def test_a_log_without_customers_is_refused(tmp_path: Path) -> None:
    pq.write_table(clean(10).drop_columns(["customer_id"]), tmp_path / "log.parquet")
    with pytest.raises(LogError, match="the log has no column 'customer_id'"):
        build_folder(tmp_path / "log.parquet", tmp_path / "examples")
    assert not (tmp_path / "examples").exists()


def test_a_folder_that_is_not_empty_is_left_alone(log: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BucketError, match="is not empty"):
        build_folder(log, tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_an_unfinished_folder_is_not_read(log: Path, scheduler: str, tmp_path: Path) -> None:
    with pytest.raises(BucketError, match=r"not a complete folder of examples"):
        read_folder(tmp_path)
    build_folder(log, tmp_path / "e", BuildSettings(buckets=2, scheduler=scheduler))
    (tmp_path / "e" / "bucket-00000.parquet").unlink()
    with pytest.raises(BucketError, match=r"lacks bucket-00000.parquet"):
        read_folder(tmp_path / "e")


def test_a_folder_of_another_format_has_to_be_built_again(tmp_path: Path) -> None:
    (tmp_path / "examples.json").write_text('{"format": 2}')
    with pytest.raises(
        SchemaMismatch, match=r"are of format 2, this program's of format 3: build them again"
    ):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b'{"format": 3', id="cut off"),
        pytest.param(b'{"format": 3, "log": "caf\xff"}', id="not UTF-8"),
        pytest.param(b'{"metadata": %s, "format": 3}' % (b"[" * 100_000), id="nested too deeply"),
    ],
)
def test_a_damaged_manifest_is_called_so(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "examples.json").write_bytes(raw)
    with pytest.raises(BucketError, match=r"examples.json is damaged: .*; build the folder again"):
        read_manifest(tmp_path)


def with_logins_and_price_drops(log: pa.Table, share: float) -> pa.Table:
    return with_price_drops(with_late_logins(log, share), share)


@pytest.mark.parametrize("beside", [with_late_logins, with_price_drops, with_logins_and_price_drops])
def test_what_is_no_event_makes_no_examples_and_moves_no_watermark(
    tmp_path: Path, beside: Callable[[pa.Table, float], pa.Table]
) -> None:
    late = beside(clean(400), 0.5)
    path = write(tmp_path / "log.parquet", late)
    manifest = build_folder(path, tmp_path / "examples", BuildSettings(buckets=3, workers=1, memory=MEMORY))
    found = read_folder(tmp_path / "examples").examples
    events, logins = split_logins(read_log(path, identities=True))
    expected = build_examples(events, CONTEXT, logins=logins)
    assert late["identity"].null_count < len(late)
    assert manifest.data.events == late["identity"].null_count == len(expected)
    assert found.types == expected.types
    for name in ("vectors", "as_of", "labels", "event_time"):
        assert getattr(found, name).tobytes() == getattr(expected, name).tobytes(), name
