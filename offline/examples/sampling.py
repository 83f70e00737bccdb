"""All events of a share of the customers, the same ones every time."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from features.log import ERASED

_BUCKETS: Final = 10_000


def sample_customers(log: pa.Table, share: float) -> pa.Table:
    """Return all events of about that share of the customers, the same ones at every call.

    Examples
    --------
    >>> log = pa.table({"type": ["search"] * 4, "customer_id": ["a", "b", "c", "a"]})
    >>> sample_customers(log, 1.0).num_rows
    4
    """
    chosen = in_sample(log["customer_id"], share)
    return log.filter(pa.array(chosen & (log["type"].to_numpy() != ERASED)))


def in_sample(customers: pa.ChunkedArray, share: float) -> NDArray[np.bool_]:
    """Return which rows are of about that share of the customers, chosen by the hash of their id."""
    encoded = pc.fill_null(customers.cast(pa.string()), "").combine_chunks().dictionary_encode()
    buckets = np.array(
        [xxhash.xxh64_intdigest(name.encode()) % _BUCKETS for name in encoded.dictionary.to_pylist()]
    )
    chosen: NDArray[np.bool_] = (buckets < share * _BUCKETS)[encoded.indices.to_numpy()]
    return chosen
