"""Errors that a user of the offline jobs can cause.

::

    features.exceptions.IntentError
    ├── TrainingError   nothing can be learned from this log with these settings
    └── MissingExtra    a package that an extra installs is missing (`features.extras`)

Loaders raise `offline.datasets.conversion.DatasetError`, the simulator `offline.simulator.shop.ParameterError`.
"""

from features.exceptions import IntentError
from features.extras import MissingExtra

__all__ = ["MissingExtra", "TrainingError"]


class TrainingError(IntentError):
    """Nothing can be learned from this log with these settings."""
