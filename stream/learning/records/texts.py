"""Many short texts as bytes: their lengths, then all of them in one piece."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from features.compiled import kernel
from features.text_column import TextColumn
from stream.kafka.keyed import Strings, copy_string, strings

# The bits of a byte of UTF-8 that say whether it begins a character or follows one that does.
_KIND_OF_BYTE: Final = 0xC0
_FOLLOWING: Final = 0x80


def lengths_of(texts: Sequence[str]) -> NDArray[np.uint16]:
    """Return the length of every text, in characters."""
    if not isinstance(texts, TextColumn):
        return np.fromiter(map(len, texts), "<u2", len(texts))
    lengths = np.empty(len(texts), "<u2")
    _count_characters(strings(texts), lengths)
    return lengths


def texts_to_bytes(lengths: NDArray[np.uint16], *columns: Sequence[str]) -> bytes:
    """Return the lengths (u16 each), and the UTF-8 of the texts of all columns together."""
    return b"".join([lengths.tobytes(), *map(_in_one_piece, columns)])


def _in_one_piece(texts: Sequence[str]) -> bytes:
    if not isinstance(texts, TextColumn):
        return "".join(texts).encode()
    joined = np.empty(int(texts.length.sum()), np.uint8)
    _copy(strings(texts), joined)
    return joined.tobytes()


@kernel
def _count_characters(texts: Strings, out: NDArray[np.uint16]) -> None:  # pragma: no cover
    """Count the characters of texts in UTF-8: the bytes that begin one."""
    for row in range(len(texts.at)):
        begin, characters = np.uint64(texts.at[row]), 0
        for i in range(np.uint64(texts.length[row])):
            characters += (texts.data[begin + i] & _KIND_OF_BYTE) != _FOLLOWING
        out[row] = characters


@kernel
def _copy(texts: Strings, out: NDArray[np.uint8]) -> None:  # pragma: no cover
    """Copy texts one behind the other."""
    end = 0
    for row in range(len(texts.at)):
        end = copy_string(texts, row, out, end)


def texts_from_bytes(raw: memoryview, count: int) -> list[str]:
    """Return ``count`` texts that `texts_to_bytes` wrote; raises `ValueError` unless that is all of ``raw``.

    Examples
    --------
    >>> texts = ["añada", "", "7"]
    >>> texts_from_bytes(memoryview(texts_to_bytes(lengths_of(texts), texts)), 3)
    ['añada', '', '7']
    """
    lengths = np.frombuffer(raw, "<u2", count)
    text = str(raw[lengths.nbytes :], "utf-8")
    ends = [*accumulate(lengths.tolist(), initial=0)]
    if ends[-1] != len(text):
        raise ValueError(f"{len(text)} characters where there should be {ends[-1]}")
    return [text[start:stop] for start, stop in pairwise(ends)]


def customer_keys(customers: list[str]) -> NDArray[np.uint64]:
    """Return a 64-bit hash (xxh3) of every customer id, never 0."""
    keys = np.fromiter(map(xxh3_64_intdigest, map(str.encode, customers)), np.uint64, len(customers))
    return np.maximum(keys, np.uint64(1))
