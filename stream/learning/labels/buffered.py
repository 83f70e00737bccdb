"""What is in memory of a partition: examples that wait, outcomes that label them, and how far both were read."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from stream.learning.labels.cursors import Cursor, Moment
from stream.learning.labels.held import Held
from stream.learning.labels.labelling import Labeller

# Source offsets that are remembered as one stretch: how exactly a restart knows from where to read outcomes again.
_STRETCH: Final = 1024


class _Stretch(NamedTuple):
    """A stretch of outcomes: the cursor before it, the source offset where it ends, and its latest outcome."""

    before: Cursor
    stop: int
    latest: Moment


@dataclass(slots=True)
class Buffered:
    """What was read of one partition and may still be needed; both dictionaries are by generation.

    Outcomes are needed by examples of the partition that came before them, and, since a person may have ids on several
    partitions, by examples of any partition that are no younger.

    ``bundle`` is whose examples the newest record holds, empty before any.
    """

    examples: Cursor
    outcomes: Cursor
    held: dict[int, Held] = field(default_factory=dict)
    labellers: dict[int, Labeller] = field(default_factory=dict)
    covered: deque[_Stretch] = field(default_factory=deque)
    bundle: str = ""

    def cover(self, before: Cursor, stop: int, latest: Moment) -> None:
        """Remember where the outcomes up to a source offset begin, and when the latest of them happened."""
        if self.covered and stop - self.covered[-1].before.covered <= _STRETCH:
            before, _, former = self.covered.pop()
            latest = max(latest, former)
        self.covered.append(_Stretch(before, stop, latest))

    def begins(self) -> tuple[Cursor, int]:
        """Return from where examples would have to be read again, and from which source offset outcomes are needed."""
        for generation in sorted(self.held):
            found = self.held[generation].begins
            if found is not None:
                return found
        return self.examples, self.examples.covered

    def outcomes_from(self, oldest: Moment) -> Cursor:
        """Return from where outcomes would have to be read again.

        Parameters
        ----------
        oldest
            Of all examples, of any partition, that wait or could still come.
        """
        _, needed = self.begins()
        return next((one.before for one in self.covered if _is_needed(one, needed, oldest)), self.outcomes)

    def forget(self, oldest: Moment) -> None:
        """Drop what nothing needs any more; ``oldest`` is as in `outcomes_from`."""
        _, needed = self.begins()
        while self.covered and not _is_needed(self.covered[0], needed, oldest):
            self.covered.popleft()
        for generation in [g for g, held in self.held.items() if not held]:
            del self.held[generation]
        for generation in [g for g in self.labellers if g < oldest.generation]:
            del self.labellers[generation]
        if self.covered:
            needed = min(needed, self.covered[0].before.covered)
        for labeller in self.labellers.values():
            labeller.forget(needed)


def _is_needed(stretch: _Stretch, offset: int, oldest: Moment) -> bool:
    return stretch.stop > offset or stretch.latest >= oldest
