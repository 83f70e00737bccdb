"""How `--help` looks: panels of commands, plain options, examples in one form; and errors of use in one line.

A command's docstring (or a group's help text) ends in its examples, one list item each::

Examples
--------
    - `intent emit events.jsonl`: send the events of a file

They are printed below the options, as commands that can be copied: a long one is not broken into lines.
"""

from __future__ import annotations

import inspect
import re
import sys
from types import SimpleNamespace
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from stream.texts import choices, misfit, visible

__all__ = ["Example", "HelpCommand", "HelpGroup", "split_examples", "use_help"]

_HEADING = re.compile(r"^Examples\n-{8}\n", re.MULTILINE)
_ITEM = re.compile(r"`([^`]+)`: (.+)")
_MISUSE = 2
# How Typer tells of a name that is none of a closed list.
_UNKNOWN = re.compile(r"'([^']*)' is not one of (.*)", re.DOTALL)
_QUOTED = re.compile(r"'([^']*)'")


class Example(NamedTuple):
    """A command line, and what it does in a few words."""

    command: str
    purpose: str


def split_examples(help_text: str | None) -> tuple[str, list[Example]]:
    """Return a help text without its examples, and the examples.

    Raises
    ------
    ValueError
        If an example has another form.
    """
    text, *rest = _HEADING.split(inspect.cleandoc(help_text or ""), maxsplit=1)
    items = re.split(r"^- ", rest[0], flags=re.MULTILINE)[1:] if rest else []
    examples = []
    for item in items:
        found = _ITEM.fullmatch(" ".join(item.split()))
        if found is None:
            raise ValueError(f"an example is not of the form `command`: what it does, but {item!r}")
        examples.append(Example(*found.groups()))
    return text.rstrip(), examples


class HelpCommand(TyperCommand):
    """A command whose help shows no type beside a flag, and its examples last."""

    def __init__(self, *args: Any, help: str | None = None, **options: Any) -> None:
        text, self.examples = split_examples(help)
        super().__init__(*args, help=text, **options)

    def get_params(self, ctx: Any) -> Any:
        """Return the options."""
        return _without_types(super().get_params(ctx))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help."""
        super().format_help(ctx, formatter)
        _print_examples(self.examples)


class HelpGroup(TyperGroup):
    """A group of commands with the same help; where it is the whole application, misuse ends in one line."""

    def __init__(self, *args: Any, help: str | None = None, **options: Any) -> None:
        text, self.examples = split_examples(help)
        super().__init__(*args, help=text, **options)

    def get_params(self, ctx: Any) -> Any:
        """Return the options."""
        return _without_types(super().get_params(ctx))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help."""
        super().format_help(ctx, formatter)
        _print_examples(self.examples)

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the command line, and end it with its exit code."""
        try:
            code = super().main(*args, **{**options, "standalone_mode": False})
        except TyperException as error:
            _print_misuse(error)
            sys.exit(error.exit_code)
        except typer.Abort:
            print("intent: interrupted", file=sys.stderr)
            sys.exit(1)
        sys.exit(code if isinstance(code, int) else 0)


def use_help(app: typer.Typer, panels: dict[str, tuple[str, ...]]) -> None:
    """Give all commands of ``app`` their help, in panels.

    Parameters
    ----------
    panels
        Titles, and names of commands in the order of the help.
    """
    order = [name for names in panels.values() for name in names]
    titles = {name: title for title, names in panels.items() for name in names}

    class Root(HelpGroup):
        def list_commands(self, ctx: Any) -> list[str]:
            return sorted(super().list_commands(ctx), key=order.index)

    _use_classes(app)
    app.info.cls = Root
    for command in app.registered_commands:
        command.rich_help_panel = titles[_name_of(command)]
    for group in app.registered_groups:
        group.rich_help_panel = titles[str(group.name)]


def _use_classes(app: typer.Typer) -> None:
    app.info.cls = HelpGroup
    for command in app.registered_commands:
        command.cls = HelpCommand
    for group in app.registered_groups:
        if group.typer_instance is not None:
            _use_classes(group.typer_instance)


def _name_of(command: Any) -> str:
    return str(command.name or command.callback.__name__)


def _without_types(params: Any) -> Any:
    for param in params:
        # Also those that Typer adds itself (--help, --install-completion).
        if getattr(param, "is_flag", False) and param.metavar is None:
            param.metavar = ""
    return params


def _print_examples(examples: list[Example]) -> None:
    if not examples:
        return
    from rich.text import Text

    from stream.cli.console import output

    console = output()
    console.print(Text(" Examples", "bold"))
    for example in examples:
        console.print()
        console.print(Text(f"   # {example.purpose}", "dim"), soft_wrap=True)
        console.print(Text(f"   {example.command}", "cyan"), soft_wrap=True)


def _use_our_words(error: Any) -> None:
    """Say what is wrong with a number, or with a name of a closed list, as all other messages do."""
    unknown = _UNKNOWN.search(str(getattr(error, "message", "")))
    if unknown:
        error.message = f"{unknown[1]!r} is unknown; {choices(unknown[1], _QUOTED.findall(unknown[2]))}"
        return
    faults = getattr(error.__cause__, "errors", None)
    parameter = getattr(getattr(error, "param", None), "get_runtime_param", None)
    if faults is None or parameter is None:
        return
    fault, info = faults()[0], parameter().parameter_info
    bounds = SimpleNamespace(ge=getattr(info, "min", None), le=getattr(info, "max", None))
    if wrong := misfit(fault, [bounds]):
        number = fault["type"].startswith(("greater_than", "less_than"))
        error.message = f"{fault['input'] if number else repr(fault['input'])} {wrong}"


def _print_misuse(error: TyperException) -> None:
    """Say in one line what was wrong, and where the help is."""
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        return  # the help has been printed
    path = "intent" if context is None else context.command_path
    _use_our_words(error)
    message = " ".join(error.format_message().replace("Value error, ", "").split())
    end = "" if message.endswith((".", "?")) else "."
    see = f" See `{path} --help`." if error.exit_code == _MISUSE else ""
    print(visible(f"{path}: {message[:1].lower()}{message[1:]}{end}{see}"), file=sys.stderr)
