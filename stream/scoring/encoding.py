"""The contract of the scored topic, and its encoding: by a kernel, and by msgspec what the kernel does not take."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from math import prod
from typing import Any, Final, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.bundle import BANDS, Bundle
from features.columns import EventColumns, from_events
from features.events import PURCHASE, Event
from features.state import empty
from features.text_column import TextColumn
from stream.kafka.framing import framed
from stream.kafka.keyed import NULL, ByteColumn, KeyedRecords
from stream.messages.score import Recommendation, Score, SegmentRef, Traffic
from stream.scoring.engine import Engine, Scored
from stream.scoring.reasons import Reasons, no_reasons
from stream.scoring.score_json import Around, Back, Front, ScoreTexts, write_scores

_encode = msgspec.json.Encoder().encode

#: By the codes of `features.traffic.TRAFFIC`.
_APART: Final[tuple[Traffic | None, ...]] = (None, "bot", "staff")


def with_tombstones(
    scores: KeyedRecords, columns: EventColumns, scored: Scored, erased: NDArray[np.bool_]
) -> KeyedRecords:
    """Return the scores with a tombstone at the place of every erasure: the rows that are ``erased``."""
    rows = np.flatnonzero(erased)
    if not len(rows):
        return scores
    places, values = np.searchsorted(scored.rows, rows), scores.values
    at, length = np.insert(values.at, places, 0), np.insert(values.length, places, NULL)
    keys = _texts(columns.customers).take(np.insert(scored.rows, places, rows))
    return KeyedRecords(keys, ByteColumn(values.data, at, length))


def encode_scores(
    bundle: Bundle,
    columns: EventColumns,
    scored: Scored,
    scored_at: int,
    recommended: Sequence[Recommendation | None] | None = None,
    stale: NDArray[np.bool_] | None = None,
    merged: Sequence[str | None] | None = None,
) -> KeyedRecords:
    """Return customer and JSON of every score of a batch, in the order of its events.

    Parameters
    ----------
    columns, scored
        The batch, and what the engine made of it.
    scored_at
        The wall clock, epoch ms.
    recommended
        One for each score.
    stale
        Which of the scores come too late for an action: they recommend nothing either.
    merged
        Of each score the anonymous id whose state was merged.
    """
    return ScoreEncoding(bundle, columns, scored, scored_at, recommended, stale, merged).encoded()


def warm_up_encoding(engine: Engine) -> None:
    """Compile what encodes and frames scores (seconds, once per machine), before events wait for it."""
    event = Event(event_id="e", type="view_item", customer_id="c", event_time=1)
    columns = from_events([event], engine.bundle.manifest.currency)
    scored = engine.score(columns, ["c"], np.zeros(1, np.int64), empty(1))
    scores = encode_scores(engine.bundle, columns, scored, 0)
    list(framed(scores.keys, scores.values, 0, 0))


class ScoreEncoding:
    """A batch that is to be encoded; see `encode_scores` for the parameters."""

    def __init__(
        self,
        bundle: Bundle,
        columns: EventColumns,
        scored: Scored,
        scored_at: int,
        recommended: Sequence[Recommendation | None] | None = None,
        stale: NDArray[np.bool_] | None = None,
        merged: Sequence[str | None] | None = None,
    ) -> None:
        manifest, count = bundle.manifest, len(scored.rows)
        self._scored, self._scored_at = scored, scored_at
        self._around = Around(manifest.horizon_seconds, manifest.features_version)
        self._segments = [SegmentRef(s.id, s.name) for s in bundle.segmenter.segments]
        self._event_ids = _texts(columns.event_ids).take(scored.rows)
        self._customers = _texts(columns.customers).take(scored.rows)
        self._times = columns.time[scored.rows]
        self._purchase = columns.type[scored.rows] == PURCHASE
        self._reasons = _reasons(scored)
        self._merged = merged
        self._stale = np.zeros(count, np.bool_) if stale is None else stale
        self._recommended = _recommended(recommended, self._stale)
        self._online = np.full(count, np.nan) if scored.online is None else scored.online
        self._versions, self._version = [manifest.version], np.zeros(count, np.intp)
        if scored.canary is not None:  # it has no online model
            self._versions = [manifest.version, scored.canary.version]
            self._version = scored.canary.taken.astype(np.intp)
            self._online = np.where(scored.canary.taken, np.nan, self._online)

    def encoded(self) -> KeyedRecords:
        """Return the scores, each written in the fastest way that writes it exactly."""
        written, others = self.written()
        if len(others):
            rest = ByteColumn.of(self.each(others))
            written.at[others] = rest.at + len(written.data)
            written.length[others] = rest.length
            written = ByteColumn(np.concatenate((written.data, rest.data)), written.at, written.length)
        return KeyedRecords(self._customers, written)

    def written(self) -> tuple[ByteColumn, NDArray[np.intp]]:
        """Return what the kernel writes, and the positions of the scores that it leaves to `each`."""
        count, merged = len(self._times), self._merged
        alone = np.fromiter((one is None for one in merged or repeat(None, count)), np.bool_, count)
        return write_scores(self._around, self._scored_at, self._columns(), alone)

    def each(self, at: NDArray[np.intp]) -> list[bytes]:
        """Return the scores at these positions as msgspec writes them, one by one."""
        scored, actions = self._scored, self._scored.rulebook.actions
        return [
            _encode(
                Score(  # positional: twice as fast as by name
                    event_id,
                    customer,
                    time,
                    self._scored_at,
                    probability,
                    self._around.horizon,
                    as_of,
                    network,
                    online,
                    BANDS[band],
                    self._segments[segment],
                    cast(Any, msgspec.Raw(reasons)),  # msgspec writes what is JSON as it is
                    actions[action],
                    holdout,
                    self._versions[version],
                    self._around.features_version,
                    None if recommendation is None else cast(Any, msgspec.Raw(recommendation)),
                    late,
                    purchase,
                    _APART[traffic],
                    anonymous,
                )
            )
            for (
                event_id,
                customer,
                time,
                probability,
                as_of,
                network,
                online,
                band,
                segment,
                reasons,
                action,
                holdout,
                version,
                recommendation,
                late,
                purchase,
                traffic,
                anonymous,
            ) in zip(
                self._event_ids.take(at),
                self._customers.take(at),
                self._times[at].tolist(),
                scored.probability[at].tolist(),
                scored.as_of[at].tolist(),
                scored.network[at].tolist(),
                self._online[at].tolist(),  # NaN is null
                scored.band[at].tolist(),
                scored.segment[at].tolist(),
                self._reasons.take(at),
                scored.action[at].tolist(),
                scored.holdout[at].tolist(),
                self._version[at].tolist(),
                self._recommended.take(at),
                self._stale[at].tolist(),
                self._purchase[at].tolist(),
                scored.traffic[at].tolist(),
                repeat(None, len(at)) if self._merged is None else [self._merged[one] for one in at.tolist()],
                strict=True,
            )
        ]

    def _columns(self) -> ScoreTexts:
        """Return the scores as columns."""
        scored, versions = self._scored, self._versions
        actions = scored.rulebook.actions
        front, fronts = _kinds((scored.band, scored.segment), (len(BANDS), len(self._segments)))
        flags = self._recommended.length != NULL, self._stale, self._purchase
        back, backs = _kinds(
            (scored.action, scored.holdout, self._version, *flags, scored.traffic),
            (len(actions), 2, len(versions), 2, 2, 2, len(_APART)),
        )
        return ScoreTexts(
            self._event_ids,
            self._customers,
            self._reasons,
            self._recommended,
            np.stack((self._times, scored.as_of)),
            np.stack((scored.probability, scored.network, self._online)),
            front,
            back,
            [Front(BANDS[band], self._segments[segment]) for band, segment in fronts],
            [
                Back(
                    actions[action],
                    bool(held),
                    versions[version],
                    bool(offer),
                    bool(late),
                    bool(sold),
                    _APART[whose],
                )
                for action, held, version, offer, late, sold, whose in backs
            ],
        )


def _kinds(
    columns: tuple[NDArray[Any], ...], shape: tuple[int, ...]
) -> tuple[NDArray[np.intp], list[tuple[int, ...]]]:
    """Return of each row the position of what it says in all columns, and what that is; each value is in a range.

    Examples
    --------
    >>> said, kinds = _kinds((np.array([1, 0, 1]), np.array([2, 0, 2])), (2, 3))
    >>> said.tolist(), kinds
    ([1, 0, 1], [(0, 0), (1, 2)])
    """
    codes = np.ravel_multi_index(columns, shape)
    there = np.bincount(codes, minlength=prod(shape)) > 0
    found = [where.tolist() for where in np.unravel_index(np.flatnonzero(there), shape)]
    return (np.cumsum(there) - 1)[codes], list(zip(*found, strict=True))


def _texts(column: Sequence[str]) -> TextColumn:
    return column if isinstance(column, TextColumn) else TextColumn.of(column)


def _recommended(each: Sequence[Recommendation | None] | None, stale: NDArray[np.bool_]) -> ByteColumn:
    """Return the JSON of what every score recommends, null for nothing."""
    if each is None:
        return ByteColumn.nulls(len(stale))
    return ByteColumn.of(
        [
            None if one is None or late else _encode(one)
            for one, late in zip(each, stale.tolist(), strict=True)
        ]
    )


def _reasons(scored: Scored) -> ByteColumn:
    """Return the JSON of the reasons of every score."""
    if scored.reasons is None:
        return no_reasons(len(scored.rows))
    if isinstance(scored.reasons, Reasons):
        return scored.reasons.encoded()
    return ByteColumn.of([_encode(reasons) for reasons in scored.reasons])
