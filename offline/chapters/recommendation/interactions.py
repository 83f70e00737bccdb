"""Who had to do with which item, when and how closely: from the lines of a log's events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from features.counts import counted
from features.log import ERASED
from offline.exceptions import TrainingError

#: How much an event says about a liking, by type. What is not here says nothing about single items.
WEIGHTS: Final = {"view_item": 1.0, "add_to_cart": 3.0, "purchase": 5.0}

_DAY_MS: Final = 86_400_000.0
_LEAST_PAIRS: Final = 100


@dataclass(frozen=True)
class Interactions:
    """One element for each item of each event, in order of time.

    Attributes
    ----------
    customer_ids, item_ids
        What the numbers stand for.
    customers, items
        Numbers.
    time_ms
        Event time, epoch ms.
    weights
        Of `WEIGHTS`.
    bought
        Whether the event was a purchase.
    """

    customer_ids: list[str]
    item_ids: list[str]
    customers: NDArray[np.int64]
    items: NDArray[np.int64]
    time_ms: NDArray[np.int64]
    weights: NDArray[np.float64]
    bought: NDArray[np.bool_]

    @classmethod
    def of(cls, log: pa.Table) -> Interactions:
        """Return the interactions of a log.

        Raises
        ------
        TrainingError
            Hardly any event names an item.
        """
        log = log.filter(
            pc.and_(pc.is_in(log["type"], pa.array(list(WEIGHTS))), pc.not_equal(log["type"], ERASED))
        )
        lines = log["items"].combine_chunks()
        counts = pc.fill_null(pc.list_value_length(lines), 0).to_numpy(zero_copy_only=False).astype(np.int64)
        single = np.flatnonzero((counts == 0) & pc.is_valid(log["item_id"]).to_numpy())
        listed = lines.flatten().field("item_id")
        known = pc.is_valid(listed).to_numpy(zero_copy_only=False)
        rows = np.concatenate([np.repeat(np.arange(len(log)), counts)[known], single])
        if len(rows) < _LEAST_PAIRS:
            raise TrainingError(
                f"{counted(len(rows), 'event')} of the log name an item: recommendations need item_id or items in "
                f"views, carts "
                f"or purchases (at least {_LEAST_PAIRS})"
            )
        named = log["item_id"].combine_chunks().take(pa.array(single))
        item = pa.concat_arrays([listed.filter(pa.array(known)), named]).dictionary_encode()
        customer = log["customer_id"].combine_chunks().dictionary_encode()
        time_ms = log["event_time"].cast(pa.int64()).to_numpy()[rows]
        order = np.argsort(time_ms, kind="stable")
        rows = rows[order]
        types = log["type"].to_numpy(zero_copy_only=False)
        weight = np.array([WEIGHTS[name] for name in types])
        return cls(
            customer.dictionary.to_pylist(),
            item.dictionary.to_pylist(),
            customer.indices.to_numpy().astype(np.int64)[rows],
            item.indices.to_numpy().astype(np.int64)[order],
            time_ms[order],
            weight[rows],
            (types == "purchase")[rows],
        )

    def __len__(self) -> int:
        return len(self.items)

    def take(self, chosen: NDArray[np.bool_]) -> Interactions:
        """Return some of the interactions; numbers keep their meaning."""
        return Interactions(
            self.customer_ids, self.item_ids, self.customers[chosen], self.items[chosen], self.time_ms[chosen],
            self.weights[chosen], self.bought[chosen],
        )  # fmt: skip

    def matrix(self, *, now_ms: int, half_life_days: float | None = None) -> csr_matrix:
        """Return customers by items: the sum of weights, which halve with age where a half-life is given."""
        weights = self.weights
        if half_life_days is not None:
            weights = weights * np.exp2(-(now_ms - self.time_ms) / (half_life_days * _DAY_MS))
        shape = (len(self.customer_ids), len(self.item_ids))
        found = csr_matrix((weights.astype(np.float32), (self.customers, self.items)), shape)
        found.sum_duplicates()
        return found
