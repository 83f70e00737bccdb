"""Amounts of memory: as people write them, as this machine has them, and as the build and training need them."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Final

from features.vector import WIDTH
from offline.examples.buckets.errors import BucketError

_UNITS: Final = {
    "": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "ki": 2**10,
    "mi": 2**20,
    "gi": 2**30,
}
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?", re.IGNORECASE)

#: What a worker takes beside the rows: Python, Arrow, Dask, and LLVM with the compiled fold.
BASE_BYTES: Final = 300 * 10**6
#: The least that a worker can work with.
LEAST_WORKER_BYTES: Final = 500 * 10**6

_VECTOR_BYTES: Final = 4 * WIDTH
# A bucket's rows as they are spilled, their copy in order of customers, codes, labels and the sort's indices.
_FOLDED_ROW_BYTES: Final = _VECTOR_BYTES + 400
# A row as it is read, its parts in the making, and what the allocator keeps of them.
_READ_ROW_BYTES: Final = 6_000
_READ_COPIES: Final = 4  # of the identifiers: as read, as checked, in order of their buckets, as written
_MOST_READ: Final = 262_144  # about a row group: more are no quicker
# Customers' events are uneven, so buckets are too; and what Arrow and malloc keep is not free at once.
_HEADROOM: Final = 0.5

#: Memory that training takes per event: vectors, their copies as slices and scaled, and those of LightGBM. Up to
#: logistic regression, `intent train` on 154,000 and on 609,000 simulated events peaked at 1.24 and 1.61 GB, which is
#: 800 bytes an event.
TRAINED_ROW_BYTES: Final = 8 * _VECTOR_BYTES
_TRAINING_BASE_BYTES: Final = 1_000 * 10**6  # TensorFlow, scikit-learn and LightGBM

_CGROUP_LIMITS: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def parse_size(text: str) -> int:
    """Return an amount of memory in bytes.

    Raises
    ------
    BucketError
        It is not one.

    Examples
    --------
    >>> parse_size("1.5GB"), parse_size("512 MiB")
    (1500000000, 536870912)
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None or not float(match[1]):
        raise BucketError(f"invalid size {text!r}: use 600MB, 4GB or 1.5GiB")
    return int(float(match[1]) * _UNITS[(match[2] or "").lower()])


def shown(size: float) -> str:
    """Return bytes as people read them.

    Examples
    --------
    >>> shown(1_530_000_000), shown(600_000_000), shown(20_000)
    ('1.5 GB', '600 MB', '0.02 MB')
    """
    return f"{size / 1e9:.1f} GB" if size >= 10**9 else f"{size / 1e6:.3g} MB"


def machine_bytes() -> int:
    """Return the memory that this process may use: the machine's, or less where its container allows less."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for name in _CGROUP_LIMITS:
        path = Path(name)
        if path.is_file() and (text := path.read_text().strip()).isdigit():
            limits.append(int(text))
    return min(limits)


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def local_workers(memory: int) -> tuple[int, int]:
    """Return how many workers share an amount of memory on this machine, and what each of them gets.

    Examples
    --------
    >>> local_workers(500_000_000)
    (1, 500000000)
    """
    count = max(1, min(processors(), memory // LEAST_WORKER_BYTES))
    return count, max(memory // count, LEAST_WORKER_BYTES)


def bucket_count(rows: int, row_bytes: float, task_bytes: int) -> int:
    """Return how many buckets a log needs.

    Parameters
    ----------
    rows
        Of the log.
    row_bytes
        Size of a row's identifiers, which vary in length.
    task_bytes
        Memory that the work on one bucket may take.
    """
    row = _FOLDED_ROW_BYTES + 2 * row_bytes
    return max(1, math.ceil(rows * row / (task_bytes * _HEADROOM)))


def rows_at_once(task_bytes: int, row_bytes: float) -> int:
    """Return how many rows of a log are read, checked and dealt out together; parameters as of `bucket_count`.

    Examples
    --------
    >>> rows_at_once(200_000_000, 50), rows_at_once(5_000_000_000, 50), rows_at_once(200_000_000, 1_000)
    (32258, 262144, 20000)
    """
    return min(int(task_bytes / (_READ_ROW_BYTES + _READ_COPIES * row_bytes)), _MOST_READ)


def trainable_rows(memory: int) -> int:
    """Return how many events training can hold in this much memory."""
    return max(int((memory - _TRAINING_BASE_BYTES) / TRAINED_ROW_BYTES), 1)
