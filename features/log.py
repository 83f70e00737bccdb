"""The event log: the same fields as events have, plus where and when they arrived, as Parquet.

`intent archive` writes it from the topic, loaders write it from files, the simulator writes it directly. Rows are in
order of arrival. Offline jobs and `intent replay` read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.causes import cause
from features.encoded_texts import ENCODED, by_text
from features.events import (
    CHANNELS,
    EVENT_TYPES,
    MAX_ID,
    MAX_MONEY,
    MAX_QUANTITY,
    MAX_TEXT,
    MAX_TIME_MS,
)
from features.exceptions import LogError
from features.identity import HAND_OVER_BYTES, IDENTIFY, IDENTITY_TYPES, HandOver, Identify, decode_identity
from features.log_order import put_in_order
from features.prices import PRICE, PRICE_TYPES, Price, decode_price
from features.refusals import RejectedEvent
from features.state import fault_of
from features.whole_files import whole_file

_TIME = pa.timestamp("ms", tz="UTC")
_ITEM = pa.struct(
    [
        ("item_id", pa.string()),
        ("category", pa.string()),
        ("price", pa.float64()),
        ("quantity", pa.int64()),
    ]
)

LOG_SCHEMA: Final = pa.schema(
    [
        ("event_id", pa.string()),
        ("type", pa.string()),
        ("customer_id", pa.string()),
        ("event_time", _TIME),
        ("item_id", pa.string()),
        ("category", pa.string()),
        ("price", pa.float64()),
        ("quantity", pa.int64()),
        ("items", pa.list_(_ITEM)),
        ("value", pa.float64()),
        ("currency", pa.string()),
        ("order_id", pa.string()),
        ("session_id", pa.string()),
        ("channel", pa.string()),
        ("device", pa.string()),
        ("country", pa.string()),
        ("bot", pa.bool_()),
        ("identity", pa.string()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("arrived_at", _TIME),
    ]
)

#: What `identity` may have: a hand-over is written as it was in the topic, without its event, a price as it was.
MAX_IDENTITY: Final = HAND_OVER_BYTES

#: Type of a row that stands for an event of an erased customer: nothing but its times and coordinates is left.
ERASED: Final = "erased"

#: Types of rows that are no events: who is who, and what items cost. Their `identity` has them as they were.
CONTROL_TYPES: Final = (*IDENTITY_TYPES, *PRICE_TYPES)

#: Columns that repeat a few texts: read as `features.encoded_texts.ENCODED` they take a fraction of the time.
#: (`few_texts` says which of them a file has).
FEW_TEXTS: Final = ("type", "category", "currency", "channel", "device", "country")

_REQUIRED = ("event_id", "type", "customer_id", "event_time", "arrived_at")
_ROW_GROUP = 250_000

#: Control characters, which no identifier may have (a pattern for Arrow); as in `features.events`.
CONTROL: Final = r"[\x00-\x1f\x7f-\x{9f}]"
_FIRST_PRINTABLE, _DELETE = 0x20, 0x7F


def conform(table: pa.Table, *, encoded: bool = False) -> pa.Table:
    """Return the table with exactly the columns of `LOG_SCHEMA`, in order, missing optional ones as nulls.

    Parameters
    ----------
    encoded
        Whether those of `FEW_TEXTS` that come encoded stay so.

    Raises
    ------
    LogError
        A required column is missing, or one has a type that cannot be converted.
    """
    arrays, fields = [], []
    _refuse_twins(table.column_names)
    for field in LOG_SCHEMA:
        fields.append(field)
        if encoded and field.name in FEW_TEXTS and _encoded(table, field.name):
            arrays.append(_upper(table[field.name]) if field.name == "currency" else table[field.name])
            fields[-1] = field.with_type(ENCODED)
        elif field.name in table.column_names:
            try:
                arrays.append(cast_to_log(table[field.name], field))
            except pa.ArrowNotImplementedError:
                kind = str(table.schema.field(field.name).type).partition("<")[0]
                wanted = str(field.type).partition("<")[0]
                raise LogError(
                    f"column {field.name!r} is of the type {kind}: a log has {wanted} there"
                ) from None
            except pa.ArrowException as error:
                raise LogError(
                    f"column {field.name!r} cannot be read as {field.type}: {cause(error)}"
                ) from None
        elif field.name == "arrived_at" and "event_time" in table.column_names:
            arrays.append(arrays[LOG_SCHEMA.get_field_index("event_time")])
        elif field.name in _REQUIRED:
            raise LogError(
                f"the log has no column {field.name!r}; its columns are {', '.join(table.column_names)}"
            )
        else:
            arrays.append(pa.nulls(len(table), field.type))
    return pa.table(arrays, schema=pa.schema(fields, table.schema.metadata))


def _refuse_twins(names: Sequence[str]) -> None:
    twins = [name for name in LOG_SCHEMA.names if names.count(name) > 1]
    if twins:
        raise LogError(f"there is more than one column {twins[0]!r}: rename or drop the others")


def _encoded(table: pa.Table, name: str) -> bool:
    return name in table.column_names and table.schema.field(name).type == ENCODED


def _upper(encoded: pa.ChunkedArray) -> pa.Array:
    column = encoded.combine_chunks()
    return pa.DictionaryArray.from_arrays(column.indices, pc.utf8_upper(column.dictionary))


def cast_to_log(column: pa.Array | pa.ChunkedArray, field: pa.Field) -> pa.Array | pa.ChunkedArray:
    """Return a column of a file as the log has it."""
    if column.type == field.type == _TIME:
        return column
    if pa.types.is_timestamp(column.type) and field.type == _TIME:
        # Cut, don't round: an event is never later than it was.
        return pc.floor_temporal(column, unit="millisecond").cast(_TIME, safe=False)
    cast = column.cast(field.type)
    return pc.utf8_upper(cast) if field.name == "currency" else cast


def validate(table: pa.Table) -> None:
    """Check every row against the event contract.

    Raises
    ------
    LogError
        Names the first row and column that breaks it, with the value.
    """
    kinds = table["type"]
    erased = pc.fill_null(by_text(kinds, lambda texts: pc.equal(texts, ERASED)), False)
    alive = pc.invert(erased)
    of_price = _among(kinds, PRICE_TYPES)
    for name in _REQUIRED:
        missing = pc.is_null(table[name])
        if name == "customer_id":  # a price is nobody's
            missing = pc.not_equal(missing, of_price)
        _refuse(
            table, name, missing if name in ("type", "event_time", "arrived_at") else pc.and_(missing, alive)
        )
    _refuse(table, "type", pc.invert(_among(kinds, (*EVENT_TYPES, ERASED, *CONTROL_TYPES))))
    _refuse(table, "identity", pc.and_(_among(kinds, CONTROL_TYPES), pc.is_null(table["identity"])))
    _refuse(table, "identity", pc.greater(pc.binary_length(table["identity"]), MAX_IDENTITY))
    _refuse_identities(table)
    times = table["event_time"].cast(pa.int64())
    _refuse(table, "event_time", pc.or_(pc.less(times, 1), pc.greater(times, MAX_TIME_MS)))
    for name in ("event_id", "customer_id", "item_id", "order_id", "session_id"):
        if not _are_short(table[name]):
            length = pc.utf8_length(table[name])
            _refuse(table, name, pc.or_(pc.less(length, 1), pc.greater(length, MAX_ID)))
        if not all(map(_is_printable, table[name].chunks)):  # or else none has such
            _refuse(table, name, pc.match_substring_regex(table[name], CONTROL))
    for name in ("category", "device", "country"):
        _refuse(table, name, by_text(table[name], lambda texts: pc.greater(pc.utf8_length(texts), MAX_TEXT)))
    for name, limit in (("price", MAX_MONEY), ("value", MAX_MONEY), ("quantity", MAX_QUANTITY)):
        _refuse(
            table,
            name,
            pc.invert(pc.and_(pc.greater_equal(table[name], 0), pc.less_equal(table[name], limit))),
        )
    channels = table["channel"]
    _refuse(table, "channel", pc.and_not(pc.is_valid(channels), _among(channels, CHANNELS)))


def _among(column: pa.ChunkedArray, texts: Sequence[str]) -> pa.ChunkedArray:
    return pc.fill_null(by_text(column, lambda own: pc.is_in(own, pa.array(texts))), False)


def _are_short(texts: pa.ChunkedArray) -> bool:
    """Say whether all texts, nulls aside, are of 1 to `MAX_ID` bytes, and so of no more characters."""
    least, most = pc.min_max(pc.binary_length(texts)).values()
    return not least.is_valid or (least.as_py() >= 1 and most.as_py() <= MAX_ID)


def _is_printable(texts: pa.Array) -> bool:
    """Say whether texts are of printable ASCII alone, by a look at all their bytes together."""
    _, offsets, data = texts.buffers()
    if data is None or not len(texts):
        return True
    bounds = np.frombuffer(offsets, np.int32)
    text = np.frombuffer(data, np.uint8)[bounds[texts.offset] : bounds[texts.offset + len(texts)]]
    return not len(text) or (int(text.min()) >= _FIRST_PRINTABLE and int(text.max()) < _DELETE)


def check_unit(first: pa.Table) -> None:
    """Check that the first rows of a log are not seconds that were taken for milliseconds.

    Times that count from 0 on, as some anonymised data have, are no mistake.

    Raises
    ------
    LogError
        They all are of ten digits.
    """
    if not len(first):
        return
    lowest, highest = (bound.as_py() for bound in pc.min_max(first["event_time"].cast(pa.int64())).values())
    if lowest >= 10**9 and highest < 10**10:
        raise LogError(
            f"row 0 of the log: event_time is {lowest} ms after 1970, which looks like seconds: milliseconds are "
            "wanted; make the log again, for example by `intent convert csv`"
        )


def _refuse(table: pa.Table, column: str, wrong: pa.ChunkedArray) -> None:
    if pc.any(wrong).as_py():
        row = pc.index(wrong, True).as_py()
        value = table[column][row]
        shown = (
            value.value if pa.types.is_timestamp(value.type) else value.as_py()
        )  # a time may fit no datetime
        raise LogError(f"row {row} of the log: {column} = {shown!r} breaks the event contract")


_OF_ANOTHER_TYPE: Final = "it is of another type than its row, {}"


def _refuse_identities(table: pa.Table) -> None:
    if table["identity"].null_count == len(table):
        return
    said = table.select(["identity", "type"]).append_column("row", pa.array(range(len(table))))
    for row in said.filter(pc.is_valid(said["identity"])).to_pylist():
        if fault := _identity_fault(row["identity"], row["type"]):
            raise LogError(f"row {row['row']} of the log: identity: {fault}")


def _identity_fault(text: str, kind: str) -> str:
    """Return what is wrong with the identity of a row of a log, whose type is ``kind``; empty where nothing is."""
    try:
        if kind in PRICE_TYPES:
            same = (kind == PRICE) == isinstance(decode_price(text.encode()), Price)
            return "" if same else _OF_ANOTHER_TYPE.format(kind)
        identity = decode_identity(text.encode())
    except RejectedEvent as rejected:
        return rejected.detail
    if (kind == IDENTIFY) != isinstance(identity, Identify):
        return _OF_ANOTHER_TYPE.format(kind)
    if isinstance(identity, HandOver) and identity.event is not None:
        return "the event that is handed on stands twice"
    if kind not in IDENTITY_TYPES and isinstance(identity, HandOver) and (identity.state or identity.erase):
        return "an event is handed on, and something else with it"
    fault = "" if isinstance(identity, Identify) or identity.state is None else fault_of(identity.state)
    return fault and f"the state that is handed over {fault}"


def write_log(
    path: str | Path, tables: pa.Table | Iterable[pa.Table], *, metadata: Mapping[str, str] | None = None
) -> int:
    """Write a log; ``metadata`` keys get the prefix ``intent.``. Return the number of rows."""
    schema = LOG_SCHEMA.with_metadata({f"intent.{key}": value for key, value in (metadata or {}).items()})
    rows = 0
    with whole_file(path) as partial, pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        for table in [tables] if isinstance(tables, pa.Table) else tables:
            part = conform(table).replace_schema_metadata(schema.metadata)
            validate(part)
            writer.write_table(part, row_group_size=_ROW_GROUP)
            rows += len(part)
    return rows


def _open(path: str | Path) -> pq.ParquetFile:
    if not Path(path).is_file():
        raise LogError(f"there is no log at {path}: make one with `intent simulate` or `intent convert`")
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise LogError(f"{path} is not a Parquet file: {cause(error)}") from None


def own_columns(file: pq.ParquetFile) -> list[str] | None:
    """Return which of a file's columns are a log's: others, which people may have added, need not be read.

    They are all, as ``None``, where a column is missing without which it is no log, so that `conform` can name them.
    """
    names = file.schema_arrow.names
    if not {*_REQUIRED} - {"arrived_at"} <= {*names}:
        return None
    return [name for name in LOG_SCHEMA.names if name in names]


def read_log(
    path: str | Path, on_note: Callable[[str], object] = lambda text: None, *, identities: bool = False
) -> pa.Table:
    """Read a whole log and check it.

    Rows that are not in order (`features.log_order`) are put in order.

    Parameters
    ----------
    on_note
        Called with a sentence that people should know: that rows were not in order.
    identities
        Whether rows are wanted, too, that say who is who, what workers have handed over because of them
        (`features.identity`), and what items cost (`features.prices`). Without them an event is one of the id under
        which it came.

    Raises
    ------
    LogError
        There is no log, it is not Parquet, or a row breaks the event contract.
    """
    with _open(path) as file:
        try:
            read = file.read(own_columns(file))
        except (pa.ArrowException, OSError) as error:
            raise LogError(f"{path}: cannot be read: {cause(error)}") from None
    try:
        table = conform(read)
        validate(table)
        check_unit(table)
    except LogError as error:
        raise LogError(f"{path}: {error}") from None
    table = table if identities else without_identities(table)
    return put_in_order(table, on_note, known="arrived_at" in read.column_names)


def iterate_log(path: str | Path, rows: int = _ROW_GROUP, *, identities: bool = False) -> Iterator[pa.Table]:
    """Read a log piece by piece, ``rows`` at a time, checking each piece; for ``identities`` see `read_log`."""
    first = True
    with _open(path) as file:
        batches = file.iter_batches(batch_size=rows, columns=own_columns(file))
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError) as error:
                raise LogError(f"{path}: cannot be read: {cause(error)}") from None
            if batch is None:
                return
            try:
                table = conform(pa.Table.from_batches([batch]))
                validate(table)
                if first:
                    check_unit(table)
            except LogError as error:
                raise LogError(f"{path}: {error}") from None
            first = False
            yield table if identities else without_identities(table)


def without_identities(table: pa.Table) -> pa.Table:
    """Return the rows of a log that are events, each under the id under which it came."""
    return (
        table if table["identity"].null_count == len(table) else table.filter(pc.is_null(table["identity"]))
    )


def without_prices(table: pa.Table) -> pa.Table:
    """Return a log without the rows that say what items cost (`features.prices`)."""
    prices = pc.is_in(table["type"], pa.array(PRICE_TYPES))
    return table.filter(pc.invert(prices)) if pc.any(prices).as_py() else table


def few_texts(path: str | Path) -> list[str]:
    """Return those columns of `FEW_TEXTS` that a file has, as ``read_dictionary`` of Parquet's readers wants them."""
    schema = pq.read_metadata(path).schema
    leaves = {schema.column(at).path for at in range(len(schema.names))}
    return [name for name in FEW_TEXTS if name in leaves]


def log_rows(path: str | Path) -> int:
    """Return how many rows the log has."""
    with _open(path) as file:
        return int(file.metadata.num_rows)


def log_metadata(path: str | Path) -> dict[str, str]:
    """Return the log's ``intent.*`` metadata, prefix removed."""
    with _open(path) as file:
        raw = file.schema_arrow.metadata or {}
    return {k.decode()[7:]: v.decode() for k, v in raw.items() if k.startswith(b"intent.")}
