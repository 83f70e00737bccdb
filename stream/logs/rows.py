"""A log's rows as records of the events topic: key, JSON, arrival and partition of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.events import Event, Item
from features.exceptions import LogError
from features.identity import IDENTIFY
from features.partition import partitions_of
from features.prices import PRICE, decode_price

#: Types of rows that shops sent and that are no events.
OF_SHOPS: Final = (IDENTIFY, PRICE)

_encode = msgspec.json.Encoder().encode


class Encoded(NamedTuple):
    """Rows of a log as records, in the log's order.

    Attributes
    ----------
    due_ms
        Event times.
    said
        Positions of rows that are no events: who is who, and what items cost.
    """

    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    arrivals: list[bytes]
    partition: NDArray[np.int32]
    due_ms: NDArray[np.int64]
    said: Sequence[int] = ()


def encode_rows(table: pa.Table, partitions: int) -> Encoded:
    """Return rows of a log that shops sent (none of them erased) as records for a topic of ``partitions``.

    The value is the event as JSON: numbers keep every bit, the event time is epoch milliseconds.
    """
    if not len(table):
        return Encoded([], [], [], np.zeros(0, np.int32), np.zeros(0, np.int64))
    # A struct of the given fields alone, filled by position, takes a third of the time that `Event(**fields)`
    # takes.
    given = [name for name in Event.__struct_fields__ if table[name].null_count < len(table)]
    row = msgspec.defstruct("Row", [(name, Any, None) for name in given], gc=False, omit_defaults=True)
    values = list(map(_encode, map(row, *(_values(table[name].combine_chunks()) for name in given))))
    keys = table["customer_id"].combine_chunks()
    said = np.flatnonzero(pc.is_in(table["type"], pa.array(OF_SHOPS)).to_numpy()).tolist()
    for at in said:
        values[at] = table["identity"][at].as_py().encode()
    if keys.null_count:  # the key of a price is its item
        items = {at: decode_price(values[at]).item_id for at in said if not keys[at].is_valid}
        keys = pa.array([items.get(at, key) for at, key in enumerate(keys.to_pylist())], pa.string())
    customers = keys.dictionary_encode()
    names = [name.encode() for name in customers.dictionary.to_pylist()]
    codes = customers.indices.to_numpy()
    return Encoded(
        [names[code] for code in codes.tolist()],
        values,
        [b"%d" % ms for ms in table["arrived_at"].cast(pa.int64()).to_pylist()],
        partitions_of(names, partitions)[codes],
        table["event_time"].cast(pa.int64()).to_numpy(),
        said,
    )


def _values(column: pa.Array) -> list[Any]:
    """Return a column's values as the fields of an event take them."""
    if pa.types.is_list(column.type):
        return [items and [Item(**item) for item in items] for items in column.to_pylist()]
    if pa.types.is_string(column.type):  # few distinct texts: quicker by way of their dictionary
        encoded = column.dictionary_encode()
        texts = np.array([*encoded.dictionary.to_pylist(), None], object)
        return texts[pc.fill_null(encoded.indices, -1).to_numpy()].tolist()  # type: ignore[no-any-return]
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    values = pc.fill_null(column, pa.scalar(0).cast(column.type)).to_numpy(zero_copy_only=False)
    if column.null_count == 0:
        return values.tolist()  # type: ignore[no-any-return]
    values = values.astype(object)
    values[column.is_null().to_numpy(zero_copy_only=False)] = None
    return values.tolist()  # type: ignore[no-any-return]


def check_partitions(table: pa.Table, belongs: NDArray[np.int32], before: int) -> None:
    """Raise `LogError` where a row names another partition than its customer's; ``before`` rows preceded."""
    named = pc.fill_null(table["partition"], -1).to_numpy()
    wrong = np.flatnonzero((named != belongs) & (named >= 0))
    if len(wrong):
        row = int(wrong[0])
        raise LogError(
            f"near row {before + row} customer {table['customer_id'][row].as_py()!r} is on partition "
            f"{named[row]} and belongs to {belongs[row]} by murmur2: create the log again with `intent archive`"
        )
