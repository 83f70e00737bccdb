"""From a draft, the compact table that loaders build, to the event log.

A draft has one row per event and these columns, of which a loader leaves out what its source does not know:

- ``row`` (int64): place in the source, over all files; orders events of the same millisecond,
- ``type`` (int8): code of the event type,
- ``event_time`` (int64): epoch milliseconds,
- ``event_id`` (text), or ``source`` (compact text) and ``number`` (int64), of which the id is made at the
  end,
- the other columns of the log: texts in compact form (dictionaries), ``price`` and ``value`` as floats,
  ``quantity`` as int64, ``items`` as in the log.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.events import EVENT_TYPES, MAX_ID
from features.log import LOG_SCHEMA, write_log
from features.usual_days import UsualDays
from offline.datasets.conversion import Conversion, DatasetError, Tally
from offline.datasets.logins import with_logins
from offline.datasets.source_files import BROKEN_LINE
from offline.progress import OnProgress

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_BATCH = 250_000
_STEM = 64  # characters of a file's name that are kept in event ids, so that ids stay within their limit
_TYPES = pa.array(EVENT_TYPES)


@dataclass(frozen=True)
class Dataset:
    """A converted source: the events in compact form, and the account of how they came about.

    A source of tens of millions of rows is written with `write`, batch by batch; `log` is for what fits into
    memory as a whole log.

    Attributes
    ----------
    draft
        Sorted by event time, events of the same millisecond in the order of the source.
    report
        The account.
    timezone
        IANA name of the shop's zone, in which training reads hours and days unless a setting names another.
    items
        Names and categories of the items (`features.items`), ``None`` where the source has none.
    logins
        Rows of the log that say whose an anonymous id is, in order of time; ``None`` where there are none.
    """

    draft: pa.Table
    report: Conversion
    timezone: str = "UTC"
    items: pa.Table | None = None
    logins: pa.Table | None = None

    def batches(self, size: int = _BATCH) -> Iterator[pa.Table]:
        """Yield the log, `size` events at a time, and the logins of their time."""
        logins = LOG_SCHEMA.empty_table() if self.logins is None else self.logins
        times, done = logins["event_time"].cast(pa.int64()).to_numpy(), 0
        for start in range(0, self.draft.num_rows, size):
            events = _to_log(self.draft.slice(start, size))
            last = start + size >= self.draft.num_rows
            until = ints(events["event_time"].cast(pa.int64()))[-1]
            stop = len(logins) if last else int(np.searchsorted(times, until, side="right"))
            yield events if stop == done else with_logins(events, logins.slice(done, stop - done))
            done = stop

    def log(self) -> pa.Table:
        """Return the whole log as one table in the schema of the event log."""
        return pa.concat_tables(self.batches())

    def write(self, path: Path, on_progress: OnProgress | None = None) -> int:
        """Write the log to a Parquet file whose metadata names the source, and return the number of events.

        Parameters
        ----------
        path
            Of the log.
        on_progress
            Called with events written and events in all.
        """

        def watched() -> Iterator[pa.Table]:
            done = 0
            for batch in self.batches():
                yield batch
                done += batch["identity"].null_count
                if on_progress is not None:
                    on_progress(done, self.draft.num_rows)

        metadata = {
            "source": self.report.source,
            "source_files": ", ".join(self.report.files),
            "timezone": self.timezone,
        }
        return write_log(path, watched(), metadata=metadata)


def finish(
    source: str,
    files: Sequence[Path],
    rows: int,
    draft: pa.Table,
    *,
    merged: int,
    dropped: Tally,
    notes: Tally,
    timezone: str = "UTC",
) -> Dataset:
    """Sort a draft by event time and close the account.

    Parameters
    ----------
    source
        Name of the loader.
    files
        That were read.
    rows
        Rows read.
    draft
        All events.
    merged
        Rows that went into other rows' events.
    dropped, notes
        What the report says about the rest.
    timezone
        IANA name of the shop's zone.

    Raises
    ------
    DatasetError
        If there is no event.
    """
    broken = next((c.rows for c in dropped.counts() if c.reason == BROKEN_LINE), 0)
    if not draft.num_rows:
        here = f"{files[0].name}, "
        reasons = "; ".join(
            f"{c.reason}: {c.rows}{f', first {c.example.removeprefix(here)}' if c.example else ''}"
            for c in dropped.counts()
        )
        raise DatasetError(
            f"no event in {rows + broken} rows of {files[0]} ({reasons or 'there are no rows'})"
        )
    time = ints(draft["event_time"])
    order = np.lexsort((ints(draft["row"]), time))
    if not np.array_equal(order, np.arange(len(order))):
        draft, time = draft.take(order), time[order]
    note_odd_dates(time, notes, int(dt.datetime.now(dt.UTC).timestamp() * 1000))
    counts = np.bincount(ints(draft["type"]), minlength=len(EVENT_TYPES))
    report = Conversion(
        source=source,
        files=tuple(file.name for file in files),
        rows=rows + broken,
        events=draft.num_rows,
        by_type={name: int(n) for name, n in zip(EVENT_TYPES, counts, strict=True) if n},
        customers=len(np.unique(codes(draft["customer_id"]))),
        first_time=_EPOCH + dt.timedelta(milliseconds=int(time[0])),
        last_time=_EPOCH + dt.timedelta(milliseconds=int(time[-1])),
        merged=merged,
        dropped=dropped.counts(),
        notes=notes.counts(),
    )
    return Dataset(draft, report, timezone)


# No shop of the web is older: such dates were made of something else.
_WEB_MS: Final = 631_152_000_000  # 1 January 1990


def note_odd_dates(time: NDArray[np.int64], notes: Tally, now_ms: int) -> None:
    """Note events dated after today, and events dated far from all others.

    Far is what `features.usual_days` calls lonely, which all that reads the log leaves out. A worker refuses an event
    that is dated after its arrival.

    Parameters
    ----------
    time
        Event times, epoch ms, ascending.
    now_ms
        The wall clock, epoch ms.
    """
    ahead = int(np.count_nonzero(time > now_ms))
    notes.add("event dated after today: look at its date", ahead, _day(time[-1]))
    usual = UsualDays.of(time)
    old = max(0, int(np.count_nonzero(time < _WEB_MS)) - usual.before)
    notes.add("event dated before 1990: look at its date", old, _day(time[usual.before]))
    notes.add("event dated long before all others: look at its date", usual.before, _day(time[0]))
    notes.add("event dated long after all others: look at its date", usual.after, _day(time[-1]))


def _day(time_ms: np.int64) -> str:
    return f"{_EPOCH + dt.timedelta(milliseconds=int(time_ms)):%Y-%m-%d}"


def join(drafts: Sequence[pa.Table]) -> pa.Table:
    """Put the drafts of many blocks together, with one dictionary for each column of texts."""
    return pa.concat_tables(drafts).unify_dictionaries().combine_chunks()


def ints(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return a column without nulls as integers."""
    return np.asarray(column.to_numpy(), dtype=np.int64)


def codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return a compact column as small integers that are equal where the texts are, null as -1."""
    column = column.unify_dictionaries().combine_chunks()
    array = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    return np.asarray(pc.fill_null(array.indices, -1).to_numpy(zero_copy_only=False), dtype=np.int64)


def repeated(*keys: NDArray[Any]) -> NDArray[np.bool_]:
    """Mark rows that equal an earlier row in all keys.

    Examples
    --------
    >>> repeated(np.array([1, 2, 1]), np.array([5, 5, 5])).tolist()
    [False, False, True]
    """
    order = np.lexsort(keys)
    same = np.ones(max(len(order) - 1, 0), dtype=bool)
    for key in keys:
        in_order = key[order]
        same &= in_order[1:] == in_order[:-1]
    marks = np.zeros(len(order), dtype=bool)
    marks[order[1:]] = same
    return marks


def first_marked(draft: pa.Table, marks: NDArray[np.bool_]) -> str | None:
    """Return where the first marked row of a draft comes from, in words for an account; None if none is marked."""
    if not marks.any():
        return None
    at = int(np.argmax(marks))
    if "number" not in draft.column_names:
        return f"row {draft['row'][at].as_py() + 1}"
    return f"{draft['source'][at].as_py()}, row {draft['number'][at].as_py()}"


def id_source(file: Path) -> str:
    """Return what stands for a file in event ids: its name, shortened if need be."""
    name = file.name
    for suffix in (".gz", ".csv", ".tsv", ".txt", ".parquet", ".pq"):
        name = name.removesuffix(suffix)
    if len(name) > _STEM:
        name = name[: _STEM - 9] + "~" + hashlib.sha256(name.encode()).hexdigest()[:8]
    return name


def check_id_sources(files: Sequence[Path]) -> None:
    """Make sure that event ids made of file names differ.

    Raises
    ------
    DatasetError
        If two files have the same name but for their endings.
    """
    names = [id_source(file) for file in files]
    for name in names:
        if names.count(name) > 1:
            raise DatasetError(
                f"{files[0].parent} has several files named {name!r}, differing in their endings only; "
                "keep one of them"
            )


def short_ids(ids: Sequence[str]) -> list[str]:
    """Return ids, those over the limit with their end replaced by a fingerprint."""
    return [
        i if len(i) <= MAX_ID else i[: MAX_ID - 17] + "~" + hashlib.sha256(i.encode()).hexdigest()[:16]
        for i in ids
    ]


def plain(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return a column of texts as one array of plain strings."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return array.cast(pa.string())


def _to_log(draft: pa.Table) -> pa.Table:
    rows = draft.num_rows
    columns: list[pa.Array | pa.ChunkedArray] = []
    for field in LOG_SCHEMA:
        if field.name == "event_id":
            columns.append(event_ids(draft))
        elif field.name == "type":
            columns.append(_TYPES.take(draft["type"].combine_chunks()))
        elif field.name in ("event_time", "arrived_at"):
            columns.append(draft["event_time"].cast(field.type))
        elif field.name not in draft.column_names:
            columns.append(pa.nulls(rows, field.type))
        elif pa.types.is_string(field.type):
            columns.append(plain(draft[field.name]))
        else:
            columns.append(draft[field.name])
    return pa.table(columns, schema=LOG_SCHEMA)


def event_ids(draft: pa.Table) -> pa.Array:
    """Return the event ids of a draft."""
    given = plain(draft["event_id"]) if "event_id" in draft.column_names else None
    if "source" not in draft.column_names:
        return given
    made = pc.binary_join_element_wise(plain(draft["source"]), draft["number"].cast(pa.string()), "-")
    made = plain(made)
    return made if given is None else pc.coalesce(given, made)
