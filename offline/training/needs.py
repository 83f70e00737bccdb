"""How much a log must hold so that it can be trained on: the numbers, and the words for them."""

from __future__ import annotations

from typing import Final

#: Shares of the usable time that go to training, calibration and test.
SPLIT_SHARES: Final = (0.7, 0.1, 0.2)
#: Positive examples of each slice, and negative ones, at least.
LEAST: Final = 10
#: Without so many, no split can be enough.
LEAST_EVENTS: Final = len(SPLIT_SHARES) * 2 * LEAST
LEAST_PURCHASES: Final = len(SPLIT_SHARES)
#: Segments need so many different ones in the training period.
LEAST_CUSTOMERS: Final = 20
#: From so many purchases on, spread evenly over time, the smallest slice has enough of them.
USUAL_PURCHASES: Final = round(LEAST / min(SPLIT_SHARES))


def can_be_enough(events: int, purchases: int) -> bool:
    """Whether some split could be enough; folding tells whether it is."""
    return events >= LEAST_EVENTS and purchases >= LEAST_PURCHASES


def is_usually_enough(events: int, customers: int, purchases: int) -> bool:
    """Whether a log of this size can be trained on as a rule; a horizon of days may need more."""
    return events >= LEAST_EVENTS and customers >= LEAST_CUSTOMERS and purchases >= USUAL_PURCHASES


def needs() -> str:
    """Return what is needed, as a sentence without its end."""
    return (
        f"training, calibration and test need {LEAST} positive and {LEAST} negative examples each, as a rule from "
        f"{USUAL_PURCHASES} purchases or more; {LEAST_EVENTS} events, {LEAST_PURCHASES} purchases and "
        f"{LEAST_CUSTOMERS} customers at the very least"
    )
