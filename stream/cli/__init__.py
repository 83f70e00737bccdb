"""The command line: ``intent``.

One module per command, each with ``register(app)``; `help` prints them in panels, `options` and `checks` hold what
several share. Importing them must stay cheap, because ``intent --help`` and the completion of a shell import all
of them: at their top they import nothing but ``typer`` and their neighbours, the rest inside the command's function.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
from typing import Annotated

import typer

from stream.cli.help import use_help
from stream.texts import visible

__all__ = ["create_app", "main"]

_INTERRUPTED = 128 + signal.SIGINT
# What a full or locked disk says while files are written; any other error of the system is a mistake of the program.
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}

# The panels of the help, with their commands by use. A module is named like its command.
_PANELS = {
    "Data: event logs": ("convert", "simulate", "archive", "replay", "examples"),
    "Models: train and analyse": (
        "train",
        "score",
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
        "worker",
        "learner",
        "quality",
        "dead-letters",
        "partition",
        "restore",
    ),
    "People: shops, marketing, customers": ("emit", "watch", "customer"),
    "Development: on this machine": ("demo", "services", "settings", "features"),
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


def main() -> None:
    """Run the command line; errors that a user can mend end in one line."""
    from features.exceptions import IntentError
    from features.extras import MissingExtra
    from stream.cli.extras import missing_extra

    try:
        create_app()()
    except (ModuleNotFoundError, MissingExtra) as error:
        missing = missing_extra(error, sys.argv[1:])
        _end(f"intent: {missing}", missing.exit_code)
    except IntentError as error:
        _end(f"intent: {error}", error.exit_code)
    except BrokenPipeError:
        # The reader has what it wanted (`intent watch | head`). Nothing can be flushed to it any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            raise
        where = "" if error.filename is None else f"{error.filename}: "
        _end(f"intent: {where}{os.strerror(error.errno)}", 1)
    except KeyboardInterrupt:
        _end("intent: interrupted", _INTERRUPTED)
    except SystemExit as end:
        # Typer makes this of an interrupt within a command, and says nothing.
        if end.code == _INTERRUPTED:
            print("intent: interrupted", file=sys.stderr)
        raise


def _end(line: str, code: int) -> None:
    # A value of somebody's file is shown as it is, but it must not steer the terminal or begin a line.
    print(visible(line), file=sys.stderr)
    sys.exit(code)
