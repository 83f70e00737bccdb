"""What a customer's memory tells people of the actions that were decided: which, when, and for how long they held."""

from __future__ import annotations

from typing import NamedTuple

from features.state import States
from stream.decisions.holdout import ARMS
from stream.decisions.memory import memories_of
from stream.decisions.rulebook import Rulebook, action_hash
from stream.messages.action import Arm


class Remembered(NamedTuple):
    """An action that was decided, whether it was carried out or left undone. Times: epoch ms.

    Attributes
    ----------
    action
        Its name; ``None`` where the policy in force has no such action any more.
    decided_at
        When it was.
    expires_at
        Until when it was to be carried out, at the latest; ``None`` where ``action`` is.
    """

    action: str | None
    decided_at: int
    expires_at: int | None


class Waiting(NamedTuple):
    """An action that waits for the end of the quiet time (epoch ms)."""

    action: str
    rule: str
    until: int


class Actions(NamedTuple):
    """What is known of a customer's actions.

    Attributes
    ----------
    arm
        Only for customers of ``treatment`` actions are carried out.
    remembered
        Actions that caps count, the newest first; others are not remembered.
    counted
        The actions of the policy that caps count.
    waiting
        What is decided at the end of the quiet time, if anything.
    """

    arm: Arm
    remembered: list[Remembered]
    counted: list[str]
    waiting: Waiting | None


def actions_of(rulebook: Rulebook, states: States, assigned: str) -> Actions:
    """Return what is known of the actions of a customer.

    Parameters
    ----------
    rulebook
        The policy in force.
    states
        The customer's state, an array of one.
    assigned
        The id by which the customer is assigned to an arm (`stream.decisions.assignees`).
    """
    memory, tables = memories_of(states)[0], rulebook.tables
    names = {action_hash(action): action for action in rulebook.actions[1:]}
    longest: dict[str, int] = {}
    for rule, expires_ms in zip(rulebook.rules, rulebook.expires_ms, strict=True):
        longest[rule.action] = max(longest.get(rule.action, 0), expires_ms)
    found = []
    for time, code in zip(memory["sent_times"].tolist(), memory["sent_actions"].tolist(), strict=True):
        if time:
            name = names.get(code)
            found.append(Remembered(name, time, None if name is None else time + longest[name]))
    waiting = None
    if memory["waiting"] and memory["rules"] == tables["rules"]:
        rule = rulebook.rules[int(memory["waiting"]) - 1]
        waiting = Waiting(rule.action, rule.name, int(memory["waiting_until"]))
    counted = [rule.action for at, rule in enumerate(rulebook.rules) if tables["capped"][at]]
    return Actions(
        ARMS[rulebook.assignment.arms([assigned])[0]],
        sorted(found, key=lambda one: -one.decided_at),
        sorted(set(counted)),
        waiting,
    )
