"""The options that the commands of the offline lab share, and the workspace that they describe."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli import checks

if TYPE_CHECKING:
    from offline.chapters.workspace import Workspace
    from offline.problems import TableOptions

__all__ = [
    "OF_LOGS",
    "OF_TABLES",
    "Balance",
    "Balanced",
    "Cost",
    "Effect",
    "Margin",
    "Models",
    "Value",
    "workspace_of",
    "workspace_of_log",
]

#: Headings in the help.
OF_TABLES = "Only for a table"
OF_LOGS = "Only for an event log"


class Balance(StrEnum):
    """How the classes of training rows are balanced."""

    NONE = "none"
    WEIGHTS = "weights"
    UNDER = "under"
    OVER = "over"


Input = Annotated[
    Path,
    typer.Argument(
        metavar="LOG_OR_TABLE",
        callback=checks.existing_file,
        help="An event log (from intent convert, archive or simulate), or a table with one row per customer or session "
        "(CSV, Parquet).",
    ),
]
Log = Annotated[
    Path,
    typer.Argument(
        metavar="LOG",
        callback=checks.existing_log,
        help="An event log (Parquet) from intent convert, archive or simulate.",
    ),
]
Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        callback=checks.output_folder,
        help="Folder for pages and figures; created if missing.",
    ),
]
Target = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="The column to predict. Default: inferred.",
        show_default=False,
        rich_help_panel=OF_TABLES,
    ),
]
Positive = Annotated[
    str | None,
    typer.Option(
        metavar="VALUE",
        help="The value of the target to predict; required if it has more than two. Default: inferred.",
        show_default=False,
        rich_help_panel=OF_TABLES,
    ),
]
Kinds = Annotated[
    list[str] | None,
    typer.Option(
        "--kind",
        metavar="COLUMN=KIND",
        help="Kind of a column: numeric, categorical, boolean, date or identifier. Repeatable. Default: inferred.",
        show_default=False,
        rich_help_panel=OF_TABLES,
    ),
]
Leaks = Annotated[
    list[str] | None,
    typer.Option(
        "--leak",
        metavar="COLUMN",
        help="A column that leaks the target; models do not use it. Repeatable. Default: inferred.",
        show_default=False,
        rich_help_panel=OF_TABLES,
    ),
]
NotLeaks = Annotated[
    list[str] | None,
    typer.Option(
        "--not-leak",
        metavar="COLUMN",
        help="A column that only seems to leak the target. Repeatable.",
        show_default=False,
        rich_help_panel=OF_TABLES,
    ),
]
Drops = Annotated[
    list[str] | None,
    typer.Option(
        "--drop",
        metavar="COLUMN",
        help="A column to ignore. Repeatable.",
        show_default=False,
        rich_help_panel=OF_TABLES,
    ),
]
Time = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="A column of dates or month names; models are then tested on later rows.",
        show_default=False,
        rich_help_panel=OF_TABLES,
    ),
]
Customer = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="The column with the customer; rows of a customer always stay together.",
        show_default=False,
        rich_help_panel=OF_TABLES,
    ),
]
DropDuplicates = Annotated[
    bool,
    typer.Option(
        "--drop-duplicates",
        help="Leave out rows that are equal to an earlier row.",
        rich_help_panel=OF_TABLES,
    ),
]
Horizon = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION",
        help="How far the prediction looks ahead: 30m, 12h, 30d. Default: 30m; 30d for a log with orders only.",
        show_default=False,
        rich_help_panel=OF_LOGS,
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="dummy, rule, logistic, random_forest, lightgbm, xgboost, svm or network. Repeatable. Default: all.",
        show_default=False,
    ),
]
Balanced = Annotated[
    Balance,
    typer.Option(
        "--balance",
        metavar="HOW",
        help="How to balance training rows if positives are rare: none, weights, under (leave out negatives) or over "
        "(repeat positives). Probabilities are corrected to the true prevalence.",
    ),
]
Value = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        metavar="MONEY",
        help="What a customer pays in a purchase. Default: the mean order of a log; nothing for a table.",
        show_default=False,
    ),
]
Margin = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=1.0,
        metavar="SHARE",
        help="Share of that which remains as profit, for example 0.3. Default: nothing is assumed; the page has "
        "sliders.",
        show_default=False,
    ),
]
Cost = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        metavar="MONEY",
        help="Cost of a contact. Default: nothing is assumed.",
        show_default=False,
    ),
]
Effect = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=10.0,
        metavar="SHARE",
        help="Additional purchases from a contact, as a share of those that happen anyway. Default: nothing is "
        "assumed.",
        show_default=False,
    ),
]
Quick = Annotated[
    bool, typer.Option("--quick", help="A fast first look with fewer events, folds and trials.")
]
Seed = Annotated[
    int, typer.Option(min=0, metavar="N", help="The same seed and data give the same pages and figures.")
]


def workspace_of(  # noqa: PLR0917  (options of a command)
    path: Input,
    output: Output,
    target: Target = None,
    positive: Positive = None,
    kinds: Kinds = None,
    leaks: Leaks = None,
    not_leaks: NotLeaks = None,
    drops: Drops = None,
    time: Time = None,
    customer: Customer = None,
    drop_duplicates: DropDuplicates = False,
    horizon: Horizon = None,
    quick: Quick = False,
    seed: Seed = 0,
) -> Workspace:
    """Return the workspace of a command that takes logs and tables."""
    from offline.problems import TableOptions
    from stream.cli.convert import pairs

    table = TableOptions(
        target,
        positive,
        pairs(kinds or [], "--kind", "Region=categorical", last=True),
        tuple(leaks or ()),
        tuple(not_leaks or ()),
        tuple(drops or ()),
        time,
        customer,
        drop_duplicates=drop_duplicates,
    )
    return _workspace(path, output, table, horizon, quick=quick, seed=seed)


def workspace_of_log(path: Log, output: Output, quick: Quick = False, seed: Seed = 0) -> Workspace:
    """Return the workspace of a command that takes logs only."""
    from offline.problems import TableOptions

    return _workspace(path, output, TableOptions(), None, quick=quick, seed=seed)


def _workspace(
    path: Path, output: Path, table: TableOptions, horizon: str | None, *, quick: bool, seed: int
) -> Workspace:
    from offline.chapters.workspace import LabOptions, Workspace
    from stream.cli.left_out import left_out
    from stream.settings import load_settings

    settings = load_settings()
    apart = left_out(settings)
    options = LabOptions(
        table=table,
        horizon_ms=None if horizon is None else _milliseconds(horizon),
        timezone=settings.timezone,
        currency=settings.currency,
        lateness_ms=settings.lateness_ms,
        ttl_ms=settings.state_ttl_ms,
        bots=apart.bots,
        excluded=apart.excluded,
        seed=seed,
        quick=quick,
    )
    return Workspace(path, output, options)


def _milliseconds(horizon: str) -> int:
    from features.durations import parse_duration
    from features.exceptions import InvalidDuration

    try:
        return round(parse_duration(horizon).total_seconds() * 1000)
    except InvalidDuration as error:
        raise typer.BadParameter(str(error), param_hint="--horizon") from None
