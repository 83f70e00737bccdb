"""Items bought together: pairs that share an order more often than orders of their size explain.

Large orders hold many pairs whatever customers like, and orders of one customer are alike. So what is expected is
counted among orders of about the same size, and the test's variance is summed over customers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from scipy.sparse import csc_matrix, csr_matrix, triu

from features.counts import counted
from features.items import named
from offline.chapters.products.findings import Findings
from offline.corrections import holm
from offline.lab.differences import LEAST
from offline.lab.statistics import ALPHA
from offline.report.section import Table

#: Orders are divided into this many parts by the number of different items.
_SIZES: Final = 10
#: Items that are looked at, at most: those with the most customers.
_MOST_ITEMS: Final = 2_000
#: Pairs that are tested, at most: those with most orders beyond what is expected.
_MOST_PAIRS: Final = 300
_CANDIDATES: Final = 3 * _MOST_PAIRS
_SHOWN: Final = 15
_LARGEST_ORDER: Final = 200  # different items; beyond, an order is a delivery to another shop


def together(lines: pd.DataFrame, names: Mapping[str, str]) -> Findings:
    """Return the pairs that are bought together more often than chance explains, after Holm's correction."""
    frame, possible = pairs(lines)
    stand = frame[frame["p"] < ALPHA].drop(columns="p").reset_index(drop=True)
    figures = {"pairs": stand, "tested": len(frame), "possible": possible}
    if not len(stand):
        said = f"No two products are bought together by at least {LEAST} customers and more often than chance explains."
        return Findings("together", [said], [], figures)
    table = stand.head(_SHOWN).copy()
    for name in ("product", "bought with"):
        table[name] = [named(item, names) for item in table[name]]
    best = table.iloc[0]
    said = (
        f"Bought together: {best['product']} and {best['bought with']}, by {counted(best['customers'], 'customer')} in "
        f"{counted(best['orders'], 'order')}, {best['lift']:.1f} times as often as expected in orders of that size."
    )
    caption = (
        f"Pairs in one order, with at least {LEAST} customers; those with most orders beyond the expected stand first. "
        f"Expected: orders with both if neither depended on the other, among orders of about the same size. Lift: "
        f"orders by expected orders. With: share of the product's orders that also hold the other. All pairs shown are "
        f"more than chance: tested over customers, and corrected for all {counted(possible, 'pair')} of products with "
        f"{LEAST} customers each (Holm, {ALPHA:.0%})."
    )
    formats = {"expected": ",.0f", "lift": ".1f", "with": ".0%"}
    return Findings("together", [said], [Table("Bought together", table, caption, formats)], figures)


def pairs(lines: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return the pairs that were tested, and how many there were to choose from.

    Returns
    -------
    DataFrame
        ``product``, ``bought with``, ``customers`` and ``orders`` with both, ``expected`` orders, ``lift``, ``with``
        (share of the product's orders that hold the other), ``p`` (corrected); most orders beyond the expected first.
    int
        Pairs of items that enough customers bought.
    """
    bought = lines[~lines["refund"]].drop_duplicates(["event", "item"])
    sizes = bought.groupby("event")["item"].transform("size")
    bought = bought[sizes <= _LARGEST_ORDER]
    customers = bought.groupby("item", observed=True)["customer"].nunique()
    kept = customers[customers >= LEAST].nlargest(_MOST_ITEMS).index.tolist()
    possible = len(kept) * (len(kept) - 1) // 2
    empty = pd.DataFrame(
        columns=["product", "bought with", "customers", "orders", "expected", "lift", "with", "p"]
    )
    if not possible:
        return empty.astype({"p": "float64"}), 0
    order, events = pd.factorize(bought["event"])
    of = bought.drop_duplicates("event")["customer"].to_numpy()
    size = np.bincount(order)
    item = pd.Index(kept).get_indexer(bought["item"].astype(object))
    inside = item >= 0
    shape = (len(events), len(kept))
    held = csr_matrix((np.ones(inside.sum(), np.float32), (order[inside], item[inside])), shape)
    stratum = _strata(size)
    both = triu(held.T @ held, k=1).tocoo()
    often = both.data >= LEAST
    first, second, count = both.row[often], both.col[often], both.data[often].astype(np.float64)
    by_size = csr_matrix((np.ones(len(stratum)), (stratum, np.arange(len(stratum)))))
    in_stratum = np.asarray((by_size @ held).todense())
    orders_in = np.bincount(stratum).astype(np.float64)
    shares = in_stratum / orders_in[:, None]
    expected = np.einsum("sp,sp->p", in_stratum[:, first], shares[:, second]) if len(first) else np.empty(0)
    chosen = np.argsort(expected - count, kind="stable")[:_CANDIDATES]
    rows: list[tuple[object, ...]] = []
    p_values: list[float] = []
    columns = held.tocsc()
    total = np.asarray(held.sum(axis=0)).ravel()
    for at in chosen:
        a, b = int(first[at]), int(second[at])
        if count[at] <= expected[at] or len(rows) == _MOST_PAIRS:
            break
        of_a, of_b = _held(columns, a, len(events)), _held(columns, b, len(events))
        buyers = len(np.unique(of[(of_a * of_b) > 0]))
        if buyers < LEAST:
            continue
        if total[b] > total[a]:  # "with" is about the rarer one, of which it says more
            a, b = b, a
        lift = count[at] / expected[at]
        rows.append((kept[b], kept[a], buyers, int(count[at]), expected[at], lift, count[at] / total[b]))
        p_values.append(_p_value(of_a - shares[stratum, first[at]], of_b - shares[stratum, second[at]], of))
    frame = pd.DataFrame(rows, columns=empty.columns[:-1])
    corrected = holm([*p_values, *[1.0] * (possible - len(p_values))])[: len(p_values)]
    return frame.assign(p=np.array(corrected, np.float64)), possible


def _strata(size: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the part of each order by its number of different items; parts hold about as many orders."""
    edges = np.unique(np.quantile(size, np.linspace(0, 1, _SIZES + 1)[1:-1]))
    return np.unique(np.searchsorted(edges, size), return_inverse=True)[1]


def _held(columns: csc_matrix, item: int, orders: int) -> NDArray[np.float64]:
    found = np.zeros(orders)
    found[columns.indices[columns.indptr[item] : columns.indptr[item + 1]]] = 1.0
    return found


def _p_value(first: NDArray[np.float64], second: NDArray[np.float64], customers: NDArray[np.int64]) -> float:
    """Return the one-sided p-value of a covariance within strata, with a variance summed over customers."""
    by_customer = np.bincount(customers, first * second)
    spread = float(np.sqrt(np.square(by_customer).sum()))
    return float(stats.norm.sf(by_customer.sum() / spread)) if spread else 1.0
