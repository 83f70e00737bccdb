"""Prices of items in a round: what tables they make, and what is told to other partitions.

A pure step beside the fold. It follows from the log of a partition alone, so a replay makes the same tables, and tells
other partitions the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.events import epoch_ms
from features.price_table import Changed, PriceTable, SaidPrice
from features.prices import PRICE_COPY, Price, PriceCopy, encode_price, in_currency
from features.store.customer_store import Loaded
from stream.decisions.watermarks import Watermarks
from stream.ownership.promised import HandOverRecord
from stream.scoring.batch import Batch


class Priced(NamedTuple):
    """What prices make of a partition batch.

    Attributes
    ----------
    changed
        The table after it; ``None`` where no price was said.
    handed
        What is told to other partitions: partition, key and value.
    """

    changed: Changed | None = None
    handed: Sequence[HandOverRecord] = ()


def priced(
    batch: Batch, loaded: Sequence[Loaded], currency: str, partitions: int, lateness_ms: int
) -> list[Priced]:
    """Take note of the prices in a round.

    Parameters
    ----------
    loaded
        With the prices of before.
    currency
        The shop's: prices in another one are left out.
    """
    if not batch.prices:
        return [Priced()] * len(batch.parts)
    positions = np.array(list(batch.prices), np.intp)
    noted = _noted(batch, positions, lateness_ms).tolist()
    said = [batch.prices[at] for at in positions.tolist()]
    found = []
    for own, part, one, before in zip(
        batch.split(positions), batch.parts, loaded, batch.watermarks_before, strict=True
    ):
        if own.start == own.stop:
            found.append(Priced())
            continue
        prices = list(zip(said[own], noted[own], positions[own].tolist(), strict=True))
        handed = [
            (home, price.item_id, copy)
            for price, _, at in prices
            if isinstance(price, Price) and in_currency(price, currency)
            for copy in [_copy(price, part.partition, int(batch.offset[at]))]
            for home in range(partitions)
            if home != part.partition
        ]
        found.append(Priced(table_after(one.prices, said[own], noted[own], before, currency), handed))
    return found


def table_after(
    table: PriceTable, prices: Sequence[Price | PriceCopy], noted: Sequence[int], before: int, currency: str
) -> Changed:
    """Return what the prices of a batch make of a table.

    Parameters
    ----------
    noted
        The watermark at each one's record.
    before
        The watermark before the batch.
    currency
        The shop's.
    """
    said = [
        SaidPrice(price.item_id, price.price, epoch_ms(price.event_time), mark)
        for price, mark in zip(prices, noted, strict=True)
        if in_currency(price, currency)
    ]
    changed = table.after(said, before)
    foreign = len(prices) - len(said)
    return changed._replace(counts=changed.counts + Counter(foreign=foreign)) if foreign else changed


def tables_after(found: Sequence[Priced], loaded: Sequence[Loaded]) -> list[PriceTable]:
    """Return the table of each partition batch, as it is after it."""
    return [
        before.prices if one.changed is None else one.changed.table
        for one, before in zip(found, loaded, strict=True)
    ]


def _noted(batch: Batch, positions: NDArray[np.intp], lateness_ms: int) -> NDArray[np.int64]:
    """Return the watermark of its partition at each of these records, which move none."""
    bounds = batch.rows.searchsorted(batch.bounds)
    columns = batch.columns
    marks = Watermarks.of(columns.time, batch.watermarks_before, lateness_ms, bounds, batch.still)
    parts = batch.bounds.searchsorted(positions, side="right") - 1
    rows = batch.rows.searchsorted(positions)
    noted = marks.first[parts]
    behind = rows > bounds[parts]
    noted[behind] = marks.after[rows[behind] - 1]
    return noted


def _copy(price: Price, partition: int, offset: int) -> bytes:
    copy = PriceCopy(
        event_id=price.event_id,
        item_id=price.item_id,
        price=price.price,
        event_time=epoch_ms(price.event_time),
        source=(partition, offset),
        type=PRICE_COPY,
    )
    return encode_price(copy)
