"""The alert: what the learner says when customers no longer behave as in training."""

from __future__ import annotations

from typing import Literal

import msgspec


class Drifted(msgspec.Struct, frozen=True):
    """What drifted: a column with its population stability index, or the log-loss with its rise, in nats."""

    name: str
    value: float


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """The beginning of a drift episode.

    Attributes
    ----------
    kind
        ``log_loss``: the network errs more than it expects. ``population``: columns are distributed otherwise than in
        training.
    since, as_of
        From when on, and what the learner had seen when it noticed; event time, epoch ms.
    drifted
        What did, the most first.
    bundle
        Version of the bundle that the reference is.
    """

    kind: Literal["log_loss", "population"]
    since: int
    as_of: int
    drifted: list[Drifted]
    bundle: str
