"""The same scoring in one process, without Kafka and Redis: a log in, scores and final states out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.bundle import BANDS
from features.columns import EventColumns, from_table
from features.events import PURCHASE
from features.log import ERASED
from features.partition import partitions_of
from features.state import States, empty, joined
from features.usual_days import UsualDays
from features.watermark import ACCEPTED, BEGINNING
from stream.decisions.decide import Moments, decide, running_watermarks
from stream.decisions.memory import blank
from stream.decisions.rulebook import Rulebook
from stream.decisions.tables import OUTCOMES
from stream.messages.action import Action
from stream.scoring.engine import Engine, Scored

#: Rows scored at a time; bounds the memory that vectors take (about 270 bytes a row).
_CHUNK = 100_000

_TIME = pa.timestamp("ms", tz="UTC")
#: Reasons in files of scores and of actions.
REASONS: Final = pa.list_(
    pa.struct(
        [("feature", pa.string()), ("value", pa.float64()), ("effect", pa.float64()), ("text", pa.string())]
    )
)


@dataclass(slots=True)
class ScoredLog:
    """What `score_log` returns.

    Attributes
    ----------
    scores
        One row per scored event, in the order of the log; the fields of the scored topic.
    customers, states
        Every customer that has a state, and the states after the last event.
    watermarks
        Per partition, epoch ms.
    duplicates, dead_letters
        How many events were repetitions, and how many were refused (too late, ahead of their arrival, or lonely).
    usual
        Which dates are lonely. In a log that came from a topic none are: the worker took what it took.
    decided
        What each of the policies decides that were asked for.
    """

    scores: pa.Table
    customers: list[str]
    states: States
    watermarks: dict[int, int]
    duplicates: int
    dead_letters: int
    usual: UsualDays = UsualDays()
    decided: Sequence[DecidedLog] = ()


@dataclass(slots=True)
class DecidedLog:
    """What one policy decides on a log.

    Attributes
    ----------
    rulebook
        The policy.
    actions
        In the order of their moments.
    counts
        By rule and `stream.decisions.tables.OUTCOMES`: what became of the actions that were due.
    """

    rulebook: Rulebook
    actions: list[Action]
    counts: NDArray[np.int64]


def score_log(
    table: pa.Table,
    engine: Engine,
    *,
    partitions: int | None = None,
    decide_by: Sequence[Rulebook] = (),
    on_progress: Callable[[int, int], None] | None = None,
) -> ScoredLog:
    """Score every event of a log as the worker would.

    Parameters
    ----------
    table
        A log (`features.log.read_log`), rows in order of arrival.
    partitions
        Partition count of the topic; by default the partitions that the log itself names.
    decide_by
        Policies whose actions are wanted, too.
    """
    partition = _partitions(table, partitions)
    from_topic = table["offset"].null_count < len(table)
    usual = UsualDays() if from_topic else UsualDays.of(table["event_time"].cast(pa.int64()).to_numpy())
    nothing = from_table(table.slice(0, 0), engine.bundle.manifest.currency)
    unscored = engine.score(nothing, [], np.zeros(0, np.int64), empty(0))
    pieces = [_table(engine, nothing, unscored, unscored.rows)]  # an empty log's scores have their fields too
    customers: list[str] = []
    states: list[States] = []
    watermarks: dict[int, int] = {}
    decided = [
        DecidedLog(rulebook, [], np.zeros((len(rulebook.rules), len(OUTCOMES)), np.int64))
        for rulebook in decide_by
    ]
    duplicates = dead_letters = done = 0
    for number in np.unique(partition).tolist():
        rows = np.flatnonzero(partition == number)
        part = table.take(rows)
        known, codes = codes_of(part)
        own = empty(len(known))
        watermark = BEGINNING
        memories = [blank(len(known)) for _ in decided]
        for start in range(0, len(rows), _CHUNK):
            chunk = part.slice(start, _CHUNK)
            times = chunk["event_time"].cast(pa.int64()).to_numpy()
            arrivals = usual.arrivals(times, chunk["arrived_at"].cast(pa.int64()).to_numpy())
            before = watermark
            verdicts, watermark = engine.admit(times, arrivals, before)
            erased = pc.equal(chunk["type"], ERASED).to_numpy()
            dead_letters += int(np.count_nonzero((verdicts != ACCEPTED) & ~erased))
            kept = np.flatnonzero((verdicts == ACCEPTED) & ~erased)
            columns = from_table(chunk.take(kept), engine.bundle.manifest.currency)
            scored = engine.score(columns, known, codes[start + kept], own)
            duplicates += scored.duplicates
            if decided:
                moments = _moments(
                    engine, columns, scored, codes[start + kept], times, verdicts, kept, before
                )
                for one, memory in zip(decided, memories, strict=True):
                    found = decide(one.rulebook, moments, known, memory, engine.bundle.manifest.version)
                    one.actions += found.actions
                    one.counts += found.counts
            pieces.append(_table(engine, columns, scored, rows[start + kept][scored.rows]))
            done += len(chunk)
            if on_progress:
                on_progress(done, len(table))
        watermarks[number] = watermark
        alive = own["events"] > 0
        customers += [c for c, a in zip(known, alive.tolist(), strict=True) if a]
        states.append(own[alive])
    for one in decided:
        one.actions.sort(key=lambda action: action.decided_at)
    scores = pa.concat_tables(pieces).sort_by("row").drop_columns(["row"])
    return ScoredLog(
        scores,
        customers,
        joined(states),
        watermarks,
        duplicates,
        dead_letters,
        usual,
        decided,
    )


def _moments(  # noqa: PLR0917  (the arrays of a chunk)
    engine: Engine,
    columns: EventColumns,
    scored: Scored,
    slots: NDArray[np.int64],
    times: NDArray[np.int64],
    verdicts: NDArray[np.uint8],
    kept: NDArray[np.intp],
    watermark: int,
) -> Moments:
    """Return the scored events of a chunk as decisions are made of them; ``kept`` are those that were folded."""
    accepted = np.flatnonzero(verdicts == ACCEPTED)
    return Moments(
        at=np.searchsorted(accepted, kept[scored.rows]),
        slots=slots[scored.rows],
        event_ids=columns.event_ids
        if len(scored.rows) == len(columns.event_ids)
        else [columns.event_ids[row] for row in scored.rows.tolist()],
        as_of=scored.as_of,
        vectors=scored.vectors,
        probability=scored.probability,
        band=scored.band,
        segment=scored.segment,
        bought=columns.type[scored.rows] == PURCHASE,
        reasons=scored.reasons,
        watermark=watermark,
        watermarks=running_watermarks(times[accepted], watermark, engine.lateness_ms),
    )


def _table(engine: Engine, columns: EventColumns, scored: Scored, rows: NDArray[np.intp]) -> pa.Table:
    """Return scores with the fields of the scored topic, and ``row``, their position in the log."""
    manifest, count = engine.bundle.manifest, len(rows)
    picked = columns.take(scored.rows)
    segments = pa.array(
        [{"id": s.id, "name": s.name} for s in engine.bundle.segmenter.segments],
        pa.struct([("id", pa.int64()), ("name", pa.string())]),
    )
    return pa.table(
        {
            "event_id": pa.array(picked.event_ids, pa.string()),
            "customer_id": pa.array(picked.customers, pa.string()),
            "event_time": pa.array(picked.time).cast(_TIME),
            "purchase_intent": scored.probability,
            "horizon_seconds": np.full(count, manifest.horizon_seconds),
            "as_of": pa.array(scored.as_of).cast(_TIME),
            "network_score": scored.network,
            "online_score": pa.nulls(count, pa.float64()),
            "band": pa.array(BANDS).take(pa.array(scored.band)),
            "segment": segments.take(pa.array(scored.segment)),
            "reasons": pa.array(
                [[]] * count if scored.reasons is None else msgspec.to_builtins(scored.reasons), REASONS
            ),
            "action": pa.array(scored.rulebook.actions).take(pa.array(scored.action)),
            "holdout": scored.holdout,
            "purchase": picked.type == PURCHASE,
            "model_version": pa.repeat(manifest.version, count),
            "features_version": pa.repeat(manifest.features_version, count),
            "row": rows,
        }
    )


def _partitions(table: pa.Table, count: int | None) -> NDArray[np.int32]:
    named = table["partition"]
    if count is None and named.null_count == 0:
        return named.to_numpy()  # type: ignore[no-any-return]
    known, codes = codes_of(table)
    return partitions_of([c.encode() for c in known], count or 1)[codes]


def codes_of(table: pa.Table) -> tuple[list[str], NDArray[np.int64]]:
    """Return the distinct customers and each row's position among them (rows of erased customers get 0)."""
    encoded = pc.fill_null(table["customer_id"].combine_chunks(), "").dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)
