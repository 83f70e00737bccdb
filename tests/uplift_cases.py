"""Experiments for tests: a simulated log, actions made of it by a simple rule, and what customers answered."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from xxhash import xxh3_64_intdigest

from offline.simulator.answers import AnswerParameters, Answers, answers, merged
from offline.simulator.oracle import exact_probability
from offline.simulator.shop import ShopParameters
from offline.simulator.simulation import simulate

DAY_MS = 86_400_000
HOUR_MS = 3_600_000


class Case(NamedTuple):
    """A simulated log, the actions made of it, how they were answered, and the log with the answers."""

    log: pa.Table
    actions: pa.Table
    answers: Answers
    answered: pa.Table


@cache
def shop(customers: int = 8_000, share: float = 0.3, seed: int = 3) -> tuple[pa.Table, pa.Table]:
    """Simulate a shop that contacts everybody at the first score above 1 %; return its log and the actions."""
    log = simulate(ShopParameters.default(), customers, 14, seed)
    return log, actions_of(log, share)


@cache
def case(effect: float) -> Case:
    """Let the shop's customers answer; reminders of carts have twice the effect."""
    log, actions = shop()
    end = int(pc.max(log["event_time"].cast(pa.int64())).as_py())
    found = answers(actions, parameters(effect), end=end)
    return Case(log, actions, found, merged(log, found.log))


def parameters(effect: float) -> AnswerParameters:
    """Return how the shop's customers answer."""
    return AnswerParameters(effect=effect, effects={"remind_of_cart": 2 * effect})


def actions_of(log: pa.Table, share: float, experiment: str = "v1", least: float = 0.01) -> pa.Table:
    """Return an action for each customer at the first exact score above a bound, in the arm that a hash gives."""
    score = exact_probability(log, 30 * 60_000)
    kinds = log["type"].to_numpy(zero_copy_only=False)
    frame = pd.DataFrame(
        {
            "event_id": log["event_id"].to_pylist(),
            "customer_id": log["customer_id"].to_pylist(),
            "purchase_intent": score,
            "decided_at": log["event_time"].cast(pa.int64()).to_numpy(),
            "action": np.where(kinds == "add_to_cart", "remind_of_cart", "recommend_items"),
        }
    )
    first = frame[(score > least) & (kinds != "purchase")].drop_duplicates("customer_id", ignore_index=True)
    held = np.array(
        [xxh3_64_intdigest(f"{experiment}\0{c}".encode()) < share * 2**64 for c in first["customer_id"]]
    )
    high = first["purchase_intent"] > 0.1
    table = first.drop(columns="event_id").assign(
        action_id="a-" + first["event_id"],
        trigger="rule_holds",
        band=np.where(high, "high", "medium"),
        segment=np.where(first["customer_id"].str[-1] < "5", "visitors", "buyers"),
        arm=np.where(held, "holdout", "treatment"),
        experiment=experiment,
    )
    return pa.Table.from_pandas(table, preserve_index=False)


def write_lines(path: Path, actions: pa.Table) -> Path:
    """Write actions as the topic's values, one a line."""
    rows = [{**row, "segment": {"id": 0, "name": row["segment"]}} for row in actions.to_pylist()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
