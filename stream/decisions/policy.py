"""What a policy says, whatever the bundle; `stream.decisions.rulebook` makes of it what scores are held against.

A file is read by `stream.decisions.policy_file`.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Final, Literal, NoReturn

import msgspec

from features.durations import duration_ms, parse_duration
from features.exceptions import InvalidDuration
from features.traffic import BotRule
from stream.decisions.conditions import Conditions, conditions_of
from stream.decisions.holdout import DEFAULT_SALT
from stream.decisions.lines import CART, WISHLIST
from stream.decisions.memory import REMEMBERED
from stream.decisions.tables import MAX_RULES
from stream.decisions.traffic import Traffic
from stream.messages.action import Trigger

#: The longest window of a cap, and the longest silence; memory is not kept for longer than a silent state.
MAX_DAYS: Final = 400

#: Triggers that wait for a silence, with the silence they wait for by default; ``None``: the rule has to say.
SILENCES: Final[dict[Trigger, timedelta | None]] = {
    "cart_abandoned": timedelta(minutes=30),
    "checkout_abandoned": timedelta(minutes=30),
    "session_ended": timedelta(minutes=30),
    "win_back": None,
}
#: The trigger that compares carts and wish lists with prices.
PRICE_DROPPED: Final = "price_dropped"

#: What a rule may look at alone, as bits of the lines that are compared.
LINES_OF: Final = {"cart": CART, "wishlist": WISHLIST}

_LEAST_DROP: Final = "5%"
_COMPARED_EVERY: Final = "1h"

_HUNDRED: Final = 100
_PERCENT: Final = re.compile(r"([0-9]{1,2}(?:\.[0-9]{1,3})?) ?%")
_CAP: Final = re.compile(r"([0-9]+) per (\S+)")

Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]
QuietMode = Literal["wait", "drop"]


class Bounds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The intent at which a customer enters a band, and the lower one at which they leave it."""

    enter: Probability | None = None
    leave: Probability | None = None


class Quiet(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """When nothing is sent, in the shop's time zone; ``then`` says what becomes of what would have been."""

    from_: str | None = None
    to: str | None = None
    weekdays: list[str] = []
    then: QuietMode = "wait"


class Holdout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is left alone; the share is that of the settings where the file names none."""

    share: Probability | None = None
    managed: Probability = 0.0
    salt: str = DEFAULT_SALT
    version: str | int | float = "1"


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one action may be, instead of what holds for all: ``caps`` such as ``3 per 7d``."""

    caps: list[str] | None = None
    cooldown: str | None = None
    expires: str | None = None


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be done, when."""

    name: str
    action: str
    when: dict[str, Any] = {}
    trigger: str = "rule_holds"
    after: str | None = None
    by: str | int | float | None = None
    every: str | None = None
    of: Literal["cart", "wishlist"] | msgspec.UnsetType = (
        msgspec.UNSET
    )  # so that versions are as before it was
    offer: str | None = None
    priority: int = 0
    expires: str | None = None
    quiet: Literal["wait", "drop", "ignore"] | None = None


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a file says."""

    version: str | int | float
    rules: Annotated[list[Rule], msgspec.Meta(min_length=1, max_length=MAX_RULES)]
    timezone: str | None = None
    bands: dict[Literal["medium", "high"], Bounds] = {}
    caps: list[str] = []
    cooldown: str | None = None
    total: Limits = Limits()
    actions: dict[str, Limits] = {}
    quiet: Quiet | None = None
    holdout: Holdout = Holdout()
    expires: str = "2h"
    traffic: Traffic = Traffic()

    @property
    def ordered(self) -> list[Rule]:
        """The rules by priority, the highest first; of equal ones the first in the file."""
        return sorted(self.rules, key=lambda rule: -rule.priority)

    def conditions(self, rule: Rule) -> Conditions:
        """Return what a rule asks."""
        return conditions_of(rule.when, lambda _: _impossible)

    @property
    def bots(self) -> tuple[BotRule, ...]:
        """The rules by which a machine is known."""
        return tuple(self.traffic.bots)

    def silence_ms(self, rule: Rule) -> int:
        """Return how long a customer must be silent for a rule, 0 where it waits for none."""
        if rule.after is not None:
            return duration_ms(parse_duration(rule.after))
        default = SILENCES.get(rule.trigger)  # type: ignore[call-overload]
        return 0 if default is None else duration_ms(default)

    def least_drop(self, rule: Rule) -> float:
        """Return by which part a price has to drop for a rule, 0 where it asks for no price."""
        return parse_percent(rule.by or _LEAST_DROP) if rule.trigger == PRICE_DROPPED else 0.0

    def lines(self, rule: Rule) -> int:
        """Return which lines a rule looks at the prices of, as bits."""
        return CART | WISHLIST if rule.of is msgspec.UNSET else LINES_OF[rule.of]

    @property
    def compared_every_ms(self) -> int:
        """How often carts and wish lists are compared with prices."""
        said = (rule.every for rule in self.rules if rule.every is not None)
        return duration_ms(parse_duration(next(said, _COMPARED_EVERY)))

    def expires_ms(self, rule: Rule) -> int:
        """Return how long an action of a rule may be carried out."""
        limits = self.actions.get(rule.action, Limits())
        return duration_ms(parse_duration(rule.expires or limits.expires or self.expires))

    def caps_of(self, action: str) -> list[tuple[int, int]]:
        """Return the caps of an action as counts and windows (ms); a cool-down is one per its length."""
        limits = self.actions.get(action, Limits())
        caps = self.caps if limits.caps is None else limits.caps
        return _windows(caps, limits.cooldown or self.cooldown)

    def total_caps(self) -> list[tuple[int, int]]:
        """Return the caps of all actions together, as counts and windows (ms)."""
        return _windows(self.total.caps or [], self.total.cooldown)


def parse_cap(text: str) -> tuple[int, int]:
    """Return the count and the window (ms) of a cap.

    Raises
    ------
    ValueError
        It is none, or is out of range.

    Examples
    --------
    >>> parse_cap("3 per 7d")
    (3, 604800000)
    """
    match = _CAP.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no cap; write it as `3 per 7d`")
    count, window = int(match[1]), checked_duration(match[2])
    if not 1 <= count <= REMEMBERED:
        raise ValueError(f"{count} is out of range for a cap; use 1 to {REMEMBERED}")
    return count, duration_ms(window)


def parse_percent(text: str | float) -> float:
    """Return the part of the whole that a percentage is.

    Raises
    ------
    ValueError
        It is none, or is out of range.

    Examples
    --------
    >>> parse_percent("12.5%")
    0.125
    """
    match = _PERCENT.fullmatch(str(text).strip())
    if match is None or not float(match[1]):
        raise ValueError(f"{text!r} is no percentage from 0.001% to 99.999%; write it as 10%")
    return float(match[1]) / _HUNDRED


def _windows(caps: list[str], cooldown: str | None) -> list[tuple[int, int]]:
    found = [parse_cap(text) for text in caps]
    return found if cooldown is None else [*found, (1, duration_ms(parse_duration(cooldown)))]


def _impossible(sentence: str) -> NoReturn:
    raise AssertionError(sentence)  # the file has been checked


def checked_duration(text: str) -> timedelta:
    """Return a duration that is no longer than `MAX_DAYS`; raise `ValueError` where it is none."""
    try:
        found = parse_duration(text)
    except InvalidDuration as error:
        raise ValueError(str(error)) from None
    if found > timedelta(days=MAX_DAYS):
        raise ValueError(f"{text!r} is too long; use at most {MAX_DAYS}d")
    return found
