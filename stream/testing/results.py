"""What came out, as a test wants to look at it: by customer, oldest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from stream.messages.action import Action, decode_action
from stream.messages.dead_letter import DeadLetter
from stream.messages.score import Score, decode_score

T = TypeVar("T")


class ByCustomer(Mapping[str, list[T]]):
    """Messages by customer. Each look waits until all that was sent is scored; who has none has an empty list.

    Parameters
    ----------
    read
        Returns all of them.
    """

    def __init__(self, read: Callable[[], Mapping[str, list[T]]]) -> None:
        self._read = read

    def __getitem__(self, customer: str) -> list[T]:
        return list(self._read().get(customer, ()))

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._read()))

    def __len__(self) -> int:
        return len(self._read())

    def __contains__(self, customer: object) -> bool:
        return customer in self._read()

    def __repr__(self) -> str:
        return f"{dict(self._read())!r}"


class Results(NamedTuple):
    """What came out.

    Attributes
    ----------
    scores, actions
        By customer, oldest first; actions once each. Nothing is left of a customer who was erased.
    letters
        What was refused.
    """

    scores: Mapping[str, list[Score]]
    actions: Mapping[str, list[Action]]
    letters: list[DeadLetter]


class Messages:
    """What topics hold, as far as it was read.

    Attributes
    ----------
    scores
        By customer.
    actions
        By customer and action id.
    letters
        What was refused.
    """

    def __init__(self) -> None:
        self.scores: dict[str, list[Score]] = {}
        self.actions: dict[str, dict[str, Action]] = {}
        self.letters: list[DeadLetter] = []

    def take_score(self, customer: str, value: bytes | None) -> None:
        """Take a record of the scored topic; a tombstone takes away what was there."""
        if value is None:
            self.scores.pop(customer, None)
        else:
            self.scores.setdefault(customer, []).append(decode_score(value))

    def take_action(self, customer: str, value: bytes | None) -> None:
        """Take a record of the actions topic; an action that comes again is the same."""
        if value is None:
            self.actions.pop(customer, None)
        else:
            action = decode_action(value)
            self.actions.setdefault(customer, {}).setdefault(action.action_id, action)

    def take_erasure(self, key: bytes) -> None:
        """Forget the letters with a key."""
        self.letters = [letter for letter in self.letters if letter.key != key]

    def by_customer(self) -> dict[str, list[Action]]:
        """Return the actions."""
        return {customer: list(own.values()) for customer, own in self.actions.items()}
