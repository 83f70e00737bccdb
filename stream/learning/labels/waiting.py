"""Holds examples back until their labels are known, and gives them out in the one order in which they are learned.

Fed with the records of both topics, partition by partition in the order of their offsets, whatever the order among
partitions and topics. Three things make what comes out depend on the data alone:

- an example is final when the outcomes of *every* partition have a watermark beyond ``as_of`` + horizon, and its label
  counts what happened until then: by the same id, and by others that are the same person's by then, on whichever
  partition (`features.families`). No outcome that follows is of before a watermark, be it a purchase or a link, so
  none that could count is missing;
- examples are released in the order (as_of, partition, source offset), as far as every partition's examples and
  outcomes have come;
- a mini-batch ends at 512 examples or with the ten minutes of event time that it began in.

Neither topic is read further than needed (`Waiting.wanted`): Kafka keeps what waits, and here are only the examples of
about the lateness, and the outcomes of about the horizon. A step costs in proportion to what it brings and releases,
not to what waits (`stream.learning.labels.held`, `stream.learning.labels.runs`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.bundle import Manifest
from features.calendar import zone
from features.labels import LabelStart
from features.structured import picked, pieces
from features.watermark import BEGINNING
from stream.learning.labels.buffered import Buffered
from stream.learning.labels.cursors import UNKNOWN, Cursor, Key, Moment, NewRows, Place, Progress, take
from stream.learning.labels.held import Held
from stream.learning.labels.labelling import FamilyLabels, Labeller
from stream.learning.labels.minibatches import batch_cuts, window_end, window_start
from stream.learning.records.examples import Examples
from stream.learning.records.outcomes import Outcomes, joined
from stream.learning.records.rows import PAYLOAD, ExampleRecords, ExampleRows, OutcomeRecords, Payload
from stream.learning.records.texts import customer_keys

# Mini-batches that are gathered at a time: quicker than each by itself, and bounds the copies.
_GATHERED: Final = 32

# How long it is remembered where another bundle's examples begin (event time). The topics keep records for 7 days more
# than horizon and lateness, and nobody may be sent to records that have expired.
_REMEMBERED_MS: Final = 6 * 24 * 3_600_000
# Of how many bundles: more are none that somebody has trained.
_REMEMBERED: Final = 100

_NEVER: Final = Moment(-1, BEGINNING)

# Examples whose labels are final, and which wait for their mini-batch to be complete.
_READY: Final = np.dtype(
    [
        ("as_of", np.int64),
        ("partition", np.int32),
        ("offset", np.int64),
        ("place", np.int64),
        ("label", np.uint8),
        ("customer", np.uint64),
    ]
)


class MiniBatch(NamedTuple):
    """Examples to be learned at once.

    Attributes
    ----------
    examples
        In the order of their keys; without event ids and customers.
    labels
        1 = the customer purchased in time.
    customers
        Whose they are: `stream.learning.records.texts.customer_keys`.
    known_at
        The lowest watermark when they were released, epoch ms; less a row's ``as_of`` it is the delay of its label.
        ``None`` where the end of a replay released them.
    """

    examples: Examples
    labels: NDArray[np.uint8]
    customers: NDArray[np.uint64]
    known_at: int | None


class Waiting:
    """Examples that wait, and the outcomes that will label them.

    Parameters
    ----------
    bundle
        Version of the bundle whose examples are learned; others are passed over.
    horizon_ms, label_start, timezone
        The horizon rule.
    progress
        From where reading continues.
    passed
        From where to read for other bundles, see the attribute.

    Attributes
    ----------
    dropped
        Examples that will not be learned, by why: ``repeated`` (learned, or read, before), ``foreign`` (another
        bundle's), ``cancelled`` (the customer was erased, or outcomes are missing).
    waiting
        Examples in memory.
    passed
        By each other bundle whose examples were passed over: the progress before the first of them. A learner of that
        bundle begins there, and so learns all of them.
    """

    def __init__(
        self,
        bundle: str,
        *,
        horizon_ms: int,
        label_start: LabelStart,
        timezone: str,
        progress: Progress,
        passed: Mapping[str, Place] | None = None,
    ) -> None:
        self.dropped: Counter[str] = Counter()
        self.waiting = 0
        self.passed = dict(passed or {})
        self._bundle = bundle
        self._beside: dict[int, str] = {}  # versions of bundles that scored beside, by their keys
        self._horizon_ms = horizon_ms
        self._rule: tuple[LabelStart, str] = label_start, timezone
        self._learned = progress.learned
        self._partitions = [
            Buffered(examples, outcomes)
            for examples, outcomes in zip(progress.examples, progress.outcomes, strict=True)
        ]
        self._tried: Moment = _NEVER
        self._ready = np.zeros(0, _READY)  # in order
        self._ready_generation = 0

    @classmethod
    def of(cls, manifest: Manifest, progress: Progress, passed: Mapping[str, Place] | None = None) -> Waiting:
        """Return an empty one, with a bundle's horizon rule."""
        return cls(
            manifest.version,
            horizon_ms=round(manifest.horizon_seconds * 1000),
            label_start=manifest.label_start,
            timezone=manifest.timezone,
            progress=progress,
            passed=passed,
        )

    def add_examples(self, partition: int, records: ExampleRecords) -> None:
        """Take records of the examples topic."""
        others = {
            header.bundle for header, ours in zip(records.headers, records.ours, strict=True) if not ours
        }
        if not others <= self.passed.keys() | {self._bundle}:
            here = Place(self.newest, self.progress())
            new = sorted(others - self.passed.keys() - {self._bundle})
            self.passed |= dict.fromkeys(new[: max(_REMEMBERED - len(self.passed), 0)], here)
        for version in {version for header in records.headers for version in header.beside}:
            if len(self._beside) < _REMEMBERED:
                self._beside[int(customer_keys([version])[0])] = version
        own = self._partitions[partition]
        parts: dict[int, list[tuple[Cursor, int, int]]] = {}  # by generation
        for at, (offset, header) in enumerate(zip(records.offsets, records.headers, strict=True)):
            before = own.examples
            if offset < before.next:
                continue
            behind, new_rows = take(before, header)
            own.examples = behind._replace(next=offset + 1)
            own.bundle = header.bundle
            if new_rows is None:
                self.dropped["repeated"] += header.rows
            elif not records.ours[at]:
                self.dropped["foreign"] += header.rows
            elif header.rows:
                low, high = records.bounds[at : at + 2]
                bounds = _bounds(records.rows.offset[low:high], new_rows, header.start)
                self.dropped["repeated"] += bounds[0]
                place = before._replace(next=offset)
                for generation, (first, last) in enumerate(pairwise(bounds), before.generation):
                    if last > first:
                        parts.setdefault(generation, []).append((place, low + first, low + last))
        for generation, some in parts.items():
            self._hold(own, partition, generation, records.rows, some)

    def _hold(
        self,
        own: Buffered,
        partition: int,
        generation: int,
        rows: ExampleRows,
        parts: Sequence[tuple[Cursor, int, int]],
    ) -> None:
        """Hold the rows of these parts that were not learned before; each has the cursor that leads to it."""
        counts = [high - low for _, low, high in parts]
        record = np.repeat(np.arange(len(parts)), counts)
        picked = np.concatenate([np.arange(low, high) for _, low, high in parts])
        new = self._beyond(partition, generation, rows.as_of[picked], rows.offset[picked])
        if not new.all():
            record, picked = record[new], picked[new]
        self.dropped["repeated"] += len(new) - len(picked)
        self.waiting += len(picked)
        if len(picked):
            held = own.held.setdefault(generation, Held())
            held.add(rows.take(picked), [cursor for cursor, _, _ in parts], record)

    def _beyond(
        self, partition: int, generation: int, as_of: NDArray[np.int64], offset: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Return which examples come after what was learned."""
        learned = self._learned
        if learned is None or generation != learned.generation:
            return np.full(len(as_of), learned is None or generation > learned.generation)
        if partition == learned.partition:
            later = offset > learned.offset
        else:
            later = np.full(len(as_of), partition > learned.partition)
        beyond: NDArray[np.bool_] = (as_of > learned.as_of) | ((as_of == learned.as_of) & later)
        return beyond

    def add_outcomes(self, partition: int, records: OutcomeRecords) -> None:
        """Take records of the outcomes topic."""
        own = self._partitions[partition]
        parts: dict[int, list[Outcomes]] = {}  # by generation
        for offset, header, outcomes in zip(records.offsets, records.headers, records.outcomes, strict=True):
            before = own.outcomes
            if offset < before.next:
                continue
            behind, new_rows = take(before, header)
            own.outcomes = behind._replace(next=offset + 1)
            if new_rows is None:
                continue
            if new_rows.gap != UNKNOWN:
                self._labeller(own, before.generation).add_gap(new_rows.gap, before.watermark)
            latest = _NEVER
            if len(outcomes):
                bounds = _bounds(outcomes.offset, new_rows, header.start)
                for generation, (low, high) in enumerate(pairwise(bounds), before.generation):
                    if high > low:
                        parts.setdefault(generation, []).append(outcomes[low:high])
                        latest = max(latest, Moment(generation, int(outcomes.time[low:high].max())))
            own.cover(before._replace(next=offset), header.stop, latest)
        for generation, some in parts.items():
            self._labeller(own, generation).add(joined(some))

    def pass_examples(self, partition: int, offset: int) -> None:
        """Move on to Kafka's ``offset``: no record lies before it (topics have holes)."""
        own = self._partitions[partition]
        if offset > own.examples.next:
            own.examples = own.examples._replace(next=offset)

    def pass_outcomes(self, partition: int, offset: int) -> None:
        """Move on to Kafka's ``offset``: no record lies before it (topics have holes)."""
        own = self._partitions[partition]
        if offset > own.outcomes.next:
            own.outcomes = own.outcomes._replace(next=offset)

    def next_examples(self, partition: int) -> int:
        """Return Kafka's offset of the next record of examples, `UNKNOWN` for the earliest."""
        return self._partitions[partition].examples.next

    def next_outcomes(self, partition: int) -> int:
        """Return Kafka's offset of the next record of outcomes, `UNKNOWN` for the earliest."""
        return self._partitions[partition].outcomes.next

    def wanted(self) -> tuple[list[int], list[int]]:
        """Return the partitions whose examples, and those whose outcomes, have to be read on.

        More examples are wanted where some could come that are final already; more outcomes where they are what keeps
        the oldest example waiting.
        """
        final, oldest = self._final(), self.oldest
        until = oldest._replace(time=window_end(oldest.time))
        return (
            [at for at, own in enumerate(self._partitions) if own.examples.moment <= final],
            [at for at, own in enumerate(self._partitions) if self._labelled(own) < until],
        )

    @property
    def oldest(self) -> Moment:
        """The oldest example that waits, or could still come."""
        moments = [own.examples.moment for own in self._partitions]
        moments += [
            Moment(generation, oldest)
            for own in self._partitions
            for generation, held in own.held.items()
            if (oldest := held.oldest) is not None
        ]
        if len(self._ready):
            moments.append(Moment(self._ready_generation, int(self._ready["as_of"][0])))
        return min(moments)

    @property
    def watermark(self) -> int:
        """The lowest watermark of the outcomes, epoch ms."""
        return min(own.outcomes.moment for own in self._partitions).time

    @property
    def newest(self) -> int:
        """The highest watermark of the outcomes, epoch ms."""
        return max(own.outcomes.watermark for own in self._partitions)

    @property
    def outcomes(self) -> int:
        """Outcomes in memory."""
        return sum(len(labeller) for own in self._partitions for labeller in own.labellers.values())

    def left_for(self, other: str) -> bool:
        """Whether all examples of our bundle have come and were given out, and those of another one follow.

        Every partition tells so by its newest record; a worker writes some for silent ones, too.
        """
        told = all(own.bundle not in {"", self._bundle} for own in self._partitions)
        return told and not self.waiting and other in self.passed

    def release(self) -> Iterator[MiniBatch]:
        """Yield the mini-batches that are final and complete. What was yielded counts as learned."""
        while self.waiting:
            bound = min(self._final(), *(own.examples.moment for own in self._partitions))
            generation = min(generation for own in self._partitions for generation in own.held)
            if bound == self._tried or generation > bound.generation:
                break
            closed = generation < bound.generation
            until = None if closed else bound.time
            self._ripen(generation, until)
            yield from self._batches(generation, until)
            # Cancelled rows don't wait any longer either, so all before these places is decided.
            if closed:
                self._decide(Key(generation + 1, BEGINNING, -1, -1))
            elif bound.time > BEGINNING:
                self._decide(Key(generation, window_start(bound.time), -1, -1))
            if not closed:
                self._tried = bound
            self._forget()
            if not closed:
                break
        self._forget()

    def progress(self) -> Progress:
        """Return where a restart continues, if all that was yielded has been learned."""
        oldest = self.oldest
        return Progress(
            learned=self._learned,
            examples=[own.begins()[0] for own in self._partitions],
            outcomes=[own.outcomes_from(oldest) for own in self._partitions],
        )

    def remembered(self) -> dict[str, Place]:
        """Return `passed`, without what lies too far back."""
        since = self.newest - _REMEMBERED_MS
        self.passed = {other: place for other, place in self.passed.items() if place.since >= since}
        return self.passed

    def _labelled(self, own: Buffered) -> Moment:
        moment = own.outcomes.moment
        return moment._replace(time=moment.time - self._horizon_ms)

    def _final(self) -> Moment:
        """Return the moment before which every example's label is final."""
        return min(self._labelled(own) for own in self._partitions)

    def _labeller(self, own: Buffered, generation: int) -> Labeller:
        if generation not in own.labellers:
            start, timezone = self._rule
            own.labellers[generation] = Labeller(self._horizon_ms, start, zone(timezone))
        return own.labellers[generation]

    def _ripen(self, generation: int, until: int | None) -> None:
        """Label the examples older than ``until``, by default all of the generation; those cancelled are dropped."""
        ripe = [self._ready]
        families = self._families(generation)
        for number, own in enumerate(self._partitions):
            if generation not in own.held:
                continue
            keys = own.held[generation].pop(until)
            if not len(keys.as_of):
                continue
            rows = np.zeros(len(keys.as_of), _READY)
            rows["as_of"], rows["partition"] = keys.as_of, number
            rows["offset"], rows["place"], rows["customer"] = keys.offset, keys.place, keys.customer
            labeller = own.labellers.get(generation)
            if labeller is not None:
                asked = keys.customer, keys.as_of, keys.offset
                rows["label"] = labeller.labels(*asked)
                cancelled = labeller.cancelled(*asked)
                self._drop(own.held[generation], keys.place[cancelled])
                self.dropped["cancelled"] += int(np.count_nonzero(cancelled))
                rows = rows[~cancelled]
            if families is not None:
                rows["label"] = families.labels(rows["customer"], rows["as_of"], rows["label"])
            ripe.append(rows)
        if len(ripe) > 1:
            ready = np.concatenate(ripe)
            order = np.lexsort((ready["offset"], ready["partition"], ready["as_of"]))
            self._ready, self._ready_generation = picked(ready, order), generation

    def _families(self, generation: int) -> FamilyLabels | None:
        """Return what labels examples of people with several ids; ``None`` where nobody is known to have them."""
        labellers = [own.labellers.get(generation) for own in self._partitions]
        if not any(labeller is not None and labeller.linked for labeller in labellers):
            return None
        start, timezone = self._rule
        return FamilyLabels(labellers, self._horizon_ms, start, zone(timezone))

    def _batches(self, generation: int, until: int | None) -> Iterator[MiniBatch]:
        """Yield the complete mini-batches of what is ready."""
        cuts = batch_cuts(self._ready["as_of"], until)
        for first in range(0, len(cuts) - 1, _GATHERED):
            bounds = cuts[first : first + _GATHERED + 1]
            block = self._ready[: bounds[-1] - bounds[0]]
            payload = self._payload(generation, block)
            for low, high in pairwise(at - bounds[0] for at in bounds):
                rows = block[low:high]
                last = rows[-1]
                self._learned = Key(
                    generation, int(last["as_of"]), int(last["partition"]), int(last["offset"])
                )
                self._ready = self._ready[len(rows) :]
                for number, at in _by_partition(rows):
                    self._drop(self._partitions[number].held[generation], rows["place"][at])
                yield MiniBatch(
                    _examples(rows, payload[low:high], self._beside),
                    rows["label"].copy(),
                    rows["customer"].copy(),
                    None if until is None else self.watermark,
                )
        self._ready = self._ready.copy()  # a view would keep all of them in memory

    def _payload(self, generation: int, rows: NDArray[np.void]) -> Payload:
        payload = np.empty(len(rows), PAYLOAD)
        for number, at in _by_partition(rows):
            held = self._partitions[number].held[generation]
            pieces(payload)[at] = pieces(held.payload(rows["place"][at]))
        return payload

    def _drop(self, held: Held, place: NDArray[np.int64]) -> None:
        held.drop(place)
        self.waiting -= len(place)

    def _decide(self, place: Key) -> None:
        self._learned = place if self._learned is None else max(place, self._learned)

    def _forget(self) -> None:
        oldest = self.oldest
        for own in self._partitions:
            own.forget(oldest)


def _bounds(offsets: NDArray[np.int64], new: NewRows, start: int) -> list[int]:
    """Return where in a record's rows the new ones begin, where each generation ends, and where they all end."""
    if new.since <= start and not new.closes:
        return [0, len(offsets)]
    return [*np.searchsorted(offsets, [new.since, *new.closes]).tolist(), len(offsets)]


def _by_partition(rows: NDArray[np.void]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Yield each partition, and the positions of its rows."""
    for number in np.unique(rows["partition"]).tolist():
        yield number, np.flatnonzero(rows["partition"] == number)


def _examples(rows: NDArray[np.void], payload: Payload, beside: Mapping[int, str]) -> Examples:
    columns: list[NDArray[Any]] = [
        np.ascontiguousarray(column)
        for column in (
            rows["partition"],
            rows["offset"],
            payload["kind"],
            rows["as_of"],
            payload["weight"],
            payload["segment"].astype(np.int64),
            payload["logit"],
            payload["vector"],
        )
    ]
    partition, offset, kind, as_of, weight, segment, logit, vectors = columns
    said = {}
    for key in np.unique(payload["rival"]).tolist():
        if key in beside:
            row, place = np.nonzero(payload["rival"] == key)
            said[beside[key]] = np.full(len(rows), np.nan)
            said[beside[key]][row] = payload["beside"][row, place]
    return Examples(partition, offset, (), (), kind, as_of, weight, segment, logit, vectors, said)
