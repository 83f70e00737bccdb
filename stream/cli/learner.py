"""`intent learner`: the Faust learner."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

BundleFolder = Annotated[
    Path | None,
    typer.Option(
        "--bundle", metavar="DIR", help="The bundle that the workers score with. Default: INTENT_BUNDLE."
    ),
]
StartOver = Annotated[
    bool,
    typer.Option(
        "--start-over",
        help="Forget what was learned, and learn again from all examples that Kafka still has.",
    ),
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Also log what Faust and the Kafka client do.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("learner")(learner)


def learner(bundle: BundleFolder = None, start_over: StartOver = False, verbose: Verbose = False) -> None:
    """Learn from what customers really did, until SIGTERM or Ctrl-C.

    It labels the workers' examples when the horizon has passed, learns, and publishes snapshots that the workers
    pick up. One learns at a time; start a second one to stand by. Needs the extra `learn`.

    **Examples**

    - `intent learner --bundle bundle`
    - `INTENT_HTTP_PORT=0 intent learner` — beside a worker on one machine, health and metrics on any free port
    - `intent learner --start-over` — after settings of the online model were changed
    """
    import asyncio

    from stream.cli import logs
    from stream.learner import learn
    from stream.settings import load_settings

    logs.set_up(verbose=verbose)
    settings = load_settings(**({} if bundle is None else {"bundle": bundle}))
    asyncio.run(learn(settings, start_over=start_over))
