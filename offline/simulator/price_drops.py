"""Prices that drop while a simulated shop is open: price events among the events of a log.

The customers take no notice: their events stay what they are, to the bit. So a log with price drops shows whom a policy
would tell (`intent policy dry-run`), not what that brings.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.log import LOG_SCHEMA
from features.prices import PRICE, Price, encode_price
from offline.simulator.shop import ParameterError
from offline.simulator.simulation import METADATA_KEY

#: What an item costs after a drop, as parts of what it cost.
_LEAST_LEFT: Final = 0.5
_MOST_LEFT: Final = 0.95


def with_price_drops(log: pa.Table, share: float, seed: int = 0) -> pa.Table:
    """Return a simulated log in which the prices of a share of the items drop once.

    Parameters
    ----------
    log
        In order of event time.
    share
        0 to 1, of the items that anybody puts into a cart or wishes; with 0 the log itself is returned.
    seed
        Of which prices drop, when, and by how much.

    Examples
    --------
    >>> from offline.simulator.shop import ShopParameters
    >>> from offline.simulator.simulation import simulate
    >>> log = with_price_drops(simulate(ShopParameters.default(), customers=50, days=2, seed=7), 0.5)
    >>> "price" in log["type"].to_pylist()
    True
    """
    if not 0 <= share <= 1:
        raise ParameterError(f"the share of price drops must be between 0 and 1, not {share}")
    kept = pc.is_in(log["type"], pa.array(["add_to_cart", "add_to_wishlist"]))
    added = log.filter(pc.and_(kept, pc.is_valid(log["price"])))
    costs = dict(zip(added["item_id"].to_pylist(), added["price"].to_pylist(), strict=True))
    costs = {item: price for item, price in costs.items() if item is not None and price > 0}
    if not share or not costs:
        return log
    times = log["event_time"].cast(pa.int64()).to_numpy()
    chance = np.random.default_rng(seed)
    items = [item for item in sorted(costs) if chance.uniform() < share]
    moments = np.sort(chance.integers(times.min(), times.max() + 1, len(items))).tolist()
    left = chance.uniform(_LEAST_LEFT, _MOST_LEFT, len(items)).tolist()
    said = [
        Price(
            event_id=f"price-{item}",
            item_id=item,
            price=max(round(costs[item] * part, 2), 0.01),
            event_time=moment,
        )
        for item, moment, part in zip(chance.permutation(items).tolist(), moments, left, strict=True)
    ]
    whole = pa.concat_tables([log.replace_schema_metadata(None), _rows(said)])
    order = np.argsort(whole["event_time"].cast(pa.int64()).to_numpy(), kind="stable")
    metadata = {
        key: value for key, value in (log.schema.metadata or {}).items() if key != METADATA_KEY.encode()
    }
    metadata[b"intent.price_drops"] = f"{len(said)} items, seed {seed}".encode()
    return whole.take(order).replace_schema_metadata(metadata)


def _rows(said: list[Price]) -> pa.Table:
    """Return prices as rows of a log."""
    times = pa.array([price.event_time for price in said], pa.int64())
    columns = {
        "event_id": [price.event_id for price in said],
        "type": [PRICE] * len(said),
        "identity": [encode_price(price).decode() for price in said],
    }
    return pa.table(
        [
            times.cast(field.type)
            if field.name in ("event_time", "arrived_at")
            else pa.array(columns.get(field.name, [None] * len(said)), field.type)
            for field in LOG_SCHEMA
        ],
        schema=LOG_SCHEMA,
    )
