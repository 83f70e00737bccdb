"""The distinct texts of a column, in order of appearance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.compiled import kernel
from features.hashes import hash_bytes, same_bytes
from features.text_column import TextColumn


def distinct(texts: TextColumn) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where each distinct text stands first, and for each text its number among the distinct ones.

    Texts have 1 to 128 bytes.

    Examples
    --------
    >>> [found.tolist() for found in distinct(TextColumn.of(["ada", "bert", "ada"]))]
    [[0, 1], [0, 1, 0]]
    """
    count = len(texts)
    firsts, numbers = np.empty(count, np.int64), np.empty(count, np.int64)
    table = np.full(1 << max(2 * count, 1).bit_length(), -1, np.int64)
    found = _distinct(texts.data, texts.at, texts.length, table, firsts, numbers)
    return firsts[:found], numbers


@kernel
def _distinct(  # noqa: PLR0917  (columns)
    data: NDArray[np.uint8],
    at: NDArray[np.int64],
    length: NDArray[np.int64],
    table: NDArray[np.int64],
    firsts: NDArray[np.int64],
    numbers: NDArray[np.int64],
) -> int:  # pragma: no cover
    """Give the texts numbers; the table of numbers has open addressing, and a power of two as its size."""
    count, mask = 0, len(table) - 1
    for i in range(len(at)):
        place = np.int64(hash_bytes(data, np.uint64(at[i]), np.uint64(length[i])) & np.uint64(mask))
        while table[place] >= 0:
            first = firsts[table[place]]
            if length[first] == length[i] and same_bytes(data, at[first], length[i], data, at[i]):
                break
            place = (place + 1) & mask
        if table[place] < 0:
            table[place] = count
            firsts[count] = i
            count += 1
        numbers[i] = table[place]
    return count
