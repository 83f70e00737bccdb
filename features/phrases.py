"""Phrases about one number of a customer's own: which of several is said of a vector, and how it reads.

A topic has phrases in order, and the first that holds is said. Which one that is, and with which number, is found for a
whole batch in compiled code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from features.compiled import kernel
from features.counts import counted
from features.vector import COLUMN_NAMES, Vectors

_AT: Final = {name: at for at, name in enumerate(COLUMN_NAMES)}
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

#: Units of time: seconds in one, from how many seconds on it is used, and its name.
UNITS: Final = ((86_400, 36 * 3_600, "day"), (3_600, 5_400, "hour"), (60, 90, "minute"), (1, 0, "second"))
_UNIT_SECONDS: Final = np.array([size for size, _, _ in UNITS], np.float64)
_UNIT_FROM: Final = np.array([least - 0.5 for _, least, _ in UNITS], np.float64)

_WHOLE_FROM: Final = 1000  # larger quantities are said without a decimal
_MOST: Final = 1e15  # larger numbers, in tenths, are said as this
_KEPT: Final = 1 << 14  # sayings that a book keeps; their numbers are rounded, so they come again


class Measure(IntEnum):
    """How a phrase's number comes from its columns."""

    GIVEN = 0  # the phrase has it
    COUNT = 1  # rounded
    LESSER = 2  # the smaller of two counts
    PIECES = 3  # with a decimal, where it is not large
    MONEY = 4
    SPAN = 5  # seconds, in the largest unit that suits
    SHARE = 6  # percent, of the largest of three columns that follow each other from `other` on; else 0
    HOUR = 7  # of sine and cosine of the daily angle
    WEEKDAY = 8  # of sine and cosine of the weekly angle; 1 is Monday
    SEGMENT = 9


class Naming(NamedTuple):
    """What texts name that is not in the vector: the shop's currency, and the segments by id."""

    currency: str
    segments: tuple[str, ...]


class Phrase(NamedTuple):
    """A text with ``{}`` for its number. It holds where the number is above 0, or given, and the condition is true.

    Attributes
    ----------
    text
        The text; ``{currency}`` stands for the shop's.
    measure, column, other
        Where the number comes from.
    noun
        What the number counts.
    below
        The condition: a column, and what its value is below.
    given
        The number where it is `Measure.GIVEN`.
    """

    text: str
    measure: Measure = Measure.GIVEN
    column: str = ""
    other: str = ""
    noun: str = ""
    below: tuple[str, float] | None = None
    given: int = 0


class Saying(NamedTuple):
    """A topic, the number that is said of it, and the text."""

    topic: int
    number: float
    text: str


class Phrasebook:
    """Topics and their phrases; the last phrase of a topic holds always.

    Parameters
    ----------
    topics
        Phrases by topic.

    Attributes
    ----------
    saying
        Returns the `Saying` that a number from `tell` stands for, given a `Naming`.
    """

    def __init__(self, topics: Sequence[Sequence[Phrase]]) -> None:
        self._phrases = [phrase for phrases in topics for phrase in phrases]
        self._topic_of = [topic for topic, phrases in enumerate(topics) for _ in phrases]
        self._ends = np.cumsum([len(phrases) for phrases in topics])
        self._table = np.array([_entry(phrase) for phrase in self._phrases], _PHRASE)
        self._ways = len(self._phrases) * len(UNITS)
        self.saying = lru_cache(_KEPT)(self._saying)

    def tell(self, vectors: Vectors, topics: NDArray[np.intp]) -> NDArray[np.int64]:
        """Return what is said of every row, shape as ``topics``: a number for each saying, which `saying` reads.

        Parameters
        ----------
        vectors
            One row for each customer.
        topics
            Those to speak of, shape ``(rows, topics a row)``.
        """
        told = np.empty(topics.shape, np.int64)
        _tell(vectors, topics, self._table, self._ends, self._ways, told)
        return told

    def _saying(self, told: int, naming: Naming) -> Saying:
        tenths, way = divmod(told, self._ways)
        at, unit = divmod(way, len(UNITS))
        number = tenths / 10 if tenths % 10 else tenths // 10
        phrase = self._phrases[at]
        words = _numbers(phrase, number, UNITS[unit][2], naming)
        return Saying(self._topic_of[at], number, phrase.text.format(*words, currency=naming.currency))


def _numbers(phrase: Phrase, number: float, unit: str, naming: Naming) -> tuple[str, ...]:
    """Return the words for the number."""
    match phrase.measure:
        case Measure.COUNT | Measure.LESSER | Measure.PIECES:
            return (counted(number, phrase.noun, digits=1),)
        case Measure.SPAN:
            return (counted(number, unit),)
        case Measure.WEEKDAY:
            return (_DAYS[int(number) - 1],)
        case Measure.SEGMENT:
            known = 0 <= number < len(naming.segments)
            return f"{number:.0f}", naming.segments[int(number)] if known else "unknown"
        case _:
            return (f"{number:,.0f}",)


_Entry: TypeAlias = Any  # a record of `_PHRASE`
_PHRASE: Final = np.dtype(
    [
        ("measure", np.int64),
        ("column", np.int64),
        ("other", np.int64),
        ("bounded", np.int64),
        ("below", np.float64),
        ("given", np.float64),
    ]
)


def _entry(phrase: Phrase) -> tuple[float, ...]:
    bounded, below = ("", 0.0) if phrase.below is None else phrase.below
    return (
        int(phrase.measure),
        *(_AT[name] if name else -1 for name in (phrase.column, phrase.other, bounded)),
        below,
        phrase.given,
    )


_GIVEN, _COUNT, _LESSER, _PIECES, _MONEY, _SPAN, _SHARE, _HOUR, _WEEKDAY, _ = map(int, Measure)
_TURN: Final = 2 * math.pi


@kernel
def _tell(
    vectors: Vectors,
    topics: NDArray[np.intp],
    phrases: NDArray[np.void],
    ends: NDArray[np.int64],
    ways: int,
    out: NDArray[np.int64],
) -> None:  # pragma: no cover
    for i in range(topics.shape[0]):
        row = vectors[i]
        for k in range(topics.shape[1]):
            topic = topics[i, k]
            at = 0 if topic == 0 else ends[topic - 1]
            number, unit = _number(phrases[at], row)
            while at + 1 < ends[topic] and not _holds(phrases[at], row, number):
                at += 1
                number, unit = _number(phrases[at], row)
            tenths = int(min(np.rint(number * 10), _MOST)) if number > 0 else 0
            out[i, k] = tenths * ways + at * len(_UNIT_FROM) + unit


@kernel
def _holds(phrase: _Entry, row: NDArray[np.float32], number: float) -> bool:  # pragma: no cover
    if phrase.bounded >= 0 and not row[phrase.bounded] < phrase.below:
        return False
    return phrase.measure == _GIVEN or number > 0


@kernel
def _number(phrase: _Entry, row: NDArray[np.float32]) -> tuple[float, int]:  # noqa: PLR0911  # pragma: no cover
    """Return a phrase's number, and its unit of time."""
    measure = phrase.measure
    if measure == _GIVEN:
        return phrase.given, 0
    value = np.float64(row[phrase.column])
    if measure == _LESSER:
        return min(np.rint(value), np.rint(np.float64(row[phrase.other]))), 0
    if measure == _PIECES and value < _WHOLE_FROM:
        return np.rint(value * 10) / 10, 0
    if measure == _SPAN:
        for unit in range(len(_UNIT_FROM)):
            if value >= _UNIT_FROM[unit]:
                return np.rint(value / _UNIT_SECONDS[unit]), unit
    if measure == _SHARE:
        first = phrase.other
        largest = value >= max(row[first], row[first + 1], row[first + 2])
        return (np.rint(100 * value) if largest else 0.0), 0
    if measure in (_HOUR, _WEEKDAY):
        turn = np.arctan2(value, np.float64(row[phrase.other])) / _TURN % 1.0
        if measure == _HOUR:
            return np.rint(turn * 24) % 24, 0
        return np.floor(turn * 7 + 1e-6) % 7 + 1, 0
    return np.rint(value), 0
