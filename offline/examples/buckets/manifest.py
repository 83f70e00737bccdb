"""What a folder of examples says about itself: which log it was built from, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from features.bundle import DataFingerprint
from features.exceptions import SchemaMismatch
from features.vector import schema_hash
from features.whole_files import whole_file
from offline.examples.buckets.errors import BucketError
from offline.examples.examples import Context

MANIFEST: Final = "examples.json"
FORMAT: Final = 3


class Shard(msgspec.Struct, frozen=True):
    """One Parquet file: all rows of the customers of a bucket.

    ``examples`` are the rows to train on (of a type that makes examples, label known), ``positive`` those of them
    that are followed by a purchase.
    """

    file: str
    customers: int
    rows: int
    examples: int
    positive: int
    refused: int
    repeated: int
    apart: int


class FolderManifest(msgspec.Struct, frozen=True):
    """How a folder of examples was built; ``examples.json`` in it.

    Attributes
    ----------
    features_version
        Of the columns (`features.vector.schema_hash`).
    log, data, metadata
        The log: where it was, its fingerprint, and its ``intent.*`` metadata.
    context
        How events were read and what is predicted.
    types
        Event types that make examples.
    rows, examples, positive, refused, repeated, erased, apart
        Rows of all shards; those to train on; positive ones of these; events of the log that were too late or ahead
        of their arrival, that were repetitions, that belong to erased customers, and that are no customer's.
    watermarks
        Of every partition at the end of the log, epoch ms, by its number.
    exact
        Whether shards hold the exact probability (simulated logs).
    logins
        Whether people log in: rows of all partitions are then in one order.
    buckets, shards
        Number of buckets, and the files of those that are not empty.
    memory
        Bytes that the work on one bucket was allowed.
    """

    format: int
    features_version: str
    log: str
    data: DataFingerprint
    metadata: dict[str, str]
    context: Context
    types: tuple[str, ...]
    rows: int
    examples: int
    positive: int
    refused: int
    repeated: int
    erased: int
    apart: int
    watermarks: dict[int, int]
    exact: bool
    buckets: int
    memory: int
    shards: list[Shard]
    created_at: str
    logins: bool = False


class _Form(msgspec.Struct):
    """What every format says of itself."""

    format: int


def is_folder(path: str | Path) -> bool:
    """Tell whether a path is a folder, as examples are, and not a log."""
    return Path(path).is_dir()


def read_manifest(folder: str | Path) -> FolderManifest:
    """Return what a folder of examples says about itself.

    Raises
    ------
    BucketError
        The folder holds no examples, or the build of them did not end.
    SchemaMismatch
        They were built with other columns than this program's.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise BucketError(
            f"{folder} has no {MANIFEST}, so it is not a complete folder of examples: make one with `intent examples`"
        )
    try:
        raw = path.read_bytes()
        if (found := msgspec.json.decode(raw, type=_Form).format) != FORMAT:
            raise SchemaMismatch(
                f"the examples in {folder} are of format {found}, this program's of format {FORMAT}: build them again "
                "with `intent examples`"
            )
        manifest = msgspec.json.decode(raw, type=FolderManifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BucketError(
            f"{path} is damaged: {error}; build the folder again with `intent examples`"
        ) from None
    if manifest.features_version != schema_hash():
        raise SchemaMismatch(
            f"the examples in {folder} have columns of version {manifest.features_version}, this program's have "
            f"{schema_hash()}: build them again with `intent examples`"
        )
    missing = [shard.file for shard in manifest.shards if not (Path(folder) / shard.file).is_file()]
    if missing:
        raise BucketError(
            f"{folder} lacks {missing[0]}, one of its shards: build it again with `intent examples`"
        )
    return manifest


def write_manifest(folder: Path, manifest: FolderManifest) -> None:
    """Write it; the folder counts as finished from then on."""
    with whole_file(folder / MANIFEST) as partial:
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
