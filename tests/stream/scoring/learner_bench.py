"""What the learner is told of a shop in memory, and which labels it finds."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from features.bundle import Bundle
from features.vector import schema_hash
from stream.learning.labels.cursors import Progress
from stream.learning.labels.waiting import Waiting
from stream.learning.records.examples import decode_examples
from stream.learning.records.rows import read_examples, read_outcomes
from stream.scoring.recorder import Recorder
from tests.stream.scoring.identity_bench import Shop


class Labelled(NamedTuple):
    """An example with its label: of which event, under whose id, as of when, what the model saw, and the label."""

    event_id: str
    customer: str
    as_of: int
    vector: bytes
    label: int


def labelled(
    shop: Shop, bundle: Bundle, recorder: Recorder, until: int, chance: Random
) -> tuple[list[Labelled], Waiting]:
    """Return what the learner makes of all that a shop's scorer wrote, once event time has come to ``until``."""
    topics: list[tuple[list[bytes], list[bytes]]] = [([], []) for _ in range(shop.partitions)]
    for output in shop.outputs:
        topics[output.partition][0].extend(output.examples)
        topics[output.partition][1].extend(output.outcomes)
    for number, (examples, outcomes) in enumerate(topics):
        last = recorder.idle(len(shop.logs[number]), until)
        examples.extend(last.examples)
        outcomes.extend(last.outcomes)
    version, features = bundle.manifest.version, schema_hash()
    names = {
        (number, offset): (event_id, customer)
        for number, (examples, _) in enumerate(topics)
        for raw in examples
        if (found := decode_examples(raw, number, features).examples) is not None
        for offset, event_id, customer in zip(
            found.offset.tolist(), found.event_id, found.customer, strict=True
        )
    }
    waiting = Waiting.of(bundle.manifest, Progress.beginning(shop.partitions))
    made: list[Labelled] = []
    read = [[0, 0] for _ in topics]
    while open_ := [
        (number, kind)
        for number, topic in enumerate(topics)
        for kind in (0, 1)
        if read[number][kind] < len(topic[kind])
    ]:
        number, kind = chance.choice(open_)
        at = read[number][kind]
        raw = [(at, -1, topics[number][kind][at])]
        read[number][kind] += 1
        if kind:
            waiting.add_outcomes(number, read_outcomes(raw))
        else:
            waiting.add_examples(number, read_examples(raw, version, features))
        for batch in waiting.release():
            rows = batch.examples
            made += [
                Labelled(*names[place, offset], as_of, vector.tobytes(), label)
                for place, offset, as_of, vector, label in zip(
                    rows.partition.tolist(),
                    rows.offset.tolist(),
                    rows.as_of.tolist(),
                    rows.vectors,
                    batch.labels.tolist(),
                    strict=True,
                )
            ]
    return made, waiting
