"""The work on a round of batches, in three steps; the owner of the partitions loads before and saves after them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

from features.price_table import Changed
from features.state import States
from features.store.customer_store import NO_LINKS, NO_TIMERS, LinkChanges, Loaded, TimerChanges
from stream.kafka.batches import RecordBatch


class StateChanges(NamedTuple):
    """What a job changed in one partition; saved together with the partition's progress.

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
    timers
        Customers of these whose timers change.
    outbox
        What is to be published because of these changes, by `Job.act`; empty if nothing is.
    links
        How ids stand to each other now, and what other partitions have handed over.
    prices
        What items cost now; ``None`` where nothing was said of that.
    """

    customers: Sequence[str]
    states: States
    watermark: int
    erased: Sequence[str] = ()
    timers: TimerChanges = NO_TIMERS
    outbox: bytes = b""
    links: LinkChanges = NO_LINKS
    prices: Changed | None = None


class JobBatch(Protocol):
    """The batches of a round as a job has read them."""

    @property
    def customers(self) -> Sequence[Sequence[str]]:
        """The distinct customers of each partition batch: whose states the job needs."""
        ...

    @property
    def with_items(self) -> bool:
        """Whether the job needs the customers' items too."""
        ...

    @property
    def reached(self) -> Sequence[int]:
        """Up to which moment (epoch ms) timers come in each partition batch: the watermark that it reaches.

        `NO_WATERMARK` where none is to come.
        """
        ...


class JobResult(Protocol):
    """What a job made of a round."""

    @property
    def changes(self) -> Sequence[StateChanges]:
        """What is to be saved for each partition batch."""
        ...

    @property
    def described(self) -> Mapping[str, str | int]:
        """What a trace of the round says of it: see `stream.tracing.trace.Described`."""
        ...


B = TypeVar("B", bound=JobBatch)
R = TypeVar("R", bound=JobResult)


class Job(Protocol[B, R]):
    """The work on a round: batches of several partitions, one of each.

    Runs for several rounds at the same time, and must bear being run again on the same batches, alone or together
    with others.
    """

    def read(self, batches: Sequence[RecordBatch], watermarks: Sequence[int]) -> B:
        """Decode and check records; ``watermarks`` are those of the partitions before the batches, epoch ms."""
        ...

    def score(self, batch: B, loaded: Sequence[Loaded]) -> R:
        """Fold what was read into the loaded states of each partition batch, and score it.

        Behind the states of its customers are those of the customers whose timers are due (`Loaded.due`).
        """
        ...

    async def publish(self, result: R) -> None:
        """Write everything that came of the round, and return once the broker has acknowledged all of it."""
        ...

    async def act(self, promised: Sequence[tuple[int, bytes]]) -> None:
        """Write what saves have promised, by partition, and return once the broker has acknowledged all of it.

        Called after a save, and again whenever nobody knows whether that was done.
        """
        ...
