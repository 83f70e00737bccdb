from __future__ import annotations

import sys
from io import StringIO
from typing import Any

import numpy as np
import pytest
from msgspec import structs
from rich.console import Console
from rich.progress import Progress, TextColumn

from offline.simulator.answers import AnswerParameters
from offline.uplift.simulated import trial
from stream.cli.demo import demo, watched_rows
from stream.cli.demo_view import Screen, effects, hottest, show, uplift_sentences
from stream.cli.last_look import LastLook, last_look
from stream.messages.score import Score
from tests.stream.clients.test_watch import AT, score
from tests.uplift_cases import DAY_MS, shop

MINUTE = 60_000


def at(minutes: int, customer: str, intent: float = 0.5, *, purchase: bool = False, **fields: Any) -> Score:
    moment = AT + minutes * MINUTE
    return structs.replace(
        score(customer, intent, **fields), as_of=moment, event_time=moment, purchase=purchase
    )


SCORES = [
    at(0, "gone", 0.99),
    at(40, "ada", 0.9),
    at(41, "bob", 0.8),
    at(42, "eve", 0.95),
    at(43, "eve", 0.3),  # newer
    at(44, "fay", 0.9, purchase=True),  # has bought
    at(52, "ada", 0.9, purchase=True),
    at(60, "late", 0.9),  # after the moment
    at(72, "bob", 0.9, purchase=True),  # a minute after the horizon
    at(75, "ada", 0.9, purchase=True),
]


def looked() -> LastLook:
    return last_look(SCORES, "0", "UTC")


def test_the_last_look_is_a_horizon_before_the_log_ends_and_knows_who_bought() -> None:
    last = looked()
    assert last.at_ms == AT + 45 * MINUTE
    assert [(one.score.customer_id, one.score.purchase_intent, one.bought_ms) for one in last.customers] == [
        ("ada", 0.9, 12 * MINUTE),
        ("bob", 0.8, None),
        ("eve", 0.3, None),
    ]
    assert last.buyers == 1


def test_where_labels_begin_on_the_next_day_a_purchase_on_the_same_day_is_not_what_was_foreseen() -> None:
    day = 24 * 60
    scores = [
        structs.replace(one, horizon_seconds=3 * 86_400.0)
        for one in (
            at(0, "ada"),
            at(0, "bob"),
            at(60, "ada", purchase=True),
            at(day, "bob", purchase=True),
            at(3 * day, "x"),
        )
    ]
    found = {one.score.customer_id: one.bought_ms for one in last_look(scores, "next-day", "UTC").customers}
    assert found == {"ada": None, "bob": day * MINUTE}
    assert last_look([], "0", "UTC").customers == []


def test_a_reader_sees_who_was_about_to_buy_and_who_did(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    show(looked(), {"share": None})
    printed = capsys.readouterr().out
    rows = {line.split()[0]: line.split() for line in printed.splitlines() if "loyal [b]" in line}
    assert list(rows) == ["ada", "bob", "eve"]
    assert rows["ada"][-5:] == ["5", "min", "after", "12", "min"]
    assert rows["bob"][-1] == "no"
    assert "Most likely to buy within 30 minutes, at 2026-03-01 12:45 UTC" in printed
    text = " ".join(printed.split())
    assert "1 of these 3, 1 of all 3 customers with an open score" in text
    assert "at those moments, 2.0 of them were to be expected to buy within 30 minutes" in text
    assert "still to be expected" not in text  # no earlier score tells
    found = hottest(looked())
    assert found["hottest"][0]["bought_after_seconds"] == 720.0
    assert found["hottest_expected"] is None


def test_how_many_were_to_be_expected_is_by_what_customers_did_after_as_long_a_silence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    alike = [at(-100, f"gone-{number}") for number in range(99)]
    scores = [
        *alike, at(-100, "slow"), at(-80, "slow", purchase=True),
        *(at(-100, f"quick-{number}") for number in range(50)),  # were not silent for as long
        *(at(-99, f"quick-{number}", purchase=True) for number in range(50)),
        at(-100, "unlikely", 0.1),
        *SCORES[1:],
    ]  # fmt: skip
    last = last_look(scores, "0", "UTC")
    # Of a hundred at least as likely as eve, which promised 50 buyers, one bought after a silence of minutes.
    assert last.expected(last.customers) == pytest.approx((0.9 + 0.8 + 0.3) * 1 / 50)
    assert last.expected(last.customers[:1]) is None  # none was as likely as ada
    assert last_look(scores[1:], "0", "UTC").expected(last.customers) is None  # too few to tell
    show(last, {"share": None})
    assert "after as long a silence, 0.04 of them were still to be expected" in " ".join(
        capsys.readouterr().out.split()
    )


def test_a_log_shorter_than_its_horizon_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    show(last_look([at(0, "ada"), at(5, "ada")], "0", "UTC"), {"share": None})
    assert "No score was open 30 minutes before the log ended" in capsys.readouterr().out


def test_the_screen_shows_rate_progress_and_the_hottest_of_the_newest_scores() -> None:
    console = Console(file=StringIO(), width=80)
    screen = Screen(Progress(*(TextColumn(f"{{task.fields[{name}]}}") for name in ("counts", "rate"))))
    screen.on_progress(0, 1_000)
    screen.on_scores([score("old")])
    screen.on_progress(400, 1_000)
    screen.on_scores([score("ada", 0.2), score("bob", 0.7)])
    console.print(screen)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "400/1,000" in text
    assert " events/s" in text
    assert [line.split()[0] for line in text.splitlines() if "loyal [b]" in line] == ["bob", "ada"]
    assert "2 customers, 2 scores\n" in "\n".join(line.strip() + "\n" for line in text.splitlines())


def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, share: float | None) -> str:
    monkeypatch.setenv("COLUMNS", "100")
    last = last_look([at(0, "ada"), at(1, "bob", holdout=True), at(31, "x")], "0", "UTC")
    summary: dict[str, Any] = {"events": 12_000, "auc": 0.86, "best_possible_auc": 0.87, "share": share}
    show(last, summary)
    return capsys.readouterr().out


def test_the_summary_explains_its_share_and_names_actions_as_scores_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = shown(capsys, monkeypatch, 0.973)
    caption = " ".join(text.split())
    assert "of the best possible AUC above .5 that was reached. It is an expected value" in caption
    assert "The two AUCs are measured on what happened" in caption
    assert "cross_sell" in text
    assert "held out" in text
    assert "12,000" in text


def test_where_nothing_better_is_known_there_is_no_share_to_explain(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "best possible AUC above" not in shown(capsys, monkeypatch, None)


def test_the_measured_uplift_stands_beside_the_true_one() -> None:
    found = trial(*shop(), AnswerParameters(effect=0.15), 3 * DAY_MS, {"v1": 0.3})
    text, figures = uplift_sentences(found), effects(found)
    assert found.truth is not None and figures is not None
    assert (
        "more often" in text and f"{found.truth.treated:.0%} buy within 3 days if they are contacted" in text
    )
    assert figures["lift_low"] <= figures["true_lift"] <= figures["lift_high"]
    assert effects(None) is None


def test_where_no_lift_is_shown_there_is_no_true_one_either() -> None:
    found = trial(*shop(), AnswerParameters(), 3 * DAY_MS, {"v1": 0.7})
    assert uplift_sentences(found).startswith("No lift is shown")
    assert effects(found) is None


def test_ten_horizons_are_kept_back_to_be_watched_more_of_a_small_shop_and_never_more_than_a_tenth() -> None:
    minutes = np.arange(100_000, dtype=np.int64) * MINUTE
    assert watched_rows(minutes, 120 * MINUTE) == 1_200
    assert watched_rows(minutes, 30 * MINUTE) == 600
    assert watched_rows(minutes[:3_000], 120 * MINUTE) == 300
    assert watched_rows(minutes[:0], 120 * MINUTE) == 0


def test_what_watching_needs_is_looked_for_before_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    with pytest.raises(ModuleNotFoundError, match="uvloop"):
        demo(serve=True)
