"""Whose events are a customer's: those of machines and of the shop's own people are told apart.

An event is of a machine if it says so itself (`features.events.Event.bot`), or if a rule holds. Rules look at the same
columns as models do, and so at event time: what the customer's history was as of the event. The shop's own people
are known by their ids alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.range_table import RangeTable
from features.ranges import parse_range
from features.vector import COLUMNS, SEGMENT_AT, Vectors

#: Whose an event is, in the order of the codes.
TRAFFIC: Final = ("customer", "bot", "staff")
CUSTOMER, BOT, STAFF = range(len(TRAFFIC))

#: Columns that a rule may ask for, and their units. What a bundle makes of a customer is none of them.
UNITS: Final = {column.name: column.unit for at, column in enumerate(COLUMNS) if at != SEGMENT_AT}


class BotRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An event is of a machine if all conditions hold: ranges of columns, as `features.ranges` reads them."""

    name: str
    when: dict[str, Any]


#: The rules where a shop has none of its own. What people do stays far below: of 12,330 real sessions (Online Shoppers
#: Purchasing Intention) none has more than 705 views of products, and none with 30 of them has more than 9 a minute.
DEFAULT_BOTS: Final = (
    BotRule("reads fast", {"view_item_1m": "at least 30"}),
    BotRule("reads steadily", {"view_item_10m": "at least 150"}),
    BotRule("reads for hours", {"session_view_item": "at least 800"}),
    BotRule("reads day and night", {"view_item_1d": "at least 1000", "purchases": 0}),
    BotRule("never pauses", {"session_age": "at least 24h", "purchases": 0}),
    BotRule("fills carts", {"add_to_cart_3m": "at least 40", "purchases": 0}),
    BotRule("fills carts for long", {"session_add_to_cart": "at least 100", "purchases": 0}),
)


def apart_sentences(apart: int, events: int) -> list[str]:
    """Say how many events of a log are no customer's; of none nothing is said.

    Examples
    --------
    >>> print(*apart_sentences(3, 5_000))
    3 of 5,000 events are no customer's, but of machines or of the shop's own people: nothing is learned from them.
    """
    if not apart:
        return []
    are, them = ("is", "it") if apart == 1 else ("are", "them")
    return [
        f"{apart:,} of {events:,} events {are} no customer's, but of machines or of the shop's own people: nothing is "
        f"learned from {them}."
    ]


def rules_differ(ours: Sequence[BotRule], others: Sequence[BotRule]) -> list[str]:
    """Return the names of our rules that the others are without: no rule there asks for the same.

    Examples
    --------
    >>> rules_differ(DEFAULT_BOTS[:2], DEFAULT_BOTS[1:])
    ['reads fast']
    """
    asked = [rule.when for rule in others]
    return [rule.name for rule in ours if rule.when not in asked]


@dataclass(frozen=True, slots=True)
class BotRules:
    """Rules, ready to be asked.

    Parameters
    ----------
    table
        The ranges of columns that each rule asks for.
    """

    table: RangeTable

    @classmethod
    def of(cls, rules: Sequence[BotRule]) -> Self:
        """Return rules as they are asked.

        Raises
        ------
        ValueError
            A condition is none, or asks for no column; the first argument of the error says which.
        """
        ranges = [
            {name: parse_range(found, UNITS[name]) for name, found in rule.when.items()} for rule in rules
        ]
        return cls(RangeTable.of(ranges))

    def hold(self, vectors: Vectors) -> NDArray[np.bool_]:
        """Return for which events any rule holds."""
        found: NDArray[np.bool_] = self.table.held(vectors) != 0
        return found

    def traffic(
        self, vectors: Vectors, bot: NDArray[np.bool_], staff: NDArray[np.bool_] | None = None
    ) -> NDArray[np.uint8]:
        """Return whose each event is, as a code of `TRAFFIC`.

        Parameters
        ----------
        vectors
            The model's input as of each event.
        bot
            Which events say themselves that they are a machine's.
        staff
            Which are of the shop's own people; ``None``: none.
        """
        found = np.where(bot | self.hold(vectors), BOT, CUSTOMER).astype(np.uint8)
        if staff is not None:
            found[staff] = STAFF
        return found
