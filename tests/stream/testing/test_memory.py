"""The stack in memory: the same scoring as everywhere, for events in every form in which shops have them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from features.bundle import Bundle
from features.events import Event, RejectedEvent
from features.exceptions import LogError
from features.log import write_log
from features.vector import schema_hash
from stream.scoring.engine import engine_of
from stream.scoring.score_log import score_log
from stream.settings import Settings
from stream.testing import plugin
from stream.testing.memory import MemoryStack
from tests.integration.outcome import TOLERANCE
from tests.integration.shop_logs import shuffled, simulated, talkative

NOW = 1_772_366_400_000  # 2026-03-01 12:00 UTC
BUNDLE = Path(plugin.__file__).parent / "bundle"


def event(number: int, customer: str = "ada", **fields: Any) -> dict[str, Any]:
    defaults = {"type": "view_item", "event_time": NOW + number * 1000, "item_id": "sku-1", "price": 20.0}
    return {"event_id": f"{customer}-{number}", "customer_id": customer} | defaults | fields


POLICY = """
version: 1
rules:
  - {name: cart, trigger: cart_abandoned, after: 40m, action: remind, when: {cart_value: more than 0}}
  - {name: back, trigger: win_back, after: 6h, action: come_back}
  - {name: filled, action: show, when: {cart_items: more than 0}}
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    return Settings(_env_file=None, bundle=BUNDLE, policy=policy, holdout=0.3, reasons="all")


@pytest.fixture
def stack(settings: Settings) -> MemoryStack:
    return MemoryStack(settings)


def test_the_built_in_bundle_has_the_features_of_today() -> None:
    version = json.loads((BUNDLE / "manifest.json").read_text())["features_version"]
    assert version == schema_hash(), (
        f"features have changed: make the bundle again, see {BUNDLE / 'README.md'}"
    )


def test_scores_and_actions_are_those_of_the_same_log_scored_as_a_whole(
    settings: Settings, stack: MemoryStack, seed: int
) -> None:
    log = shuffled(simulated(400, 3, seed), 20 * 60_000, seed)
    engine = engine_of(settings, Bundle.load(BUNDLE))
    truth = score_log(log, engine, partitions=1, decide_by=[engine.rulebook])
    found = stack.replay(log)
    rows = truth.scores.to_pylist()
    scores = {score.event_id: score for own in found.scores.values() for score in own}
    assert len(scores) == len(rows) > 100
    for row in rows:
        score = scores[row["event_id"]]
        assert score.purchase_intent == pytest.approx(row["purchase_intent"], abs=TOLERANCE, rel=0)
        assert (score.band, score.action, score.holdout) == (row["band"], row["action"], row["holdout"])
    decided = [msgspec.to_builtins(action) for action in truth.decided[0].actions]
    actions = [msgspec.to_builtins(action) for own in found.actions.values() for action in own]
    assert sorted(actions, key=str) == sorted(decided, key=str)
    assert {action["rule"] for action in actions} >= {"cart", "back"}  # timers came, too
    assert len(found.letters) == truth.dead_letters > 0


def test_logins_of_a_log_count_from_their_moment_on(
    settings: Settings, stack: MemoryStack, seed: int
) -> None:
    log = talkative(100, 3, seed)
    engine = engine_of(settings, Bundle.load(BUNDLE))
    truth = score_log(log, engine, partitions=1)
    found = stack.replay(log)
    scores = {score.event_id: score.purchase_intent for own in found.scores.values() for score in own}
    wanted = dict(
        zip(*(truth.scores[name].to_pylist() for name in ("event_id", "purchase_intent")), strict=True)
    )
    assert scores == pytest.approx(wanted, abs=TOLERANCE, rel=0)
    assert sum(score.merged is not None for own in found.scores.values() for score in own) > 10


def test_a_log_in_two_pieces_gives_what_it_gives_as_a_whole(settings: Settings, seed: int) -> None:
    log = simulated(20, 2, seed)
    one, two = MemoryStack(settings), MemoryStack(settings)
    whole = one.replay(log)
    two.replay(log.slice(0, 30))
    pieces = two.replay(log.slice(30))
    assert dict(pieces.actions) == dict(whole.actions)
    assert {c: [s.purchase_intent for s in own] for c, own in pieces.scores.items()} == {
        c: [s.purchase_intent for s in own] for c, own in whole.scores.items()
    }


def test_what_is_no_event_is_a_letter_with_its_reason(stack: MemoryStack) -> None:
    found = stack.replay(
        [
            event(0),
            event(0),  # again
            event(1, price=-1, type="nonsense"),
            '{"half": ',
            event(3600, "bob"),
            event(10),  # too late by now
        ]
    )
    assert [letter.reason for letter in found.letters] == ["unknown_type", "not_json", "late"]
    assert found.letters[1].value == b'{"half": '
    assert {customer: len(own) for customer, own in found.scores.items()} == {"ada": 1, "bob": 1}


def test_a_shops_own_code_emits_into_the_stack(stack: MemoryStack) -> None:
    with stack.emitter as shop:
        shop.emit(Event(event_id="e", type="search", customer_id="ada", event_time=NOW))
        shop.emit(type="view_item", customer_id="a-1", item_id="sku-1")
        with pytest.raises(RejectedEvent, match="sold"):
            shop.emit(type="sold", customer_id="ada")
        shop.identify("a-1", "ada")
    assert stack.scores["ada"][-1].merged == "a-1"
    assert stack.letters == []
    assert stack.scores["nobody"] == [] and "nobody" not in stack.scores


def test_of_an_erased_customer_nothing_is_left(stack: MemoryStack) -> None:
    cart = [event(0), event(1, type="add_to_cart"), event(2, "bob"), event(3, quantity=-1, type="?")]
    assert stack.replay(cart).actions["ada"]
    assert len(stack.letters) == 1
    assert stack.emitter.erase("ada") == (0, 4)
    assert list(stack.scores) == ["bob"]
    assert "ada" not in stack.actions
    assert stack.letters == []


def test_a_log_is_the_same_in_every_form(settings: Settings, tmp_path: Path, seed: int) -> None:
    log = simulated(10, 2, seed).drop_columns(["items", "bot"])
    write_log(tmp_path / "log.parquet", log)
    rows = [
        {
            name: value
            for name, value in row.items()
            if value is not None and name not in ("partition", "offset")
        }
        for row in log.to_pylist()
    ]
    for row in rows:
        row["event_time"] = int(row["event_time"].timestamp() * 1000)
        row.pop("arrived_at")
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with (tmp_path / "log.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, sorted({name for row in rows for name in row}))
        table.writeheader()
        table.writerows(rows)
    found = [
        [score for own in MemoryStack(settings).replay(form).scores.values() for score in own]
        for form in (tmp_path / "log.parquet", str(tmp_path / "log.jsonl"), tmp_path / "log.csv", rows, log)
    ]
    assert len(found[0]) == len(rows) > 10
    assert [one == found[0] for one in found] == [True] * 5


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("none.csv", None, "there is no log at"),
        ("log.csv", "user,type,event_time\n", "has no column 'customer_id'"),
        ("log.parquet", "text", "is not a Parquet file"),
    ],
)
def test_a_file_that_is_no_log_is_told(
    stack: MemoryStack, tmp_path: Path, name: str, content: str | None, told: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(LogError, match=told):
        stack.replay(tmp_path / name)


def test_more_events_than_a_round_takes_come_in_order(
    stack: MemoryStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.testing.memory._BATCH", 3)
    found = stack.replay([event(number) for number in range(10)])
    assert [score.event_id for score in found.scores["ada"]] == [f"ada-{number}" for number in range(10)]
