"""A log read piece by piece in order of arrival, also where its rows are not in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from features.exceptions import LogError
from features.log import LOG_SCHEMA, cast_to_log, iterate_log, log_metadata, log_rows, read_log
from features.log_order import ArrivalOrder, Coordinates

# Rows up to which a log is put in order in memory: about 10 GB.
_SORTABLE: Final = 20_000_000

_BATCH: Final = 250_000


def rows_in_order(path: str | Path) -> bool:
    """Say whether a log's rows are in order (`features.log_order`); reads nothing but times and coordinates.

    Raises
    ------
    LogError
        There is no log, or one of these columns cannot be read.
    """
    log_metadata(path)  # says what is wrong with the file
    archived, plain, known = ArrivalOrder(), ArrivalOrder(), True
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        if "event_time" not in names:
            raise LogError(f"{path}: the log has no column 'event_time'; its columns are {', '.join(names)}")
        arrival = "arrived_at" if "arrived_at" in names else "event_time"
        wanted = [arrival, *(name for name in ("partition", "offset") if name in names)]
        try:
            for batch in file.iter_batches(_BATCH, columns=wanted):
                rows = Coordinates.of(_coordinates(batch, arrival))
                known = known and rows.offsets is not None
                plain.look(Coordinates(rows.arrivals))
                if known:
                    archived.look(rows)
        except (pa.ArrowException, OSError) as error:
            raise LogError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from None
    return not (archived if known else plain).early


def _coordinates(batch: pa.RecordBatch, arrival: str) -> pa.Table:
    found = {"arrived_at": cast_to_log(batch.column(arrival), LOG_SCHEMA.field("arrived_at"))}
    for name in ("partition", "offset"):
        field = LOG_SCHEMA.field(name)
        held = name in batch.schema.names
        found[name] = cast_to_log(batch.column(name), field) if held else pa.nulls(len(batch), field.type)
    return pa.table(found)


def iterate_in_order(
    path: str | Path, rows: int, on_note: Callable[[str], object] = lambda text: None
) -> Iterator[pa.Table]:
    """Read a log piece by piece, ``rows`` at a time; one that is not in order is sorted in memory.

    Rows that say who is who are among them (`features.log.read_log`).

    Parameters
    ----------
    on_note
        Called with a sentence where rows were not in order.

    Raises
    ------
    LogError
        There is no log, a row breaks the event contract, or it is too long to be sorted.
    """
    if rows_in_order(path):
        return iterate_log(path, rows, identities=True)
    table = sorted_log(path, on_note)
    return (table.slice(start, rows) for start in range(0, len(table), rows))


def sorted_log(path: str | Path, on_note: Callable[[str], object] = lambda text: None) -> pa.Table:
    """Read a log whose rows are not in order, and put them in order.

    Raises
    ------
    LogError
        It is too long for that, or a row breaks the event contract.
    """
    if (rows := log_rows(path)) > _SORTABLE:
        raise LogError(
            f"{path}: its rows are not in order, and it is too long to be sorted here ({rows:,} rows): sort it by "
            "arrived_at, or by event_time if it has no such column"
        )
    return read_log(path, on_note, identities=True)
