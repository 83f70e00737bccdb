"""Whether a peer's scores are those of the job: a part of them, against what `benchmarks.peers.job` makes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, Self

import msgspec

from benchmarks.peers.job import Network, State, Task, fold
from benchmarks.workload import Records

#: Events compared: the first ones of a partition.
COMPARED: Final = 2000
# Of a probability. ONNX Runtime does not round equally in every version.
_TOLERANCE: Final = 1e-5


class Check(NamedTuple):
    """How many scores were compared, and how many of them are wrong, missing or written twice."""

    compared: int
    wrong: int


class Expected(NamedTuple):
    """The right scores of some events.

    Attributes
    ----------
    customers
        Keys of their records.
    probabilities
        By event id.
    """

    customers: frozenset[bytes]
    probabilities: Mapping[str, float]

    @classmethod
    def of(cls, task: Task, records: Records) -> Self:
        """Return the scores of the first events of the first partition."""
        network, states = Network(task.bundle), dict[str, State]()
        found = {}
        for value in records.of_partition(0)[:COMPARED]:
            event = msgspec.json.decode(value)
            state = states.setdefault(event["customer_id"], {})
            fold(state, event)
            found[event["event_id"]] = network.score(state, event)["purchase_intent"]
        return cls(frozenset(customer.encode() for customer in states), found)

    def check(self, scores: Iterable[bytes], *, complete: bool) -> Check:
        """Compare the customers' scores.

        Parameters
        ----------
        complete
            All events were scored: those without a score are wrong too.
        """
        seen: dict[str, list[Any]] = {}
        for value in scores:
            score = msgspec.json.decode(value)
            if score["event_id"] in self.probabilities:
                seen.setdefault(score["event_id"], []).append(score["purchase_intent"])
        wrong = sum(
            len(values) > 1 or abs(values[0] - self.probabilities[event]) > _TOLERANCE
            for event, values in seen.items()
        )
        if not complete:
            return Check(len(seen), wrong)
        return Check(len(self.probabilities), wrong + len(self.probabilities) - len(seen))
