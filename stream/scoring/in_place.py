"""A shop's own log with logins: who is who from the log alone, merged at once.

Such a log has `identify` rows, and nothing that workers handed over. Links follow from the rows in their order, without
any state. So before a log is scored, each event gets the id that holds what is known at its moment, and each login that
links an id becomes two rows: one hands the state over, the next one merges it. Links do not expire here.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.identity import IDENTIFY, MERGE, Identify, decode_identity
from features.logins import LinksAtOnce
from features.prices import PRICE_TYPES

_SOURCE: Final = b"intent.source"


class InPlace(NamedTuple):
    """A log in which logins are merged at once.

    Attributes
    ----------
    table
        Its rows.
    rows
        For each of them the position of the row of the log that it is of.
    family
        For each of them one id that stands for all who are ever linked with its customer.
    """

    table: pa.Table
    rows: NDArray[np.intp]
    family: list[str]


def has_logins_alone(table: pa.Table) -> bool:
    """Whether a log has logins, and is not one that workers have written."""
    return not is_archive(table) and bool(pc.any(pc.equal(table["type"], IDENTIFY)).as_py())


def is_archive(table: pa.Table) -> bool:
    """Whether a log is one of a topic, with what workers have written to it."""
    metadata = table.schema.metadata or {}
    return metadata.get(_SOURCE) == b"kafka"


def merged_in_place(table: pa.Table) -> InPlace:
    """Return a log in which logins are merged at once."""
    customers, texts = table["customer_id"].to_pylist(), table["identity"].to_pylist()
    links = LinksAtOnce()
    rows: list[int] = []
    owners: list[str | None] = []
    types = table["type"].to_pylist()
    for row, (customer, text) in enumerate(zip(customers, texts, strict=True)):
        if text is None or types[row] in PRICE_TYPES:
            rows.append(row)
            owners.append(customer if customer is None else links.holders.of(customer))
            continue
        said = decode_identity(text.encode())
        if not isinstance(said, Identify) or not links.take(customer, said.customer_id):
            continue
        goes_to = links.holders.of(customer)
        if goes_to != customer:
            rows += [row, row]
            owners += [customer, goes_to]
    kept = table.take(rows)
    kinds = [types[row] for row in rows]
    for at in range(1, len(rows)):
        if rows[at] == rows[at - 1]:
            kinds[at] = MERGE
    for name, values in (("customer_id", owners), ("type", kinds)):
        at = kept.schema.get_field_index(name)
        kept = kept.set_column(at, kept.schema.field(at), pa.array(values, pa.string()))
    return InPlace(
        kept, np.array(rows, np.intp), [links.holders.families.of(owner or "") for owner in owners]
    )
