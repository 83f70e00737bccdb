"""The learners' consumer group: gives the partitions of both topics to its members."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from tests.simulation.learner import SimulatedApp

if TYPE_CHECKING:
    from tests.simulation.learner_world import LearnerWorld

#: Virtual seconds after which a silent member's partitions go to others.
SESSION: Final = 10.0


class Group:
    """The group. Whoever has the lease is a member, and so is who has just lost it."""

    def __init__(self, world: LearnerWorld) -> None:
        self._world = world
        self._members: list[SimulatedApp] = []
        self._news: asyncio.Event | None = None

    def join(self, app: SimulatedApp) -> None:
        """Take a member."""
        self._members.append(app)
        self.changed()

    def leave(self, app: SimulatedApp) -> None:
        """Let a member go."""
        if app in self._members:
            self._members.remove(app)
        self.changed()

    def changed(self) -> None:
        """Have the partitions given out again."""
        if self._news is not None:
            self._news.set()

    async def coordinate(self) -> None:
        """Revoke and assign, as often as somebody comes, goes, or asks for it."""
        self._news = asyncio.Event()
        while True:
            await self._news.wait()
            self._news.clear()
            silent = [app for app in self._members if app.process.frozen or app.process.dead]
            if silent:  # until their sessions are over
                await asyncio.sleep(self._world.chance.uniform(0, SESSION))
            for app in [app for app in self._members if app.process.frozen]:
                app.process.evicted = True
            members = [app for app in self._members if not (app.process.evicted or app.process.dead)]
            self._members = [app for app in self._members if not app.process.dead]
            for app in members:
                await app.release()
            for at, app in enumerate(members):
                own = list(range(at, self._world.partitions, len(members)))
                app.process.act(app.assign, {topic: own for topic in app.owners})
