"""A folder of examples back in memory, whole or for some of its customers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.events import TYPE_CODES
from features.labels import UNKNOWN
from features.vector import WIDTH, Vectors
from offline.examples.buckets.manifest import FolderManifest, read_manifest
from offline.examples.examples import Examples
from offline.examples.sampling import in_sample

_BATCH: Final = 50_000


class Loaded(NamedTuple):
    """Examples of a folder.

    Attributes
    ----------
    examples
        In the order that `offline.examples.examples.build_examples` gives them; customers are numbered in the order
        in which they appear in the log.
    exact
        The exact probability at each of them, where the log was simulated.
    manifest
        Of the folder.
    share
        Of the customers; 1 for all.
    """

    examples: Examples
    exact: NDArray[np.float64] | None
    manifest: FolderManifest
    share: float


def read_folder(
    folder: str | Path,
    *,
    most_rows: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Loaded:
    """Read a folder of examples.

    Parameters
    ----------
    most_rows
        Of a folder with more rows, all rows of some customers are read, about that many, chosen by the hash of the
        customer's id, so that the same customers are chosen every time.
    on_progress
        Called with shards read and in all.
    """
    manifest = read_manifest(folder)
    share = 1.0 if most_rows is None else min(1.0, most_rows / max(manifest.rows, 1))
    keys = [(_kept_keys(Path(folder) / shard.file, share)) for shard in manifest.shards]
    place = _places(keys, by_partition=not manifest.logins)
    count = len(place)
    vectors = np.empty((count, WIDTH), np.float32)
    rows, as_of, firsts, event_time = (np.empty(count, np.int64) for _ in range(4))
    kinds, labels = np.empty(count, np.uint8), np.empty(count, np.int8)
    counted, apart = np.empty(count, np.bool_), np.empty(count, np.bool_)
    exact = np.empty(count) if manifest.exact else None
    done = 0
    for number, (shard, (kept, _, _)) in enumerate(zip(manifest.shards, keys, strict=True)):
        for table in _batches(Path(folder) / shard.file, kept):
            at = place[done : done + len(table)]
            rows[at], firsts[at] = table["row"].to_numpy(), table["customer"].to_numpy()
            as_of[at] = table["as_of"].cast(pa.int64()).to_numpy()
            event_time[at] = table["event_time"].cast(pa.int64()).to_numpy()
            kinds[at] = _kinds(table["type"])
            counted[at], apart[at] = table["counted"].to_numpy(), table["apart"].to_numpy()
            labels[at] = pc.fill_null(table["label"], UNKNOWN).to_numpy()
            vectors[at] = vectors_of(table)
            if exact is not None:
                exact[at] = table["exact_probability"].to_numpy()
            done += len(table)
        if on_progress is not None:
            on_progress(number + 1, len(manifest.shards))
    customers = np.unique(firsts, return_inverse=True)[1].astype(np.int64)
    examples = Examples(
        rows, vectors, as_of, customers, labels, event_time, kinds, counted, apart, manifest.types,
        manifest.refused, manifest.repeated,
    )  # fmt: skip
    return Loaded(examples, exact, manifest, share)


def vectors_of(shard: pa.Table) -> Vectors:
    """Return the model's input at each row of a shard."""
    found = shard["vector"].combine_chunks()
    vectors: Vectors = np.frombuffer(found.buffers()[1], np.float32).reshape(-1, WIDTH)
    return vectors[found.offset : found.offset + len(found)]


_Keys = tuple[NDArray[np.bool_] | None, NDArray[np.int64], NDArray[np.int64]]


def _kept_keys(path: Path, share: float) -> _Keys:
    """Return which rows of a shard are kept (None: all), and the partition and row of these."""
    with pq.ParquetFile(path) as file:
        names = ["partition", "row"] if share == 1 else ["partition", "row", "customer_id"]
        table = file.read(columns=names)
    kept = None if share == 1 else in_sample(table["customer_id"], share)
    partition, row = table["partition"].to_numpy(), table["row"].to_numpy()
    return (None, partition, row) if kept is None else (kept, partition[kept], row[kept])


def _places(keys: list[_Keys], *, by_partition: bool) -> NDArray[np.int64]:
    """Return for every kept row, in the order of the shards, its place in the order of the examples."""
    if not keys:
        return np.zeros(0, np.int64)
    partition, row = (np.concatenate([key[i] for key in keys]) for i in (1, 2))
    order = np.lexsort((row, partition)) if by_partition else np.argsort(row, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return place


def _batches(path: Path, kept: NDArray[np.bool_] | None) -> Iterator[pa.Table]:
    start = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_BATCH):
            own = None if kept is None else kept[start : start + len(batch)]
            start += len(batch)
            table = pa.Table.from_batches([batch])
            yield table if own is None else table.filter(pa.array(own))


def _kinds(types: pa.ChunkedArray) -> NDArray[np.uint8]:
    codes = pc.index_in(types.cast(pa.string()), pa.array(list(TYPE_CODES)))
    kinds: NDArray[np.uint8] = codes.to_numpy().astype(np.uint8)
    return kinds
