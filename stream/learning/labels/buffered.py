"""What is in memory of a partition: examples that wait, outcomes that label them, and how far both were read."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from stream.learning.labels.cursors import Cursor
from stream.learning.labels.held import Held
from stream.learning.labels.labelling import Labeller

# Source offsets that are remembered as one stretch: how exactly a restart knows from where to read outcomes again.
_STRETCH: Final = 1024


@dataclass(slots=True)
class Buffered:
    """What was read of one partition and may still be needed; both dictionaries are by generation.

    ``bundle`` is whose examples the newest record holds, empty before any.
    """

    examples: Cursor
    outcomes: Cursor
    held: dict[int, Held] = field(default_factory=dict)
    labellers: dict[int, Labeller] = field(default_factory=dict)
    # Stretches of outcomes: the cursor before each, and the source offset up to which it covers outcomes.
    covered: deque[tuple[Cursor, int]] = field(default_factory=deque)
    bundle: str = ""

    def cover(self, before: Cursor, stop: int) -> None:
        """Remember where the outcomes up to a source offset begin."""
        if self.covered and stop - self.covered[-1][0].covered <= _STRETCH:
            before, _ = self.covered.pop()
        self.covered.append((before, stop))

    def begins(self) -> tuple[Cursor, int]:
        """Return from where examples would have to be read again, and from which source offset outcomes are needed."""
        for generation in sorted(self.held):
            found = self.held[generation].begins
            if found is not None:
                return found
        return self.examples, self.examples.covered

    def outcomes_from(self, offset: int) -> Cursor:
        """Return from where outcomes would have to be read again, given the source offset that is needed."""
        return next((before for before, stop in self.covered if stop > offset), self.outcomes)

    def forget(self) -> None:
        """Drop what nothing needs any more."""
        _, needed = self.begins()
        while self.covered and self.covered[0][1] <= needed:
            self.covered.popleft()
        for generation in [g for g, held in self.held.items() if not held]:
            del self.held[generation]
        for generation in [g for g in self.labellers if g < self.examples.generation]:
            if all(waiting > generation for waiting in self.held):
                del self.labellers[generation]
        for labeller in self.labellers.values():
            labeller.forget(needed)
