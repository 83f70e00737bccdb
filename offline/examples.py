"""From an event log to examples: what the scorer would have known at every event, and what happened then.

The log is folded partition by partition exactly as the stream does it (`features.watermark`,
`features.fold`), so a row of `Examples.vectors` is the row that the scorer would have fed to the network.
Labels are those that a live system would have: known only once the partition's watermark has passed the
horizon.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.calendar import zone
from features.columns import from_table
from features.events import EVENT_TYPES, PURCHASE, TYPE_CODES
from features.fold import Status, fold
from features.labels import NEGATIVE, UNKNOWN, LabelStart, horizon_labels
from features.log import ERASED
from features.state import DAY_MS, empty
from features.vector import WIDTH, Vectors
from features.watermark import ACCEPTED, BEGINNING, judge
from offline.exceptions import TrainingError

#: Shares of the usable time that go to training, calibration and test.
SPLIT_SHARES: Final = (0.7, 0.1, 0.2)

#: What the network learns beside the label: one of these types within this part of the horizon.
SIDE_TARGETS: Final = (
    *((("purchase",), part) for part in (1 / 10, 1 / 3)),
    *((("begin_checkout",), part) for part in (1 / 3, 1.0)),
    *((("add_to_cart",), part) for part in (1 / 10, 1 / 3, 1.0)),
    (("remove_from_cart",), 1.0),
    *((EVENT_TYPES, part) for part in (1 / 30, 1 / 6, 1.0)),
)

# Rows folded at a time; bounds what a chunk's columns take beside the vectors (about 500 bytes a row).
_CHUNK: Final = 200_000

_NOT_BROWSING: Final = ("purchase", "refund")


class Context(NamedTuple):
    """How events are read and what is predicted; the same fields stand in the manifest.

    ``horizon_ms`` and ``label_start`` say what makes an example positive, ``timezone`` and ``currency`` how
    local time and money are read, ``lateness_ms`` and ``ttl_ms`` how late an event may be and how long a
    silent state lives.
    """

    horizon_ms: int
    label_start: LabelStart
    timezone: str = "UTC"
    currency: str = "EUR"
    lateness_ms: int = 15 * 60_000
    ttl_ms: int = 400 * DAY_MS


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
        Whether the event is of a type that makes examples. The others are folded, and that is all.
    types
        Event types that make examples.
    refused, repeated
        How many events of the log were too late or ahead of their arrival, and how many were repetitions.
    """

    rows: NDArray[np.int64]
    vectors: Vectors
    as_of: NDArray[np.int64]
    customers: NDArray[np.int64]
    labels: NDArray[np.int8]
    event_time: NDArray[np.int64]
    kinds: NDArray[np.uint8]
    counted: NDArray[np.bool_]
    types: tuple[str, ...]
    refused: int
    repeated: int

    def __len__(self) -> int:
        return len(self.as_of)

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Whether an event is an example whose label is known."""
        return self.counted & (self.labels != UNKNOWN)


class Slices(NamedTuple):
    """Positions in `Examples` of the rows to train on, to calibrate on and to test on."""

    train: NDArray[np.int64]
    calibration: NDArray[np.int64]
    test: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Split:
    """Where the time of a log is cut: training, calibration and test, one embargo apart.

    An example belongs to a slice if it lies in it with its whole horizon, so no label looks into a later
    slice.

    Attributes
    ----------
    begin, calibration, test, end
        Where training, calibration and test begin, and where the test ends, epoch ms.
    horizon_ms
        The embargo before ``calibration`` and before ``test``.
    """

    begin: int
    calibration: int
    test: int
    end: int
    horizon_ms: int

    def slices(self, examples: Examples) -> Slices:
        """Return the usable examples of each slice, in order of time."""
        usable, as_of = examples.usable, examples.as_of

        def rows(start: int, end: int) -> NDArray[np.int64]:
            found = np.flatnonzero(usable & (as_of >= start) & (as_of < end))
            return found[np.argsort(as_of[found], kind="stable")]

        return Slices(
            rows(self.begin, self.calibration - self.horizon_ms),
            rows(self.calibration, self.test - self.horizon_ms),
            rows(self.test, self.end),
        )

    def describe(self) -> dict[str, Any]:
        """Return the split in words and times, for the manifest."""
        return {
            "by": "time",
            "train": [_instant(self.begin), _instant(self.calibration - self.horizon_ms)],
            "calibration": [_instant(self.calibration), _instant(self.test - self.horizon_ms)],
            "test": [_instant(self.test), _instant(self.end)],
            "embargo_seconds": self.horizon_ms / 1000,
            "labels": "known once the watermark has passed the horizon",
            "resampling": "none",
        }


def build_examples(
    log: pa.Table, context: Context, *, on_progress: Callable[[int, int], None] | None = None
) -> Examples:
    """Fold a whole log and label every event.

    Parameters
    ----------
    log
        An event log (`features.log.read_log`), rows in order of arrival. Where it doesn't name partitions it
        is taken as one.
    on_progress
        Called with rows done and in all.
    """
    types = example_types(log)
    erased = pc.equal(log["type"], ERASED).to_numpy()
    customers, count = _codes(log)
    room = len(log) - int(np.count_nonzero(erased))
    rows = np.empty(room, np.int64)
    vectors = np.empty((room, WIDTH), np.float32)
    as_of = np.empty(room, np.int64)
    kinds = np.empty(room, np.uint8)
    labels = np.empty(room, np.int8)
    filled = done = refused = repeated = 0
    event_time = log["event_time"].cast(pa.int64()).to_numpy()
    local = zone(context.timezone)
    states = empty(count)
    for partition in _partitions(log):
        watermark, first = BEGINNING, filled
        for start in range(0, len(partition), _CHUNK):
            at = partition[start : start + _CHUNK]
            chunk = log.take(at)
            arrivals = chunk["arrived_at"].cast(pa.int64()).to_numpy()
            verdicts, watermark = judge(event_time[at], arrivals, watermark, context.lateness_ms)
            accepted = (verdicts == ACCEPTED) & ~erased[at]
            refused += int(np.count_nonzero(~accepted & ~erased[at]))
            kept = np.flatnonzero(accepted)
            columns = from_table(chunk.take(kept), context.currency)
            folded = fold(states, customers[at[kept]], columns, zone=local, ttl_ms=context.ttl_ms)
            new = np.flatnonzero(folded.status == Status.FOLDED)
            repeated += len(kept) - len(new)
            into = slice(filled, filled + len(new))
            rows[into], as_of[into], kinds[into] = at[kept[new]], folded.as_of[new], columns.type[new]
            vectors[into] = folded.vectors[new]
            filled += len(new)
            done += len(at)
            if on_progress is not None:
                on_progress(done, len(log))
        own = slice(first, filled)
        labels[own] = horizon_labels(
            customers[rows[own]],
            as_of[own],
            np.where(kinds[own] == PURCHASE, event_time[rows[own]], -1),
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
        np.isin(kinds[:filled], [TYPE_CODES[name] for name in types]),
        types,
        refused,
        repeated,
    )


def side_targets(examples: Examples, rows: NDArray[np.int64], context: Context) -> NDArray[np.uint8]:
    """Return what else happens within the horizon after the given examples, shape ``(rows, side targets)``.

    The network learns them beside the label. None looks further than the label does, so an embargo that holds
    for labels holds for them; targets that are always or never met, or always equal the label, are left out.
    """
    columns = []
    for names, part in SIDE_TARGETS:
        wanted = np.isin(examples.kinds, [TYPE_CODES[name] for name in names])
        met = horizon_labels(
            examples.customers,
            examples.as_of,
            np.where(wanted, examples.event_time, -1),
            horizon_ms=int(context.horizon_ms * part),
            start=context.label_start,
            zone=zone(context.timezone),
            end=np.iinfo(np.int64).max,
        )[rows]
        if met.any() and not met.all() and (met != examples.labels[rows]).any():
            columns.append(met.astype(np.uint8))
    return np.column_stack(columns) if columns else np.zeros((len(rows), 0), np.uint8)


def example_types(log: pa.Table) -> tuple[str, ...]:
    """Return the types that make examples: all but purchases and refunds, or purchases if there is no other."""
    found = set(pc.unique(log["type"]).to_pylist())
    browsing = tuple(name for name in EVENT_TYPES if name not in _NOT_BROWSING)
    return browsing if found.intersection(browsing) else ("purchase",)


def split_by_time(examples: Examples, horizon_ms: int, shares: Sequence[float] = SPLIT_SHARES) -> Split:
    """Cut the time of the usable examples, less two embargoes, into training, calibration and test.

    Raises
    ------
    TrainingError
        No label is known, or the log is too short for two embargoes, or a slice has no positive or negative
        example.
    """
    usable = np.flatnonzero(examples.usable)
    if not len(usable):
        raise TrainingError(
            f"the log is shorter than the horizon of {_span(horizon_ms)}, so no label is known: "
            "use a longer log or a shorter --horizon"
        )
    begin, last = int(examples.as_of[usable].min()), int(examples.as_of[usable].max())
    usable_ms = last - begin - 2 * horizon_ms
    if usable_ms < horizon_ms:
        raise TrainingError(
            f"the log is too short: its examples with known labels span {_span(last - begin)}, a horizon of "
            f"{_span(horizon_ms)} with two embargoes of the same length needs {_span(3 * horizon_ms)}: "
            "use a longer log or a shorter --horizon"
        )
    train, calibration, _ = np.asarray(shares) / sum(shares)
    start = begin + int(train * usable_ms) + horizon_ms
    test = start + int(calibration * usable_ms) + horizon_ms
    split = Split(begin, start, test, last + 1, horizon_ms)
    require_both_classes(examples, split.slices(examples))
    return split


def require_both_classes(examples: Examples, slices: Slices, *, least: int = 10) -> None:
    """Refuse slices from which nothing can be learned or judged.

    Raises
    ------
    TrainingError
        A slice has fewer than ``least`` positive or negative examples.
    """
    for name, rows in slices._asdict().items():
        positive = int(np.count_nonzero(examples.labels[rows] > NEGATIVE))
        rarer, kind = min((positive, "positive"), (len(rows) - positive, "negative"))
        if rarer < least:
            raise TrainingError(
                f"the {name} slice of the log has {rarer} {kind} examples among {len(rows)}, at least "
                f"{least} are needed: use a longer log or another --horizon"
            )


def _codes(log: pa.Table) -> tuple[NDArray[np.int64], int]:
    """Return each row's customer as a number (erased ones share one) and how many numbers there are."""
    encoded = pc.fill_null(log["customer_id"].combine_chunks(), "").dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), len(encoded.dictionary)


def _partitions(log: pa.Table) -> list[NDArray[np.int64]]:
    """Return the rows of each partition, in order of arrival."""
    named = log["partition"]
    if named.null_count:
        return [np.arange(len(log))]
    partition = named.to_numpy()
    order = np.argsort(partition, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(partition[order])) + 1)


def _instant(ms: int) -> str:
    return f"{np.datetime64(ms, 'ms')}Z"


def _span(ms: int) -> str:
    """Return a length of time for people.

    Examples
    --------
    >>> _span(5_400_000), _span(2_592_000_000)
    ('1.5 h', '30 d')
    """
    for unit, size in (("d", DAY_MS), ("h", 3_600_000)):
        if ms >= size:
            return f"{ms / size:.3g} {unit}"
    return f"{ms / 60_000:.3g} min"
