"""On a terminal of 80 columns, tables fold what is too long; they cut nothing."""

from __future__ import annotations

from collections import Counter
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs
from rich.console import Console, RenderableType
from typer.testing import CliRunner

from features.refusals import Reason
from features.state import STATE
from stream.cli import create_app
from stream.cli.customer import described
from stream.cli.customer_view import customer_view
from stream.cli.dead_letters import table_of
from stream.cli.demo_view import show as show_demo
from stream.cli.last_look import Foreseen, LastLook, Silences
from stream.cli.partition import _table as partitions_of
from stream.cli.quality import _table as quality_of
from stream.cli.watch import Board
from stream.learning.report import Report, Window
from stream.messages.dead_letter import DeadLetter
from stream.messages.score import Recommendation, SegmentRef
from tests.stream.cli.test_customer import random_models
from tests.stream.cli.test_quality import figures
from tests.stream.clients.test_watch import score

CUSTOMER = "shopper-4711-of-the-shop-in-Frankfurt"
SEGMENT = "Returning buyers with large carts"
SCORE = structs.replace(
    score(CUSTOMER, band="medium"),
    segment=SegmentRef(1, SEGMENT),
    action="assist_checkout",
    recommendation=Recommendation(
        "cross_sell_summer", "For you", ["sku-1000001", "sku-1000002"], "customer", "p"
    ),
)


def drawn(*parts: RenderableType) -> str:
    console = Console(file=StringIO(), width=80)
    for part in parts:
        console.print(part)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def pieces(text: str, wanted: str) -> bool:
    """Whether a text stands in one column, perhaps in several lines, whatever stands beside it."""
    for line in text.splitlines():
        start = max((n for n in range(1, len(wanted) + 1) if wanted[:n] in line), default=0)
        if start >= min(3, len(wanted)):
            wanted = wanted[start:].lstrip()
            if not wanted:
                return True
    return False


def assert_whole(text: str, *wanted: str) -> None:
    assert "…" not in text, text
    assert max(map(len, text.splitlines())) <= 80, text
    for one in wanted:
        assert pieces(text, one), (one, text)


def test_watch_and_demo_show_whole_ids(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    board = Board()
    board.add(SCORE)
    text = drawn(board)
    assert SEGMENT[:8] in text
    assert_whole(text.replace("…", " "), CUSTOMER, "assist_checkout", "medium", "2026-03-01 12:00")
    monkeypatch.setenv("COLUMNS", "80")
    none = Silences(np.empty(0), np.empty(0, np.int64), np.empty(0, np.bool_))
    summary = {"share": None, "model_version": "487634b9-d069fb09"}
    show_demo(LastLook(SCORE.as_of, 1_800_000, [Foreseen(SCORE, 720_000)], none), summary)
    printed = capsys.readouterr().out.partition("Next, ")[0]  # the last line is as long as it is
    assert_whole(
        printed.replace("…", " "), CUSTOMER, "assist_checkout", "2026-03-01 12:00", "487634b9-d069fb09"
    )


def test_dead_letters_show_whole_keys_and_places() -> None:
    letter = DeadLetter(
        CUSTOMER.encode(), b"{", Reason.NOT_JSON, "the value is no JSON", "a-longer-prefix.intent.events", 11,
        1_234_567_890, 0,
    )  # fmt: skip
    assert_whole(drawn(table_of([letter], Counter())), CUSTOMER, f"{letter.topic}[11] {letter.offset}")


def test_partitions_and_figures_are_whole() -> None:
    row = {
        "partition": 11,
        "offset": 1_234_567_890,
        "lag": 1_234_567,
        "watermark": "2026-03-01T12:00:00.123Z",
    }
    text = drawn(partitions_of("intent.events", [row | {"epoch": 1_234, "owner": "00ff00ff"}]))
    assert_whole(text, "1,234,567,890", "2026-03-01T12:00:00.123Z", "00ff00ff")
    report = Report(
        bundle="b", horizon_seconds=1800.0, mini_batches=1, as_of=0, windows=[], bands={},
        total={"network": figures()}, segments={SEGMENT: {"blend": figures()}},
    )  # fmt: skip
    many = structs.replace(figures(), examples=12_345_678.0)
    report = structs.replace(report, windows=[Window(1_772_366_400_123, {"blend": many, "network": many})])
    text = drawn(quality_of(report, 3))
    assert_whole(text, "0.3000", "Prevalence", "Log-loss", "12,345,678")
    lines = text.splitlines()
    assert f"segment {SEGMENT}" in lines, "a group stands in one line, whatever its name"
    assert "2026-03-01T12:00:00.123Z" in lines
    ends = {line.rindex("0.3000") for line in lines if "0.3000" in line}
    assert len(ends) == 1, "figures of all groups stand below each other"


def test_a_customer_is_shown_whole_at_80_columns(tmp_path: Path) -> None:
    states = np.zeros(1, STATE)
    states["version"], states["events"], states["sessions"], states["session_events"] = 2, 3, 1, 2
    states["first_time"] = states["last_time"] = 1_772_366_400_000
    known = described(random_models(tmp_path), "UTC", CUSTOMER, 3, states)
    text = drawn(*customer_view(known, "", 1_772_366_400_000, everything=True))
    assert_whole(text, CUSTOMER)
    lines = text.splitlines()
    assert "3 events, 1 session" in lines
    [latest] = [line for line in lines if line.startswith("latest session")]
    assert latest.startswith("latest session: 2 events (1 more came after a later one")


@pytest.mark.parametrize("value", ["broker-1.kafka.internal.example.com:9093," * 4 + "last:9093"])
def test_settings_show_whole_values(value: str) -> None:
    said = CliRunner().invoke(create_app(), ["settings"], env={"COLUMNS": "80", "INTENT_KAFKA": value})
    assert said.exit_code == 0, said.output
    assert_whole(said.output, value)
