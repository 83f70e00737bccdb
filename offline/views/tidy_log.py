"""A log as chapters count it: in order, every event once, without lonely dates; and what was left out, in words."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.counts import counted, plural
from features.log import ERASED, read_log
from features.usual_days import UsualDays
from offline.exceptions import TrainingError


class TidyLog(NamedTuple):
    """A log, and what was left out of it, one sentence each."""

    log: pa.Table
    notes: tuple[str, ...]


def read_tidy_log(path: str | Path) -> TidyLog:
    """Read a log.

    Raises
    ------
    LogError
        There is no log, or a row breaks the event contract.
    TrainingError
        It has no events.
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
    return TidyLog(log, tuple(notes))


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
