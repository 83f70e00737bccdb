"""How simulated customers answer actions: with a known effect, so that a measured one has a truth to be held against.

Whether a customer answers an action, when, and with how large an order, is drawn from a hash of customer and action,
and of nothing else. So it is known of everybody what would have happened in the other arm, and the effect on these very
customers can be counted instead of estimated. Only who is in the treatment does answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from features.log import LOG_SCHEMA
from offline.simulator.shop import ParameterError
from offline.simulator.simulation import METADATA_KEY

_TREATMENT: Final = "treatment"
_SALT: Final = "answer"
_WEEK_MS: Final = 604_800_000


class AnswerParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How customers answer.

    Attributes
    ----------
    effects
        Probability of an extra order by action; of actions that are not named, ``effect``.
    effect
        See there.
    delay_ms
        Mean time from an action to its order, milliseconds; times are exponential, and at most a week.
    order_value, spread
        Median value of an order, and standard deviation of its logarithm.
    currency
        Of the orders.
    seed
        The same one gives the same answers.
    """

    effects: dict[str, float] = {}
    effect: float = 0.05
    delay_ms: int = 6 * 3_600_000
    order_value: float = 40.0
    spread: float = 0.7
    currency: str = "EUR"
    seed: int = 1

    def __post_init__(self) -> None:
        """Check the values."""
        for name, value in {**self.effects, "effect": self.effect}.items():
            if not 0 <= value <= 1:
                raise ParameterError(f"the effect of {name} must be between 0 and 1, not {value}")
        for name in ("delay_ms", "order_value", "spread"):
            if not getattr(self, name) > 0:
                raise ParameterError(f"{name} must be above 0, not {getattr(self, name)}")

    @classmethod
    def load(cls, path: str | Path) -> AnswerParameters:
        """Read a JSON file; what it does not name keeps its default.

        Raises
        ------
        ParameterError
            It cannot be read, or a value is impossible.
        """
        try:
            return msgspec.json.decode(Path(path).read_bytes(), type=cls)
        except (OSError, msgspec.DecodeError, ParameterError) as error:
            raise ParameterError(f"{path}: {error}") from None


class Answers(NamedTuple):
    """What customers answer.

    Attributes
    ----------
    log
        The extra orders of the treated, an event log in order of event time.
    would
        The order that each action brings or would bring, whatever the arm: ``customer_id``, ``time`` (epoch ms),
        ``money``, by time.
    """

    log: pa.Table
    would: pd.DataFrame


def answers(actions: pa.Table, parameters: AnswerParameters, *, end: int | None = None) -> Answers:
    """Let customers answer actions.

    Parameters
    ----------
    actions
        Has ``action_id``, ``customer_id``, ``action``, ``decided_at`` (epoch ms) and ``arm``. An action that comes
        again with its id is answered once.
    end
        Orders after it (epoch ms) are left out: the log that they are merged with ends there.
    """
    frame = actions.select(["action_id", "customer_id", "action", "decided_at", "arm"]).to_pandas()
    frame = frame.drop_duplicates("action_id", ignore_index=True)
    keys = [
        f"{customer}\0{action}"
        for customer, action in zip(frame["customer_id"], frame["action_id"], strict=True)
    ]
    chance = frame["action"].map(parameters.effects).fillna(parameters.effect).to_numpy(np.float64)
    answered = _uniform(parameters.seed, "whether", keys) < chance
    delay = np.minimum(-parameters.delay_ms * np.log(_uniform(parameters.seed, "when", keys)), _WEEK_MS)
    normal = np.sqrt(-2 * np.log(_uniform(parameters.seed, "radius", keys))) * np.cos(
        2 * np.pi * _uniform(parameters.seed, "angle", keys)
    )
    would = frame.assign(
        time=frame["decided_at"].to_numpy(np.int64) + 1 + delay.astype(np.int64),
        money=np.round(np.maximum(parameters.order_value * np.exp(parameters.spread * normal), 0.01), 2),
    )[answered]
    if end is not None:
        would = would[would["time"] <= end]
    would = would.sort_values(["time", "action_id"], ignore_index=True)
    return Answers(
        _orders(would[would["arm"] == _TREATMENT], parameters), would[["customer_id", "time", "money"]].copy()
    )


def merged(log: pa.Table, extra: pa.Table) -> pa.Table:
    """Return a log with the answers in it, in order of arrival.

    The exact probabilities of a simulated log hold no longer, so it no longer says how it was simulated.
    """
    metadata = {
        key: value for key, value in (log.schema.metadata or {}).items() if key != METADATA_KEY.encode()
    }
    both = pa.concat_tables([log.replace_schema_metadata(None), extra.replace_schema_metadata(None)])
    order = np.argsort(both["arrived_at"].cast(pa.int64()).to_numpy(), kind="stable")
    return both.take(order).replace_schema_metadata(metadata)


class Truth(NamedTuple):
    """The effect on the customers who were compared, counted.

    Attributes
    ----------
    treated, held_out
        Share that buys within the window if contacted, and if not.
    revenue_treated, revenue_held_out
        Money per customer within the window.
    """

    treated: float
    held_out: float
    revenue_treated: float
    revenue_held_out: float

    @property
    def lift(self) -> float:
        """How many more buy, relative to those who are left alone."""
        return self.treated / self.held_out - 1 if self.held_out else float("inf")


def true_effect(
    customers: Sequence[str],
    assigned_at: NDArray[np.int64],
    orders: pd.DataFrame,
    would: pd.DataFrame,
    window_ms: int,
) -> Truth:
    """Count both outcomes of every customer.

    Parameters
    ----------
    customers, assigned_at
        Who is compared, and when each was assigned (epoch ms), in any arm.
    orders
        What they bought without an answer: ``customer_id``, ``time``, ``money`` (of refunds negative).
    would
        `Answers.would`.
    window_ms
        How long after the assignment an order counts.
    """
    alone, money_alone = _within(customers, assigned_at, orders, window_ms)
    answered, money_answered = _within(customers, assigned_at, would, window_ms)
    return Truth(
        float((alone | answered).mean()),
        float(alone.mean()),
        float((money_alone + money_answered).mean()),
        float(money_alone.mean()),
    )


def _within(
    customers: Sequence[str], assigned_at: NDArray[np.int64], orders: pd.DataFrame, window_ms: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    who = pd.DataFrame(
        {"customer_id": list(customers), "at": assigned_at, "row": np.arange(len(assigned_at))}
    )
    found = orders.merge(who, on="customer_id")
    found = found[(found["time"] > found["at"]) & (found["time"] <= found["at"] + window_ms)]
    bought = np.zeros(len(who), bool)
    bought[found.loc[found["money"] >= 0, "row"]] = True
    money = np.bincount(found["row"], found["money"].to_numpy(np.float64), len(who))
    return bought, money.astype(np.float64)


def _orders(made: pd.DataFrame, parameters: AnswerParameters) -> pa.Table:
    times = pa.array(made["time"].to_numpy(np.int64)).cast(LOG_SCHEMA.field("event_time").type)
    ids = pc.binary_join_element_wise(pa.array(made["action_id"], pa.string()), "answer", "-")
    columns = {
        "event_id": ids,
        "type": pa.repeat("purchase", len(made)).cast(pa.string()),
        "customer_id": pa.array(made["customer_id"], pa.string()),
        "event_time": times,
        "value": pa.array(made["money"], pa.float64()),
        "currency": pa.repeat(parameters.currency, len(made)).cast(pa.string()),
        "order_id": ids,
        "arrived_at": times,
    }
    return pa.table(
        [columns.get(field.name, pa.nulls(len(made), field.type)) for field in LOG_SCHEMA], schema=LOG_SCHEMA
    )


def _uniform(seed: int, what: str, keys: list[str]) -> NDArray[np.float64]:
    """Return numbers in (0, 1) from hashes."""
    prefix = f"{_SALT}\0{seed}\0{what}\0"
    hashes = np.fromiter((xxh3_64_intdigest((prefix + key).encode()) for key in keys), np.uint64, len(keys))
    return ((hashes >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53
