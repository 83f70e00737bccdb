"""Scores that nobody would make: any texts, numbers and kinds, to be encoded in both ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np

from features.bundle import BANDS
from features.columns import EventColumns, from_events
from features.events import PURCHASE, TYPE_CODES
from features.text_column import TextColumn
from features.vector import WIDTH
from stream.messages.score import ReasonRef, Recommendation
from stream.scoring.canary import CanaryScores
from stream.scoring.encoding import ScoreEncoding
from stream.scoring.engine import Engine, Scored
from tests.features.histories import event

CLOCK = 1_800_000_000_123
VIEW = TYPE_CODES["view_item"]


class AnyScore(NamedTuple):
    """What a score says; codes are taken modulo how many there are."""

    event_id: str = "e"
    customer: str = "c"
    time: int = CLOCK
    as_of: int = CLOCK
    probability: float = 0.25
    network: float = 0.25
    online: float | None = None
    band: int = 0
    segment: int = 0
    action: int = 0
    traffic: int = 0
    holdout: bool = False
    stale: bool = False
    purchase: bool = False
    canary: bool = False
    reasons: Sequence[ReasonRef] = ()
    recommended: Recommendation | None = None
    merged: str | None = None


def encoding_of(engine: Engine, scores: Sequence[AnyScore], as_columns: bool = True) -> ScoreEncoding:
    """Return a batch of these scores, ready to be encoded; an event that is not scored stands before each."""
    count, of = len(scores), list(zip(*scores, strict=True)) or [()] * len(AnyScore._fields)
    said = dict(zip(AnyScore._fields, of, strict=True))
    rows = np.arange(1, 2 * count, 2)
    column = TextColumn.of if as_columns else list
    columns = replace(
        _columns(2 * count),
        customers=column([text for one in said["customer"] for text in ("", one)]),
        event_ids=column([text for one in said["event_id"] for text in ("?", one)]),
        time=np.repeat(np.array(said["time"], np.int64), 2),
        type=np.repeat(np.where(np.array(said["purchase"], bool), PURCHASE, VIEW).astype(np.uint8), 2),
    )
    taken = np.array(said["canary"], bool)
    online = np.array([np.nan if one is None else one for one in said["online"]])
    scored = Scored(
        rows,
        np.array(said["as_of"], np.int64),
        np.array(said["segment"], np.int64) % len(engine.bundle.segmenter.segments),
        np.zeros((count, WIDTH), np.float32),
        np.zeros(count),
        np.array(said["network"], np.float64),
        None if np.isnan(online).all() else online,
        np.array(said["probability"], np.float64),
        (np.array(said["band"], np.int64) % len(BANDS)).astype(np.uint8),
        (np.array(said["action"], np.int64) % len(engine.rulebook.actions)).astype(np.uint8),
        np.array(said["holdout"], bool),
        0,
        engine.rulebook,
        (np.array(said["traffic"], np.int64) % 3).astype(np.uint8),
        reasons=list(map(list, said["reasons"])) if any(said["reasons"]) else None,
        canary=CanaryScores("canary", taken, np.zeros(0), np.zeros(0, np.uint8), None)
        if taken.any()
        else None,
    )
    recommended, merged = (
        said[name] if any(one is not None for one in said[name]) else None
        for name in ("recommended", "merged")
    )
    stale = np.array(said["stale"], bool) if any(said["stale"]) else None
    return ScoreEncoding(engine.bundle, columns, scored, CLOCK, recommended, stale, merged)


@cache
def _columns(count: int) -> EventColumns:
    return from_events([event(0, 0)] * count, "EUR")
