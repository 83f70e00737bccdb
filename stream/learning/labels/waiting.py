"""Holds examples back until their labels are known, and gives them out in the one order in which they are learned.

Fed with the records of both topics, partition by partition in the order of their offsets, whatever the order among
partitions and topics. Three things make what comes out depend on the data alone:

- an example is final when its partition's outcomes have a watermark beyond ``as_of`` + horizon, and its label counts
  what is known of them until then;
- examples are released in the order (as_of, partition, source offset), as far as *every* partition's examples and
  outcomes have come;
- a mini-batch ends at 512 examples or with the ten minutes of event time that it began in.

Neither topic is read further than needed (`Waiting.wanted`): Kafka keeps what waits,
and here are only the examples of about the lateness, and the outcomes of about the horizon.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.bundle import Manifest
from features.calendar import zone
from features.labels import LabelStart
from features.watermark import BEGINNING
from stream.learning.labels.buffered import Buffered, Chunk, Rows, final_rows, gathered
from stream.learning.labels.cursors import UNKNOWN, Key, Moment, Progress, take
from stream.learning.labels.labelling import Labeller, customer_keys
from stream.learning.labels.minibatches import batch_cuts, window_end, window_start
from stream.learning.records.examples import ExampleRecord, Examples
from stream.learning.records.outcomes import OutcomeRecord

# Mini-batches that are gathered at a time: quicker than each by itself, and bounds the copies.
_GATHERED: Final = 32

_NEVER: Final = Moment(-1, BEGINNING)


class MiniBatch(NamedTuple):
    """Examples to be learned at once.

    Attributes
    ----------
    examples
        In the order of their keys.
    labels
        1 = the customer purchased in time.
    known_at
        The lowest watermark when they were released, epoch ms; less a row's ``as_of`` it is the delay of its label.
        ``None`` where the end of a replay released them.
    """

    examples: Examples
    labels: NDArray[np.uint8]
    known_at: int | None


class Waiting:
    """Examples that wait, and the outcomes that will label them.

    Parameters
    ----------
    bundle
        Version of the bundle whose examples are learned; others are dropped.
    horizon_ms, label_start, timezone
        The horizon rule.
    progress
        From where reading continues.

    Attributes
    ----------
    dropped
        Examples that will not be learned, by why: ``repeated`` (learned, or read, before), ``foreign`` (another
        bundle's), ``cancelled`` (the customer was erased, or outcomes are missing).
    waiting
        Examples in memory.
    """

    def __init__(
        self, bundle: str, *, horizon_ms: int, label_start: LabelStart, timezone: str, progress: Progress
    ) -> None:
        self.dropped: Counter[str] = Counter()
        self.waiting = 0
        self._bundle = bundle
        self._horizon_ms = horizon_ms
        self._rule: tuple[LabelStart, str] = label_start, timezone
        self._learned = progress.learned
        self._partitions = [
            Buffered(examples, outcomes)
            for examples, outcomes in zip(progress.examples, progress.outcomes, strict=True)
        ]
        self._tried: Moment = _NEVER

    @classmethod
    def of(cls, manifest: Manifest, progress: Progress) -> Waiting:
        """Return an empty one, with a bundle's horizon rule."""
        return cls(
            manifest.version,
            horizon_ms=round(manifest.horizon_seconds * 1000),
            label_start=manifest.label_start,
            timezone=manifest.timezone,
            progress=progress,
        )

    def add_examples(self, partition: int, offset: int, record: ExampleRecord) -> None:
        """Take a record of the examples topic; ``offset`` is Kafka's."""
        own = self._partitions[partition]
        before = own.examples
        if offset < before.next:
            return
        behind, new_rows = take(before, record.header)
        own.examples = behind._replace(next=offset + 1)
        if new_rows is None:
            self.dropped["repeated"] += record.header.rows
            return
        if record.examples is None or record.header.bundle != self._bundle:
            self.dropped["foreign"] += record.header.rows
            return
        examples = record.examples
        bounds = np.searchsorted(examples.offset, [new_rows.since, *new_rows.closes]).tolist()
        self.dropped["repeated"] += bounds[0]
        for generation, (low, high) in enumerate(pairwise([*bounds, len(examples)]), before.generation):
            part = examples[low:high]
            if len(part):
                chunk = Chunk(
                    before._replace(next=offset),
                    generation,
                    part,
                    customer_keys(list(part.customer)),
                    np.arange(len(part)),
                    int(part.as_of.min()),
                )
                self._put(own, chunk)

    def _put(self, own: Buffered, chunk: Chunk) -> None:
        rows = len(chunk.left)
        chunk.drop_learned(self._learned)
        self.dropped["repeated"] += rows - len(chunk.left)
        if len(chunk.left):
            own.chunks.append(chunk)
            self.waiting += len(chunk.left)

    def add_outcomes(self, partition: int, offset: int, record: OutcomeRecord) -> None:
        """Take a record of the outcomes topic; ``offset`` is Kafka's."""
        own = self._partitions[partition]
        before = own.outcomes
        if offset < before.next:
            return
        behind, new_rows = take(before, record.header)
        own.outcomes = behind._replace(next=offset + 1)
        if new_rows is None:
            return
        own.covered.append((before._replace(next=offset), record.header.stop))
        if new_rows.gap != UNKNOWN:
            self._labeller(own, before.generation).add_gap(new_rows.gap, before.watermark)
        outcomes = record.outcomes.since(new_rows.since)
        bounds = [0, *np.searchsorted(outcomes.offset, new_rows.closes).tolist(), len(outcomes)]
        for generation, (low, high) in enumerate(pairwise(bounds), before.generation):
            if high > low:
                self._labeller(own, generation).add(outcomes[low:high])

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
            Moment(chunk.generation, chunk.oldest) for own in self._partitions for chunk in own.chunks
        ]
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

    def release(self) -> Iterator[MiniBatch]:
        """Yield the mini-batches that are final and complete. What was yielded counts as learned."""
        self._forget()
        while True:
            bound = min(self._final(), *(own.examples.moment for own in self._partitions))
            chunks = [chunk for own in self._partitions for chunk in own.chunks]
            if bound == self._tried or not chunks:
                break
            generation = min(chunk.generation for chunk in chunks)
            if generation > bound.generation:
                break
            closed = generation < bound.generation
            until = None if closed else bound.time
            rows = final_rows(chunks, generation, until)
            yield from self._batches(chunks, generation, rows, until)
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

    def progress(self) -> Progress:
        """Return where a restart continues, if all that was yielded has been learned."""
        examples, outcomes = [], []
        for own in self._partitions:
            left = (chunk.before for chunk in own.chunks if len(chunk.beyond(self._learned)))
            needed = own.needed_from(self._learned)
            examples.append(next(left, own.examples))
            outcomes.append(next((before for before, stop in own.covered if stop > needed), own.outcomes))
        return Progress(learned=self._learned, examples=examples, outcomes=outcomes)

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

    def _batches(
        self, chunks: Sequence[Chunk], generation: int, rows: Rows, until: int | None
    ) -> Iterator[MiniBatch]:
        cancelled = np.zeros(len(rows.row), np.bool_)
        labels = np.zeros(len(rows.row), np.uint8)
        for number in np.unique(rows.partition).tolist():
            labeller = self._partitions[number].labellers.get(generation)
            if labeller is not None:
                at = np.flatnonzero(rows.partition == number)
                asked = rows.customer[at], rows.as_of[at], rows.offset[at]
                cancelled[at] = labeller.cancelled(*asked)
                labels[at] = labeller.labels(*asked)
        kept = np.flatnonzero(~cancelled)
        cuts = batch_cuts(rows.as_of[kept], until)
        for first in range(0, len(cuts) - 1, _GATHERED):
            bounds = cuts[first : first + _GATHERED + 1]
            block = kept[bounds[0] : bounds[-1]]
            examples = gathered(chunks, rows.chunk[block], rows.row[block])
            for low, high in pairwise(bounds):
                last = kept[high - 1]
                self._learned = Key(
                    generation, int(rows.as_of[last]), int(rows.partition[last]), int(rows.offset[last])
                )
                part = slice(low - bounds[0], high - bounds[0])
                yield MiniBatch(
                    examples[part], labels[kept[low:high]], None if until is None else self.watermark
                )
        done = len(rows.row) if until is None else (kept[cuts[-1] - 1] + 1 if cuts[-1] else 0)
        self.dropped["cancelled"] += int(np.count_nonzero(cancelled[:done]))

    def _decide(self, place: Key) -> None:
        self._learned = place if self._learned is None else max(place, self._learned)

    def _forget(self) -> None:
        """Drop what is learned, and the outcomes that nothing needs any more."""
        self.waiting = 0
        for own in self._partitions:
            for chunk in own.chunks:
                chunk.drop_learned(self._learned)
            own.chunks = [chunk for chunk in own.chunks if len(chunk.left)]
            self.waiting += sum(len(chunk.left) for chunk in own.chunks)
            needed = own.needed_from(self._learned)
            while own.covered and own.covered[0][1] <= needed:
                own.covered.popleft()
            for generation in [g for g in own.labellers if g < own.examples.generation]:
                if all(chunk.generation > generation for chunk in own.chunks):
                    del own.labellers[generation]
            for labeller in own.labellers.values():
                labeller.forget(needed)
