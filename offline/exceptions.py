"""Errors that a user of the offline jobs can cause.

::

    features.exceptions.IntentError
    └── TrainingError      nothing can be learned from this log with these settings
        └── MissingExtra   a package that only training needs is not installed

Loaders raise `offline.datasets.conversion.DatasetError`, the simulator `offline.shop.ParameterError`.
"""

from features.exceptions import IntentError


class TrainingError(IntentError):
    """Nothing can be learned from this log with these settings."""


class MissingExtra(TrainingError):
    """A package that only training needs is not installed."""

    def __init__(self, package: str) -> None:
        super().__init__(f"{package} is not installed: pip install 'purchase-intent[train]'")
