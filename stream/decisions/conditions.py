"""What a rule asks of a customer, and which scores of a batch meet it: one vectorised comparison a condition.

Every condition of a rule is a set of words (bands, segments, channels, reasons) or a range of numbers (the intent, a
feature). Sets and ranges can be compared, so that a rule that can never come to its turn is found.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from features.bundle import BANDS
from features.durations import parse_duration
from features.events import CHANNELS
from features.exceptions import InvalidDuration
from features.vector import COLUMN_NAMES, COLUMNS, NEVER_S, Vectors
from stream.messages.score import ReasonRef

#: The conditions that are no features.
BAND, INTENT, SEGMENT, CHANNEL, REASONS = "band", "intent", "segment", "channel", "reasons"

# Names that marketing would use, of features that are called otherwise.
_ALIASES: Final = {"cart_items": "cart_quantity", "time_since_purchase": "since_purchase"}
_UNITS: Final = {column.name: column.unit for column in COLUMNS if column.name != SEGMENT}
_AT: Final = {name: at for at, name in enumerate(COLUMN_NAMES)}

_COMPARISON: Final = re.compile(r"(at least|at most|more than|less than|>=|<=|>|<|=)\s*(\S+)")
_BETWEEN: Final = re.compile(r"between\s+(\S+)\s+and\s+(\S+)")
_HOW: Final = "use a number, or a text such as `at least 3`, `less than 30m` or `between 1 and 5`"

#: Columns of vectors by name, each in one piece: a column of a batch of vectors lies scattered in memory.
Features: TypeAlias = Mapping[str, NDArray[np.float32]]
Fail: TypeAlias = Callable[[str], NoReturn]


class Range(NamedTuple):
    """Numbers from ``low`` to ``high``; an open end does not belong to it."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    @property
    def empty(self) -> bool:
        """Whether no number is in it."""
        return self.low > self.high or (self.low == self.high and (self.low_open or self.high_open))

    def and_(self, other: Range) -> Range:
        """Return the numbers that are in both."""
        low, low_open = max((self.low, self.low_open), (other.low, other.low_open))
        high, high_closed = min((self.high, not self.high_open), (other.high, not other.high_open))
        return Range(low, high, low_open, not high_closed)

    def covers(self, other: Range) -> bool:
        """Return whether all numbers of the other one are in this one."""
        return self.and_(other) == other

    def holds(self, values: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        """Return which values are in it; what is no number never is."""
        held = np.ones(len(values), np.bool_)
        if self.low > -math.inf:
            held &= values > self.low if self.low_open else values >= self.low
        if self.high < math.inf:
            held &= values < self.high if self.high_open else values <= self.high
        return held


class ScoredRows(NamedTuple):
    """The scores that conditions look at; ``reasons`` are those of each score, ``None`` where scores carry none."""

    vectors: Vectors
    probability: NDArray[np.float64]
    segment: NDArray[np.int64]
    reasons: Sequence[Sequence[ReasonRef]] | None = None


def features_of(vectors: Vectors, names: Collection[str]) -> Features:
    """Return some columns of vectors."""
    wanted = sorted(set(names))
    return {name: vectors[:, _AT[name]].copy() for name in wanted}


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

    @property
    def features(self) -> list[str]:
        """The names of the features that are looked at."""
        channels = [f"channel_{name}" for name in CHANNELS] if CHANNEL in self.words else []
        return [name for name in self.ranges if name != INTENT] + channels

    def hold(self, rows: ScoredRows, features: Features, segments: Sequence[str]) -> NDArray[np.bool_]:
        """Return which scores meet all conditions but that of the band.

        Parameters
        ----------
        features
            At least those that `features` names.
        segments
            The names of the bundle's segments, in the order of their ids.
        """
        held = np.ones(len(rows.vectors), np.bool_)
        for name, found in self.ranges.items():
            held &= found.holds(rows.probability if name == INTENT else features[name])
        if SEGMENT in self.words:
            named = self.words[SEGMENT]
            held &= np.array([name in named or str(at) in named for at, name in enumerate(segments)])[
                rows.segment
            ]
        if CHANNEL in self.words:
            held &= _channels(features, self.words[CHANNEL])
        if REASONS in self.words:
            held &= _reasons(rows, self.words[REASONS])
        return held


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
        elif name in {SEGMENT, REASONS}:
            words[name] = _words(value, fail(given), name, None)
        elif name == INTENT or name in _UNITS:
            ranges[name] = _range(value, _UNITS.get(name, "1"), fail(given))
            if name == INTENT and not Range(0.0, 1.0).and_(ranges[name]).covers(ranges[name]):
                bounds = [end for end in ranges[name][:2] if math.isfinite(end)]
                if any(not 0.0 <= end <= 1.0 for end in bounds):
                    fail(given)(f"{value!r} is beyond a probability; use numbers from 0 to 1")
        else:
            _unknown(given, fail(given))
    return Conditions(words, ranges)


def _unknown(name: str, fail: Fail) -> NoReturn:
    known = [BAND, INTENT, SEGMENT, CHANNEL, REASONS, *_ALIASES, *_UNITS]
    near = get_close_matches(name, known, 1)
    meant = f"did you mean {near[0]}?" if near else "use "
    rest = "" if near else f"{', '.join(known[:5])}, or a feature of `intent features`"
    fail(f"there is no condition {name!r}; {meant}{rest}")


def _words(value: Any, fail: Fail, what: str, allowed: Sequence[str] | None) -> frozenset[str]:
    words = value if isinstance(value, list) else [value]
    if not words or any(isinstance(word, bool) or not isinstance(word, (str, int)) for word in words):
        fail(f"{value!r} is no {what}; name one, or several: [a, b]")
    named = [str(word) for word in words]
    for word in named:
        if allowed is not None and word not in allowed:
            fail(f"{word!r} is no {what}; use {', '.join(allowed)}")
    return frozenset(named)


def _range(value: Any, unit: str, fail: Fail) -> Range:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        fail(f"{value!r} is no number; {_HOW}")
    if not isinstance(value, str):
        return Range(float(value), float(value))
    text = value.strip()
    if text == "never" and unit == "s":
        return Range(NEVER_S, math.inf)
    if match := _BETWEEN.fullmatch(text):
        found = Range(_number(match[1], unit, fail), _number(match[2], unit, fail))
    else:
        found = Range()
        for part in text.split(" and "):
            comparison = _COMPARISON.fullmatch(part.strip())
            if comparison is None and part is not text:
                fail(f"{value!r} cannot be understood; {_HOW}")
            sign, number = comparison.groups() if comparison else ("=", text)
            found = found.and_(_compared(sign, _number(number, unit, fail)))
    if found.empty:
        fail(f"no number is {value!r}; {_HOW}")
    return found


def _compared(sign: str, number: float) -> Range:
    match sign:
        case "at least" | ">=":
            return Range(low=number)
        case "more than" | ">":
            return Range(low=number, low_open=True)
        case "at most" | "<=":
            return Range(high=number)
        case "less than" | "<":
            return Range(high=number, high_open=True)
        case _:
            return Range(number, number)


def _number(text: str, unit: str, fail: Fail) -> float:
    """Return a number; of a feature in seconds also a duration."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
        if unit == "s":
            try:
                number = parse_duration(text).total_seconds()
            except InvalidDuration as error:
                fail(str(error))
    if not math.isfinite(number):
        fail(f"{text!r} is no number; {_HOW}")
    return number


def _channels(features: Features, named: frozenset[str]) -> NDArray[np.bool_]:
    """Return whose main channel, the one of most events, is among the named ones."""
    shares = np.array([features[f"channel_{name}"] for name in CHANNELS])
    wanted = np.array([name in named for name in CHANNELS])
    main: NDArray[np.bool_] = wanted[shares.argmax(axis=0)] & (shares.max(axis=0) > 0)
    return main


def _reasons(rows: ScoredRows, named: frozenset[str]) -> NDArray[np.bool_]:
    """Return which scores have one of the named reasons; none where scores carry no reasons."""
    if rows.reasons is None:
        return np.zeros(len(rows.vectors), np.bool_)
    return np.fromiter(
        (any(reason.feature in named for reason in reasons) for reasons in rows.reasons),
        np.bool_,
        len(rows.vectors),
    )
