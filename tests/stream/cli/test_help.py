"""The help of every command: its summary, its options, its examples; and how misuse ends."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from stream.cli import create_app
from stream.cli.help import split_examples

ROOT: Any = get_command(create_app())
# Of the help in a terminal of 80 columns: the widest summary that takes one line.
SUMMARY_WIDTH = 62
ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


def command_at(path: tuple[str, ...]) -> Any:
    command = ROOT
    for name in path:
        command = command.commands[name]
    return command


def calls(line: str) -> Iterator[list[str]]:
    """Yield the arguments of each `intent` in a shell command line."""
    words = shlex.shlex(line, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    call: list[str] = []
    for word in [*words, "|"]:
        if word in {"|", ">", "&&", ";"}:
            while call and ASSIGNMENT.fullmatch(call[0]):
                call.pop(0)
            if call and call[0] == "intent":
                yield call[1:]
            call = []
        else:
            call.append(word)


every_command = pytest.mark.parametrize("path", list(commands(ROOT)), ids=" ".join)


@every_command
def test_help_says_what_each_option_takes_and_nothing_beside_flags(path: tuple[str, ...]) -> None:
    told = CliRunner(env={"COLUMNS": "100"}).invoke(create_app(), [*path, "--help"])
    assert told.exit_code == 0
    assert "Show this message and exit." in told.stdout
    options = told.stdout.partition("Options")[2].partition("Commands")[0]
    for odd in ("<bool", "<int", "<float", "<str", "<path", "<list", "BOOLEAN", "RANGE"):
        assert odd not in options, options


@every_command
def test_help_begins_with_a_summary_that_takes_one_line(path: tuple[str, ...]) -> None:
    if not path:
        return  # no list shows it
    summary = command_at(path).help.partition("\n\n")[0]
    assert "\n" not in summary
    assert summary.endswith(".")
    assert len(summary) <= SUMMARY_WIDTH


@every_command
def test_every_example_is_a_command_that_its_options_allow(path: tuple[str, ...]) -> None:
    examples = command_at(path).examples
    assert examples
    for line, purpose in examples:
        assert purpose[0].islower() or purpose[0].isdigit()
        assert not purpose.endswith(".")
        found = list(calls(line))
        assert found, f"{line} does not call intent"
        for arguments in found:
            length = next(
                (n for n in (2, 1, 0) if tuple(arguments[:n]) in set(commands(ROOT))), 0
            )  # of the command's name
            command = command_at(tuple(arguments[:length]))
            assert not hasattr(command, "commands"), f"{line} names no command"
            assert tuple(arguments[: len(path)]) == path, f"{line} is an example of another command"
            for option in command.params:
                option.callback = None  # the files of examples are not there
            command.make_context("intent", arguments[length:])


@every_command
def test_examples_can_be_copied_as_one_line_each_and_nothing_else_is_wide(path: tuple[str, ...]) -> None:
    told = CliRunner(env={"COLUMNS": "80"}).invoke(create_app(), [*path, "--help"])
    text, heading, examples = told.stdout.partition("\n Examples\n")
    assert heading
    assert max(map(len, text.splitlines())) <= 80
    lines = examples.splitlines()
    for line, purpose in command_at(path).examples:
        at = lines.index(f"   {line}")
        assert lines[at - 1] == f"   # {purpose}"


def test_every_command_stands_in_one_panel() -> None:
    told = CliRunner(env={"COLUMNS": "80"}).invoke(create_app(), ["--help"]).stdout
    panels = re.findall(r"^╭─ (\w+)", told, re.MULTILINE)
    assert panels == ["Options", "Data", "Models", "Stream", "People", "Development"]
    rows = re.findall(r"^│ ([a-z-]+) +\S.*\.? +│$", told.partition("╭─ Data")[2], re.MULTILINE)
    assert rows == list(ROOT.list_commands(None))
    assert rows.index("worker") < rows.index("learner") < rows.index("emit") < rows.index("demo")


@pytest.mark.parametrize(
    "text", ["- `intent demo`", "- intent demo: run it", "- `intent demo` - run it"], ids=str
)
def test_an_example_of_another_form_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="not of the form"):
        split_examples(f"Run it.\n\nExamples\n--------\n{text}\n")


def test_a_long_example_is_one_line() -> None:
    text, examples = split_examples(
        "Run it.\n\nExamples\n--------\n- `intent\n  demo`: run\n  it\n- `intent demo --json`: as JSON\n"
    )
    assert text == "Run it."
    assert examples == [("intent demo", "run it"), ("intent demo --json", "as JSON")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demmo"], "intent: no such command 'demmo'"),
        (["train"], "intent train: missing argument 'LOG|FOLDER'. See `intent train --help`."),
        (["train", "--speed", "1"], "intent train: no such option: --speed"),
        (["simulate", "-o", "a.parquet", "--days", "many"], "intent simulate: invalid value for '--days'"),
        (["customer", "show"], "intent customer show: missing argument 'ID'"),
        (["replay", "no.parquet"], "intent replay: invalid value for 'LOG': no.parquet does not exist"),
        (["score", "."], "intent score: invalid value for 'LOG': . is a folder: name a file"),
        (
            ["simulate", "-o", "log.csv"],
            "intent simulate: invalid value for '--output' / '-o': a log is a Parquet file, not .csv: "
            "name it log.parquet",
        ),
        (["simulate", "-o", "."], "intent simulate: invalid value for '--output' / '-o': . is a folder"),
        (["simulate", "-o", "a", "--horizon", "5x"], "intent simulate: invalid value for '--horizon': "),
        (
            ["simulate", "-o", "a", "--sale", "s1"],
            "intent simulate: invalid value for '--sale': 's1' is unknown",
        ),
        (
            ["simulate", "-o", "a", "--bots", "2"],
            "intent simulate: invalid value for '--bots': 2 is out of range; use 0 to 1. ",
        ),
        (
            ["simulate", "-o", "a", "--days", "0"],
            "intent simulate: invalid value for '--days': 0 is out of range; use 1 or more. ",
        ),
        (
            ["quality", "--windows", "x"],
            "intent quality: invalid value for '--windows': 'x' is no whole number; use 0 or ",
        ),
        (
            ["watch", "--band", "hihg"],
            "intent watch: invalid value for '--band': 'hihg' is unknown; did you mean high? Use low, medium, high. ",
        ),
        (
            ["uplift", "--holdout", "v1=1.5"],
            "intent uplift: invalid value for '--holdout': v1=1.5 is out of range; use a number above 0 and below 1. ",
        ),
        (
            ["archive", "-o", "a", "--since", "soon"],
            "intent archive: invalid value for '--since': invalid time",
        ),
        (
            ["convert", "csv", ".", "-o", "a", "--columns", "a=b", "--encoding", "klingon"],
            "intent convert csv: invalid value for '--encoding': unknown encoding 'klingon'",
        ),
        (
            ["customer", "erase", ""],
            "intent customer erase: invalid value for 'ID': a customer id has 1 to 128 characters, not 0",
        ),
        (
            ["customer", "show", "a\x00"],
            "intent customer show: invalid value for 'ID': 'a\\x00' has characters that an id",
        ),
        (
            ["watch", "--group", ""],
            "intent watch: invalid value for '--group': a group has a name of 1 to 249 characters",
        ),
        (
            ["dead-letters", "list", "--reason", "lat"],
            "intent dead-letters list: invalid value for '--reason': 'lat' is unknown; did you mean late? Use not_json",
        ),
        (["emit", "no.jsonl"], "intent emit: invalid value for 'FILE': no.jsonl does not exist"),
        (
            ["dead-letters", "list", "--reason", "x"],
            "intent dead-letters list: invalid value for '--reason': ",
        ),
        (["convert", "csv", "no.csv"], "intent convert csv: invalid value for 'PATH': no.csv does not exist"),
        (["explore", "no.csv"], "intent explore: invalid value for 'LOG_OR_TABLE': no.csv does not exist"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_misuse_ends_in_one_line_and_code_2(arguments: list[str], message: str) -> None:
    ended = CliRunner().invoke(create_app(), arguments)
    assert ended.exit_code == 2
    assert ended.stderr.startswith(message)
    assert ended.stderr.count("\n") == 1
    assert ended.stdout == ""
