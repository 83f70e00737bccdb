"""The reasons of a batch of scores: one by one for who asks, and as JSON for the topic, of parts that are kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, overload

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.compiled import kernel
from features.phrases import Naming, Saying
from features.reasons import BOOK, MOST
from stream.decisions.memory import CodedReasons, reason_of
from stream.kafka.keyed import ByteColumn
from stream.messages.score import ReasonRef

#: Digits of an effect after the point: it is known to 1e-3.
DIGITS: Final = 3
_THOUSAND: Final = 10**DIGITS

# What is kept: the JSON of reasons, whose numbers are rounded, and wordings of bundles.
_KEPT_REASONS: Final = 1 << 14
_KEPT_WORDINGS: Final = 4

# Effects from here on are written by msgspec, as they may have an exponent; none is that large.
_LARGE: Final = 10**6
# Bytes of an effect and what stands around a reason, at most: a sign, nine digits, a point, a comma and brackets.
_ROOM: Final = 16

_encode: Final = msgspec.json.Encoder().encode
_NONE: Final = np.frombuffer(_encode([]), np.uint8)


class Wording:
    """How reasons read in one shop, by what `features.phrases.Phrasebook.tell` returns; each is made once.

    Attributes
    ----------
    around
        Returns the JSON of a reason before and after its effect.
    """

    def __init__(self, naming: Naming) -> None:
        self._naming = naming
        self.around = lru_cache(_KEPT_REASONS)(self._around)

    def saying(self, told: int) -> Saying:
        """Return the saying."""
        return BOOK.saying(told, self._naming)

    def _around(self, told: int) -> tuple[bytes, bytes]:
        before, name, after = _encode(reason_of(self.saying(told), 0.0)).partition(b'"effect":')
        return before + name, after.removeprefix(b"0.0")


wording: Final = lru_cache(_KEPT_WORDINGS)(Wording)


class Reasons(CodedReasons):
    """The reasons of every row of a batch, strongest first.

    Parameters
    ----------
    words
        How they read.
    told, topics, effects
        Of all rows, one after another: what is said, positions in `features.reasons.GROUPS`, and effects rounded to
        `DIGITS`.
    bounds
        Where the reasons of each row begin, and where those of the last one end.
    """

    def __init__(
        self,
        words: Wording,
        told: NDArray[np.int64],
        topics: NDArray[np.intp],
        effects: NDArray[np.float64],
        bounds: NDArray[np.int64],
    ) -> None:
        self._words, self._told, self._topics, self._effects = words, told, topics, effects
        self._bounds = bounds
        # Codes and effects, made once for all rules that ask.
        self._coded: tuple[NDArray[np.uint8], NDArray[np.float64]] | None = None

    def __len__(self) -> int:
        return len(self._bounds) - 1

    @overload
    def __getitem__(self, at: int) -> list[ReasonRef]: ...
    @overload
    def __getitem__(self, at: slice) -> Reasons: ...
    def __getitem__(self, at: int | slice) -> list[ReasonRef] | Reasons:
        if isinstance(at, slice):
            start, stop, step = at.indices(len(self))
            if step != 1:
                raise ValueError(f"reasons are taken in steps of 1, not of {step}")
            bounds = self._bounds[start : max(start, stop) + 1]
            return Reasons(self._words, self._told, self._topics, self._effects, bounds)
        row = range(len(self))[at]
        return self._refs(self._bounds[row], self._bounds[row + 1])

    def __iter__(self) -> Iterator[list[ReasonRef]]:
        refs = self._refs(self._bounds[0], self._bounds[-1])
        bounds = (self._bounds - self._bounds[0]).tolist()
        return (refs[start:stop] for start, stop in zip(bounds[:-1], bounds[1:], strict=True))

    def _refs(self, start: int, stop: int) -> list[ReasonRef]:
        told, effects = self._told[start:stop].tolist(), self._effects[start:stop].tolist()
        return [
            reason_of(saying, effect)
            for saying, effect in zip(map(self._words.saying, told), effects, strict=True)
        ]

    def of(self, rows: Sequence[int]) -> list[list[ReasonRef]]:
        """See `CodedReasons.of`."""
        told, effects, bounds = self._told.tolist(), self._effects.tolist(), self._bounds.tolist()
        saying = self._words.saying
        return [
            [reason_of(saying(told[at]), effects[at]) for at in range(bounds[row], bounds[row + 1])]
            for row in rows
        ]

    def coded(self) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """See `CodedReasons.coded`."""
        if self._coded is None:
            codes, effects = np.zeros((len(self), MOST), np.uint8), np.zeros((len(self), MOST))
            _code(self._topics, self._effects, self._bounds, codes, effects)
            self._coded = codes, effects
        return self._coded

    def encoded(self) -> ByteColumn:
        """Return the reasons of every row as JSON, byte for byte as msgspec encodes lists of them."""
        start, stop = self._bounds[0], self._bounds[-1]
        if start == stop:
            return no_reasons(len(self))
        effects = self._effects[start:stop]
        if not (np.abs(effects) < _LARGE).all():
            return ByteColumn.of([_encode(refs) for refs in self])
        thousandths = np.rint(effects * _THOUSAND).astype(np.int64)
        told, which = np.unique(self._told[start:stop], return_inverse=True)
        around = [part for one in told.tolist() for part in self._words.around(one)]
        ends = np.cumsum([0, *map(len, around)])
        lengths = ends[2::2] - ends[:-2:2]
        written = np.empty(int(lengths[which].sum()) + _ROOM * (len(which) + len(self)), np.uint8)
        stops = np.empty(len(self), np.int64)
        parts = np.frombuffer(b"".join(around), np.uint8)
        _write(which, thousandths, self._bounds - start, parts, ends, written, stops)
        taken = np.diff(stops, prepend=0)
        return ByteColumn(written, stops - taken, taken)


def no_reasons(count: int) -> ByteColumn:
    """Return the JSON of so many rows that have no reasons."""
    return ByteColumn(_NONE, np.zeros(count, np.int64), np.full(count, len(_NONE)))


@kernel
def _code(
    topics: NDArray[np.intp],
    said: NDArray[np.float64],
    bounds: NDArray[np.int64],
    codes: NDArray[np.uint8],
    effects: NDArray[np.float64],
) -> None:  # pragma: no cover
    for i in range(codes.shape[0]):
        for k in range(bounds[i + 1] - bounds[i]):
            codes[i, k] = np.uint8(topics[bounds[i] + k] + 1)
            effects[i, k] = said[bounds[i] + k]


@kernel
def _write(
    which: NDArray[np.intp],
    thousandths: NDArray[np.int64],
    bounds: NDArray[np.int64],
    parts: NDArray[np.uint8],
    ends: NDArray[np.int64],
    out: NDArray[np.uint8],
    stops: NDArray[np.int64],
) -> None:  # pragma: no cover
    """Write the reasons of every row as a JSON list; what is before and after effects are parts."""
    at = 0
    for row in range(len(stops)):
        if bounds[row] == bounds[row + 1]:
            out[at] = 91  # [
            at += 1
        for i in range(bounds[row], bounds[row + 1]):
            out[at] = 91 if i == bounds[row] else 44  # [ ,
            at = _copy(parts, ends[2 * which[i]], ends[2 * which[i] + 1], out, at + 1)
            at = _write_effect(thousandths[i], out, at)
            at = _copy(parts, ends[2 * which[i] + 1], ends[2 * which[i] + 2], out, at)
        out[at] = 93  # ]
        at += 1
        stops[row] = at


@kernel
def _copy(
    parts: NDArray[np.uint8], start: int, stop: int, out: NDArray[np.uint8], at: int
) -> int:  # pragma: no cover
    for i in range(start, stop):
        out[at + i - start] = parts[i]
    return at + stop - start


@kernel
def _write_effect(thousandths: int, out: NDArray[np.uint8], at: int) -> int:  # pragma: no cover
    """Write thousandths as a number: a digit and a point at least, and no zeros at the end that say nothing."""
    if thousandths < 0:
        out[at] = 45  # -
        at += 1
        thousandths = -thousandths
    whole, rest = thousandths // 1000, thousandths % 1000
    digits = 1
    while whole >= 10**digits:
        digits += 1
    for k in range(digits):
        out[at + digits - 1 - k] = 48 + whole // 10**k % 10
    at += digits
    out[at] = 46  # .
    at += 1
    for k in range(DIGITS):
        if k > 0 and rest == 0:
            break
        rest *= 10
        out[at] = 48 + rest // 1000
        rest %= 1000
        at += 1
    return at
