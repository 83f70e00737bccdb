"""Which actions a watcher gives, on records in the place of a consumer's."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from kafka import TopicPartition
from msgspec import structs

from stream.clients import actions as module
from stream.clients.actions import ActionWatcher
from stream.exceptions import SettingsError
from stream.messages.action import Action
from stream.messages.score import ReasonRef, SegmentRef
from stream.settings import Settings

NOON = 1_772_366_400_000
MINUTE = 60_000
HOUR = 60 * MINUTE


def action(number: int, customer: str = "ada", **changed: Any) -> Action:
    made = Action(
        action_id=f"a{number}",
        customer_id=customer,
        trigger="cart_abandoned",
        rule="cart left",
        action="remind_of_cart",
        purchase_intent=0.31,
        band="medium",
        segment=SegmentRef(1, "loyal [b]"),
        as_of=NOON,
        decided_at=NOON,
        expires_at=NOON + 2 * HOUR,
        arm="treatment",
        experiment="v1",
        policy_version="p1",
        model_version="m1",
        offer="free [b] shipping",
        items=["tent-2", "rope", "[b]lamp", "mug"],
        reasons=[ReasonRef("cart", 2, 0.71, "2 [b] pieces in the cart")],
    )
    return structs.replace(made, **changed)


def record(
    value: Action | bytes | None, offset: int, *, partition: int = 0, published: int | None = None
) -> Any:
    """A record of an action; it is published when the action became due, if nothing else is said."""
    decided = value.decided_at if isinstance(value, Action) else NOON
    return SimpleNamespace(
        key=value.customer_id.encode() if isinstance(value, Action) else b"ada",
        value=msgspec.json.encode(value) if isinstance(value, Action) else value,
        partition=partition,
        offset=offset,
        timestamp=decided if published is None else published,
    )


class FakeConsumer:
    """Gives records once, then ends the watcher."""

    def __init__(self, records: Sequence[Any]) -> None:
        self._records = list(records)
        self.watcher: ActionWatcher
        self.topics = lambda: {"intent.actions"}
        self.committed: dict[TopicPartition, Any] = {}

    def poll(self, **_: int) -> dict[TopicPartition, list[Any]]:
        if not self._records:
            self.watcher.stop()
        given: dict[TopicPartition, list[Any]] = {}
        for one in self._records:
            given.setdefault(TopicPartition("intent.actions", one.partition), []).append(one)
        self._records = []
        return given

    def partitions_for_topic(self, topic: str) -> set[int]:
        return {0, 1}

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        self.assigned = partitions

    def assignment(self) -> set[TopicPartition]:
        return set(self.assigned)

    def position(self, partition: TopicPartition, **_: int) -> int:
        return 0

    def highwater(self, partition: TopicPartition) -> int:
        return 0

    def close(self, **_: Any) -> None:
        return None


def given(
    monkeypatch: pytest.MonkeyPatch, records: Sequence[Any], *, clock: int = NOON + MINUTE, **options: Any
) -> tuple[list[str], ActionWatcher]:
    """Let a watcher read records at a time of day; return the ids of what it gives."""
    consumer = FakeConsumer(records)
    monkeypatch.setattr(ActionWatcher, "_connect", lambda *_: consumer)
    watcher = ActionWatcher(Settings(_env_file=None), **options)
    monkeypatch.setattr(watcher._log_time, "_clock", lambda: clock)
    consumer.watcher = watcher
    with watcher:
        return [one.action_id for one in watcher], watcher


def test_an_action_that_comes_again_is_given_once(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [record(action(number), offset) for offset, number in enumerate([1, 2, 1, 3, 2])]
    found, watcher = given(monkeypatch, records)
    assert found == ["a1", "a2", "a3"]
    assert (watcher.repeated, watcher.messages) == (2, 5)


def test_the_ids_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 2)
    numbers = [1, 2, 3, 3, 1]
    found, watcher = given(monkeypatch, [record(action(n), at) for at, n in enumerate(numbers)])
    assert found == ["a1", "a2", "a3", "a1"]
    assert len(watcher._given) == 2


def test_only_customers_who_are_treated_are_given_unless_other_arms_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arms = ["treatment", "holdout", "customer_managed"]
    records = [record(action(number, arm=arm), number) for number, arm in enumerate(arms)]
    assert given(monkeypatch, records)[0] == ["a0"]
    assert given(monkeypatch, records, arms=["holdout"])[0] == ["a1"]
    assert given(monkeypatch, records, arms=arms)[0] == ["a0", "a1", "a2"]
    for unknown in ([], ["treated"]):
        with pytest.raises(ValueError, match="arms must be some of treatment, holdout, customer_managed"):
            given(monkeypatch, records, arms=unknown)


@pytest.mark.parametrize(("minutes", "found"), [(119, ["a1"]), (120, [])])
def test_live_actions_expire_by_the_wall_clock(
    monkeypatch: pytest.MonkeyPatch, minutes: int, found: list[str]
) -> None:
    clock = NOON + minutes * MINUTE
    told, watcher = given(monkeypatch, [record(action(1), 0)], clock=clock)
    assert told == found
    assert watcher.late == 1 - len(found)
    assert given(monkeypatch, [record(action(1), 0)], clock=clock, expired=True)[0] == ["a1"]


def test_a_worker_that_catches_up_after_a_nights_outage_is_live(monkeypatch: pytest.MonkeyPatch) -> None:
    late = record(action(1), 0, published=NOON + 10 * HOUR)
    assert given(monkeypatch, [late], clock=NOON + 10 * HOUR)[0] == []


def test_a_replayed_log_expires_by_the_time_of_its_own_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other partition is two days ahead."""
    now = NOON + 300 * 24 * HOUR
    ahead = action(1, "bob", decided_at=NOON + 48 * HOUR, expires_at=NOON + 50 * HOUR)
    behind, over = action(2), action(3, decided_at=NOON - 5 * HOUR, expires_at=NOON - 3 * HOUR)
    records = [
        record(ahead, 0, partition=1, published=now),
        record(behind, 0, published=now),
        record(over, 1, published=now),
    ]
    found, watcher = given(monkeypatch, records, clock=now)
    assert found == ["a1", "a2"]
    assert watcher.late == 1


def test_filters_keep_other_actions_and_customers_out(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [
        record(action(1), 0),
        record(action(2, action="win_back"), 1),
        record(action(3, "bob", action="win_back"), 2),
    ]
    assert given(monkeypatch, records, actions=["win_back"])[0] == ["a2", "a3"]
    assert given(monkeypatch, records, actions="win_back", customer="ada")[0] == ["a2"]
    assert given(monkeypatch, records, actions=["win_back", "remind_of_cart"], limit=2)[0] == ["a1", "a2"]


def test_erased_customers_are_told_whatever_the_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    erased: list[str] = []
    records = [record(action(1), 0), record(None, 1), record(b"?", 2)]
    found, watcher = given(monkeypatch, records, customer="bob", on_erased=erased.append)
    assert (found, erased, watcher.unreadable) == ([], ["ada"], 1)


def test_without_a_topic_there_are_no_actions() -> None:
    with pytest.raises(SettingsError, match="INTENT_ACTIONS_TOPIC is empty"):
        ActionWatcher(Settings(_env_file=None, actions_topic=""))


def test_the_logs_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.clients.topic_watcher._EXPIRE_SECONDS", -1.0)
    _, watcher = given(monkeypatch, [record(action(1), 0)], clock=NOON + 7 * MINUTE)
    assert watcher.now_ms == NOON + 7 * MINUTE
