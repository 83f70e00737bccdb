"""Wish lists of a simulated shop: some customers wish items that they look at, and take some of them off again.

All other events stay what they are, to the bit: wishes follow from views, and nothing follows from wishes.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from offline.simulator.shop import ParameterError
from offline.simulator.simulation import METADATA_KEY

_WISHED: Final = 0.3  # of the views of those who wish
_TAKEN_OFF: Final = 0.2  # of what was wished
_SOON_MS: Final = 20_000
_LATER_MS: Final = 3_600_000


def with_wishes(log: pa.Table, share: float, seed: int = 0) -> pa.Table:
    """Return a simulated log in which a share of the customers have a wish list.

    Parameters
    ----------
    log
        In order of event time.
    share
        0 to 1, of the customers; with 0 the log itself is returned.
    seed
        Of who wishes what, and when.

    Examples
    --------
    >>> from offline.simulator.shop import ShopParameters
    >>> from offline.simulator.simulation import simulate
    >>> log = with_wishes(simulate(ShopParameters.default(), customers=50, days=2, seed=7), 0.5)
    >>> "add_to_wishlist" in log["type"].to_pylist()
    True
    """
    if not 0 <= share <= 1:
        raise ParameterError(f"the share of customers who wish must be between 0 and 1, not {share}")
    if not share:
        return log
    chance = np.random.default_rng(seed)
    customer = log["customer_id"].combine_chunks().dictionary_encode()
    wishing = chance.uniform(size=len(customer.dictionary)) < share
    views = np.flatnonzero(
        pc.and_(pc.equal(log["type"], "view_item"), pc.is_valid(log["price"])).to_numpy()
        & wishing[customer.indices.to_numpy()]
    )
    times = log["event_time"].cast(pa.int64()).to_numpy()
    views = views[chance.uniform(size=len(views)) < _WISHED]
    wished_at = np.minimum(times[views] + chance.integers(1, _SOON_MS, len(views)), times.max())
    off = np.flatnonzero(chance.uniform(size=len(views)) < _TAKEN_OFF)
    off_at = np.minimum(wished_at[off] + chance.integers(1, _LATER_MS, len(off)), times.max())
    whole = pa.concat_tables(
        [
            log.replace_schema_metadata(None),
            _said(log, views, "add_to_wishlist", "wish", wished_at),
            _said(log, views[off], "remove_from_wishlist", "unwish", off_at),
        ]
    )
    order = np.argsort(whole["event_time"].cast(pa.int64()).to_numpy(), kind="stable")
    kept = {key: value for key, value in (log.schema.metadata or {}).items() if key != METADATA_KEY.encode()}
    kept[b"intent.wishes"] = f"{len(views)} items, seed {seed}".encode()
    return whole.take(order).replace_schema_metadata(kept)


def _said(
    log: pa.Table, views: NDArray[np.int64], kind: str, prefix: str, times: NDArray[np.int64]
) -> pa.Table:
    """Return events about the items of some views, at other times."""
    rows = log.take(pa.array(views)).replace_schema_metadata(None)
    ids = pc.binary_join_element_wise(prefix, rows["event_id"], "-")
    moments = pa.array(times).cast(rows.schema.field("event_time").type)
    changed = {
        "event_id": ids,
        "type": pa.array([kind] * len(rows), pa.string()),
        "event_time": moments,
        "arrived_at": moments,
    }
    for name, values in changed.items():
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), values)
    return rows
