"""The table of `intent watch --actions`: what is to be done now, and how long there is time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

import typer

from stream.cli.following import Place, follow, print_erased
from stream.cli.watch import age, fitted, strongest
from stream.clients.actions import ARMS, ActionWatcher

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table

    from stream.messages.action import Action

# Actions that the table remembers, and shows. The former bounds memory.
_REMEMBERED = 10_000
_SHOWN = 20
_ITEMS = 3
# What reading a policy needs; shops that only watch need not have it.
_OF_POLICIES = ("numba", "yaml", "xxhash")
# Columns that stand there if an action has something for them.
_OPTIONAL = ("offer", "items")


def follow_actions(
    place: Place,
    names: Sequence[str],
    customer: str | None,
    named: Collection[str],
    expired: bool,
    *,
    table: bool,
) -> None:
    """Show or print actions, and whom to forget."""
    arms = [arm for arm in ARMS if arm in named]
    board = ActionBoard(arms, expired=expired, now=lambda: watcher.now_ms)

    def erased(who: str) -> None:
        if table:
            board.erase(who)
        elif customer in (None, who):
            print_erased(who)

    for said in unknown_actions(names):
        typer.echo(f"intent: {said}", err=True)
    watcher = ActionWatcher(
        actions=names, customer=customer, arms=arms, expired=expired, on_erased=erased, **place
    )
    filters = "--action, --customer, --arm and --expired"
    follow(watcher, board if table else None, place=place, filters=filters)


def unknown_actions(names: Sequence[str]) -> Iterator[str]:
    """Yield what to say of actions that the policy has not; nothing where a policy cannot be read here.

    Workers may run elsewhere with another policy, so this is no error.
    """
    from stream.settings import load_settings
    from stream.texts import nearest

    if not names or any(find_spec(package) is None for package in _OF_POLICIES):
        return
    from stream.decisions.policy_file import default_policy, read_policy
    from stream.exceptions import PolicyError

    path = load_settings().policy
    try:
        policy = default_policy() if path is None else read_policy(path)
    except PolicyError as error:
        yield f"whether the policy has these actions is not known: {error}"
        return
    known = sorted({rule.action for rule in policy.rules} - {"none"})
    whose = f"the policy in {path}" if path is not None else "the policy of the program"
    for name in names:
        if name not in known:
            near = nearest(name, known)
            meant = f"; did you mean {near}? It" if near else "; it"
            yield f"{whose} has no action {name!r}{meant} has {', '.join(known)}"


class ActionBoard:
    """The actions that came last, the newest first; those whose time is over are not shown, unless they are asked for.

    To rich it is a table, with the strongest reasons where the terminal has room for them.

    Parameters
    ----------
    arms
        Of the actions that come; where there are others than ``treatment``, a column says which.
    expired
        Whether actions whose time is over are shown.
    remembered, shown
        Actions, and rows, at most.
    now
        The log's time, epoch ms; when the newest action became due where it is None.
    """

    def __init__(
        self,
        arms: Collection[str] = ("treatment",),
        *,
        expired: bool = False,
        remembered: int = _REMEMBERED,
        shown: int = _SHOWN,
        now: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._of_arms = set(arms) != {"treatment"}
        self._expired = expired
        self._remembered, self._shown = remembered, shown
        self._now = now
        self._newest = 0
        self._latest: dict[str, Action] = {}
        self._seen = 0

    def add(self, action: Action, /) -> None:
        """Take an action."""
        self._seen += 1
        self._newest = max(self._newest, action.decided_at)
        self._latest.pop(action.action_id, None)
        self._latest[action.action_id] = action
        if len(self._latest) > self._remembered:
            del self._latest[next(iter(self._latest))]

    def erase(self, customer: str) -> None:
        """Forget the actions of a customer."""
        for own in [a.action_id for a in list(self._latest.values()) if a.customer_id == customer]:
            del self._latest[own]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Return what is shown."""
        now = self._now() or self._newest
        # A copy: this runs in the screen's own thread.
        present = [one for one in list(self._latest.values()) if self._expired or one.expires_at > now]
        newest = sorted(present, key=lambda one: one.decided_at, reverse=True)[: self._shown]
        yield fitted(
            console,
            options,
            lambda room: self._table(newest, len(present), now, room),
            explained=any(one.reasons for one in newest),
        )

    def _table(self, newest: list[Action], present: int, now: int, room: int) -> Table:
        """Return the table, with the strongest reasons in so many letters; without if there are none."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        from stream.cli.console import add_columns
        from stream.texts import counted, minute, shortened

        shown = Table(
            title=f"Actions, {minute(now)}" if now else "Actions",
            caption=f"{counted(present, 'action')} of {self._seen:,}; Ctrl-C stops",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            collapse_padding=True,
        )
        cells = [_cells(one, now) for one in newest]
        if room:
            for row, one in zip(cells, newest, strict=True):
                row["reason"] = shortened(strongest(one.reasons), room)
        names = ["time left", "customer", "action", "trigger"]
        names += [name for name in _OPTIONAL if any(row[name] for row in cells)]
        names += [*(["arm"] if self._of_arms else []), *(["reason"] if room else [])]
        add_columns(shown, ("customer", "action", *_OPTIONAL), *names, right=("time left",))
        for row in cells:
            shown.add_row(*(Text(row[name]) for name in names))
        return shown


def time_left(ms: int) -> str:
    """Return how long there is time to act, in one unit.

    Examples
    --------
    >>> time_left(65_000), time_left(400), time_left(0)
    ('1 min', '1 s', 'expired')
    """
    return age(max(ms, 1000)) if ms > 0 else "expired"


def _cells(action: Action, now: int) -> dict[str, str]:
    more = len(action.items) - _ITEMS
    return {
        "time left": time_left(action.expires_at - now),
        "customer": action.customer_id,
        "action": action.action,
        "trigger": action.trigger,
        "offer": action.offer or "",
        "items": ", ".join(action.items[:_ITEMS]) + (f" +{more}" if more > 0 else ""),
        "arm": action.arm,
    }
