"""The table of actions, what `intent watch` says where nothing comes, and which options go together."""

from __future__ import annotations

import io
import json
import sys
import threading
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from stream.cli import create_app, following
from stream.cli.following import Place, follow
from stream.cli.watch_actions import ActionBoard, unknown_actions
from stream.clients.worker_group import WorkerGroup
from stream.messages.action import Action
from tests.stream.clients.test_actions import HOUR, MINUTE, NOON, action

WIDE = 140


def text(board: ActionBoard, width: int = WIDE) -> str:
    console = Console(file=StringIO(), width=width)
    console.print(board)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def of(*actions: Action, **options: Any) -> ActionBoard:
    board = ActionBoard(**options)
    for one in actions:
        board.add(one)
    return board


def test_a_row_says_how_long_there_is_time_for_whom_what_and_why() -> None:
    (line,) = [row for row in text(of(action(1, "bob"))).splitlines() if "bob" in row]
    assert [cell.strip() for cell in line.strip().split("  ") if cell.strip()] == [
        "2 h", "bob", "remind_of_cart", "cart_abandoned", "free [b] shipping", "tent-2, rope, [b]lamp +1",
        "+ 2 [b] pieces in the cart",
    ]  # fmt: skip


def test_the_newest_action_comes_first_and_the_table_shows_some_of_them() -> None:
    many = [action(n, f"c{n}", decided_at=NOON + n * MINUTE) for n in range(5)]
    shown = text(of(*many, shown=2))
    assert shown.index("c4") < shown.index("c3")
    assert "c2" not in shown
    assert "5 actions of 5" in shown


def test_a_row_is_gone_when_its_time_is_over_unless_it_is_asked_for() -> None:
    now = NOON + 2 * HOUR - 1
    board = of(action(1, "bob"), now=lambda: now)
    kept = of(action(1, "bob"), now=lambda: now, expired=True)
    assert "1 s  bob" in text(board)
    now += 1
    assert "bob" not in text(board)
    assert "expired  bob" in text(kept)


def test_the_arm_is_shown_where_others_than_the_treated_are_asked_for() -> None:
    held = action(1, "bob", arm="holdout")
    assert "arm" not in text(of(held))
    assert "holdout" in text(of(held, arms=["treatment", "holdout"]))


def test_offers_items_and_reasons_have_columns_where_there_are_some() -> None:
    bare = text(of(action(1, "bob", offer=None, items=[], reasons=[])))
    assert not {"offer", "items", "reason"} & set(bare.split())
    assert {"offer", "items", "reason"} <= set(text(of(action(1, "bob"))).split())


def test_reasons_give_way_and_nothing_is_cut_where_the_terminal_is_narrow() -> None:
    customer = "shopper-4711-of-the-shop-in-Frankfurt"
    shown = text(of(action(1, customer), arms=["holdout"]), 80)
    assert max(map(len, shown.splitlines())) <= 80
    assert "reason" not in shown
    assert "…" not in shown
    for whole in ("cart_abandoned", "treatment", "2 h"):
        assert whole in shown


def test_an_erased_customer_leaves_the_table_with_all_actions() -> None:
    board = of(action(1, "bob"), action(2, "bob"), action(3, "eve"))
    board.erase("bob")
    assert "bob" not in text(board)
    assert "eve" in text(board)


def test_the_table_remembers_a_bounded_number_of_actions() -> None:
    board = of(*(action(n, f"c{n}") for n in range(10)), remembered=3)
    assert "3 actions of 10" in text(board)


class FakeWatcher:
    """Waits until something has been said on standard error, then gives what it has."""

    kind = "action"

    def __init__(
        self, said: Callable[[], bool], messages: int, given: list[Action], group: WorkerGroup | None
    ) -> None:
        self._said, self.messages, self._given, self._group = said, messages, given, group

    def workers(self) -> WorkerGroup | None:
        return self._group

    def hint(self) -> str:
        return "; here are some"

    def __enter__(self) -> FakeWatcher:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __iter__(self) -> Iterator[Action]:
        waited = threading.Event()
        for _ in range(500):
            if self._said():
                break
            waited.wait(0.01)
        yield from self._given


class Terminal(io.StringIO):
    """Standard error, or a screen."""

    def isatty(self) -> bool:
        return True


def followed(
    monkeypatch: pytest.MonkeyPatch,
    *,
    messages: int = 0,
    given: list[Action] | None = None,
    board: ActionBoard | None = None,
    from_beginning: bool = False,
    seconds: float = 0.01,
    group: WorkerGroup | None = None,
) -> tuple[str, str]:
    """Follow a watcher that is silent at first; return what is printed on the two streams."""
    told, printed = Terminal(), Terminal()
    monkeypatch.setattr(following, "_SILENT_SECONDS", seconds)
    monkeypatch.setattr(sys, "stderr", told)
    monkeypatch.setattr(sys, "stdout", printed)
    watcher: Any = FakeWatcher(
        lambda: seconds > 1 or "intent" in told.getvalue() + printed.getvalue(), messages, given or [], group
    )
    place = Place(from_beginning=from_beginning, limit=None, group=None)
    follow(watcher, board, place=place, filters="--arm")
    return printed.getvalue(), told.getvalue()


def test_where_nothing_comes_one_line_says_so_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told = "intent: no actions yet: does a worker run? (`intent worker`)"
    printed, said = followed(monkeypatch, given=[action(1)])
    assert said == f"{told}; --from-beginning shows those of before\n"
    assert json.loads(printed)["action_id"] == "a1"
    assert followed(monkeypatch, from_beginning=True) == ("", f"{told}\n")


@pytest.mark.parametrize(
    ("group", "said"),
    [
        (WorkerGroup("g", 0, 0), "no worker runs (group g has no member): start `intent worker`"),
        (WorkerGroup("g", 1, 0), "a worker runs and has read all events: there was nothing new for it"),
        (
            WorkerGroup("g", 2, 1_200),
            "2 workers run and have 1,200 records still to read: they come when they are scored",
        ),
    ],
)
def test_where_nothing_comes_it_is_said_whether_a_worker_runs(
    group: WorkerGroup, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = followed(monkeypatch, group=group, from_beginning=True)[1]
    assert told == f"intent: no actions yet: {said}\n"


def test_an_action_that_the_policy_has_not_is_noted_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert list(unknown_actions(["offer_incentive"])) == list(unknown_actions([])) == []
    assert list(unknown_actions(["ofer_incentive"])) == [
        "the policy of the program has no action 'ofer_incentive'; did you mean offer_incentive? It has "
        "assist_checkout, cross_sell, offer_incentive, recommend_items, remind_of_cart"
    ]
    policy = tmp_path / "p.yaml"
    policy.write_text("version: 1\nrules: [{name: a, action: greet}]\n")
    monkeypatch.setenv("INTENT_POLICY", str(policy))
    assert list(unknown_actions(["greet", "offer_incentive"])) == [
        f"the policy in {policy} has no action 'offer_incentive'; it has greet"
    ]
    policy.write_text("version: 1\n")
    [said] = unknown_actions(["greet"])
    assert said.startswith("whether the policy has these actions is not known: ")


def test_where_something_comes_in_time_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    printed, said = followed(monkeypatch, given=[action(1)], seconds=30)
    assert (json.loads(printed)["action_id"], said) == ("a1", "")


def test_where_the_filters_keep_everything_out_the_line_says_that(monkeypatch: pytest.MonkeyPatch) -> None:
    assert followed(monkeypatch, messages=12)[1] == (
        "intent: 12 actions came, but none that you asked for: see --arm; here are some\n"
    )


def test_where_the_first_to_come_are_none_that_was_asked_for_a_second_line_says_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watcher: Any = FakeWatcher(lambda: False, 0, [], None)
    said = following._silence(watcher, Place(from_beginning=True, limit=None, group=None), "--arm")
    assert next(said).startswith("no actions yet")
    assert [next(said), next(said)] == ["", ""]
    watcher.messages = 1
    assert list(said) == ["1 action came, but none that you asked for: see --arm; here are some"]


def test_the_line_stands_above_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "140")
    printed, _ = followed(monkeypatch, given=[action(1, "bob")], board=ActionBoard())
    assert printed.count("no actions yet") == 1
    assert printed.index("no actions yet") < printed.index("bob")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--actions", "--band", "high"], "'--band': it is about scores, not actions"),
        (["--actions", "--segment", "loyal"], "'--segment': it is about scores, not actions"),
        (["--actions", "--all-traffic"], "'--all-traffic': it is about scores, not actions"),
        (["--action", "win_back"], "'--action': it is about actions: add --actions"),
        (["--customer", "ada"], "'--customer': it is about actions: add --actions"),
        (["--arm", "holdout"], "'--arm': it is about actions: add --actions"),
        (["--expired"], "'--expired': it is about actions: add --actions"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_option_of_the_other_kind_is_refused_with_one_line(options: list[str], message: str) -> None:
    ended = CliRunner().invoke(create_app(), ["watch", *options])
    assert ended.exit_code == 2
    assert ended.stderr == f"intent watch: invalid value for {message}. See `intent watch --help`.\n"
