"""The application: all commands of ``intent``, in the panels of its help."""

from __future__ import annotations

import importlib
from typing import Annotated

import typer

from stream.cli.help import use_help

# The panels of the help, with their commands by use. A module is named like its command.
_PANELS = {
    "Data: event logs": ("convert", "simulate", "archive", "replay", "examples"),
    "Models: train and analyse": (
        "train",
        "score",
        "evaluate",
        "report",
        "explore",
        "prepare",
        "compare",
        "select",
        "tune",
        "network",
        "segment",
        "insight",
        "forecast",
        "recommend",
    ),
    "Stream: score and learn": (
        "topics",
        "doctor",
        "worker",
        "learner",
        "bundle",
        "quality",
        "uplift",
        "dead-letters",
        "partition",
        "restore",
    ),
    "People: shops, marketing, customers": ("emit", "watch", "serve", "keys", "mcp", "policy", "customer"),
    "Development: on this machine": ("demo", "services", "settings", "features", "contracts"),
}

_HELP = """
How likely is each customer to buy within the next 30 minutes, who are they, and what should marketing do?

Events come from Kafka, customers' states are kept in Redis, and scores go back to Kafka. Settings come from environment
variables (`INTENT_...`) and from `.env`; `intent settings` explains them.

Examples
--------
- `intent demo`: see it work on this machine: simulate, train, stream and score
- `intent services`: start Kafka and Redis on this machine
- `intent train events.parquet -o bundle`: train the models on an event log
- `intent worker --bundle bundle`: score events as they arrive
- `intent watch --band high --json`: follow the customers who are about to buy
"""


def create_app() -> typer.Typer:
    """Return the application with all its commands."""
    app = typer.Typer(
        name="intent",
        help=_HELP,
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for name in (name for names in _PANELS.values() for name in names):
        importlib.import_module(f"stream.cli.{name.replace('-', '_')}").register(app)
    use_help(app, _PANELS)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"intent {version('purchase-intent')}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take the options before the command."""
