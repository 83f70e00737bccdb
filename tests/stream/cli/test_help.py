from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from stream.cli import create_app


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


@pytest.mark.parametrize("path", list(commands(get_command(create_app()))), ids=" ".join)
def test_help_says_what_each_option_takes_and_nothing_beside_flags(path: tuple[str, ...]) -> None:
    told = CliRunner(env={"COLUMNS": "100"}).invoke(create_app(), [*path, "--help"])
    assert told.exit_code == 0
    assert "Show this message and exit." in told.stdout
    options = told.stdout.partition("Options")[2].partition("Commands")[0]
    for odd in ("<bool", "<int", "<float", "<str", "<path", "<list", "BOOLEAN", "RANGE"):
        assert odd not in options, options
