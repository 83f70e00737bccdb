"""Logins in a shop's messages: rows of the log that say whose an anonymous id is (`features.identity`)."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from features.events import epoch_ms
from features.identity import IDENTIFY, Identify, decode_identity, identity_text
from features.log import LOG_SCHEMA
from features.refusals import Reason, RejectedEvent


class Logins:
    """The logins of a source, each once, with the time of the first message that tells it."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], Identify] = {}
        self._example = ""

    def add(self, value: bytes, place: str) -> None:
        """Take a login as JSON; ``place`` is where it was found.

        Raises
        ------
        RejectedEvent
            It is none.
        """
        said = decode_identity(value)
        if not isinstance(said, Identify):
            raise RejectedEvent(Reason.UNKNOWN_TYPE, "only workers hand something over")
        pair = said.anonymous_id, said.customer_id
        known = self._first.setdefault(pair, said)
        if epoch_ms(said.event_time) < epoch_ms(known.event_time):
            self._first[pair] = said
        self._example = self._example or place

    def count(self) -> tuple[int, str]:
        """Return how many there are, and where the first one was found."""
        return len(self._first), self._example

    def table(self) -> pa.Table | None:
        """Return them as rows of a log in order of time, ``None`` where there are none."""
        said = sorted(self._first.values(), key=lambda one: epoch_ms(one.event_time))
        if not said:
            return None
        times = np.array([epoch_ms(one.event_time) for one in said], np.int64)
        columns = {
            "event_id": [one.event_id for one in said],
            "type": [IDENTIFY] * len(said),
            "customer_id": [one.anonymous_id for one in said],
            "identity": [identity_text(one) for one in said],
        }
        return pa.table(
            [
                pa.array(times).cast(field.type)
                if field.name in ("event_time", "arrived_at")
                else pa.array(columns.get(field.name, [None] * len(said)), field.type)
                for field in LOG_SCHEMA
            ],
            schema=LOG_SCHEMA,
        )


def with_logins(events: pa.Table, logins: pa.Table) -> pa.Table:
    """Return the rows of a log and logins in order of time; those of a moment come before its events."""
    whole = pa.concat_tables([logins, events])
    return whole.take(np.argsort(whole["event_time"].cast(pa.int64()).to_numpy(), kind="stable"))
