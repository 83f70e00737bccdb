"""Columns of texts that repeat: what is asked of texts is asked once of each different one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa

#: Type of a column that holds each text once, and for every row which one it is.
ENCODED: Final = pa.dictionary(pa.int32(), pa.string())


def by_text(column: pa.ChunkedArray, function: Callable[[Any], Any]) -> pa.ChunkedArray:
    """Return what a function, which looks at texts one by one, says of each row of a column.

    Parameters
    ----------
    column
        Of texts, or `ENCODED`; there a null stays a null, whatever the function makes of it.

    Examples
    --------
    >>> import pyarrow.compute as pc
    >>> column = pa.chunked_array([pa.array(["web", None, "app", "web"]).dictionary_encode()])
    >>> by_text(column, pc.utf8_length).to_pylist()
    [3, None, 3, 3]
    """
    if not pa.types.is_dictionary(column.type):
        return function(column)
    encoded = column.combine_chunks()
    return pa.chunked_array([function(encoded.dictionary).take(encoded.indices)])
