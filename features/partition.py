"""Which partition a key belongs to: murmur2, as Kafka's Java client and kafka-python compute it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from features.compiled import kernel, njit


@kernel
def _murmur2(data: NDArray[np.uint8], start: int, length: int) -> np.uint32:
    mix, mask = np.uint64(0x5BD1E995), np.uint64(0xFFFFFFFF)
    h = (np.uint64(0x9747B28C) ^ np.uint64(length)) & mask
    words = length // 4
    for word in range(words):
        at = start + 4 * word
        k = (
            np.uint64(data[at])
            | np.uint64(data[at + 1]) << np.uint64(8)
            | np.uint64(data[at + 2]) << np.uint64(16)
            | np.uint64(data[at + 3]) << np.uint64(24)
        )
        k = (k * mix) & mask
        k ^= k >> np.uint64(24)
        k = (k * mix) & mask
        h = ((h * mix) & mask) ^ k
    rest, at = length % 4, start + 4 * words
    if rest == 3:  # noqa: PLR2004
        h ^= np.uint64(data[at + 2]) << np.uint64(16)
    if rest >= 2:  # noqa: PLR2004
        h ^= np.uint64(data[at + 1]) << np.uint64(8)
    if rest >= 1:
        h ^= np.uint64(data[at])
        h = (h * mix) & mask
    h ^= h >> np.uint64(13)
    h = (h * mix) & mask
    h ^= h >> np.uint64(15)
    return np.uint32(h)


@kernel
def partition_of_bytes(data: NDArray[np.uint8], start: int, length: int, count: int) -> int:
    """Return the partition of one key; for kernels."""
    return int(np.int64(_murmur2(data, start, length)) & 0x7FFFFFFF) % count


@njit(cache=True, nogil=True)
def _partitions(data: NDArray[np.uint8], lengths: NDArray[np.int64], count: int) -> NDArray[np.int32]:
    out = np.empty(len(lengths), np.int32)
    start = 0
    for i in range(len(lengths)):
        out[i] = partition_of_bytes(data, start, lengths[i], count)
        start += lengths[i]
    return out


def partitions_of(keys: Sequence[bytes], count: int) -> NDArray[np.int32]:
    """Return the partition of every key in a topic of ``count`` partitions.

    The rule is that of Kafka's default partitioner (Java client, kafka-python, aiokafka); producers on librdkafka
    have to set ``partitioner=murmur2_random`` to agree with it.

    Examples
    --------
    >>> partitions_of([b"21", b"foobar"], 1000).tolist()
    [340, 166]
    """
    data = np.frombuffer(b"".join(keys), np.uint8)
    return _partitions(data, np.fromiter(map(len, keys), np.int64, len(keys)), count)
