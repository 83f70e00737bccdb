"""Many short texts as bytes: their lengths, then all of them in one piece."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest


def lengths_of(texts: Sequence[str]) -> NDArray[np.uint16]:
    """Return the length of every text, in characters."""
    return np.fromiter(map(len, texts), "<u2", len(texts))


def texts_to_bytes(texts: Sequence[str], lengths: NDArray[np.uint16]) -> bytes:
    """Return the lengths (u16 each), and the UTF-8 of all texts together."""
    return lengths.tobytes() + "".join(texts).encode()


def texts_from_bytes(raw: memoryview, count: int) -> list[str]:
    """Return ``count`` texts that `texts_to_bytes` wrote; raises `ValueError` unless that is all of ``raw``.

    Examples
    --------
    >>> texts = ["añada", "", "7"]
    >>> texts_from_bytes(memoryview(texts_to_bytes(texts, lengths_of(texts))), 3)
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
