"""The same scoring in one process, without Kafka and Redis: a log in, scores and final states out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.bundle import BANDS
from features.columns import EventColumns
from features.events import PURCHASE
from features.partition import partitions_of
from features.prices import PRICE
from features.state import States, joined
from features.traffic import TRAFFIC
from features.usual_days import UsualDays
from stream.decisions.rulebook import Rulebook
from stream.scoring.engine import Engine, Scored
from stream.scoring.in_place import has_logins_alone, is_archive, merged_in_place
from stream.scoring.scored_partition import DecidedLog, ScoredPartition, codes_of

_TIME = pa.timestamp("ms", tz="UTC")
# Whose an event is, by its code (`features.traffic`): of customers nothing is said, as in the scored topic.
_TRAFFIC: Final = (None, *TRAFFIC[1:])
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


def score_log(
    table: pa.Table,
    engine: Engine,
    *,
    partitions: int | None = None,
    decide_by: Sequence[Rulebook] = (),
    remember: bool = True,
    item_names: Mapping[int, str] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> ScoredLog:
    """Score every event of a log as the worker would.

    An archived topic says what workers handed over after logins and told each other of prices, and it is taken as they
    took it. In any other log logins are merged at once (`stream.scoring.in_place`), and prices known to all at once.

    Parameters
    ----------
    table
        A log (`features.log.read_log`), rows in order of arrival.
    partitions
        Partition count of the topic; by default the partitions that the log itself names.
    decide_by
        Policies whose actions are wanted, too.
    remember, item_names
        See `ScoredPartition`.
    """
    origin = np.arange(len(table))
    in_place = has_logins_alone(table)
    if in_place:
        table, origin, families = merged_in_place(table)
        homes = partitions_of([family.encode() for family in families], partitions or 1)
    else:
        homes = _partitions(table, partitions)
    everywhere = _known_at_once(table, partitions)
    from_topic = table["offset"].null_count < len(table)
    usual = UsualDays() if from_topic else UsualDays.of(table["event_time"].cast(pa.int64()).to_numpy())
    nothing, unscored = engine.score_nothing()
    pieces = [_table(engine, nothing, unscored, unscored.rows)]  # an empty log's scores have their fields too
    decided = [DecidedLog.nothing(rulebook) for rulebook in decide_by]
    parts: dict[int, ScoredPartition] = {}
    done = 0
    for number in np.unique(homes[~everywhere]).tolist():
        rows = np.flatnonzero((homes == number) | everywhere)
        parts[number] = part = ScoredPartition(
            table.take(rows),
            engine,
            usual,
            decided,
            in_place=in_place,
            remember=remember,
            item_names=item_names,
            regrouped=partitions is not None,
        )
        for chunk in part.score():
            of_scores = origin[rows[chunk.rows][chunk.scored.rows]]
            pieces.append(_table(engine, chunk.columns, chunk.scored, of_scores, chunk.merged))
            if on_progress:
                on_progress(done + part.done, len(table))
        done += int(np.count_nonzero(homes == number))
    for one in decided:
        one.actions.sort(key=lambda action: action.decided_at)
    scores = pa.concat_tables(pieces).sort_by("row").drop_columns(["row"])
    known = [part.known() for part in parts.values()]
    return ScoredLog(
        scores,
        [customer for customers, _ in known for customer in customers],
        joined([states for _, states in known]),
        {number: part.watermark for number, part in parts.items()},
        sum(part.duplicates for part in parts.values()),
        sum(part.dead_letters for part in parts.values()),
        usual,
        decided,
    )


def _table(
    engine: Engine,
    columns: EventColumns,
    scored: Scored,
    rows: NDArray[np.intp],
    merged: Mapping[int, str] = MappingProxyType({}),
) -> pa.Table:
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
                [[]] * count if scored.reasons is None else msgspec.to_builtins(list(scored.reasons)), REASONS
            ),
            "action": pa.array(scored.rulebook.actions).take(pa.array(scored.action)),
            "holdout": scored.holdout,
            "purchase": picked.type == PURCHASE,
            "merged": pa.array([merged.get(row) for row in scored.rows.tolist()], pa.string()),
            "traffic": pa.array(_TRAFFIC).take(pa.array(scored.traffic)),
            "model_version": pa.repeat(manifest.version, count),
            "features_version": pa.repeat(manifest.features_version, count),
            "row": rows,
        }
    )


def _known_at_once(table: pa.Table, partitions: int | None) -> NDArray[np.bool_]:
    """Return which rows concern all partitions: prices, unless the log has what these told each other of them."""
    if partitions is None and is_archive(table):
        return np.zeros(len(table), np.bool_)
    return pc.equal(table["type"], PRICE).to_numpy()  # type: ignore[no-any-return]


def _partitions(table: pa.Table, count: int | None) -> NDArray[np.int32]:
    named = table["partition"]
    if count is None and named.null_count == 0:
        return named.to_numpy()  # type: ignore[no-any-return]
    known, codes = codes_of(table)
    return partitions_of([c.encode() for c in known], count or 1)[codes]
