"""The outbox of a partition: what a save has promised to publish, and whether it still has to be.

Scores are published before states are saved, so a crash between the two repeats them. That would be wrong for what is
sent to people: another decision could be made the second time. So what follows from a save is kept with it, and
published after it. Whoever does not know whether that was done does it again, with the very same bytes.
"""

from __future__ import annotations


class Outbox:
    """What the last save of a partition has promised.

    Attributes
    ----------
    stored
        Whether the store keeps it, as far as is known.
    content
        What that is; empty as a rule.
    """

    def __init__(self) -> None:
        self.stored = False
        self.content = b""
        self._used = False

    def found(self, content: bytes | None) -> None:
        """Take what is stored, ``None`` if there is nothing: nobody knows whether it was published."""
        self.stored, self.content = content is not None, content or b""
        self._used |= self.stored

    def intended(self, content: bytes) -> bytes | None:
        """Return what a save has to write so that the store keeps ``content`` alone; ``None`` = leave it as it is.

        Where there ever was an outbox, each save deletes it: a store that falls back may bring an old one back.
        """
        return content if content or self._used else None

    def saved(self, content: bytes | None) -> None:
        """Take note of what a save has written."""
        if content is not None:
            self.stored, self.content = bool(content), content
            self._used |= self.stored
