"""Errors that a user of the offline jobs can cause.

::

    features.exceptions.IntentError
    └── TrainingError      nothing can be learned from this log with these settings
        └── MissingExtra   a package that only training, or only the lab, needs is not installed

Loaders raise `offline.datasets.conversion.DatasetError`, the simulator `offline.simulator.shop.ParameterError`.
"""

from typing import Final

from features.exceptions import IntentError


class TrainingError(IntentError):
    """Nothing can be learned from this log with these settings."""


_LAB: Final = frozenset(
    {"dask", "distributed", "implicit", "optuna", "shap", "statsforecast", "utilsforecast", "xgboost"}
)


class MissingExtra(TrainingError):
    """A package that only training, or only the lab, needs is not installed."""

    def __init__(self, package: str) -> None:
        extra = "lab" if package.split(".", maxsplit=1)[0].lower() in _LAB else "train"
        super().__init__(f"{package} is not installed: pip install 'purchase-intent[{extra}]'")
