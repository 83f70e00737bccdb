"""`intent features`: the columns of the models' input."""

from __future__ import annotations

from typing import Annotated

import typer

from features.counts import counted

Markdown = Annotated[bool, typer.Option("--markdown", help="Print the page docs/features.md.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per column.")]

_PAGE = """# Features

Made by `intent features --markdown` from `features.vector.COLUMNS`; version `{version}`.

A customer's vector has {width} columns, as of the customer's latest event. Models look at a column on a
logarithmic scale where it says *log*.

| # | column | unit | scale | meaning |
|--:|---|---|---|---|
{rows}

## Where an anonymous id becomes a known one

After a login, two histories are merged ([how](events.md#anonymous-to-known)) as if all events had had the known id.
Counts, money, times since the latest event of a type, and decayed columns are exact however the two interleave. All
others are exact if one history lies before the other. They may differ:

| columns | if |
|---|---|
{inexact}

The [arm of the experiment](policy.md#holdout) is that of the id with the earliest first event when two histories are
merged: an event that arrives later with an earlier time changes no arm.
"""


def register(app: typer.Typer) -> None:
    """Add `features`."""
    app.command()(features)


def features(markdown: Markdown = False, as_json: AsJson = False) -> None:
    """List the columns that the models use.

    Examples
    --------
    - `intent features`: show name, unit, scale and meaning of each column
    - `intent features --markdown > docs/features.md`: update the page in the documentation
    """
    from features.vector import COLUMNS, schema_hash
    from stream.cli.console import add_columns, output, print_json

    if as_json:
        for column in COLUMNS:
            print_json(column._asdict())
    elif markdown:
        typer.echo(page(), nl=False)
    else:
        from rich.table import Table

        table = Table(title=f"{counted(len(COLUMNS), 'column')}, version {schema_hash()}")
        add_columns(table, ("meaning",), "#", "column", "unit", "scale", "meaning")
        for number, column in enumerate(COLUMNS):
            table.add_row(str(number), column.name, column.unit, column.transform, column.meaning)
        output().print(table)


def page() -> str:
    """Return the page of all columns in Markdown."""
    from features.merge import INEXACT
    from features.vector import COLUMNS, schema_hash

    inexact = "\n".join(f"| {columns} | {where} |" for columns, where in INEXACT.items())
    rows = (
        f"| {number} | `{column.name}` | {column.unit} | {column.transform} | {column.meaning} |"
        for number, column in enumerate(COLUMNS)
    )
    return _PAGE.format(version=schema_hash(), width=len(COLUMNS), rows="\n".join(rows), inexact=inexact)
