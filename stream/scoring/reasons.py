"""The reasons of a batch of scores: one by one for who asks, and as JSON for the topic, of parts that are kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, overload

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.phrases import Naming, Saying
from features.reasons import BOOK, GROUPS
from stream.messages.score import ReasonRef

#: Digits of an effect after the point: it is known to 1e-3.
DIGITS: Final = 3

# What is kept: sayings, whose numbers are rounded, and wordings of bundles.
_KEPT_SAYINGS: Final = 1 << 14
_KEPT_WORDINGS: Final = 4

_encode: Final = msgspec.json.Encoder().encode
_NONE: Final = msgspec.Raw(b"[]")

# Effects below 10 as JSON, by their thousandths; negative ones are counted from the end.
_LARGE: Final = 10 * 10**DIGITS
_EFFECTS: Final = [_encode(n / 10**DIGITS) for n in (*range(_LARGE), *range(1 - _LARGE, 0))]


class Wording:
    """How reasons read in one shop, by what `features.phrases.Phrasebook.tell` returns; each is made once.

    Attributes
    ----------
    saying
        Returns the saying.
    around
        Returns the JSON of a reason before and after its effect.
    """

    def __init__(self, naming: Naming) -> None:
        self._naming = naming
        self.saying = lru_cache(_KEPT_SAYINGS)(self._saying)
        self.around = lru_cache(_KEPT_SAYINGS)(self._around)

    def _saying(self, told: int) -> Saying:
        return BOOK.saying(told, self._naming)

    def _around(self, told: int) -> tuple[bytes, bytes]:
        before, name, after = _encode(_ref(self.saying(told), 0.0)).partition(b'"effect":')
        return before + name, after.removeprefix(b"0.0")


wording: Final = lru_cache(_KEPT_WORDINGS)(Wording)


class Reasons(Sequence[list[ReasonRef]]):
    """The reasons of every row of a batch, strongest first.

    Parameters
    ----------
    words
        How they read.
    told, effects
        Of all rows, one after another: what is said, and the effects.
    bounds
        Where the reasons of each row begin, and where those of the last one end.
    """

    def __init__(
        self,
        words: Wording,
        told: NDArray[np.int64],
        effects: NDArray[np.float64],
        bounds: NDArray[np.int64],
    ) -> None:
        self._words, self._told, self._effects, self._bounds = words, told, effects, bounds

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
            return Reasons(self._words, self._told, self._effects, bounds)
        row = range(len(self))[at]
        return self._refs(self._bounds[row], self._bounds[row + 1])

    def __iter__(self) -> Iterator[list[ReasonRef]]:
        refs = self._refs(self._bounds[0], self._bounds[-1])
        bounds = (self._bounds - self._bounds[0]).tolist()
        return (refs[start:stop] for start, stop in zip(bounds[:-1], bounds[1:], strict=True))

    def _refs(self, start: int, stop: int) -> list[ReasonRef]:
        told, effects = self._told[start:stop].tolist(), self._effects[start:stop].tolist()
        return [
            _ref(saying, effect)
            for saying, effect in zip(map(self._words.saying, told), effects, strict=True)
        ]

    def encoded(self) -> list[msgspec.Raw]:
        """Return the reasons of every row as JSON, byte for byte as msgspec encodes lists of them."""
        start, stop = self._bounds[0], self._bounds[-1]
        counts = np.diff(self._bounds)
        found = [_NONE] * len(counts)
        if start == stop:
            return found
        some = np.flatnonzero(counts)
        around = list(map(self._words.around, self._told[start:stop].tolist()))
        # One join for all rows, and one split at the line ends between them: JSON has none within.
        parts: list[bytes] = [b","] * (4 * len(around))
        for first in (4 * (self._bounds[some] - start)).tolist():
            parts[first] = b"]\n["
        parts[0] = b"["
        parts[1::4] = [before for before, _ in around]
        parts[2::4] = _encoded_effects(self._effects[start:stop])
        parts[3::4] = [after for _, after in around]
        lines = b"".join([*parts, b"]"]).split(b"\n")
        for row, line in zip(some.tolist(), map(msgspec.Raw, lines), strict=True):
            found[row] = line
        return found


def _ref(saying: Saying, effect: float) -> ReasonRef:
    return ReasonRef(GROUPS[saying.topic].key, saying.number, effect, saying.text)


def _encoded_effects(effects: NDArray[np.float64]) -> list[bytes]:
    thousandths = np.rint(effects * 10**DIGITS)
    if (np.abs(thousandths) < _LARGE).all():
        return list(map(_EFFECTS.__getitem__, thousandths.astype(np.int64).tolist()))
    return list(map(_encode, (thousandths / 10**DIGITS).tolist()))
