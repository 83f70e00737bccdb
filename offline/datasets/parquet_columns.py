"""Columns of Parquet files in types that loaders and tables know: texts, numbers, times, yes and no.

=================================  ===========================================================
type of the file                   is read as
=================================  ===========================================================
bytes                              text, if they are UTF-8
decimal numbers                    numbers; without digits behind the point texts, all of them
durations                          seconds
times of a day                     text (14:05:00)
lists, records, intervals          refused by name: what they mean is not known
=================================  ===========================================================
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from offline.datasets.conversion import DatasetError

#: What pandas calls an index that has no name; `Index` columns with a name are columns like others.
UNNAMED_INDEX = "__index_level_"
_AS_TEXT = (
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_binary_view,
    pa.types.is_decimal,
    pa.types.is_time,
    pa.types.is_string_view,
    pa.types.is_null,
)


def readable(values: pa.Array | pa.ChunkedArray, name: str, file: str) -> pa.Array | pa.ChunkedArray:
    """Return a column in a type that loaders know.

    Raises
    ------
    DatasetError
        The column cannot be read; the message names it and its type.

    Examples
    --------
    >>> readable(pa.array([b"k1"]), "user", "shop.parquet").to_pylist()
    ['k1']
    """
    kind = values.type
    if isinstance(kind, pa.BaseExtensionType):
        values, kind = values.cast(kind.storage_type), kind.storage_type
    if pa.types.is_dictionary(kind):
        values, kind = values.cast(kind.value_type), kind.value_type
    try:
        return _plain(values, kind)
    except pa.ArrowException:
        raise DatasetError(
            f"{file}: column {name!r} is of the type {_called(kind)}, which cannot be read as text, number or time: "
            "make a plain column of it"
        ) from None


def _plain(values: pa.Array | pa.ChunkedArray, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    if pa.types.is_nested(kind) or pa.types.is_interval(kind):
        raise pa.ArrowNotImplementedError(str(kind))
    if pa.types.is_fixed_size_binary(kind):
        values, kind = values.cast(pa.binary()), pa.binary()
    if pa.types.is_decimal(kind) and kind.scale:
        return values.cast(pa.float64())
    if pa.types.is_duration(kind):
        return pc.divide(values.cast(pa.duration("us"), safe=False).cast(pa.int64()).cast(pa.float64()), 1e6)
    if pa.types.is_float16(kind):
        return values.cast(pa.float32())
    return values.cast(pa.large_string()) if any(is_kind(kind) for is_kind in _AS_TEXT) else values


def _called(kind: pa.DataType) -> str:
    text = str(kind)
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004
