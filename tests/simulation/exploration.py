"""Breadth-first search through all states of a model: what breaks a promise is reached by a shortest path."""

from __future__ import annotations

import gc
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

W = TypeVar("W", bound=Hashable)


class Search(NamedTuple):
    """What came of a search.

    Attributes
    ----------
    states
        Different states that were judged.
    depth
        All histories of up to this many actions were followed; fewer than wanted if no further state exists.
    violation
        The promise that is broken, empty if none is.
    path
        The actions that lead there; no fewer do.
    """

    states: int
    depth: int
    violation: str = ""
    path: tuple[str, ...] = ()

    def __str__(self) -> str:
        steps = "".join(f"\n{number:3}. {action}" for number, action in enumerate(self.path, 1))
        return f"{self.violation or 'nothing is broken'} ({self.states} states, depth {self.depth}){steps}"


def explore(
    start: W, successors: Callable[[W], Iterable[tuple[str, W]]], judge: Callable[[W], str], *, depth: int
) -> Search:
    """Judge every state that ``depth`` actions or fewer lead to, up to the first that breaks a promise.

    Parameters
    ----------
    start
        The first state.
    successors
        Yields each action that is possible in a state, and the state after it.
    judge
        Names the promise that a state breaks, empty if it breaks none.
    depth
        How many actions are followed.
    """
    came_from: dict[W, tuple[str, W] | None] = {start: None}
    layer = [start]
    with _collector_paused():
        for length in range(1, depth + 1):
            following = []
            for state in layer:
                for action, after in successors(state):
                    if after in came_from:
                        continue
                    came_from[after] = (action, state)
                    broken = judge(after)
                    if broken:
                        return Search(len(came_from), length, broken, _path(after, came_from))
                    following.append(after)
            if not following:
                return Search(len(came_from), length - 1)
            layer = following
    return Search(len(came_from), depth)


def _path(state: W, came_from: dict[W, tuple[str, W] | None]) -> tuple[str, ...]:
    actions = []
    step = came_from[state]
    while step is not None:
        action, before = step
        actions.append(action)
        step = came_from[before]
    return tuple(reversed(actions))


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Spare the collector a million tuples that all stay: half the time of a search went there."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
