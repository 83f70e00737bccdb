"""What the stories of schedules tell: which kinds of things befell them, and how often."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

#: What befalls workers, as their stories tell it, and what is done about it.
WORKER_FAULTS = (
    "is killed",
    "is frozen",
    "is evicted",
    "stops in order",
    "the store loses N writes",
    "the store loses everything",
    "loses its newest N records",
    "the topic is made again",
    "refuses: Redis has no record",
    "refuses: the topic was created again",
    "refuses: Kafka lost events",
    "is built again, silently to offset N",
    "the log is given back",
    "the log changes during a silent rebuilding",
    "the log changes while the store has lost a record",
)

#: What befalls learners.
LEARNER_FAULTS = (
    "is killed",
    "is frozen",
    "is asked to stop",
    "is admitted, epoch N",
    "Redis loses N writes",
    "Redis loses everything",
    "is made again",
    "keeps N records",
    "ends: the topic was created again",
    "ends: Kafka lost records",
    "starts over",
)


def counted(stories: Iterable[Sequence[str]], faults: Sequence[str]) -> Counter[str]:
    """Return in how many stories each kind of fault occurs."""
    counts = Counter(dict.fromkeys(faults, 0))
    for story in stories:
        told = re.sub(r"\d+(\.\d+)?", "N", "\n".join(story))
        counts.update(fault for fault in faults if fault in told)
    return counts
