"""A command that runs for long ends in order from its first moment on."""

from __future__ import annotations

import subprocess
import sys

import pytest

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


def ended(command: str, package: str, number: str = "SIGTERM") -> int:
    """Return the exit code of a command that is asked to end while a package is being imported."""
    program = ASKED.format(package=package, number=number)
    told = subprocess.run(
        [sys.executable, "-c", program, command], capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in told.stderr
    return told.returncode


@pytest.mark.parametrize("package", ["typer", "pydantic_settings", "numba"])
@pytest.mark.parametrize("command", ["worker", "learner"])
def test_a_process_that_is_still_being_imported_ends_as_asked(command: str, package: str) -> None:
    assert ended(command, package) == 0


def test_an_interrupt_ends_it_as_well() -> None:
    assert ended("worker", "pydantic_settings", "SIGINT") == 0


def test_other_commands_are_left_as_they_are() -> None:
    assert ended("emit", "typer") == -15
