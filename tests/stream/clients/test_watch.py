from __future__ import annotations

from io import StringIO

from msgspec import structs
from rich.console import Console

from stream.cli.watch import Board
from stream.messages.score import Recommendation, Score, SegmentRef

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


def text(board: Board) -> str:
    console = Console(file=StringIO(), width=120)
    console.print(board.table())
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
    console.print(board.table())
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
