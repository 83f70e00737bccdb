"""The command line: ``intent``.

One module per command, each with ``register(app)``. Importing them must stay cheap, because ``intent --help``
and the completion of a shell import all of them: at their top they import nothing but ``typer``, the rest
inside the command's function.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import Annotated

import typer

from stream.cli.plain import make_plain

__all__ = ["create_app", "main"]

_INTERRUPTED = 128 + signal.SIGINT

# In the order of the help: data, models, the running system, people's questions.
_COMMANDS = (
    "demo",
    "simulate",
    "convert",
    "archive",
    "examples",
    "train",
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
    "services",
    "topics",
    "worker",
    "learner",
    "replay",
    "score",
    "emit",
    "watch",
    "quality",
    "customer",
    "dead_letters",
    "features",
    "settings",
)

_HELP = """
How likely is each customer to buy within the next 30 minutes, who are they, and what should marketing do?

Events come from Kafka, states live in Redis, scores go back to Kafka. Settings come from the environment
(`INTENT_...`) and from `.env`; `intent settings` shows them.

**Examples**

- `intent demo` — everything at once, on simulated customers, without anything installed but Python
- `intent services` — a Kafka broker and a Redis server for this machine
- `intent train events.parquet -o bundle` and `intent worker --bundle bundle` — train, then score
- `intent watch --band high --json` — the customers who are about to buy
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
    for name in _COMMANDS:
        importlib.import_module(f"stream.cli.{name}").register(app)
    make_plain(app)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"intent {version('purchase-intent')}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Take the options that stand before the command."""


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
    except KeyboardInterrupt:
        _end("intent: interrupted", _INTERRUPTED)
    except SystemExit as end:
        # Typer makes this of an interrupt within a command, and says nothing.
        if end.code == _INTERRUPTED:
            print("intent: interrupted", file=sys.stderr)
        raise
    except BrokenPipeError:
        # The reader has what it wanted (`intent watch | head`). Nothing can be flushed to it any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _end(line: str, code: int) -> None:
    print(line, file=sys.stderr)
    sys.exit(code)
