"""From an event log to examples: what the scorer would have known at every event, and what happened then.

The log is folded partition by partition exactly as the stream does it (`features.watermark`,
`features.fold`), so a row of `Examples.vectors` is the row that the scorer would have fed to the network.
Labels are those that a live system would have: known only once the partition's watermark has passed the
horizon. Events that are no customer's (`features.traffic`) are folded, and that is all, as in the stream: they make no
examples, and their purchases no labels.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.calendar import zone
from features.columns import READ_COLUMNS, from_table
from features.events import EVENT_TYPES, PURCHASE, TYPE_CODES, WISH_TYPES
from features.fold import NO_ASIDES, FoldStatus, fold
from features.labels import UNKNOWN, LabelStart, default_label_start, horizon_labels
from features.log import ERASED
from features.logins import NO_LOGINS, Logins
from features.state import DAY_MS, MINUTE_MS, empty
from features.traffic import CUSTOMER, DEFAULT_BOTS, BotRule, BotRules
from features.usual_days import UsualDays
from features.vector import WIDTH, Vectors
from features.watermark import ACCEPTED, BEGINNING, judge
from offline.examples.people import Events, People, Steps, family_labels, with_moves

# Rows folded at a time; bounds what a chunk's columns take beside the vectors (about 500 bytes a row).
_CHUNK: Final = 200_000

_HORIZON_MS: Final = 30 * MINUTE_MS
_NOT_BROWSING: Final = ("purchase", "refund")


class Context(NamedTuple):
    """How events are read and what is predicted; the same fields stand in the manifest.

    ``horizon_ms`` and ``label_start`` say what makes an example positive, ``timezone`` and ``currency`` how
    local time and money are read, ``lateness_ms`` and ``ttl_ms`` how late an event may be and how long a
    silent state lives, ``bots`` by which rules a machine is known.
    """

    horizon_ms: int
    label_start: LabelStart
    timezone: str = "UTC"
    currency: str = "EUR"
    lateness_ms: int = 15 * 60_000
    ttl_ms: int = 400 * DAY_MS
    bots: tuple[BotRule, ...] = DEFAULT_BOTS


class Asked(NamedTuple):
    """What may be asked of a `Context`; what is None is had from the log, or else by default.

    By default the horizon is half an hour, labels start as fits the horizon (`features.labels`), the time zone is that
    of the log's metadata or else UTC, and the currency that of the metadata, or the log's most frequent one, or EUR.
    """

    horizon_ms: int | None = None
    label_start: LabelStart | None = None
    timezone: str | None = None
    currency: str | None = None
    lateness_ms: int = 15 * MINUTE_MS
    ttl_ms: int = 400 * DAY_MS
    bots: tuple[BotRule, ...] = DEFAULT_BOTS

    def context(self, metadata: Mapping[str, str], currencies: Mapping[str, int]) -> Context:
        """Return how events are read, given a log's metadata and how often each currency stands in it."""
        horizon_ms = self.horizon_ms or _HORIZON_MS
        usual = max(currencies, key=lambda name: (currencies[name], name)) if currencies else "EUR"
        return Context(
            horizon_ms,
            self.label_start or default_label_start(horizon_ms),
            self.timezone or metadata.get("timezone") or "UTC",
            self.currency or metadata.get("currency") or usual,
            self.lateness_ms,
            self.ttl_ms,
            self.bots,
        )


@dataclass(frozen=True, slots=True)
class Examples:
    """Every folded event of a log, one array element each, partition by partition in order of arrival.

    Where people log in, all partitions together are in order of arrival.

    Attributes
    ----------
    rows
        Position of the event in the log.
    vectors
        Model input as of the event, float32, shape ``(events, WIDTH)``; the segment column is 0 until a
        segmenter fills it.
    as_of
        Moment that the vector refers to, epoch ms.
    customers
        Number of the event's customer: the same one for all ids of a person that logs in.
    labels
        `features.labels` POSITIVE, NEGATIVE or UNKNOWN.
    event_time, kinds
        The event's own time (epoch ms) and type code.
    counted
        Whether the event is a customer's and of a type that makes examples. The others are folded, and that is all.
    apart
        Whether the event is no customer's, but a machine's or of the shop's own people.
    types
        Event types that make examples.
    refused, repeated
        How many events of the log were too late, ahead of their arrival or lonely (`features.usual_days`), and how
        many were repetitions.
    """

    rows: NDArray[np.int64]
    vectors: Vectors
    as_of: NDArray[np.int64]
    customers: NDArray[np.int64]
    labels: NDArray[np.int8]
    event_time: NDArray[np.int64]
    kinds: NDArray[np.uint8]
    counted: NDArray[np.bool_]
    apart: NDArray[np.bool_]
    types: tuple[str, ...]
    refused: int
    repeated: int

    def __len__(self) -> int:
        return len(self.as_of)

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Whether an event is an example whose label is known."""
        usable: NDArray[np.bool_] = self.counted & (self.labels != UNKNOWN)
        return usable


def build_examples(
    log: pa.Table,
    context: Context,
    *,
    logins: Logins = NO_LOGINS,
    excluded: Collection[str] = (),
    on_progress: Callable[[int, int], None] | None = None,
) -> Examples:
    """Fold a whole log and label every event.

    Parameters
    ----------
    log
        An event log (`features.log.read_log`), rows in order of arrival. Where it doesn't name partitions it
        is taken as one.
    logins
        Who logged in; the log comes with them (`features.logins.split_logins`). From a login on, an anonymous id's
        events are folded into the customer's state, and everybody is labelled by what they bought under any id
        (`features.families`).
    excluded
        Ids of the shop's own people.
    on_progress
        Called with rows done and in all.
    """
    types = example_types(log)
    judged = _judged(log, context)
    people, customers, names = None, judged.events.customers, judged.events.names
    if len(logins.before):
        people = _people(logins, judged)
        customers, names = people.owners, people.names
    steps = _steps(judged.order, people)
    staff = np.fromiter((name in excluded for name in names), np.bool_, len(names))
    bots = BotRules.of(context.bots)
    room = int(np.count_nonzero(steps.event >= 0))
    rows = np.empty(room, np.int64)
    vectors = np.empty((room, WIDTH), np.float32)
    as_of = np.empty(room, np.int64)
    kinds = np.empty(room, np.uint8)
    apart = np.empty(room, np.bool_)
    marked = np.zeros(len(log), np.bool_)
    filled = 0
    local = zone(context.timezone)
    states = empty(len(names))
    read = log.select([name for name in READ_COLUMNS if name in log.column_names])
    for piece in steps.pieces(_CHUNK):
        own = Steps(steps.event[piece], steps.move[piece])
        at = own.event[own.event >= 0]
        columns = from_table(read.take(at), context.currency, with_ids=False)
        slots, asides = customers[at], NO_ASIDES
        marked[at] = columns.bot
        if people is not None:
            columns, slots, asides = with_moves(columns, slots, own, people)
        folded = fold(states, slots, columns, zone=local, ttl_ms=context.ttl_ms, asides=asides)
        new = np.flatnonzero((folded.status == FoldStatus.FOLDED) & (own.event >= 0))
        into = slice(filled, filled + len(new))
        rows[into], as_of[into], kinds[into] = own.event[new], folded.as_of[new], columns.type[new]
        folded.vectors.take(new, axis=0, out=vectors[into], mode="clip")  # several times faster than by index
        traffic = bots.traffic(vectors[into], columns.bot[new], staff[customers[rows[into]]])
        apart[into] = traffic != CUSTOMER
        filled += len(new)
        if on_progress is not None:
            on_progress(piece.stop, len(steps.event))
    found = Examples(
        rows[:filled],
        vectors[:filled],
        as_of[:filled],
        customers[rows[:filled]] if people is None else people.numbers[customers[rows[:filled]]],
        np.full(filled, UNKNOWN, np.int8),
        judged.events.times[rows[:filled]],
        kinds[:filled],
        np.isin(kinds[:filled], [TYPE_CODES[name] for name in types])
        & ~apart[:filled]
        & (as_of[:filled] >= judged.least[rows[:filled]]),
        apart[:filled],
        types,
        judged.refused,
        room - filled,
    )
    if people is None:
        _label(found, judged, context)
    else:
        known = people.ends(judged.watermarks)[found.rows]
        own_purchases = pc.equal(log["type"], EVENT_TYPES[PURCHASE]).to_numpy() & ~marked & judged.accepted
        bought = (found.kinds == PURCHASE) & ~found.apart
        outcomes = people.outcomes(found.rows[bought], own_purchases, staff)
        found.labels[:] = family_labels(
            people, found.rows, found.as_of, found.event_time, bought, outcomes, known,
            context.horizon_ms, context.label_start, local,
        )  # fmt: skip
    return found


class _Judged(NamedTuple):
    """The verdicts on a log's events.

    Attributes
    ----------
    events
        All of them: those that were handed on move no watermark, and are never late.
    accepted
        Which of them were.
    order
        Rows of accepted events that are not erased, partition by partition in order of arrival.
    watermarks
        Of each partition at the end.
    least
        Of an event that was handed on the watermark of its partition: what is final already must not depend on it.
    refused
        How many events that are not erased were not accepted.
    """

    events: Events
    accepted: NDArray[np.bool_]
    order: NDArray[np.int64]
    watermarks: dict[int, int]
    least: NDArray[np.int64]
    refused: int


def _judged(log: pa.Table, context: Context) -> _Judged:
    events = Events.of_log(log)
    times, partitions, handed = events.times, events.partitions, events.handed
    usual = UsualDays.of(times[~handed] if handed.any() else times)
    arrivals = usual.arrivals(times, log["arrived_at"].cast(pa.int64()).to_numpy())
    erased = pc.equal(log["type"], ERASED).to_numpy()
    least = np.full(len(log), BEGINNING)
    accepted = handed.copy()
    watermarks, order = {}, [np.zeros(0, np.int64)]
    for rows in _by_partition(partitions):
        number = int(partitions[rows[0]]) if len(rows) else 0
        own = rows[~handed[rows]]
        verdicts, watermarks[number] = judge(times[own], arrivals[own], BEGINNING, context.lateness_ms)
        accepted[own] = verdicts == ACCEPTED
        order.append(rows[accepted[rows] & ~erased[rows]])
        if handed.any():
            moving = np.where(accepted[rows] & ~handed[rows], times[rows] - context.lateness_ms, BEGINNING)
            least[rows] = np.where(handed[rows], np.maximum.accumulate(moving), BEGINNING)
    refused = int(np.count_nonzero(~accepted & ~erased))
    return _Judged(events, accepted, np.concatenate(order), watermarks, least, refused)


def _people(logins: Logins, judged: _Judged) -> People:
    events = judged.events
    own = np.flatnonzero(judged.accepted & ~events.handed)
    return People(events, logins, logins.moments(own, events.times[own], events.partitions[own]))


def _steps(order: NDArray[np.int64], people: People | None) -> Steps:
    """Return what is folded one after the other: where people log in, all partitions together."""
    if people is None:
        return Steps(order, np.full(len(order), -1))
    order = np.sort(order[~people.elsewhere[order]])
    before = np.array([move.before for move in people.moves], np.int64)
    return Steps.of(order, (np.zeros_like(order), order), (np.zeros_like(before), before))


def _label(found: Examples, judged: _Judged, context: Context) -> None:
    """Label partition by partition, each up to its own watermark."""
    for number, watermark in judged.watermarks.items():
        own = np.flatnonzero(judged.events.partitions[found.rows] == number)
        bought = (found.kinds[own] == PURCHASE) & ~found.apart[own]
        found.labels[own] = horizon_labels(
            found.customers[own],
            found.as_of[own],
            np.where(bought, found.event_time[own], -1),
            horizon_ms=context.horizon_ms,
            start=context.label_start,
            zone=zone(context.timezone),
            end=watermark,
        )


def example_types(log: pa.Table) -> tuple[str, ...]:
    """Return the types that make examples: all but purchases and refunds, or purchases if there is no other.

    Those of wish lists do so only where there are some, so that other logs make the bundles that they made before.
    """
    return example_types_of(pc.unique(log["type"]).to_pylist())


def example_types_of(found: Collection[str]) -> tuple[str, ...]:
    """Return the types that make examples in a log that holds these types."""
    browsing = tuple(
        name
        for name in EVENT_TYPES
        if name not in _NOT_BROWSING and (name in found or name not in WISH_TYPES)
    )
    return browsing if set(found).intersection(browsing) else ("purchase",)


def _by_partition(partitions: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the rows of each partition, in order of arrival."""
    if not len(partitions) or (partitions == partitions[0]).all():
        return [np.arange(len(partitions))]
    order = np.argsort(partitions, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(partitions[order])) + 1)
