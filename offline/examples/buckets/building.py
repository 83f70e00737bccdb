"""From a log of any size to a folder of examples: three passes, each a bounded amount of memory."""

from __future__ import annotations

import datetime as dt
import hashlib
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa

from features.bundle import DataFingerprint
from features.log import LOG_SCHEMA, log_metadata, write_log
from features.log_order import refused_sentences
from features.sorted_log import rows_in_order, sorted_log
from features.traffic import apart_sentences
from features.vector import schema_hash
from offline.examples.buckets.cluster import Workers, gather, require_shared, workers
from offline.examples.buckets.errors import BucketError
from offline.examples.buckets.folding import FoldTask, fold_bucket
from offline.examples.buckets.manifest import FORMAT, FolderManifest, Shard, write_manifest
from offline.examples.buckets.scan import Scan, scan
from offline.examples.buckets.sizes import bucket_count, rows_at_once
from offline.examples.buckets.spill import Spilled, SpillTask, spill_piece
from offline.examples.examples import Asked, Context, example_types_of
from offline.progress import OnProgress, Progress, silent

_SIMULATOR: Final = "simulator"


class BuildSettings(NamedTuple):
    """How a folder of examples is built.

    Attributes
    ----------
    asked
        How events are read and what is predicted.
    buckets
        Number of buckets; by default as many as the memory of a worker needs.
    scheduler, workers, memory
        As `offline.examples.buckets.cluster.workers` takes them.
    excluded
        Ids of the shop's own people.
    """

    asked: Asked = Asked()
    buckets: int | None = None
    scheduler: str | None = None
    workers: int | None = None
    memory: int | None = None
    excluded: frozenset[str] = frozenset()


def build_folder(
    path: str | Path,
    folder: str | Path,
    settings: BuildSettings = BuildSettings(),  # noqa: B008  (immutable)
    *,
    progress: Progress | None = None,
    on_note: Callable[[str], object] = lambda text: None,
    now: dt.datetime | None = None,
) -> FolderManifest:
    """Build the examples of a log, of any size, and write them to a folder.

    The examples equal those of `offline.examples.examples.build_examples` on the same log, whatever the number of
    buckets and workers. All that is spilled on the way lies in the folder, and is removed also when the build fails.

    Parameters
    ----------
    path
        The log (`features.log`); on a cluster, every worker must see it and the folder under the same paths.
    folder
        New or empty.
    on_note
        Called with a sentence that people should know: that rows were put in order, or that a date is lonely.
    now
        Stands in the manifest as ``created_at``; by default the time of the clock.

    Raises
    ------
    BucketError
        The folder is not empty, the cluster cannot be used, or a bucket doesn't fit a worker.
    LogError
        There is no log, or a row of it breaks the event contract.
    """
    progress = progress or silent
    source, folder = Path(path).absolute(), Path(folder).absolute()
    with _filled(folder), _spill(folder) as spill:
        wants_currency = settings.asked.currency is None
        path = _in_order(source, spill, on_note)
        with progress("Reading times") as on_progress:
            scanned = scan(
                path, settings.asked.lateness_ms, currencies=wants_currency, on_progress=on_progress
            )
        for sentence in scanned.usual.sentences():
            on_note(sentence)
        context = settings.asked.context(scanned.metadata, scanned.currencies)
        with workers(settings.scheduler, settings.workers, settings.memory, spill) as cluster:
            require_shared(cluster.client, path, spill)
            digest = cluster.client.submit(_sha256, str(source), pure=False)
            buckets = settings.buckets or bucket_count(scanned.rows, scanned.row_bytes, cluster.task_bytes)
            with progress(f"Dealing customers out into {buckets:,} buckets") as on_progress:
                spilled = _spill_all(cluster, scanned, context, path, spill, buckets, on_progress)
            with progress("Folding buckets") as on_progress:
                shards = _fold_all(
                    cluster, scanned, context, spilled, folder, buckets, settings.excluded, on_progress
                )
            [sha256] = gather(cluster.client, [digest])
        for sentence in _remarks(scanned, shards):
            on_note(sentence)
        made = now or dt.datetime.now(dt.UTC)
        memory = cluster.task_bytes
        manifest = _manifest(source, sha256, scanned, context, spilled, shards, buckets, memory, made)
        write_manifest(folder, manifest)
    return manifest


def _remarks(scanned: Scan, shards: Sequence[Shard]) -> list[str]:
    """Return what people should know of the rows that were folded."""
    refused = sum(shard.refused for shard in shards) - scanned.usual.lonely
    apart = sum(shard.apart for shard in shards)
    return [*refused_sentences(refused, scanned.rows), *apart_sentences(apart, scanned.rows)]


def _manifest(  # noqa: PLR0917  (all that a build has found)
    source: Path,
    sha256: str,
    scanned: Scan,
    context: Context,
    spilled: Sequence[Spilled],
    shards: Sequence[Shard],
    buckets: int,
    memory: int,
    made: dt.datetime,
) -> FolderManifest:
    return FolderManifest(
        format=FORMAT,
        features_version=schema_hash(),
        log=str(source),
        data=DataFingerprint(
            source=scanned.metadata.get("source", source.name),
            sha256=sha256,
            events=sum(part.rows - part.erased for part in spilled),
            customers=sum(shard.customers for shard in shards),
            first_event=_instant(min((part.first for part in spilled if part.rows), default=None)),
            last_event=_instant(max((part.last for part in spilled if part.rows), default=None)),
        ),
        metadata=scanned.metadata,
        context=context,
        types=_types(spilled),
        rows=sum(shard.rows for shard in shards),
        examples=sum(shard.examples for shard in shards),
        positive=sum(shard.positive for shard in shards),
        refused=sum(shard.refused for shard in shards),
        repeated=sum(shard.repeated for shard in shards),
        erased=sum(part.erased for part in spilled),
        apart=sum(shard.apart for shard in shards),
        watermarks=scanned.watermarks,
        exact=_simulation(scanned, context, spilled) is not None,
        logins=bool(scanned.families),
        buckets=buckets,
        memory=memory,
        shards=[shard for shard in shards if shard.rows],
        created_at=made.astimezone(dt.UTC).isoformat(timespec="seconds"),
    )


def _in_order(path: Path, spill: Path, on_note: Callable[[str], object]) -> Path:
    """Return the log, or a copy of it in order if it is not."""
    if rows_in_order(path):
        return path
    copy = spill / "in-order.parquet"
    write_log(copy, sorted_log(path, on_note), metadata=log_metadata(path))
    return copy


def _spill_all(
    cluster: Workers,
    scanned: Scan,
    context: Context,
    path: Path,
    spill: Path,
    buckets: int,
    on_progress: OnProgress,
) -> list[Spilled]:
    task = SpillTask(
        str(path), str(spill), buckets, scanned.one_partition, context.lateness_ms, context.currency,
        events=_SIMULATOR in scanned.metadata, usual=scanned.usual, families=scanned.families,
        at_once=rows_at_once(cluster.task_bytes, scanned.row_bytes),
    )  # fmt: skip
    futures = [
        cluster.client.submit(spill_piece, task, number, piece, pure=False)
        for number, piece in enumerate(scanned.pieces)
    ]
    done = 0

    def report(part: Spilled) -> None:
        nonlocal done
        done += part.rows
        on_progress(done, scanned.rows)

    return gather(cluster.client, futures, report, spares="use fewer --buckets")


def _fold_all(
    cluster: Workers,
    scanned: Scan,
    context: Context,
    spilled: Sequence[Spilled],
    folder: Path,
    buckets: int,
    excluded: frozenset[str],
    on_progress: OnProgress,
) -> list[Shard]:
    task = FoldTask(
        tuple(part.file for part in spilled), str(folder), buckets, context, _types(spilled), scanned.watermarks,
        events=_SIMULATOR in scanned.metadata, simulation=_simulation(scanned, context, spilled),
        excluded=excluded, logins=bool(scanned.families), archived=scanned.archived,
    )  # fmt: skip
    futures = [cluster.client.submit(fold_bucket, task, bucket, pure=False) for bucket in range(buckets)]
    done, total = 0, sum(part.rows - part.erased for part in spilled)

    def report(shard: Shard) -> None:
        nonlocal done
        done += shard.rows + shard.refused + shard.repeated
        on_progress(done, total)

    return gather(cluster.client, futures, report)


def _types(spilled: Sequence[Spilled]) -> tuple[str, ...]:
    found: frozenset[str] = frozenset()
    return example_types_of(found.union(*(part.types for part in spilled)))


def _simulation(scanned: Scan, context: Context, spilled: Sequence[Spilled]) -> bytes | None:
    """Return how the log was simulated, None where exact probabilities are not to be had."""
    if (
        context.label_start != "0"
        or any(part.erased for part in spilled)
        or _SIMULATOR not in scanned.metadata
    ):
        return None
    return scanned.metadata[_SIMULATOR].encode()


def _instant(ms: int | None) -> str:
    if ms is None:
        return ""
    text: str = pa.scalar(ms, LOG_SCHEMA.field("event_time").type).as_py().isoformat()
    return text


def _sha256(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _filled(folder: Path) -> Iterator[None]:
    """Make the folder, or take an empty one; leave it as it was found if the block fails."""
    if folder.exists() and not folder.is_dir():
        raise BucketError(f"{folder} is a file: name a new or empty folder")
    existed = folder.is_dir()
    if existed and any(folder.iterdir()):
        raise BucketError(f"{folder} is not empty: name a new or empty folder, or delete it first")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # a task on a far worker may still be writing
        if existed:
            folder.mkdir(exist_ok=True)
        raise


@contextmanager
def _spill(folder: Path) -> Iterator[Path]:
    spill = folder / f".spill-{uuid.uuid4().hex[:8]}"
    spill.mkdir()
    try:
        yield spill
    finally:
        shutil.rmtree(spill, ignore_errors=True)
