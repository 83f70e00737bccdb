"""Errors that a user of the offline jobs can cause.

::

    features.exceptions.IntentError
    ├── TrainingError   nothing can be learned from this log with these settings
    │   └── OneOutcome  all that is known turned out alike
    └── MissingExtra    a package that an extra installs is missing (`features.extras`)

Loaders raise `offline.datasets.conversion.DatasetError`, the simulator `offline.simulator.shop.ParameterError`.
"""

from features.exceptions import IntentError
from features.extras import MissingExtra

__all__ = ["MissingExtra", "OneOutcome", "TrainingError"]


class TrainingError(IntentError):
    """Nothing can be learned from this log with these settings."""


class OneOutcome(TrainingError):
    """All that is known turned out alike, or nothing is known yet: there are no two groups to tell apart."""
