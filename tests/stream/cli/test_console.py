from __future__ import annotations

import time

import pytest
from typer.testing import CliRunner

from features.compiling import tell, watched
from stream.cli import console, create_app
from stream.cli.console import bars, progress


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_long_work_without_a_terminal_tells_what_it_does(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "_SILENT_SECONDS", 0.05)
    with bars() as step, step("Writing the report"):
        with step("Comparing the models") as on_progress:
            on_progress(1_200, 3_000)
            time.sleep(0.3)
        assert told(capsys)[0].startswith("Comparing the models 1,200/3,000 (")
        time.sleep(0.3)
        assert told(capsys)[-1].startswith("Writing the report (")


def test_short_work_without_a_terminal_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("Reading") as on_progress:
        on_progress(1, 2)
        on_progress.note("half")
    assert told(capsys) == []


def test_a_step_says_while_machine_code_is_made_and_then_what_it_said_before(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "_SILENT_SECONDS", 0.05)
    with bars() as step, step("Folding events") as on_progress:
        on_progress.note("half")
        tell(True)
        time.sleep(0.3)
        assert told(capsys)[-1].startswith(
            "Folding events (compiling: up to a minute, once on this machine) ("
        )
        tell(False)
        time.sleep(0.3)
        assert told(capsys)[-1].startswith("Folding events half (")
    tell(True)


def test_numba_tells_that_it_compiles_and_says_so_once_for_all_that_is_called() -> None:
    from features.compiled import njit

    heard: list[bool] = []

    @njit
    def inner(number: int) -> int:
        return number + 1

    @njit
    def outer(number: int) -> int:
        return inner(number) + 1

    with watched(heard.append):
        assert [outer(1), outer(2)] == [3, 4]
    assert heard == [True, False]


@pytest.mark.parametrize("columns", ["0", "1", "30"])
@pytest.mark.parametrize("arguments", [["settings"], ["train", "--help"], ["features"]])
def test_what_says_that_it_is_too_narrow_is_written_to_all_the_same(
    columns: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    ended = CliRunner().invoke(create_app(), arguments, catch_exceptions=False)
    assert ended.exit_code == 0
