"""Columns of a source as texts and codes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.log import CONTROL

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

#: Texts of a draft: most repeat often, so a draft keeps each once.
TEXT = pa.dictionary(pa.int32(), pa.large_string())


def mask(condition: pa.Array | pa.ChunkedArray) -> Bools:
    """Return a boolean column as numpy, null as false."""
    return np.asarray(pc.fill_null(condition, False).to_numpy(zero_copy_only=False), dtype=bool)


def as_text(values: pa.Array) -> pa.Array:
    """Return a column as trimmed text, empty as null, whole floats without the decimal point.

    Examples
    --------
    >>> as_text(pa.array([17850.0, None])).to_pylist()
    ['17850', None]
    """
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_finite(values), values, None)
        whole = pc.equal(pc.floor(values), values)
        small = pc.less(pc.abs(values), 2.0**53)
        whole = pc.and_(whole, small)
        as_int = pc.if_else(whole, values, None).cast(pa.int64())
        values = pc.coalesce(as_int.cast(pa.large_string()), values.cast(pa.large_string()))
    text = pc.utf8_trim_whitespace(values.cast(pa.large_string()))
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.large_string()), text)


def plain_text(values: pa.Array) -> pa.Array:
    """Return a column as `as_text` does, with the spaces around texts."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return as_text(values)
    return values.cast(pa.large_string())


def without_point_zero(text: pa.Array) -> pa.Array:
    """Return ids as they were before a tool wrote them as floats ("17850.0")."""
    return pc.replace_substring_regex(text, r"^(\d+)\.0+$", r"\1")


def as_dictionary(text: pa.Array) -> pa.Array:
    """Return texts in the compact form of a draft."""
    return text.cast(pa.large_string()).dictionary_encode()


def constant(text: str, rows: int) -> pa.Array:
    """Return a compact column that says the same in every row."""
    return pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(rows, np.int32)), pa.array([text], pa.large_string())
    )


def coded(text: pa.Array, codes: Mapping[str, int]) -> NDArray[np.int8]:
    """Return the code of every text, -1 where it has none.

    Examples
    --------
    >>> coded(pa.array(["view", "click", None]), {"view": 0}).tolist()
    [0, -1, -1]
    """
    found = pc.index_in(text, value_set=pa.array(list(codes), text.type))
    table = np.array([*codes.values(), -1], dtype=np.int8)
    places = np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False))
    return np.asarray(table[places], dtype=np.int8)


def too_long(text: pa.Array, limit: int) -> Bools:
    """Mark texts of more than `limit` characters."""
    return mask(pc.greater(pc.utf8_length(text), limit))


def holds_control(text: pa.Array) -> Bools:
    """Mark texts with a control character, which no identifier may have."""
    return mask(pc.match_substring_regex(text, CONTROL))
