"""A command that runs for long ends in order from its first moment on."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from stream import cli

# Sends a signal as the import of a package begins.
ASKED = """
import os, signal, sys
class Asking:
    def find_spec(self, name, path=None, target=None):
        if name == {package!r}:
            os.kill(os.getpid(), signal.{number})
sys.meta_path.insert(0, Asking())
from stream.cli import main
main()
"""


def told(command: str, package: str, number: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command that gets a signal while a package is being imported."""
    program = before + ASKED.format(package=package, number=number)
    found = subprocess.run(
        [sys.executable, "-c", program, command], capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in found.stderr
    return found


@pytest.mark.parametrize("package", ["typer", "pydantic_settings", "numba"])
@pytest.mark.parametrize("command", ["worker", "learner", "serve"])
def test_a_process_that_is_still_being_imported_ends_as_asked(command: str, package: str) -> None:
    assert told(command, package, "SIGTERM").returncode == 0


@pytest.mark.parametrize("number", ["SIGINT", "SIGHUP"])
def test_other_signals_end_it_as_well(number: str) -> None:
    assert told("worker", "pydantic_settings", number).returncode == 0


@pytest.mark.parametrize(
    ("number", "code", "line"),
    [
        ("SIGINT", 130, "intent: interrupted"),
        ("SIGTERM", 143, "intent: ended by SIGTERM"),
        ("SIGHUP", 129, "intent: ended by SIGHUP"),
    ],
)
@pytest.mark.parametrize(("command", "package"), [("emit", "typer"), ("settings", "pydantic_settings")])
def test_other_commands_say_what_ended_them(
    command: str, package: str, number: str, code: int, line: str
) -> None:
    found = told(command, package, number)
    assert (found.returncode, found.stderr.splitlines()) == (code, [line])


def test_what_a_command_was_told_to_ignore_it_ignores() -> None:
    before = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    assert told("settings", "pydantic_settings", "SIGHUP", before).returncode == 0


def test_an_interrupt_while_a_module_in_cpp_is_imported_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def imported() -> None:
        raise ImportError("initialization failed") from KeyboardInterrupt()

    monkeypatch.setattr(cli, "create_app", lambda: imported)
    monkeypatch.setattr(sys, "argv", ["intent", "settings"])
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        sys.unraisablehook = sys.__unraisablehook__
    assert (ended.value.code, capsys.readouterr().err) == (130, "intent: interrupted\n")
