"""How the online learner learns; every span of time is counted in horizons, the natural unit of delayed labels."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

ModelKind = Literal["newton", "river"]


class LearningSettings(Struct, frozen=True, kw_only=True):
    """What an `OnlineLearner` may be told. A half-life of 24 horizons is 12 hours at a horizon of 30 minutes.

    Attributes
    ----------
    model
        ``newton``: recursive-Newton logistic regressions with forgetting (`stream.learning.model.newton`), one per
        half-life.
        ``river``: River's standard scaling and logistic regression by gradient steps.
    half_lives
        Memory of each Newton model, horizons.
    deviation
        Prior standard deviation of a column's coefficient (standardised) around "the network is right". Small, since
        labels of one customer within a horizon are the same purchase: a thousand examples tell much less than that.
    logit_deviation
        Prior standard deviation of the intercept, and of what depends on the network's logit alone.
    kept_at_drift
        Share of what the Newton models remember that survives a change that the drift detector notices.
    learning_rate
        Of River's gradient steps, one per mini-batch; at .05 they diverge on the simulated shop.
    share_rate
        Share of the blend's weight that is spread over all its parts again, per horizon (fixed share).
    blend_rate
        Learning rate of the blend on summed log-loss. Below 1, since events of one customer share their outcome.
    recalibration_half_life
        Memory of the final calibration, horizons.
    recalibration_deviation
        Prior standard deviation of its intercept and slope around the identity.
    lateness_seconds
        How long after its time an event may arrive: a label is known at ``as_of`` + horizon + lateness.
    windows
        Horizon windows that the quality figures are kept for.
    psi_threshold
        Population stability index from which a column has drifted.
    """

    model: ModelKind = "newton"
    half_lives: tuple[float, ...] = (24.0, 384.0)
    deviation: float = 0.02
    logit_deviation: float = 0.3
    kept_at_drift: float = 0.0
    learning_rate: float = 0.01
    share_rate: float = 0.003
    blend_rate: float = 0.05
    recalibration_half_life: float = 48.0
    recalibration_deviation: float = 0.01
    lateness_seconds: float = 900.0
    windows: int = 48
    psi_threshold: float = 0.25
