"""What a rule asks of a customer; `stream.decisions.holding` finds which scores of a batch meet it.

Every condition of a rule is a set of words (bands, segments, channels, reasons) or a range of numbers (the intent, a
feature). Sets and ranges can be compared, so that a rule that can never come to its turn is found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias

from features.bundle import BANDS
from features.events import CHANNELS
from features.ranges import Range, parse_range
from features.reasons import GROUPS
from features.traffic import UNITS
from stream.texts import choices, nearest

#: The conditions that are no features.
BAND, INTENT, SEGMENT, CHANNEL, REASONS = "band", "intent", "segment", "channel", "reasons"

# Names that marketing would use, of features that are called otherwise.
_ALIASES: Final = {"cart_items": "cart_quantity", "time_since_purchase": "since_purchase"}

_REASONS: Final = tuple(group.key for group in GROUPS)

Fail: TypeAlias = Callable[[str], NoReturn]


class Conditions(NamedTuple):
    """All that one rule asks; what is not asked is absent."""

    words: Mapping[str, frozenset[str]] = {}
    ranges: Mapping[str, Range] = {}

    @property
    def bands(self) -> int:
        """The bands in which the rule may hold, as bits in the order of `BANDS`."""
        named = self.words.get(BAND, BANDS)
        return sum(1 << at for at, band in enumerate(BANDS) if band in named)

    def covers(self, other: Conditions) -> bool:
        """Return whether these hold wherever the other ones do."""
        return all(
            name in other.words and other.words[name] <= words for name, words in self.words.items()
        ) and all(
            name in other.ranges and found.covers(other.ranges[name]) for name, found in self.ranges.items()
        )


def conditions_of(when: Mapping[str, Any], fail: Callable[[str], Fail]) -> Conditions:
    """Return the conditions that a rule's ``when`` names.

    Parameters
    ----------
    fail
        Makes, of the name of a condition, what raises the error for a sentence about it.
    """
    words: dict[str, frozenset[str]] = {}
    ranges: dict[str, Range] = {}
    for given, value in when.items():
        name = _ALIASES.get(given, given)
        if name in words or name in ranges:
            fail(given)(f"{given} and {name} are the same; keep one of them")
        if name in {BAND, CHANNEL}:
            words[name] = _words(value, fail(given), name, BANDS if name == BAND else CHANNELS)
        elif name == SEGMENT:
            words[name] = _words(value, fail(given), name, None)
        elif name == REASONS:
            words[name] = _words(value, fail(given), "reason", _REASONS)
        elif name == INTENT or name in UNITS:
            ranges[name] = _range(value, UNITS.get(name, "1"), fail(given))
            if name == INTENT and not Range(0.0, 1.0).and_(ranges[name]).covers(ranges[name]):
                bounds = [end for end in ranges[name][:2] if math.isfinite(end)]
                if any(not 0.0 <= end <= 1.0 for end in bounds):
                    fail(given)(f"{value!r} is beyond a probability; use numbers from 0 to 1")
        else:
            _unknown(given, fail(given))
    return Conditions(words, ranges)


def _unknown(name: str, fail: Fail) -> NoReturn:
    known = [BAND, INTENT, SEGMENT, CHANNEL, REASONS, *_ALIASES, *UNITS]
    near = nearest(name, known)
    meant = (
        f"did you mean {near}?" if near else f"use {', '.join(known[:5])}, or a feature of `intent features`"
    )
    fail(f"there is no condition {name!r}; {meant}")


def _words(value: Any, fail: Fail, what: str, allowed: Sequence[str] | None) -> frozenset[str]:
    words = value if isinstance(value, list) else [value]
    if not words or any(isinstance(word, bool) or not isinstance(word, (str, int)) for word in words):
        fail(f"{value!r} is no {what}; name one, or several: [a, b]")
    named = [str(word) for word in words]
    for word in named:
        if allowed is not None and word not in allowed:
            fail(f"{word!r} is no {what}; {choices(word, allowed)}")
    return frozenset(named)


def _range(value: Any, unit: str, fail: Fail) -> Range:
    try:
        return parse_range(value, unit)
    except ValueError as error:
        fail(str(error))
