"""Public data sets whose documentation says what their columns alone do not show.

A data set is recognised by names of its columns. A row is added for each data set that is to be known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple


class KnownDataset(NamedTuple):
    """A public data set.

    Attributes
    ----------
    name
        Its name, and where it is described.
    columns
        Columns that, together, no other data set is likely to have.
    leaks
        By column that is a consequence of the target: the reason.
    """

    name: str
    columns: frozenset[str]
    leaks: Mapping[str, str]


KNOWN_DATASETS: Final = (
    KnownDataset(
        name="Online Shoppers Purchasing Intention, UCI, doi 10.24432/C5F88Q",
        columns=frozenset({"BounceRates", "ExitRates", "PageValues"}),
        leaks={"PageValues": "the analytics tool computes it from the transactions that the pages led to"},
    ),
)


def known_leaks(columns: Iterable[str]) -> dict[str, str]:
    """Return the columns that are known to be consequences of the target, each with the reason.

    Examples
    --------
    >>> list(known_leaks(["BounceRates", "ExitRates", "PageValues", "Month"])), known_leaks(["PageValues"])
    (['PageValues'], {})
    """
    there = set(columns)
    return {
        column: reason
        for known in KNOWN_DATASETS
        if known.columns <= there
        for column, reason in known.leaks.items()
    }
