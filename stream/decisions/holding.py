"""Which rules hold for scores: what all rules of a policy ask, as tables, and the kernels that ask it in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from features.compiled import kernel
from features.events import CHANNELS
from features.range_table import RangeTable
from features.vector import COLUMN_NAMES, Vectors
from stream.decisions.conditions import CHANNEL, INTENT, REASONS, SEGMENT, Conditions
from stream.decisions.memory import CODE_OF, CodedReasons
from stream.messages.score import ReasonRef

#: What can be abandoned: the feature that says that it is there, and the one since when.
STARTED: Final = {
    "cart_abandoned": ("cart_quantity", "since_add_to_cart"),
    "checkout_abandoned": ("session_begin_checkout", "since_begin_checkout"),
}

_AT: Final = {name: at for at, name in enumerate(COLUMN_NAMES)}
_CHANNELS_AT: Final = np.array([_AT[f"channel_{name}"] for name in CHANNELS])
_BOUGHT_AT: Final = _AT["since_purchase"]


class ScoredRows(NamedTuple):
    """The scores that conditions look at; ``reasons`` are those of each score, ``None`` where scores carry none."""

    vectors: Vectors
    probability: NDArray[np.float64]
    segment: NDArray[np.int64]
    reasons: Sequence[Sequence[ReasonRef]] | None = None


class Asked(NamedTuple):
    """What rules ask, bands aside. A rule is a bit of a number.

    Attributes
    ----------
    ranges
        Of features and the intent.
    segments, channels
        The rules that may hold in each segment, and for customers of each main channel; the last of ``channels`` are
        those for customers without one.
    started
        Rules about what was left, one a row: the rule, and its columns of `STARTED`.
    reasons
        Rules that ask for reasons, and which.
    """

    ranges: RangeTable
    segments: NDArray[np.int64]
    channels: NDArray[np.int64]
    started: NDArray[np.int64]
    reasons: Sequence[tuple[int, frozenset[str]]]

    @classmethod
    def of(cls, conditions: Sequence[Conditions], triggers: Sequence[str], segments: Sequence[str]) -> Self:
        """Return what rules of these conditions and triggers ask, in a bundle of these segments."""
        names = [{name, str(at)} for at, name in enumerate(segments)]
        started = [
            (at, *(_AT[name] for name in STARTED[trigger]))
            for at, trigger in enumerate(triggers)
            if trigger in STARTED
        ]
        return cls(
            RangeTable.of([asked.ranges for asked in conditions], INTENT),
            np.array([_allowed(conditions, SEGMENT, own) for own in names], np.int64),
            np.array([_allowed(conditions, CHANNEL, own) for own in (*({c} for c in CHANNELS), set())], np.int64),
            np.array(started, np.int64).reshape(-1, 3),
            [(at, asked.words[REASONS]) for at, asked in enumerate(conditions) if REASONS in asked.words],
        )  # fmt: skip

    def held(self, rows: ScoredRows) -> NDArray[np.int64]:
        """Return for each score the rules that hold, whatever the band."""
        bits = self.ranges.held(rows.vectors, rows.probability)
        if not len(bits):
            return bits
        _narrow(rows.vectors, rows.segment, self.segments, self.channels, self.started, bits)
        for at, named in self.reasons:
            bits[~_have_reasons(rows, named)] &= ~(1 << at)
        return bits


def _allowed(conditions: Sequence[Conditions], name: str, own: set[str]) -> int:
    """Return the rules that may hold for whom one of these words is said."""
    return sum(
        1 << at for at, asked in enumerate(conditions) if name not in asked.words or asked.words[name] & own
    )


def _have_reasons(rows: ScoredRows, named: frozenset[str]) -> NDArray[np.bool_]:
    """Return which scores have one of the named reasons; none where scores carry no reasons."""
    if rows.reasons is None:
        return np.zeros(len(rows.vectors), np.bool_)
    if isinstance(rows.reasons, CodedReasons):
        codes, _ = rows.reasons.coded()
        asked = [CODE_OF[name] for name in named]
        return np.asarray(np.isin(codes, asked).any(axis=1))
    return np.fromiter(
        (any(reason.feature in named for reason in reasons) for reasons in rows.reasons),
        np.bool_,
        len(rows.vectors),
    )


@kernel
def _narrow(
    vectors: Vectors,
    segment: NDArray[np.int64],
    segments: NDArray[np.int64],
    channels: NDArray[np.int64],
    started: NDArray[np.int64],
    bits: NDArray[np.int64],
) -> None:  # pragma: no cover
    """Clear the bits of rules that ask for another segment or channel, or for what is not there to be abandoned."""
    for i in range(len(bits)):
        if bits[i] == 0:
            continue
        main, largest = len(channels) - 1, np.float32(0.0)  # the channel of most events
        for c in range(len(channels) - 1):
            share = vectors[i, _CHANNELS_AT[c]]
            if share > largest:
                main, largest = c, share
        held = bits[i] & segments[segment[i]] & channels[main]
        for s in range(len(started)):  # whoever bought after it was filled or begun could not abandon it
            there, since = vectors[i, started[s, 1]], vectors[i, started[s, 2]]
            if not (there > 0 and since < vectors[i, _BOUGHT_AT]):
                held &= ~(1 << started[s, 0])
        bits[i] = held


@kernel
def first_of(
    held: NDArray[np.int64],
    band: NDArray[np.uint8],
    band_bits: NDArray[np.int64],
    level: int,
    actions: NDArray[np.uint8],
    left_alone: NDArray[np.bool_],
    chosen: NDArray[np.uint8],
) -> None:  # pragma: no cover
    """Write for each score the action of the first rule among ``level`` that holds in the score's band."""
    for i in range(len(held)):
        bits = held[i] & band_bits[band[i]] & level
        if bits == 0 or left_alone[i]:
            continue
        rule = 0
        while not bits >> rule & 1:
            rule += 1
        chosen[i] = actions[rule]
