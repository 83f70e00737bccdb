"""Customers of a simulated log who browse under an anonymous id before they log in.

A log without them stays what it is, to the bit. With them, each event is what it was but for its customer: up to the
login that is an anonymous id. The login itself is an `identify` row (`features.identity`) at the moment of the first
event under the known id.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.events import epoch_ms
from features.identity import IDENTIFY, Identify, identity_text
from features.log import LOG_SCHEMA
from offline.simulator.shop import ParameterError
from offline.simulator.simulation import METADATA_KEY

_LEAST_EVENTS: Final = 2  # one before the login, one after


def with_late_logins(log: pa.Table, share: float, seed: int = 0) -> pa.Table:
    """Return a simulated log in which a share of the customers with two events or more logs in late.

    Parameters
    ----------
    log
        In order of event time.
    share
        0 to 1; with 0 the log itself is returned.
    seed
        Of who logs in late, and when.

    Examples
    --------
    >>> from offline.simulator.shop import ShopParameters
    >>> from offline.simulator.simulation import simulate
    >>> log = with_late_logins(simulate(ShopParameters.default(), customers=50, days=2, seed=7), 0.5)
    >>> {"identify"} < set(log["type"].to_pylist())
    True
    """
    if not 0 <= share <= 1:
        raise ParameterError(f"the share of late logins must be between 0 and 1, not {share}")
    if not share:
        return log
    encoded = log["customer_id"].combine_chunks().dictionary_encode()
    names, codes = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
    place, count = _places(codes, len(names))
    chance = np.random.default_rng(seed)
    late = (chance.uniform(size=len(names)) < share) & (count >= _LEAST_EVENTS)
    login = 1 + np.floor(chance.uniform(size=len(names)) * (np.maximum(count, _LEAST_EVENTS) - 1)).astype(
        np.int64
    )
    anonymous = late[codes] & (place < login[codes])
    owners = [
        _anonymous(names[code]) if hidden else names[code]
        for code, hidden in zip(codes.tolist(), anonymous.tolist(), strict=True)
    ]
    at = LOG_SCHEMA.get_field_index("customer_id")
    events = log.replace_schema_metadata(None).set_column(
        at, LOG_SCHEMA.field(at), pa.array(owners, pa.string())
    )
    first = np.flatnonzero(late[codes] & (place == login[codes]))
    whole = pa.concat_tables(
        [_logins(log.take(first)), events]
    )  # logins first: those of a moment stay before its event
    order = np.argsort(whole["event_time"].cast(pa.int64()).to_numpy(), kind="stable")
    metadata = {key: value for key, value in log.schema.metadata.items() if key != METADATA_KEY.encode()}
    metadata[b"intent.late_logins"] = f"{len(first)} customers, seed {seed}".encode()
    return whole.take(order).replace_schema_metadata(metadata)


def _places(codes: NDArray[np.integer], customers: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return which of its customer's events each one is, from 0 on, and how many each customer has."""
    count = np.bincount(codes, minlength=customers)
    order = np.argsort(codes, kind="stable")
    place = np.empty(len(codes), np.int64)
    place[order] = np.arange(len(codes)) - np.repeat(np.cumsum(count) - count, count)
    return place, count


def _anonymous(customer: str) -> str:
    return f"anonymous-{customer}"


def _logins(events: pa.Table) -> pa.Table:
    """Return the logins of customers at the moments of these events."""
    customers, times = events["customer_id"].to_pylist(), events["event_time"].to_pylist()
    said = [
        Identify(
            event_id=f"login-{customer}",
            anonymous_id=_anonymous(customer),
            customer_id=customer,
            event_time=epoch_ms(time),
        )
        for customer, time in zip(customers, times, strict=True)
    ]
    columns = {
        "event_id": [one.event_id for one in said],
        "type": [IDENTIFY] * len(said),
        "customer_id": [one.anonymous_id for one in said],
        "identity": [identity_text(one) for one in said],
    }
    return pa.table(
        [
            events[field.name]
            if field.name in ("event_time", "arrived_at")
            else pa.array(columns.get(field.name, [None] * len(said)), field.type)
            for field in LOG_SCHEMA
        ],
        schema=LOG_SCHEMA,
    )
