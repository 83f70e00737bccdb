"""The lead of a replay at full speed: it sends a window of the log, and waits until workers have handed over.

What partitions tell each other then comes where it would have come in a shop (`stream.logs.windows` says which rows
have them do so). Where nobody does the work, nobody is waited for: the replay says so and goes on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from features.exceptions import SchemaMismatch, StoreError
from features.identity import MOST_STEPS
from stream.logs.pacing import Clock, Sender
from stream.logs.rows import Encoded
from stream.logs.windows import Windows
from stream.logs.workers import Progress

#: Silence after which the replay goes on where the group has no worker, or Redis has never answered. A broker counts a
#: worker that was killed for 10 s more.
GONE_SECONDS: Final = 10.0

#: Silence after which it goes on whoever is there: longer than a takeover from a killed worker takes on a busy machine.
HANGING_SECONDS: Final = 60.0

# Pauses between looks, the first and the longest. A window is a matter of some milliseconds.
_PAUSES: Final = (0.002, 0.05)
_SLOWER: Final = 1.3
_ASK_SECONDS: Final = 1.0


class Workers(Protocol):
    """Whom the replay waits for; `stream.logs.workers.Workers`."""

    async def present(self) -> bool:
        """Return whether there is any."""
        ...

    async def ends(self) -> Sequence[int]:
        """Return the offset after the last record of each partition."""
        ...

    async def progress(self) -> Progress:
        """Return how far they have come."""
        ...


class Lead:
    """Sends a log as far as workers have handed over.

    Parameters
    ----------
    windows
        Cut the log.
    find
        Looks for the workers; it is asked once, where the log has something to hand over.
    clock
        Bounds the waiting.
    on_note
        Called with a sentence where nobody is waited for any more.
    """

    def __init__(
        self,
        windows: Windows,
        find: Callable[[], Awaitable[Workers]],
        clock: Clock,
        on_note: Callable[[str], object],
    ) -> None:
        self._windows = windows
        self._find = find
        self._clock = clock
        self._on_note = on_note
        self._workers: Workers | None = None
        self._given_up = False
        self._seen: Progress | None = None

    async def send(
        self, sender: Sender, encoded: Encoded, on_sent: Callable[[int, int], None] | None = None
    ) -> None:
        """Send the next rows.

        Parameters
        ----------
        on_sent
            Called with how many of them are sent, and the event time that was reached, epoch ms.
        """
        if self._given_up:
            await sender.send(encoded, 0, len(encoded.values))
            return
        for start, stop, closes in self._windows.of(encoded):
            await sender.send(encoded, start, stop)
            if on_sent is not None and stop > start:
                on_sent(stop, int(encoded.due_ms[stop - 1]))
            if closes and not self._given_up:
                await self._wait(sender)

    async def finish(self, sender: Sender) -> None:
        """Wait for what the last rows have workers hand over."""
        if self._windows.open and not self._given_up:
            await self._wait(sender)

    async def _wait(self, sender: Sender) -> None:
        """Return once workers have handed over all that they were told, or nobody is waited for any more."""
        await sender.flush()
        try:
            if self._workers is None:
                self._workers = await self._find()
                if not await self._workers.present():
                    self._give_up("no worker reads along")
                    return
        except StoreError as error:  # nobody can be asked
            self._give_up(str(error))
            return
        await self._handed_over(self._workers)

    async def _handed_over(self, workers: Workers) -> None:
        """Wait until all is worked on that the topic holds, and what came of it, and what came of that."""
        found: Progress | None = None
        for _ in range(MOST_STEPS + 2):  # others may write to the topic for ever
            ends = await workers.ends()
            if found is not None and found.past(ends):
                return
            found = await self._past(workers, ends)
            if found is None:
                return

    async def _past(self, workers: Workers, ends: Sequence[int]) -> Progress | None:
        """Return the progress that is past these ends, ``None`` where nobody is waited for any more."""
        pause, moved, trouble = _PAUSES[0], self._clock.now(), ""
        asked = moved + GONE_SECONDS
        while True:
            try:
                now = await workers.progress()
            except (StoreError, SchemaMismatch) as error:
                trouble = str(error)
            else:
                if now.past(ends) and now.arrived:
                    return now
                if self._seen is None or now.offsets != self._seen.offsets:
                    moved, asked = self._clock.now(), self._clock.now() + GONE_SECONDS
                self._seen, trouble = now, ""
            time = self._clock.now()
            if time >= asked:
                if self._seen is None or time - moved >= HANGING_SECONDS or not await workers.present():
                    self._give_up(trouble or f"no worker has scored anything for {time - moved:.0f} s")
                    return None
                asked = time + _ASK_SECONDS
            await self._clock.sleep(pause)
            pause = min(_SLOWER * pause, _PAUSES[-1])

    def _give_up(self, why: str) -> None:
        self._given_up = True
        self._on_note(
            f"{why}: what partitions tell each other of logins and prices comes after the log, too late for some "
            "actions; to have it in time, replay into new topics and keys while `intent worker` runs"
        )
