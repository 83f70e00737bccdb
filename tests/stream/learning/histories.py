"""Made-up histories of a topic, what a scorer would write about them, and by plain loops what is to be learned."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from features.identity import MOST_STEPS
from features.vector import WIDTH
from features.watermark import BEGINNING
from stream.learning.labels.cursors import Progress
from stream.learning.labels.minibatches import BATCH_EXAMPLES, BATCH_MS
from stream.learning.labels.waiting import MiniBatch, Waiting
from stream.learning.records.examples import Examples, encode_examples
from stream.learning.records.header import RECORD_BYTES, Header
from stream.learning.records.outcomes import (
    ERASURE,
    HANDED_ON,
    LINK,
    PURCHASE,
    Outcomes,
    encode_outcomes,
)
from stream.learning.records.rows import read_examples, read_outcomes

MINUTE = 60_000
HORIZON = 30 * MINUTE
LATENESS = 15 * MINUTE
BUNDLE, FEATURES = "b1", "f1"

_KINDS = {"purchase": PURCHASE, "erasure": ERASURE, "link": LINK, "handed": HANDED_ON}


class Happening(NamedTuple):
    """A record of the events topic, as far as learning cares."""

    offset: int
    what: str  # example, purchase, erasure, close; where people log in also link, handed (a linked id's purchase)
    customer: str
    time: int  # event time
    as_of: int
    other: str = ""  # to whom the customer is linked


@dataclass
class Source:
    """One partition of the events topic."""

    partition: int
    happenings: list[Happening]

    def watermarks(self) -> list[int]:
        """Return the watermark after each happening."""
        marks, mark = [], BEGINNING
        for one in self.happenings:
            if one.what in ("example", "purchase", "handed"):
                mark = max(mark, one.time - LATENESS)
            marks.append(mark)
        return marks


def sources(
    chance: random.Random,
    partitions: int,
    events: int,
    *,
    least: int = 0,
    closes: int = 1,
    logins: float = 0.0,
) -> list[Source]:
    """Return partitions whose events come in order but for the lateness, and end with a control record.

    Each has at least ``least`` events, and fewer than ``events``, before each of its control records.

    With ``logins``, so many weights of each 24 fall on links, and as many on what is bought under linked ids.
    """
    made = []
    for partition in range(partitions):
        happenings: list[Happening] = []
        offset, clock, last = chance.randrange(5), 10**12, {}
        mark = BEGINNING
        for _ in range(closes):
            for _ in range(chance.randrange(least, events)):
                offset += chance.choice((1, 1, 1, 3))
                customer = f"c{partition}.{chance.randrange(4)}"
                clock += chance.randrange(0, 4 * MINUTE) * chance.choice((0, 1))
                time = max(clock - chance.choice((0, 0, 0, chance.randrange(LATENESS))), mark)
                weights = (20, 3, 1, logins, logins)
                what = chance.choices(("example", "purchase", "erasure", "link", "handed"), weights)[0]
                as_of = max(time, last.get(customer, 0))
                other = ""
                if what in ("link", "handed"):
                    other = f"c{chance.randrange(partitions)}.{chance.randrange(4)}"
                    if other == customer:
                        continue
                if what == "erasure":
                    last.pop(customer, None)
                elif what == "link":
                    time = max(time, mark + LATENESS)
                else:
                    last[customer] = as_of
                    mark = max(mark, time - LATENESS)
                happenings.append(Happening(offset, what, customer, time, as_of, other))
            offset += 1
            happenings.append(Happening(offset, "close", "", 0, 0))
        made.append(Source(partition, happenings))
    return made


Learned = tuple[tuple[int, int, int], ...]  # as_of, partition, offset of each example
Batches = list[tuple[Learned, tuple[int, ...]]]


def truth(made: list[Source]) -> Batches:
    """Return the mini-batches by plain loops over the whole history."""
    rows = []
    told = [one for source in made for one in _told(source)]
    for source in made:
        marks = [BEGINNING, *source.watermarks()]
        generation = 0
        for at, one in enumerate(source.happenings):
            generation += one.what == "close"
            if one.what != "example":
                continue
            label, end = 0, one.as_of + HORIZON
            for later, other in enumerate(source.happenings[at + 1 :], at + 1):
                final = marks[later] > end  # before `other`
                if other.what == "close" or final:
                    break
                if other.customer == one.customer and other.what == "erasure":
                    label = -1
                    break
                bought = other.customer == one.customer and other.what == "purchase"
                label |= bought and one.as_of <= other.time <= end
            if label == 0:
                label = _bought_elsewhere(one, [other for other in told if other.generation == generation])
            if label >= 0:
                rows.append(((generation, one.as_of, source.partition, one.offset), label))
    rows.sort()
    batches: Batches = []
    former = None
    for (generation, *place), label in rows:
        window = (generation, place[0] // BATCH_MS)
        if window != former or len(batches[-1][1]) == BATCH_EXAMPLES:
            batches.append(((), ()))
            former = window
        learned, labels = batches[-1]
        batches[-1] = ((*learned, tuple(place)), (*labels, label))
    return batches


class _Told(NamedTuple):
    """An outcome: where and in which generation, and the partition's watermark before it."""

    partition: int
    generation: int
    mark: int
    one: Happening


def _told(source: Source) -> list[_Told]:
    told, generation = [], 0
    for mark, one in zip([BEGINNING, *source.watermarks()], source.happenings, strict=False):
        generation += one.what == "close"
        told.append(_Told(source.partition, generation, mark, one))
    return told


def _bought_elsewhere(example: Happening, told: list[_Told]) -> bool:
    """Return whether the example's person purchased in time under another id, or under a linked one."""
    end = example.as_of + HORIZON
    links = [
        {login.one.customer, login.one.other}
        for login in told
        if login.one.what == "link"
        and example.as_of <= login.one.time <= end
        and not any(
            gone.one.what == "erasure"
            and (gone.partition, gone.one.customer) == (login.partition, login.one.customer)
            and gone.one.offset > login.one.offset
            and gone.mark <= end
            for gone in told
        )
    ]
    person = {example.customer}
    for _ in range(MOST_STEPS):
        person |= {one for pair in links if pair & person for one in pair}
    return any(
        (one.what == "purchase" and one.customer in person - {example.customer})
        or (one.what == "handed" and {one.customer, one.other} & person)
        for *_, one in told
        if example.as_of < one.time <= end
    )


def records(
    source: Source,
    low: int,
    high: int,
    limit: int = RECORD_BYTES,
    bundle: str = BUNDLE,
    features: str = FEATURES,
) -> tuple[list[bytes], list[bytes]]:
    """Return the records of examples and of outcomes of a batch, given by the positions of its happenings."""
    marks = [BEGINNING, *source.watermarks()]
    part = source.happenings[low:high]
    header = Header(
        source.happenings[low - 1].offset + 1 if low else 0,
        part[-1].offset + 1,
        marks[high],
        tuple(one.offset for one in part if one.what == "close"),
        0,
        bundle,
        features,
    )
    told = [(one, at) for at, one in enumerate(part, low) if one.what in _KINDS]
    outcomes = Outcomes(
        np.array([_KINDS[one.what] for one, _ in told], np.uint8),
        np.array([one.offset for one, _ in told], np.int64),
        np.array([marks[at] if one.what == "erasure" else one.time for one, at in told], np.int64),
        [one.customer for one, _ in told],
        [one.other for one, _ in told] if any(one.other for one, _ in told) else (),
    )
    examples = examples_of(part, source.partition)
    return (
        list(encode_examples(header, examples, marks[low], limit)),
        list(encode_outcomes(header, outcomes, marks[low], limit // 30)),
    )


def examples_of(part: list[Happening], partition: int) -> Examples:
    """Return the examples among the happenings; every column can be told from the offset."""
    some = [one for one in part if one.what == "example"]
    offset = np.array([one.offset for one in some], np.int64)
    vectors = np.repeat(offset.astype(np.float32)[:, None], WIDTH, axis=1)
    return Examples(
        np.full(len(some), partition, np.int32),
        offset,
        [f"e{one.offset}" for one in some],
        [one.customer for one in some],
        (offset % 6).astype(np.uint8),
        np.array([one.as_of for one in some], np.int64),
        (1 + offset % 3).astype(np.float32),
        offset % 4,
        offset / 7,
        vectors,
    )


def waiting(progress: Progress) -> Waiting:
    return Waiting(BUNDLE, horizon_ms=HORIZON, label_start="0", timezone="UTC", progress=progress)


def add_records(held: Waiting, kind: int, partition: int, offset: int, raw: list[bytes]) -> None:
    """Add records of the examples (0) or outcomes (1) topic; ``offset`` is that of the first."""
    some = list(enumerate(raw, offset))
    if kind == 0:
        examples = read_examples([(at, -1, raw) for at, raw in some], BUNDLE, FEATURES)
        assert not examples.unreadable
        held.add_examples(partition, examples)
    else:
        outcomes = read_outcomes([(at, -1, raw) for at, raw in some])
        assert not outcomes.unreadable
        held.add_outcomes(partition, outcomes)


class Reader:
    """Reads the two topics in an order that chance decides, as far as they are wanted."""

    def __init__(
        self, chance: random.Random, topics: tuple[list[list[bytes]], list[list[bytes]]], progress: Progress
    ) -> None:
        self.waiting = waiting(progress)
        self._chance = chance
        self._topics = topics
        self._at = [
            [max(cursor.next, 0) for cursor in cursors] for cursors in (progress.examples, progress.outcomes)
        ]

    def run(self, seen: Batches, stop_after: int | None = None) -> bool:
        """Read on and append what is released; return whether all was read, ``False`` where it stopped before."""
        read = 0
        while True:
            for batch in self.waiting.release():
                seen.append(_checked(batch))
                if stop_after is not None and self._chance.random() < 0.3:
                    return False
            offered = [
                (kind, partition)
                for kind, (topic, wanted) in enumerate(zip(self._topics, self.waiting.wanted(), strict=True))
                for partition in wanted
                if self._at[kind][partition] < len(topic[partition])
            ]
            if not offered:
                return True
            if stop_after is not None and read >= stop_after:
                return False
            self._read(*self._chance.choice(offered))
            read += 1

    def _read(self, kind: int, partition: int) -> None:
        offset = self._at[kind][partition]
        count = self._chance.choice((1, 1, 2, 10))
        add_records(
            self.waiting, kind, partition, offset, self._topics[kind][partition][offset : offset + count]
        )
        self._at[kind][partition] += count


def _checked(batch: MiniBatch) -> tuple[Learned, tuple[int, ...]]:
    """Return which examples a mini-batch holds, and their labels; all columns must be the example's own."""
    rows = batch.examples
    assert rows.kind.tolist() == (rows.offset % 6).tolist()
    assert rows.segment.tolist() == (rows.offset % 4).tolist()
    assert rows.logit.tolist() == (rows.offset / 7).tolist()
    assert (rows.vectors == rows.offset.astype(np.float32)[:, None]).all()
    assert (rows.weight == 1 + rows.offset % 3).all()
    places = zip(rows.as_of.tolist(), rows.partition.tolist(), rows.offset.tolist(), strict=True)
    return tuple(places), tuple(batch.labels.tolist())


class Run(NamedTuple):
    """A batch of the scorer: positions of its happenings, and whether a crash ended it before its save."""

    low: int
    high: int
    crashed: bool


def runs(chance: random.Random, length: int, largest: int) -> list[Run]:
    """Return batches of random sizes; after a crash the next one begins where the last save was, or before."""
    made, at = [], 0
    while at < length:
        run = Run(at, min(length, at + chance.randint(1, largest)), chance.random() < 0.3)
        made.append(run)
        at = run.low if run.crashed else run.high
        if run.crashed and chance.random() < 0.3:  # Redis fell back too
            at = max(0, at - chance.randint(0, largest))
    return made


def written(
    chance: random.Random, made: list[Source], largest: int
) -> tuple[list[list[bytes]], list[list[bytes]]]:
    """Return both topics as workers leave them that crash now and then: of the last batch any part is written."""
    examples: list[list[bytes]] = [[] for _ in made]
    outcomes: list[list[bytes]] = [[] for _ in made]
    for source in made:
        for run in runs(chance, len(source.happenings), largest):
            some, told = records(source, run.low, run.high, chance.choice((RECORD_BYTES, 1500)))
            if run.crashed:
                some, told = some[: chance.randint(0, len(some))], told[: chance.randint(0, len(told))]
            examples[source.partition] += some
            outcomes[source.partition] += told
    return examples, outcomes
