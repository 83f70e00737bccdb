"""`intent dead-letters`: list refused records, or send them again."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rich.table import Table
    from rich.text import Text

    from stream.messages.dead_letter import DeadLetter

_SHOWN = 20
_VALUE_CHARACTERS = 200
# Columns of the table; the longest reason has 15 characters, the rest of 80 is for the detail.
_PLACE_CHARACTERS = 24
_KEY_CHARACTERS = 16

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per dead letter.")]
Limit = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Only the latest N. Default: 20 in a table, all with --json."),
]
Reason = Annotated[
    str | None,
    typer.Option(
        "--reason",
        metavar="NAME",
        help="Only dead letters with this reason, such as late or wrong_partition.",
    ),
]

_HELP = """
List refused records, or send them again.

A record that the worker cannot accept goes to the dead letters, with the reason and its original bytes. What is larger
than 1,000,000 bytes is cut; `list` says so, and `replay` takes the original from the events topic while it is there.

Examples
--------
- `intent dead-letters list`: show the latest dead letters
- `intent dead-letters replay --reason wrong_partition`: send those with one reason again
"""


def register(app: typer.Typer) -> None:
    """Add `dead-letters` and its subcommands."""
    letters = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode="markdown",
        help=_HELP,
    )
    letters.command("list")(list_letters)
    letters.command("replay")(replay)
    app.add_typer(letters, name="dead-letters")


def list_letters(as_json: AsJson = False, limit: Limit = None, reason: Reason = None) -> None:
    """List refused records with their reasons, latest last.

    Examples
    --------
    - `intent dead-letters list`: show the latest 20
    - `intent dead-letters list --reason late --json`: print all late ones as JSON lines
    """
    import asyncio

    from stream.cli.console import print_json
    from stream.logs.letters import is_erased, read_erasures, read_letters
    from stream.settings import load_settings
    from stream.texts import counted

    settings, reason = load_settings(), _known(reason)
    counts: Counter[str] = Counter()
    erased: Counter[str] = Counter()
    latest: deque[DeadLetter] = deque(maxlen=limit or (None if as_json else _SHOWN))
    at_once = as_json and limit is None

    async def read() -> None:
        erasures = await read_erasures(settings)
        async for letter in read_letters(settings, reason):
            if is_erased(letter, erasures):
                erased[letter.reason] += 1
                continue
            counts[letter.reason] += 1
            if at_once:
                print_json(letter.as_dict())
            else:
                latest.append(letter)

    asyncio.run(read())
    if erased:
        left_out = counted(erased.total(), "dead letter")
        typer.echo(f"{left_out} of erased customers left out ({_by_reason(erased)})", err=True)
    if at_once:
        return
    if as_json:
        for letter in latest:
            print_json(letter.as_dict())
    else:
        _show(latest, counts)


def replay(
    reason: Reason = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as one JSON object.")] = False,
) -> None:
    """Send dead letters to the events topic again, each once.

    Fix the cause first: a record that is refused again becomes a new dead letter. Late events stay late, because
    their event time does not change. To take them in, run `intent archive`, sort the log by event time, and `intent
    replay` it into new topics.

    Examples
    --------
    - `intent dead-letters replay --reason wrong_partition`: send those with one reason again
    """
    from features.refusals import NO_EVENTS
    from stream.cli.console import print_json, progress
    from stream.logs.resend import resend
    from stream.settings import load_settings
    from stream.texts import counted

    settings, reason = load_settings(), _known(reason)
    if reason in NO_EVENTS:
        raise typer.BadParameter(
            f"{reason!r} is a reason of the learner's records: they are no events, and cannot be sent again",
            param_hint="'--reason'",
        )
    with progress("Sending again") as on_progress:
        report = resend(settings, reason=reason, on_progress=on_progress)
    if as_json:
        print_json(asdict(report))
        return
    sent = counted(sum(report.sent.values()), "dead letter")
    typer.echo(f"{sent} sent again, {report.already:,} had been sent or left out before")
    for name, count in report.sent.items():
        typer.echo(f"{name}: {count:,}")
    if report.erased:
        erased = counted(sum(report.erased.values()), "dead letter")
        typer.echo(f"{erased} of erased customers not sent ({_by_reason(report.erased)})")
    if report.gone:
        gone = counted(sum(report.gone.values()), "dead letter")
        typer.echo(
            f"{gone} cannot be sent again: they were cut, and the events topic no longer has the original, or they "
            f"are hand-overs, which only workers write ({_by_reason(report.gone)})"
        )
    if report.foreign:
        typer.echo(
            f"{counted(report.foreign, 'record')} of {settings.dead_letters_topic} left out: no dead letters"
        )


def _by_reason(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in sorted(counts.items()))


def _known(reason: str | None) -> str | None:
    from features.events import Reason as Known
    from stream.texts import choices

    if reason is not None and reason not in set(Known):
        raise typer.BadParameter(
            f"{reason!r} is unknown; {choices(reason, list(Known))}", param_hint="'--reason'"
        )
    return reason


def _show(letters: Iterable[DeadLetter], counts: Counter[str]) -> None:
    from stream.cli.console import output

    output().print(table_of(letters, counts))


def _told(letter: DeadLetter) -> list[Text]:
    """Return why a record was refused, and what of it was cut."""
    from rich.text import Text

    cuts = ", ".join(f"{name} of {cut.size:,} bytes" for name, cut in letter.cut.items())
    return [Text(letter.detail), *([Text(f"cut: {cuts}", "yellow")] if cuts else [])]


def table_of(letters: Iterable[DeadLetter], counts: Counter[str]) -> Table:
    """Return letters as a table that 80 columns can hold: three cells of a few lines for each."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from stream.texts import second

    caption = _by_reason(counts) if counts else "no dead letters"
    table = Table(title="Dead letters", caption=caption, box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("arrived (UTC), offset", overflow="fold", max_width=_PLACE_CHARACTERS)
    table.add_column("reason, key", overflow="fold", max_width=_KEY_CHARACTERS)
    table.add_column("detail, value", overflow="fold")

    def line(text: str | None, style: str = "") -> Text:
        return Text(" ".join((text or "").split()), style)

    def beginning(value: str) -> Text:
        """Return a value as one line that is cut where its cell ends; --json has all of it."""
        return Text(" ".join(value[:_VALUE_CHARACTERS].split()), "dim", no_wrap=True, overflow="ellipsis")

    for letter in letters:
        plain = letter.as_dict()
        table.add_row(
            Group(
                line(second(letter.arrived_at)),
                line(f"{letter.topic}[{letter.partition}] {letter.offset}", "dim"),
            ),
            Group(line(letter.reason), line(plain["key"], "dim")),
            Group(*_told(letter), beginning(plain["value"] or "")),
        )
    return table
