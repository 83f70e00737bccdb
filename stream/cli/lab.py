"""How the commands of the offline lab are made: shared options, bars, what is printed, errors in one line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, NamedTuple

import typer

from stream.cli.console import bars
from stream.cli.lab_options import OF_LOGS, OF_TABLES, workspace_of

if TYPE_CHECKING:
    from offline.chapters.workspace import Workspace
    from offline.report.opening import Opening
    from offline.report.pages import Written
    from offline.report.section import Section

__all__ = ["Found", "lab_command", "one_page", "run_one"]

AsJson = Annotated[
    bool, typer.Option("--json", help="Print the figures as one JSON object, instead of the summary.")
]


class Found(NamedTuple):
    """What a command found, where it was written, a last line for people, what they must know first, and in short."""

    sections: Sequence[Section]
    written: Written
    remark: str | None = None
    note: str = ""
    opening: Opening | None = None


def lab_command(
    run: Callable[Concatenate[Workspace, ...], Found], shared: Callable[..., Workspace] = workspace_of
) -> Callable[..., None]:
    """Return a command with the options of ``run`` and those that all commands of the lab share.

    Parameters
    ----------
    run
        Takes the workspace, then the command's own options. Its name and docstring are the command's.
    shared
        Makes the workspace; its parameters are the shared options.
    """
    common, own = _parameters(shared), _parameters(run)[1:]
    keyword = inspect.Parameter.KEYWORD_ONLY
    as_json = inspect.Parameter("as_json", keyword, default=False, annotation=AsJson)
    context = inspect.Parameter("context", keyword, annotation=typer.Context)

    def command(*, context: typer.Context, as_json: bool, **values: Any) -> None:
        mine = {option.name: values.pop(option.name) for option in own}
        with _in_one_line(), bars() as progress:
            workspace = shared(**values)
            workspace.progress = progress
            _warn_of_ignored(context, workspace)
            found = run(workspace, **mine)
        _show(found, as_json=as_json)

    command.__name__, command.__doc__ = run.__name__, run.__doc__
    # Input and output first, then what only this command has: so does the help show them.
    options = [*common[:2], *own, *common[2:], as_json, context]
    command.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    command.__annotations__ = {}
    return command


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return a function's parameters as keywords, with annotations that can be looked at."""
    unimported = dict.fromkeys(("Workspace", "Section"), object)  # no command imports pandas before it runs
    found = inspect.signature(function, eval_str=True, locals=unimported).parameters.values()
    return [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in found]


def _warn_of_ignored(context: typer.Context, workspace: Workspace) -> None:
    """Say on standard error which options have no effect: a horizon, for example, means nothing to a table."""
    what, panel = ("an event log", OF_TABLES) if workspace.input == "log" else ("a table", OF_LOGS)
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if getattr(option, "rich_help_panel", None) == panel and source and source.name == "COMMANDLINE":
            name = workspace.path.name
            typer.echo(f"intent: {option.opts[0]} has no effect: {name} is {what}", err=True)


def run_one(key: str, workspace: Workspace) -> Found:
    """Run one stage of the report and write its page and its figures."""
    from offline.chapters.stages import choose, run_stage

    (stage,) = choose(only=[key])
    return one_page(workspace, run_stage(stage, workspace))


def one_page(workspace: Workspace, section: Section) -> Found:
    """Write the page and the figures of one section."""
    from dataclasses import replace

    from offline.chapters.opening.first_screen import OPENED, first_screen
    from offline.report.pages import write_section

    section = replace(section, details=[*workspace.notes, *section.details])
    name, quick = workspace.path.name, workspace.first_note
    if section.key == "exploration" and workspace.one_outcome:
        section = replace(section, details=[workspace.one_outcome, *section.details])
    opening = first_screen(workspace, [section]) if section.key in OPENED else None
    written = write_section(workspace.directory, section, opening=opening, subtitle=name, note=quick)
    return Found([section], written, note=quick, opening=opening)


def _show(found: Found, *, as_json: bool) -> None:
    if as_json:
        typer.echo(found.written.json.read_text(encoding="utf-8").strip())
        return
    from rich.markup import escape

    from stream.cli.console import output

    screen = output()
    if found.note:
        screen.print(escape(found.note))
    if found.opening is not None:
        for card in found.opening.cards:
            change = f" {card.change}" if card.change else ""
            screen.print(
                f"{escape(card.title)}: [bold]{escape(card.value)}[/bold]{escape(change)} ({escape(card.period)})"
            )
        for finding in found.opening.findings:
            said = f"{finding.what} {finding.sure} {finding.advice}"
            screen.print(f"  {escape(said)}{escape(f' ({finding.file})') if finding.file else ''}")
    for section in found.sections:
        screen.print(f"[bold]{escape(section.title)}[/bold]")
        for sentence in (*section.summary, *section.details):
            screen.print(f"  {escape(sentence)}")
    page, figures = map(str, found.written)
    screen.print(f"Page: {escape(page)}, figures: {escape(figures)}", soft_wrap=True)
    if found.remark:
        screen.print(escape(found.remark))


@contextmanager
def _in_one_line() -> Iterator[None]:
    """Say in one line which file cannot be read or written."""
    from features.exceptions import IntentError

    try:
        yield
    except OSError as error:
        if error.filename is None:
            raise
        raise IntentError(f"cannot read or write {error.filename}: {error.strerror}") from None
