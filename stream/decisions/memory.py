"""What is remembered about a customer between decisions: a fixed number of bytes, whatever happens.

It is kept as the last field of a state. An empty memory is all zeros. It holds the customer's last score and its
reasons, which rules held then, what waits, what was sent lately, and the moment of the next timer. Times are epoch
milliseconds of event time, 0 where there is none.

A reason is kept as a code and its effect in thousandths, as published. What a code means is stamped beside it: codes of
another version of the program, and of the time before there were any, say nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh32_intdigest

from features.compiled import kernel, njit
from features.phrases import Saying
from features.reasons import GROUPS, MOST
from features.state import MEMORY_BYTES, States
from stream.messages.score import ReasonRef

#: Actions of which the moment is remembered. Where all of them lie within the longest window, nothing more is sent.
REMEMBERED: Final = 10

MEMORY: Final = np.dtype(
    [
        ("rules", "<i8"),  # which rules it was made with (`Tables.rules`); 0 means empty
        ("holds", "<i8"),  # rules that held at the last score, as bits
        ("fired", "<i8"),  # rules whose timer has come since the customer's last activity, as bits
        ("as_of", "<i8"),  # the customer's latest event
        ("due", "<i8"),  # the next timer
        ("waiting_until", "<i8"),
        ("intent", "<f8"),  # of the last score
        ("segment", "<i4"),  # of the last score
        ("rule", "u1"),  # the first of the rules that held, counted from 1; 0 = none
        (
            "waiting",
            "u1",
        ),  # the rule whose action waits for the end of the quiet time, counted from 1; 0 = none
        ("band", "u1"),  # with hysteresis
        ("scored_band", "u1"),  # as the last score said
        ("sent_times", "<i8", (REMEMBERED,)),  # of what caps count; 0 = unused
        ("sent_actions", "<u4", (REMEMBERED,)),  # hashes of the actions' names
        ("codes", "<u2"),  # stamp of what codes of reasons mean (`CODES`); 0 = no reasons
        ("effects", "<i2", (MOST,)),  # of the last score's reasons, in thousandths
        ("reasons", "u1", (MOST,)),  # their codes, strongest first; 0 = none
        (
            "compared",
            "<u4",
        ),  # when lines were compared with prices last, minutes since 1970; 0 = it is not to be
        ("spare", "u1", (1,)),
    ]
)

assert MEMORY.itemsize == MEMORY_BYTES, "it takes another room than a state has for it"

#: What the code of a reason means: the position of its group in `features.reasons.GROUPS`, counted from 1.
CODE_OF: Final = {group.key: code for code, group in enumerate(GROUPS, 1)}

#: Differs where codes mean something else.
CODES: Final = xxh32_intdigest(" ".join(CODE_OF).encode()) & 0xFFFF | 1

_THOUSAND: Final = 1000
_LARGEST: Final = 0x7FFF

Memories = NDArray[np.void]

#: One element of `Memories` in numba code, where fields are attributes; type checkers don't know them.
Memory: TypeAlias = Any


def memories_of(states: States) -> Memories:
    """Return what is remembered about the customers of states: a view, so who changes it changes the states."""
    return states["memory"].view(MEMORY)[:, 0]


def copied(*parts: States) -> Memories:
    """Return what is remembered about all customers of these states, one after the other, as kernels take it."""
    return np.concatenate([states["memory"] for states in parts]).view(MEMORY)[:, 0]


def put_back(memories: Memories, states: States) -> None:
    """Let states remember this from now on."""
    states["memory"] = memories.view(np.uint8).reshape(len(states), MEMORY_BYTES)


def blank(count: int) -> Memories:
    """Return ``count`` empty memories."""
    return np.zeros(count, MEMORY)


def reason_of(saying: Saying, effect: float) -> ReasonRef:
    """Return a reason as scores and actions tell it."""
    return ReasonRef(GROUPS[saying.topic].key, saying.number, effect, saying.text)


class CodedReasons(Sequence[list[ReasonRef]], ABC):
    """The reasons of scores of whom the codes are known, so that nobody has to read them one by one."""

    @abstractmethod
    def coded(self) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """Return codes (`CODE_OF`; 0 = none) and effects, shape ``(scores, MOST)``, strongest first."""

    @abstractmethod
    def of(self, rows: Sequence[int]) -> list[list[ReasonRef]]:
        """Return the reasons of some of the scores."""


class Reasons(NamedTuple):
    """The reasons of scores as they are remembered, one row each; no rows where nobody asks for them."""

    codes: NDArray[np.uint8]
    effects: NDArray[np.int16]

    @classmethod
    def of(cls, reasons: Sequence[Sequence[ReasonRef]] | None, count: int) -> Self:
        """Return the reasons of so many scores; ``None`` where none has any."""
        if isinstance(reasons, CodedReasons):
            codes, effects = reasons.coded()
            return cls(codes, _thousandths(effects))
        found = cls(np.zeros((count, MOST), np.uint8), np.zeros((count, MOST), np.int16))
        told = list(chain.from_iterable(reasons or ()))
        if reasons is None or not told:
            return found
        lengths = np.fromiter(map(len, reasons), np.int64, count)
        at = np.repeat(np.arange(0, count * MOST, MOST) - (np.cumsum(lengths) - lengths), lengths)
        at += np.arange(len(told))
        effects = np.array([reason.effect for reason in told])
        found.codes.flat[at] = [CODE_OF[reason.feature] for reason in told]
        found.effects.flat[at] = _thousandths(effects)
        return found


def _thousandths(effects: NDArray[np.float64]) -> NDArray[np.int16]:
    return np.rint(effects * _THOUSAND).clip(-_LARGEST, _LARGEST).astype(np.int16)


NO_REASONS: Final = Reasons(np.zeros((0, MOST), np.uint8), np.zeros((0, MOST), np.int16))


def effect_of(thousandths: int) -> float:
    """Return an effect as it was published."""
    return thousandths / _THOUSAND


@kernel
def forget(m: Memory) -> None:  # pragma: no cover
    """Make a memory empty."""
    m.rules = 0
    m.holds = 0
    m.fired = 0
    m.as_of = 0
    m.due = 0
    m.waiting_until = 0
    m.intent = 0.0
    m.segment = np.int32(0)
    m.rule = np.uint8(0)
    m.waiting = np.uint8(0)
    m.band = np.uint8(0)
    m.scored_band = np.uint8(0)
    m.compared = np.uint32(0)
    m.sent_times[:] = 0
    m.sent_actions[:] = np.uint32(0)
    forget_reasons(m)


@kernel
def forget_reasons(m: Memory) -> None:  # pragma: no cover
    """Remember no reasons."""
    m.codes = np.uint16(0)
    m.effects[:] = np.int16(0)
    m.reasons[:] = np.uint8(0)


@njit(cache=True, nogil=True)
def take_over(m: Memory, other: Memory) -> None:  # pragma: no cover
    """Make a memory that of one customer, of whom two have remembered.

    What was sent under either is counted, so no cap is exceeded; where there are more than there is room for, the
    newest are. Lines count as compared when either's were. All else is that of the later event.
    """
    later = other.as_of > m.as_of
    times = np.concatenate((m.sent_times, other.sent_times))
    actions = np.concatenate((m.sent_actions, other.sent_actions))
    newest = np.argsort(-times, kind="mergesort")
    if later:
        m.rules = other.rules
        m.holds = other.holds
        m.fired = other.fired
        m.as_of = other.as_of
        m.due = other.due
        m.waiting_until = other.waiting_until
        m.intent = other.intent
        m.segment = other.segment
        m.rule = other.rule
        m.waiting = other.waiting
        m.band = other.band
        m.scored_band = other.scored_band
        m.codes = other.codes
        m.effects[:] = other.effects
        m.reasons[:] = other.reasons
    m.compared = max(m.compared, other.compared)
    for i in range(REMEMBERED):
        m.sent_times[i] = times[newest[i]]
        m.sent_actions[i] = actions[newest[i]]
