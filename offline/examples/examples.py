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
from features.columns import from_table
from features.events import EVENT_TYPES, PURCHASE, TYPE_CODES
from features.fold import FoldStatus, fold
from features.labels import UNKNOWN, LabelStart, default_label_start, horizon_labels
from features.log import ERASED
from features.state import DAY_MS, MINUTE_MS, empty
from features.traffic import CUSTOMER, DEFAULT_BOTS, BotRule, BotRules
from features.usual_days import UsualDays
from features.vector import WIDTH, Vectors
from features.watermark import ACCEPTED, BEGINNING, judge

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
        Number of the event's customer.
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
    excluded: Collection[str] = (),
    on_progress: Callable[[int, int], None] | None = None,
) -> Examples:
    """Fold a whole log and label every event.

    Parameters
    ----------
    log
        An event log (`features.log.read_log`), rows in order of arrival. Where it doesn't name partitions it
        is taken as one.
    excluded
        Ids of the shop's own people.
    on_progress
        Called with rows done and in all.
    """
    types = example_types(log)
    erased = pc.equal(log["type"], ERASED).to_numpy()
    customers, names = _codes(log)
    staff = np.fromiter((name in excluded for name in names), np.bool_, len(names))
    bots = BotRules.of(context.bots)
    room = len(log) - int(np.count_nonzero(erased))
    rows = np.empty(room, np.int64)
    vectors = np.empty((room, WIDTH), np.float32)
    as_of = np.empty(room, np.int64)
    kinds = np.empty(room, np.uint8)
    labels = np.empty(room, np.int8)
    apart = np.empty(room, np.bool_)
    filled = done = refused = repeated = 0
    event_time = log["event_time"].cast(pa.int64()).to_numpy()
    usual = UsualDays.of(event_time)
    local = zone(context.timezone)
    states = empty(len(names))
    for partition in _partitions(log):
        watermark, first = BEGINNING, filled
        for start in range(0, len(partition), _CHUNK):
            at = partition[start : start + _CHUNK]
            chunk = log.take(at)
            arrivals = usual.arrivals(event_time[at], chunk["arrived_at"].cast(pa.int64()).to_numpy())
            verdicts, watermark = judge(event_time[at], arrivals, watermark, context.lateness_ms)
            accepted = (verdicts == ACCEPTED) & ~erased[at]
            refused += int(np.count_nonzero(~accepted & ~erased[at]))
            kept = np.flatnonzero(accepted)
            columns = from_table(chunk.take(kept), context.currency)
            folded = fold(states, customers[at[kept]], columns, zone=local, ttl_ms=context.ttl_ms)
            new = np.flatnonzero(folded.status == FoldStatus.FOLDED)
            repeated += len(kept) - len(new)
            into = slice(filled, filled + len(new))
            rows[into], as_of[into], kinds[into] = at[kept[new]], folded.as_of[new], columns.type[new]
            vectors[into] = folded.vectors[new]
            traffic = bots.traffic(vectors[into], columns.bot[new], staff[customers[rows[into]]])
            apart[into] = traffic != CUSTOMER
            filled += len(new)
            done += len(at)
            if on_progress is not None:
                on_progress(done, len(log))
        own = slice(first, filled)
        labels[own] = horizon_labels(
            customers[rows[own]],
            as_of[own],
            np.where((kinds[own] == PURCHASE) & ~apart[own], event_time[rows[own]], -1),
            horizon_ms=context.horizon_ms,
            start=context.label_start,
            zone=local,
            end=watermark,
        )
    return Examples(
        rows[:filled],
        vectors[:filled],
        as_of[:filled],
        customers[rows[:filled]],
        labels[:filled],
        event_time[rows[:filled]],
        kinds[:filled],
        np.isin(kinds[:filled], [TYPE_CODES[name] for name in types]) & ~apart[:filled],
        apart[:filled],
        types,
        refused,
        repeated,
    )


def example_types(log: pa.Table) -> tuple[str, ...]:
    """Return the types that make examples: all but purchases and refunds, or purchases if there is no other."""
    return example_types_of(pc.unique(log["type"]).to_pylist())


def example_types_of(found: Collection[str]) -> tuple[str, ...]:
    """Return the types that make examples in a log that holds these types."""
    browsing = tuple(name for name in EVENT_TYPES if name not in _NOT_BROWSING)
    return browsing if set(found).intersection(browsing) else ("purchase",)


def _codes(log: pa.Table) -> tuple[NDArray[np.int64], list[str]]:
    """Return each row's customer as a number (erased ones share one) and whose number it is."""
    encoded = pc.fill_null(log["customer_id"].combine_chunks(), "").dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_pylist()


def _partitions(log: pa.Table) -> list[NDArray[np.int64]]:
    """Return the rows of each partition, in order of arrival."""
    named = log["partition"]
    if named.null_count:
        return [np.arange(len(log))]
    partition = named.to_numpy()
    order = np.argsort(partition, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(partition[order])) + 1)
