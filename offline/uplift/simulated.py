"""The effect that is measured on simulated customers, beside the true one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from offline.simulator.answers import AnswerParameters, Truth, answers, merged, true_effect
from offline.uplift.analysis import Uplift, measure
from offline.uplift.outcomes import payments


class Trial(NamedTuple):
    """What was measured, and the truth about the customers who were compared; ``None`` where nobody was."""

    uplift: Uplift
    truth: Truth | None


def trial(
    log: pa.Table,
    actions: pa.Table,
    parameters: AnswerParameters,
    window_ms: int,
    shares: Mapping[str, float],
) -> Trial:
    """Let simulated customers answer the actions that were sent to them, and measure what that brought.

    Parameters
    ----------
    log
        A simulated log, without answers.
    actions
        Has `offline.uplift.assignment.ACTION_COLUMNS`.
    parameters
        How customers answer.
    window_ms
        In which purchases count, after a customer's first action.
    shares
        The share that is held out, by version of the experiment.
    """
    end = int(pc.max(log["event_time"].cast(pa.int64())).as_py())
    found = answers(actions, parameters, end=end)
    paid = payments(merged(log, found.log), parameters.currency)
    uplift = measure(actions.to_pandas(), paid, window_ms, shares, by=())
    compared = uplift.outcomes.customers
    if uplift.failed or not len(compared):
        return Trial(uplift, None)
    alone = payments(log, parameters.currency).frame
    customers, assigned_at = compared["customer_id"].tolist(), compared["decided_at"].to_numpy()
    return Trial(uplift, true_effect(customers, assigned_at, alone, found.would, window_ms))
