"""A log as chapters count it: in order, every event of a customer once, no lonely dates; what was left out, in words.

Left out are the events that are marked as bots (`features.events.Event.bot`) and those of the shop's own people. The
rules of a policy ask for a customer's features, which only a fold knows: they count in the stream and where examples
are made.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.counts import counted, plural
from features.log import ERASED, read_log
from features.usual_days import UsualDays
from offline.exceptions import TrainingError

_BOTS: Final = "Left out as bots (`bot`): {events} of {customers}."
_STAFF: Final = "Left out as the shop's own people (INTENT_EXCLUDED_CUSTOMERS): {events} of {customers}."


class TidyLog(NamedTuple):
    """A log, and what was left out of it, one sentence each."""

    log: pa.Table
    notes: tuple[str, ...]


def read_tidy_log(path: str | Path, excluded: Collection[str] = ()) -> TidyLog:
    """Read a log.

    Parameters
    ----------
    excluded
        Ids of the shop's own people.

    Raises
    ------
    LogError
        There is no log, or a row breaks the event contract.
    TrainingError
        It has no events of customers.
    """
    notes: list[str] = []
    log = read_log(path, notes.append)
    if not len(log):
        raise TrainingError(f"{Path(path).name} has no events")
    usual = UsualDays.of(times := log["event_time"].cast(pa.int64()).to_numpy())
    if usual.lonely:
        notes += usual.sentences()
        log = log.filter(pa.array(usual.hold(times)))
    again = repeated_events(log)
    if again.any():
        count = int(again.sum())
        first = log["event_id"][int(np.argmax(again))].as_py()
        notes.append(
            f"{counted(count, 'row')} {'repeats' if count == 1 else 'repeat'} an event_id of the same customer, for "
            f"example {first!r}: counted once."
        )
        log = log.filter(pa.array(~again))
    log = _without(log, pc.fill_null(log["bot"], False), _BOTS, notes)
    log = _without(log, pc.is_in(log["customer_id"], pa.array(list(excluded), pa.string())), _STAFF, notes)
    if not len(log):
        raise TrainingError(f"{Path(path).name} has no events of customers: {' '.join(notes)}")
    return TidyLog(log, tuple(notes))


def _without(log: pa.Table, others: pa.ChunkedArray, sentence: str, notes: list[str]) -> pa.Table:
    """Return the log without the events of others than customers, and note how many these are."""
    customers = log["customer_id"].filter(others)
    if not len(customers):
        return log
    of = counted(pc.count_distinct(customers).as_py(), "customer")
    notes.append(sentence.format(events=counted(len(customers), "event"), customers=of))
    return log.filter(pc.invert(others))


def repeated_events(log: pa.Table) -> NDArray[np.bool_]:
    """Mark the rows that repeat an event of the same customer by its id, as the worker leaves them out."""
    keys = {name: log[name].combine_chunks().dictionary_encode() for name in ("customer_id", "event_id")}
    if not len(log) or len(keys["event_id"].dictionary) == len(log):
        return np.zeros(len(log), bool)
    codes = {name: pc.fill_null(key.indices, -1).to_numpy(zero_copy_only=False) for name, key in keys.items()}
    alive = pc.not_equal(log["type"], ERASED).to_numpy()
    marks: NDArray[np.bool_] = pd.DataFrame(codes).duplicated().to_numpy() & alive
    return marks


def foreign_money(log: pa.Table, currency: str) -> list[str]:
    """Say what is left out of money because it is in another currency."""
    found = []
    other = log.filter(pc.fill_null(pc.not_equal(log["currency"], currency), False))
    for kind, noun, one in (("purchase", "order", "an order"), ("refund", "refund", "a refund")):
        counts = pc.value_counts(other.filter(pc.equal(other["type"], kind))["currency"].combine_chunks())
        for row in sorted(counts.to_pylist(), key=lambda row: -row["counts"]):
            count, told = row["counts"], f"{counted(row['counts'], noun)} in {row['values']}"
            found.append(
                f"{told} counts as {one}; only its amount is left out of money, which is counted in {currency}."
                if count == 1
                else f"{told} count as {plural(noun)}; only their amounts are left out of money, which is counted in "
                f"{currency}."
            )
    return found
