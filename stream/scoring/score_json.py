"""The JSON of scores, written by a kernel into one buffer.

msgspec writes what surrounds a score's own texts and numbers, once for each kind of score: a template has holes in
their places, and is cut there. So the kernel knows no field by name, only the order of the holes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.compiled import kernel
from features.text_column import TextColumn
from stream.kafka.keyed import NULL, ByteColumn, Strings, copy_string, strings
from stream.messages.score import Band, Score, SegmentRef, Traffic
from stream.scoring.decimals import PROBABILITY_BYTES, write_integer, write_probability

# The length of a score that the kernel leaves to msgspec.
_REFUSED: Final = -1
# Digits of an integer of 64 bits, at most.
_INTEGER_BYTES: Final = 19

# What is kept: templates of some hundreds of kinds of scores, of several bundles.
_KEPT: Final = 1 << 12

# No byte of JSON is zero: a hole is one, within its quotes where a text is to be.
_HOLE: Final[Any] = msgspec.Raw(b"\0")
_TEXT: Final[Any] = msgspec.Raw(b'"\0"')

_encode: Final = msgspec.json.Encoder().encode

# Written where there is no probability.
_NULL: Final = _encode(None)
_NO_NUMBER: Final = np.uint64(np.float64(np.nan).view(np.uint64))


class Around(NamedTuple):
    """What is the same for all scores of a bundle."""

    horizon: float
    features_version: str


class Front(NamedTuple):
    """What stands before the reasons of a kind of scores."""

    band: Band
    segment: SegmentRef


class Back(NamedTuple):
    """What stands behind the reasons of a kind of scores."""

    action: str
    holdout: bool
    model_version: str
    recommends: bool
    stale: bool
    purchase: bool
    traffic: Traffic | None


class ScoreTexts(NamedTuple):
    """The columns of scores, of each what it alone has.

    Attributes
    ----------
    event_ids, customers
        Texts.
    reasons, recommended
        JSON; null where nothing is recommended.
    times
        Of each event and as of when it is scored, shape ``(2, scores)``.
    probabilities
        The published one, the network's and the online model's (NaN where it has none), shape ``(3, scores)``.
    front, back
        Positions in ``fronts`` and ``backs``.
    fronts, backs
        What is common to scores.
    """

    event_ids: TextColumn
    customers: TextColumn
    reasons: ByteColumn
    recommended: ByteColumn
    times: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    front: NDArray[np.int64]
    back: NDArray[np.int64]
    fronts: Sequence[Front]
    backs: Sequence[Back]


@lru_cache(_KEPT)
def _template(around: Around, front: Front, back: Back) -> list[bytes]:
    """Return a score as it lies around its holes; the last of them is for what is recommended, or nothing."""
    score = Score(
        event_id=_TEXT,
        customer_id=_TEXT,
        event_time=_HOLE,
        scored_at=_HOLE,
        purchase_intent=_HOLE,
        horizon_seconds=around.horizon,
        as_of=_HOLE,
        network_score=_HOLE,
        online_score=_HOLE,
        band=front.band,
        segment=front.segment,
        reasons=_HOLE,
        action=back.action,
        holdout=back.holdout,
        model_version=back.model_version,
        features_version=around.features_version,
        recommendation=_HOLE if back.recommends else None,
        stale=back.stale,
        purchase=back.purchase,
        traffic=back.traffic,
    )
    pieces = _encode(score).split(b"\0")
    return pieces if back.recommends else [*pieces, b""]


def write_scores(
    around: Around, scored_at: int, texts: ScoreTexts, wanted: NDArray[np.bool_]
) -> tuple[ByteColumn, NDArray[np.intp]]:
    """Return the JSON of scores, and the positions of those that msgspec has to write.

    These are not ``wanted``, or hold what the kernel does not write exactly as msgspec does: texts that JSON escapes or
    that are not ASCII, times before 1970, and the smallest probabilities.
    """
    count = len(texts.front)
    if not count:
        return ByteColumn.nulls(0), np.zeros(0, np.intp)
    whole = _template(around, texts.fronts[0], texts.backs[0])
    fronts = [_template(around, front, texts.backs[0])[-3] for front in texts.fronts]
    backs, ends = zip(*[_template(around, texts.fronts[0], back)[-2:] for back in texts.backs], strict=True)
    common = [*whole[:3], whole[3] + _encode(scored_at) + whole[4], *whole[5:-3], _NULL]
    room = sum(map(len, common)) + sum(max(map(len, kinds)) for kinds in (fronts, backs, ends))
    room += len(texts.times) * _INTEGER_BYTES + len(texts.probabilities) * PROBABILITY_BYTES
    own = texts.event_ids, texts.customers, texts.reasons, texts.recommended
    room -= NULL  # what is null would take of the others' room
    written = np.empty(room * count + sum(int(column.length.sum()) for column in own), np.uint8)
    at, length = np.zeros(count, np.int64), np.full(count, _REFUSED)
    parts = ByteColumn.of([*common, *fronts, *backs, *ends])
    end = _write(
        strings(parts),
        strings(texts.event_ids),
        strings(texts.customers),
        strings(texts.reasons),
        strings(texts.recommended),
        texts.times,
        texts.probabilities.view(np.uint64),
        texts.front + len(common),
        texts.back + len(common) + len(fronts),
        len(backs),
        wanted,
        written,
        at,
        length,
    )
    return ByteColumn(written[:end], at, length), np.flatnonzero(length == _REFUSED)


@kernel
def _write(
    parts: Strings,
    event_ids: Strings,
    customers: Strings,
    reasons: Strings,
    recommended: Strings,
    times: NDArray[np.int64],
    probabilities: NDArray[np.uint64],
    front: NDArray[np.int64],
    back: NDArray[np.int64],
    backs: int,
    wanted: NDArray[np.bool_],
    out: NDArray[np.uint8],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
) -> int:  # pragma: no cover
    """Write every score that can be written, say where, and return the end."""
    start = 0
    for row in range(len(wanted)):
        if not wanted[row] or times[0, row] < 0 or times[1, row] < 0:
            continue
        at = copy_string(parts, 0, out, start)
        at = _write_text(event_ids, row, out, at)
        if at < 0:
            continue
        at = copy_string(parts, 1, out, at)
        at = _write_text(customers, row, out, at)
        if at < 0:
            continue
        at = copy_string(parts, 2, out, at)
        at = write_integer(times[0, row], out, at)
        at = copy_string(parts, 3, out, at)
        at = write_probability(probabilities[0, row], out, at)
        if at < 0:
            continue
        at = copy_string(parts, 4, out, at)
        at = write_integer(times[1, row], out, at)
        at = copy_string(parts, 5, out, at)
        at = write_probability(probabilities[1, row], out, at)
        if at < 0:
            continue
        at = copy_string(parts, 6, out, at)
        if probabilities[2, row] == _NO_NUMBER:
            at = copy_string(parts, 7, out, at)
        else:
            at = write_probability(probabilities[2, row], out, at)
            if at < 0:
                continue
        at = copy_string(parts, front[row], out, at)
        at = copy_string(reasons, row, out, at)
        at = copy_string(parts, back[row], out, at)
        at = copy_string(recommended, row, out, at)
        at = copy_string(parts, back[row] + backs, out, at)
        starts[row] = start
        lengths[row] = at - start
        start = at
    return start


@kernel
def _write_text(texts: Strings, row: int, out: NDArray[np.uint8], at: int) -> int:  # pragma: no cover
    """Write a text that JSON takes as it is; return where it ends, -1 for others."""
    start = np.uint64(texts.at[row])
    strange = np.uint8(0)
    for i in range(np.uint64(texts.length[row])):
        byte = texts.data[start + i]
        strange |= np.uint8((byte < 32) | (byte > 126) | (byte == 34) | (byte == 92))  # noqa: PLR2004 (ASCII)
    return -1 if strange else copy_string(texts, row, out, at)
