"""What the owner of a partition asks of its job and of the log, and why it may refuse to go on.

::

    features.exceptions.IntentError
    └── OwnershipError         a partition cannot be processed until a person has acted
        ├── StoreLost            the store has no record, but Kafka has a commit
        ├── OffsetOutsideLog     the recorded offset is not in the topic
        ├── PartitionsChanged    the topic has another partition count than the states
        └── JobFailed            the job raises again and again
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from features.state import States
from features.store.customer_store import Loaded
from stream.kafka.batches import RecordBatch


class Folded(NamedTuple):
    """What a job made of a batch.

    Attributes
    ----------
    customers
        Whose states changed, each once.
    states
        Their new states, in the same order; an empty one erases the customer.
    watermark
        The highest accepted event time of the partition so far minus the lateness, epoch milliseconds.
    erased
        Customers who asked to be erased, even if they came back and have a state.
    """

    customers: Sequence[str]
    states: States
    watermark: int
    erased: Sequence[str] = ()


class Turn(Protocol):
    """One partition's part in a round: a batch of its records, and the watermark before them."""

    batch: RecordBatch

    @property
    def watermark(self) -> int:
        """The partition's watermark before the batch, epoch milliseconds."""
        ...


class Load(Protocol):
    """Loads the states of distinct customers for each turn of a round, empty ones where there are none."""

    async def __call__(self, customers: Sequence[Sequence[str]], *, items: bool = False) -> list[Loaded]:
        """Return for each turn the states and, if asked for, the customers' items."""
        ...


class Job(Protocol):
    """The work on a round of batches, each of another partition, up to the last acknowledgement.

    Runs for several rounds at the same time, and must bear being run again on the same batches, alone or in
    other company.
    """

    async def run(self, turns: Sequence[Turn], load: Load) -> list[Folded]:
        """Load, fold, produce and await the broker; return for each turn what is to be saved."""
        ...
