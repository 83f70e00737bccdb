"""The first pass: the times of the whole log in order of arrival, for the watermarks at every piece of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.exceptions import LogError
from features.identity import Identify, decode_identity
from features.log import LOG_SCHEMA, cast_to_log, conform, few_texts, log_metadata
from features.logins import Families
from features.prices import is_price_type
from features.usual_days import UsualDays
from features.watermark import BEGINNING, judge

_BATCH: Final = 32_768  # rows that are read at a time

_MOST_PIECES: Final = 256  # every bucket is read from all of them


class Piece(NamedTuple):
    """Row groups of the log, the row that they begin with, their rows, and every partition's watermark before them."""

    groups: tuple[int, ...]
    start: int
    rows: int
    watermarks: dict[int, int]


class Scan(NamedTuple):
    """What the first pass found.

    ``watermarks`` are those at the end of the log, ``currencies`` how often each stands in it (where asked for),
    ``usual`` which dates are lonely, ``one_partition`` whether the log is taken as one because it doesn't name
    partitions throughout, ``families`` for each id of a person with several ids the one that stands for all of them,
    ``archived`` whether the log has what partitions handed to each other.
    """

    rows: int
    pieces: list[Piece]
    watermarks: dict[int, int]
    currencies: Counter[str]
    one_partition: bool
    row_bytes: float
    metadata: dict[str, str]
    usual: UsualDays
    families: Mapping[str, str]
    archived: bool


class Watermarks:
    """Judges events of all partitions, in order of arrival, piece by piece.

    Parameters
    ----------
    at
        Every partition's watermark so far.
    usual
        Which dates are lonely; none by default.
    """

    def __init__(self, at: dict[int, int], lateness_ms: int, usual: UsualDays | None = None) -> None:
        self.at = dict(at)
        self._lateness_ms = lateness_ms
        self._usual = usual or UsualDays()

    def judge(
        self, times: NDArray[np.int64], arrivals: NDArray[np.int64], partitions: NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        """Return the verdict on every event (`features.watermark`)."""
        verdicts = np.empty(len(times), np.uint8)
        arrivals = self._usual.arrivals(times, arrivals)
        for rows in by_number(partitions):
            partition = int(partitions[rows[0]])
            before = self.at.get(partition, BEGINNING)
            verdicts[rows], self.at[partition] = judge(times[rows], arrivals[rows], before, self._lateness_ms)
        return verdicts


def by_number(numbers: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the positions of each number, in order.

    Examples
    --------
    >>> [at.tolist() for at in by_number(np.array([7, 2, 7]))]
    [[1], [0, 2]]
    """
    if not len(numbers):
        return []
    order = np.argsort(narrow(numbers), kind="stable")
    return np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)


def narrow(numbers: NDArray[np.int64]) -> NDArray[np.unsignedinteger]:
    """Return numbers in the same order, of as few bytes as hold them: those of one or two are sorted by radix.

    Examples
    --------
    >>> narrow(np.array([7, 9, 7]))
    array([0, 2, 0], dtype=uint8)
    """
    if not len(numbers):
        return numbers.astype(np.uint8)
    low, high = int(numbers.min()), int(numbers.max())
    return (numbers - low).astype(np.min_scalar_type(high - low))


def scan(
    path: str | Path,
    lateness_ms: int,
    *,
    most_pieces: int = _MOST_PIECES,
    currencies: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Scan:
    """Read the times of a log, and nothing else of it.

    Parameters
    ----------
    most_pieces
        Into how many pieces the log is divided at most; a piece is one row group or several.
    currencies
        Whether to count them.
    on_progress
        Called with rows done and in all.

    Raises
    ------
    LogError
        There is no log, it is not Parquet, or columns are missing or of another type.
    """
    metadata = log_metadata(path)
    with pq.ParquetFile(path, read_dictionary=few_texts(path)) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows
        try:
            conform(schema.empty_table())
        except LogError as error:
            raise LogError(f"{path}: {error}") from None
        names = [n for n in ("event_time", "arrived_at", "partition", "identity") if n in schema.names]
        names += ["currency"] if currencies and "currency" in schema.names else []
        one = _one_partition(file)
        usual = UsualDays.of(_event_times(file, path))
        watermarks = Watermarks({}, lateness_ms, usual)
        counts: Counter[str] = Counter()
        pieces, done, said = [], 0, list[tuple[str, str] | None]()
        for groups in _grouped(file.metadata, most_pieces):
            start, before = done, dict(watermarks.at)
            for batch in file.iter_batches(_BATCH, row_groups=list(groups), columns=names):
                times, arrivals, partitions = _times(batch, one, path, done)
                watermarks.judge(times, arrivals, partitions)
                said += _logins(batch)
                if "currency" in names:
                    counts.update(_counts(batch.column("currency")))
                done += len(batch)
                if on_progress is not None:
                    on_progress(done, rows)
            pieces.append(Piece(groups, start, done - start, before))
        row_bytes = _id_bytes(file)
    families = Families.of_pairs(pair for pair in said if pair is not None).roots()
    return Scan(rows, pieces, watermarks.at, counts, one, row_bytes, metadata, usual, families, None in said)


def _logins(batch: pa.RecordBatch) -> Iterator[tuple[str, str] | None]:
    """Yield who is whose for each row of a batch that is a login, once ``None`` where some have been handed on."""
    handed = False
    if "identity" in batch.schema.names:
        for text in batch.column("identity").drop_null().to_pylist():
            if is_price_type(value := text.encode()):
                continue
            said = decode_identity(value)
            if isinstance(said, Identify):
                yield said.anonymous_id, said.customer_id
            else:
                handed = True
        if handed:
            yield None


def _event_times(file: pq.ParquetFile, path: str | Path) -> Iterator[NDArray[np.int64]]:
    names = [name for name in ("event_time", "identity") if name in file.schema_arrow.names]
    for batch in file.iter_batches(_BATCH, columns=names):
        yield _times(batch, True, path, 0)[0]


def partitions_of_rows(table: pa.Table, one_partition: bool) -> NDArray[np.int64]:
    """Return every row's partition, 0 where the log is taken as one."""
    if one_partition:
        return np.zeros(len(table), np.int64)
    numbers: NDArray[np.int64] = table["partition"].to_numpy().astype(np.int64)
    return numbers


def _one_partition(file: pq.ParquetFile) -> bool:
    """Tell whether any row lacks its partition; from the statistics of the row groups where they say so."""
    if "partition" not in file.schema_arrow.names:
        return True
    leaves = [file.schema.column(at).path for at in range(len(file.schema.names))]
    at = leaves.index("partition")
    nulls = 0
    for group in range(file.metadata.num_row_groups):
        found = file.metadata.row_group(group).column(at).statistics
        if found is None or not found.has_null_count:
            batches = file.iter_batches(_BATCH, columns=["partition"])
            return any(batch.column(0).null_count for batch in batches)
        nulls += found.null_count
    return nulls > 0


def _grouped(metadata: pq.FileMetaData, most: int) -> Iterator[tuple[int, ...]]:
    """Yield consecutive row groups, in at most ``most`` pieces of about the same number of rows."""
    least = metadata.num_rows / most
    groups: list[int] = []
    rows = 0
    for group in range(metadata.num_row_groups):
        groups.append(group)
        rows += metadata.row_group(group).num_rows
        if rows >= least or group == metadata.num_row_groups - 1:
            yield tuple(groups)
            groups, rows = [], 0


def _times(
    batch: pa.RecordBatch, one_partition: bool, path: str | Path, start: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return times, arrivals and partitions of the events; what says who is who (`features.identity`) is none."""
    columns = {}
    for name in batch.schema.names:
        if name not in ("currency", "identity"):
            try:
                columns[name] = cast_to_log(batch.column(name), LOG_SCHEMA.field(name))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise LogError(f"{path}: column {name!r} cannot be read: {error}") from None
            missing = columns[name].null_count and not (name == "partition" and one_partition)
            if missing:
                row = start + pc.index(pc.is_null(columns[name]), True).as_py()
                raise LogError(f"{path}: row {row} of the log: {name} = None breaks the event contract")
    table = pa.table(columns)
    if "identity" in batch.schema.names and batch.column("identity").null_count < len(batch):
        table = table.filter(pc.is_null(batch.column("identity")))
    times = table["event_time"].cast(pa.int64()).to_numpy()
    arrivals = table["arrived_at"].cast(pa.int64()).to_numpy() if "arrived_at" in columns else times
    return times, arrivals, partitions_of_rows(table, one_partition)


def _counts(currencies: pa.Array) -> Counter[str]:
    found = pc.value_counts(currencies.drop_null())
    names = pc.utf8_upper(found.field("values").cast(pa.string())).to_pylist()
    counts: Counter[str] = Counter()
    for name, count in zip(names, found.field("counts").to_pylist(), strict=True):
        counts[name] += count
    return counts


def _id_bytes(file: pq.ParquetFile) -> float:
    """Return the size of a row's identifiers in memory, from the first rows of the log."""
    names = [name for name in ("customer_id", "event_id") if name in file.schema_arrow.names]
    for batch in file.iter_batches(_BATCH, columns=names):
        return float(sum(column.cast(pa.string()).nbytes for column in batch.columns) / len(batch))
    return 0.0
