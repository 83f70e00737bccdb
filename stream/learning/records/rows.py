"""Many small records at once, as the learner needs them: one pass over a batch, and no strings are kept.

A live worker writes a record per round and partition, with an example or two in it. So what a record costs counts, and
columns of all records of a batch are taken apart together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.exceptions import SchemaMismatch
from features.structured import picked
from features.vector import WIDTH
from stream.learning.records.differences import DIFFERS_BYTES, whole
from stream.learning.records.examples import Body, layout, opened
from stream.learning.records.header import EXAMPLES, MOST_BESIDE, Header, latest_time, unpack
from stream.learning.records.outcomes import Outcomes, decode_outcomes
from stream.learning.records.texts import customer_keys

#: What an example needs when it is learned. ``rival`` names each bundle that scored beside by the key of its version
#: (`customer_keys`), 0 where there is none, ``beside`` is what it said.
PAYLOAD: Final = np.dtype(
    [
        ("logit", np.float64),
        ("vector", np.float32, (WIDTH,)),
        ("weight", np.float32),
        ("segment", np.int16),
        ("kind", np.uint8),
        ("rival", np.uint64, (MOST_BESIDE,)),
        ("beside", np.float64, (MOST_BESIDE,)),
    ],
    align=True,
)
Payload = NDArray[np.void]


class ExampleRows(NamedTuple):
    """Examples: what decides their order and label, and what is learned. Customers are `customer_keys`."""

    as_of: NDArray[np.int64]
    offset: NDArray[np.int64]
    customer: NDArray[np.uint64]
    payload: Payload

    def take(self, rows: slice | NDArray[Any]) -> ExampleRows:
        """Return these rows."""
        return ExampleRows(
            self.as_of[rows], self.offset[rows], self.customer[rows], picked(self.payload, rows)
        )


class Unreadable(NamedTuple):
    """A record that is none of ours, or damaged: its position among the others, and what is wrong."""

    position: int
    detail: str


class ExampleRecords(NamedTuple):
    """Records of the examples topic.

    Attributes
    ----------
    offsets
        Kafka's, of each record that could be read.
    headers
        Of the same. The rows of record i are ``rows[bounds[i]:bounds[i + 1]]``, none if it is not ours.
    ours
        Whether it was written with our features and the bundle that is learned.
    unreadable
        The other records.
    """

    offsets: Sequence[int]
    headers: Sequence[Header]
    ours: Sequence[bool]
    bounds: Sequence[int]
    rows: ExampleRows
    unreadable: Sequence[Unreadable]


class OutcomeRecords(NamedTuple):
    """Records of the outcomes topic; the attributes are those of `ExampleRecords`."""

    offsets: Sequence[int]
    headers: Sequence[Header]
    outcomes: Sequence[Outcomes]
    unreadable: Sequence[Unreadable]


# Number of rows, and the bundles beside.
_Form = tuple[int, tuple[str, ...]]

#: Kafka's offset of a record, its append time (epoch ms; -1 where that is unknown), and its value.
Raw = tuple[int, int, bytes | None]


def read_examples(records: Iterable[Raw], bundle: str, features: str) -> ExampleRecords:
    """Read records; those of other bundles and features are not opened."""
    offsets: list[int] = []
    headers: list[Header] = []
    ours: list[bool] = []
    bounds = [0]
    customers: list[str] = []
    bodies: dict[_Form, list[tuple[int, Body]]] = {}
    unreadable: list[Unreadable] = []
    for index, (offset, appended, raw) in enumerate(records):
        latest = latest_time(appended)
        try:
            record = unpack(EXAMPLES, raw, latest)
            header = record.header
            own = header.bundle == bundle and header.features == features
            if own:
                body = opened(record, latest)
                customers += body.texts[header.rows :]
            if own and header.rows:
                bodies.setdefault((header.rows, header.beside), []).append((bounds[-1], body))
        except SchemaMismatch as error:
            unreadable.append(Unreadable(index, str(error)))
            continue
        offsets.append(offset)
        headers.append(header)
        ours.append(own)
        bounds.append(bounds[-1] + (header.rows if own else 0))
    rows = _columns(bodies, customer_keys(customers))
    return ExampleRecords(offsets, headers, ours, bounds, rows, unreadable)


def read_outcomes(records: Iterable[Raw]) -> OutcomeRecords:
    """Read records."""
    offsets: list[int] = []
    headers: list[Header] = []
    outcomes: list[Outcomes] = []
    unreadable: list[Unreadable] = []
    for index, (offset, appended, raw) in enumerate(records):
        try:
            record = decode_outcomes(raw, latest_time(appended))
        except SchemaMismatch as error:
            unreadable.append(Unreadable(index, str(error)))
            continue
        offsets.append(offset)
        headers.append(record.header)
        outcomes.append(record.outcomes)
    return OutcomeRecords(offsets, headers, outcomes, unreadable)


def _columns(bodies: Mapping[_Form, list[tuple[int, Body]]], customer: NDArray[np.uint64]) -> ExampleRows:
    """Take the columns of all records apart, those of one form together."""
    count = len(customer)
    rows = ExampleRows(
        np.empty(count, np.int64), np.empty(count, np.int64), customer, np.empty(count, PAYLOAD)
    )
    rows.payload["rival"], rows.payload["beside"] = 0, np.nan
    for (size, beside), parts in bodies.items():
        columns = np.frombuffer(b"".join(body.columns for _, body in parts), layout(size, len(beside)))
        values = np.frombuffer(b"".join(body.values for _, body in parts), "<u4")
        at = (np.array([start for start, _ in parts])[:, None] + np.arange(size)).ravel()
        rows.as_of[at] = columns["as_of"].ravel()
        rows.offset[at] = columns["offset"].ravel()
        rows.payload["vector"][at] = whole(columns["differs"].reshape(-1, DIFFERS_BYTES), values, size)
        for name in ("logit", "weight", "segment", "kind"):
            rows.payload[name][at] = columns[name].ravel()
        for place, key in enumerate(customer_keys(list(beside)).tolist()):
            rows.payload["rival"][at, place] = key
            rows.payload["beside"][at, place] = columns["beside"][:, place].ravel()
    return rows
