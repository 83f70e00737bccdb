"""What a shop carries out: the actions as they are decided, each once, and only while there is time.

::

    with ActionWatcher(group="crm", on_erased=forget) as watcher:
        for action in watcher:
            ...

A watcher starts from now: actions that were published before it began are not given. ``from_beginning=True`` starts
with the oldest that Kafka still has; a group that has been somewhere goes on where it stopped, whatever this says.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final, get_args

from stream.clients.topic_watcher import TopicWatcher
from stream.exceptions import NO_ACTIONS, SettingsError
from stream.messages.action import Action, Arm, decode_action
from stream.settings import Settings, load_settings

__all__ = ["ActionWatcher"]

ARMS: Final[tuple[Arm, ...]] = get_args(Arm)
_TO_CARRY_OUT: Final[tuple[Arm, ...]] = ("treatment",)

# Actions whose repetition is known. Bounds memory, at about 200 bytes each; a crash repeats some thousands.
_REMEMBERED: Final = 50_000
# Published so much later than they became due, actions are of a log that is replayed: a worker that catches up after
# a night's outage is live.
_LIVE_MS: Final = 86_400_000


class ActionWatcher(TopicWatcher[Action]):
    """Iterates over the actions that are to be carried out, those of a customer in order; waits for more at the end.

    It starts from now, unless ``from_beginning`` is set or its group has been somewhere before.
    A repeated action (`Action.action_id`) is given once. What a member of a group was at when it crashed comes again
    to the next one: let whatever carries out actions keep their ids, too, where twice is worse than never.

    Parameters
    ----------
    settings
        Where Kafka is and what the topics are called; from the environment where none are given.
    actions
        Only these actions (`Action.action`), by their names.
    customer
        Only this customer's.
    arms
        Only those of these arms. Actions of other arms than ``treatment`` must not be carried out.
    expired
        Also actions whose time to act is over when they are read.
    group
        Consumer group: its members share the partitions, and go on where the group stopped. Without one,
        every watcher sees all actions and nothing is remembered.
    from_beginning
        Begin with the oldest action instead of the next one, where the group has not been anywhere yet.
    limit
        End after so many actions.
    on_erased
        Called with every customer that was erased (a tombstone), whatever the filters.

    Attributes
    ----------
    messages
        Actions that came, whether they were wanted or not.
    repeated, late
        Actions that were given before, and those that came when their time was over, among those that pass the
        other filters.
    unreadable
        Records that were no actions, and were passed over.
    now_ms
        The time at which the log stands, epoch ms: its own where it is replayed, the wall clock where it is live. It is
        live if its newest action was published within a day after it became due.

    Raises
    ------
    BrokerUnavailable
        No broker answers.
    SettingsError
        There are no actions, because no topic is named.
    TopicMismatch
        There is no topic of actions.
    ValueError
        There is no such arm.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        actions: Collection[str] = (),
        customer: str | None = None,
        arms: Collection[Arm] = _TO_CARRY_OUT,
        expired: bool = False,
        group: str | None = None,
        from_beginning: bool = False,
        limit: int | None = None,
        on_erased: Callable[[str], None] | None = None,
    ) -> None:
        settings = settings or load_settings()
        if not settings.actions_topic:
            raise SettingsError(NO_ACTIONS)
        self._actions = frozenset([actions] if isinstance(actions, str) else actions)
        self._customer = customer
        self._arms = frozenset([arms] if isinstance(arms, str) else arms)
        if not self._arms or not self._arms <= set(ARMS):
            raise ValueError(f"arms must be some of {', '.join(ARMS)}, not {sorted(self._arms)}")
        self._expired = expired
        self._live = False
        self._given: dict[str, None] = {}  # the oldest first
        self.repeated = 0
        self.late = 0
        super().__init__(
            settings,
            topic=settings.actions_topic,
            kind="action",
            decode=decode_action,
            group=group,
            from_beginning=from_beginning,
            limit=limit,
            on_erased=on_erased,
        )

    def _reach(self, action: Action, record: Any) -> None:
        time_to_act = action.expires_at - action.decided_at
        self._live = abs(record.timestamp - action.decided_at) <= max(_LIVE_MS, time_to_act)
        self._log_time.reach(record.partition, action.decided_at, live=self._live)

    def _wants(self, action: Action, partition: int) -> bool:
        if self._customer is not None and action.customer_id != self._customer:
            return False
        if action.arm not in self._arms or (self._actions and action.action not in self._actions):
            return False
        if action.action_id in self._given:
            self.repeated += 1
            return False
        if not self._expired and action.expires_at <= self._log_time.of(partition, live=self._live):
            self.late += 1
            return False
        return True

    def _leave(self, action: Action, *, wanted: bool) -> None:
        if wanted:
            self._given[action.action_id] = None
            if len(self._given) > _REMEMBERED:
                del self._given[next(iter(self._given))]
