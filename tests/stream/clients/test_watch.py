from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from msgspec import structs
from rich.console import Console

from stream.cli.watch import Board, unknown_segment
from stream.messages.score import ReasonRef, Recommendation, Score, SegmentRef
from tests.bundles import save_bundle

AT = 1_772_366_400_000


def score(
    customer: str,
    intent: float = 0.5,
    band: str = "low",
    holdout: bool = False,
    recommendation: Recommendation | None = None,
) -> Score:
    return Score(
        event_id="e",
        customer_id=customer,
        event_time=AT,
        scored_at=0,
        purchase_intent=intent,
        horizon_seconds=1800,
        as_of=AT,
        network_score=intent,
        online_score=None,
        band=band,  # type: ignore[arg-type]
        segment=SegmentRef(1, "loyal [b]"),
        reasons=[],
        action="cross_sell",
        holdout=holdout,
        model_version="m",
        features_version="f",
        recommendation=recommendation,
    )


def text(board: Board, width: int = 120) -> str:
    console = Console(file=StringIO(), width=width)
    console.print(board)
    return console.file.getvalue()


def shown(board: Board) -> list[str]:
    lines = text(board).splitlines()
    return [line for line in lines if "loyal [b]" in line]


def test_the_table_has_every_customer_once_with_the_latest_score_hottest_first() -> None:
    board = Board()
    for customer, intent in (("ada", 0.9), ("bob", 0.3), ("eve", 0.6), ("ada", 0.1)):
        board.add(score(customer, intent))
    assert [line.split()[0] for line in shown(board)] == ["eve", "bob", "ada"]
    assert "10.0%" in shown(board)[2]


def test_an_erased_customer_leaves_the_table() -> None:
    board = Board()
    board.add(score("ada"))
    board.remove("ada")
    board.remove("nobody")
    assert shown(board) == []


def test_rows_are_gone_when_their_horizon_is_over_by_the_logs_time_and_at_a_purchase() -> None:
    now = AT
    board = Board(now=lambda: now)
    board.add(score("ada"))
    board.add(structs.replace(score("bob"), as_of=AT + 600_000))
    board.add(structs.replace(score("eve"), purchase=True))
    assert sorted(line.split()[0] for line in shown(board)) == ["ada", "bob"]
    now = AT + 1_800_000
    assert [line.split()[0] for line in shown(board)] == ["bob"]


def test_rows_show_their_age_by_the_logs_time_and_the_title_shows_that() -> None:
    board = Board()
    board.add(score("ada"))
    board.add(structs.replace(score("bob"), as_of=AT + 1_000_000))
    assert {line.split()[0]: line.split()[-2:] for line in shown(board)} == {
        "ada": ["16", "min"],
        "bob": ["cross_sell", "now"],
    }
    assert "2026-03-01 12:16 UTC" in text(board)


def test_usual_rows_take_one_line_of_80_columns() -> None:
    board = Board()
    one = structs.replace(
        score("shopper-4711-xyz", 0.5, "medium"),
        segment=SegmentRef(1, "Returning buyers with large carts"),
        action="assist_checkout",
    )
    board.add(one)
    board.add(structs.replace(one, customer_id="b", as_of=AT + 1_600_000))
    console = Console(file=StringIO(), width=80)
    console.print(board)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    rows = [line.split() for line in lines if "assist_checkout" in line]
    assert [row[0] for row in rows] == ["shopper-4711-xyz", "b"]
    assert [row[-2:] for row in rows] == [["26", "min"], ["assist_checkout", "now"]]
    assert len([line for line in lines if line.strip()]) == 6


def test_a_held_out_customer_has_no_action() -> None:
    board = Board()
    board.add(score("ada", holdout=True))
    assert "held out" in shown(board)[0]
    assert "cross_sell" not in shown(board)[0]


def test_what_is_no_customers_says_so_in_the_place_of_the_action() -> None:
    board = Board()
    board.add(structs.replace(score("ada"), traffic="bot", action="none"))
    assert " bot " in shown(board)[0]


def test_the_table_remembers_a_bounded_number_of_customers() -> None:
    board = Board(remembered=3)
    for number in range(10):
        board.add(score(f"c{number}", intent=1 - number / 10))
    assert [line.split()[0] for line in shown(board)] == ["c7", "c8", "c9"]


def test_offers_have_a_column_as_soon_as_there_are_some() -> None:
    board = Board()
    board.add(score("ada"))
    assert "offer" not in text(board)
    own = Recommendation("win_back", "Come back", ["i1", "i2", "[b]3", "i4"], "customer", "p1")
    board.add(score("bob", recommendation=own))
    board.add(score("eve", recommendation=Recommendation("news", "News", ["i7"], "segment", "p1")))
    assert "offer: items" in text(board)
    lines = {line.split()[0]: line for line in shown(board)}
    assert "win_back: i1, i2, [b]3 *" in lines["bob"]
    assert "i4" not in lines["bob"]
    assert "news: i7 " in lines["eve"]
    assert "*" not in lines["eve"] + lines["ada"]


def with_reasons(customer: str, *reasons: ReasonRef) -> Score:
    return structs.replace(score(customer), reasons=list(reasons))


ITEMS = ReasonRef("items_viewed", 7, 0.9, "looked at 7 [b] items in this session")
CART = ReasonRef("cart", 0, -0.4, "nothing in the cart")


def test_the_strongest_reason_is_shown_with_its_sign() -> None:
    board = Board()
    for one in (with_reasons("ada", ITEMS, CART), with_reasons("bob", CART, ITEMS), score("eve")):
        board.add(one)
    rows = {line.split()[0]: line for line in shown(board)}
    assert "+ looked at 7 [b] items in this session" in rows["ada"]
    assert "- nothing in the cart" in rows["bob"]
    assert "in the cart" not in rows["ada"] + rows["eve"]


def test_reasons_give_way_where_the_terminal_is_narrow() -> None:
    board = Board()
    board.add(with_reasons("shopper-4711", ITEMS))
    alone = Board()
    alone.add(score("shopper-4711"))
    assert text(board, 60) == text(alone, 60)
    for width in range(40, 140):
        lines = text(board, width).splitlines()
        assert max(map(len, lines)) <= width
        assert len(lines) == len(text(alone, width).splitlines())
    assert "+ looked at 7 [b]" in text(board, 80)


def test_without_reasons_there_is_no_column_for_them() -> None:
    board = Board()
    board.add(score("ada"))
    assert "reason" not in text(board)


def test_a_segment_that_the_bundle_has_not_is_noted_with_those_that_it_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    monkeypatch.setenv("INTENT_BUNDLE", str(bundle))
    assert list(unknown_segment("nobody")) == [], "where there is no bundle, nothing is known"
    save_bundle(bundle)
    assert list(unknown_segment(None)) == list(unknown_segment("0")) == []
    [said] = unknown_segment("nobody")
    assert said.startswith(f"the bundle in {bundle} has no segment 'nobody'; it has 0 ")
    (bundle / "segmenter.json").write_text("{")
    assert list(unknown_segment("nobody")) == []
