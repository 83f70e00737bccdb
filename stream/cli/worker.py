"""`intent worker`: the Faust scorer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

BundleFolder = Annotated[
    Path | None,
    typer.Option("--bundle", metavar="DIR", help="The bundle to score with. Default: INTENT_BUNDLE."),
]
Rebuild = Annotated[
    bool,
    typer.Option(
        "--rebuild",
        help="Where Redis has lost its records, build the states again from the topic's first event on.",
    ),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose", "-v", help="Also log each claimed partition, and what Faust and the Kafka client do."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("worker")(worker)


def worker(bundle: BundleFolder = None, rebuild: Rebuild = False, verbose: Verbose = False) -> None:
    """Score every event of the events topic, until SIGTERM or Ctrl-C.

    Start one worker per core: they share the partitions. It refuses to start on a bundle of other features, on a
    Kafka or Redis that does not answer, on a changed partition count and on states that Redis has lost.

    **Examples**

    - `intent worker --bundle bundle`
    - `INTENT_HTTP_PORT=0 intent worker` — a second worker on one machine, health on any free port
    - `intent worker --rebuild` — after Redis has lost its data
    """
    import asyncio

    from stream.cli import logs
    from stream.settings import load_settings
    from stream.worker import work

    logs.set_up(verbose=verbose)
    settings = load_settings(**({} if bundle is None else {"bundle": bundle}))
    asyncio.run(work(settings, rebuild=rebuild))
