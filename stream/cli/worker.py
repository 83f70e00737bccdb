"""`intent worker`: score events as they arrive (Faust)."""

from __future__ import annotations

from typing import Annotated

import typer

from stream.cli.options import BundleFolder

Rebuild = Annotated[
    bool,
    typer.Option(
        "--rebuild",
        help="Rebuild states that are lost, or do not fit the topic, from its first event; what was scored is not "
        "scored again.",
    ),
]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Also log claimed partitions, Faust and the Kafka client."),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("worker")(worker)


def worker(bundle: BundleFolder = None, rebuild: Rebuild = False, verbose: Verbose = False) -> None:
    """Score events as they arrive.

    Runs until SIGTERM or Ctrl-C. To start a second worker, run the command again: workers share the partitions. Start
    one per core, each with its own `INTENT_HTTP_PORT`. `/healthz`, `/readyz` and `/metrics` (Prometheus) are on that
    port, 8080 unless configured.

    If Redis loses its data, or if the topic was created again or has lost events, the worker stops and says so;
    `--rebuild` builds these states again from the events in Kafka, without scoring again what was scored. The worker
    also stops if the bundle was trained with other features, if Kafka or Redis does not answer, or if the number of
    partitions has changed.

    Exit codes: 0 stopped as asked, 1 refused or failed, 3 cut off because a stop took too long.

    Examples
    --------
    - `intent worker --bundle bundle`: score with the models in a folder
    - `INTENT_HTTP_PORT=0 intent worker`: start a second worker on this machine; 0 takes a free port
    - `intent worker --rebuild`: rebuild the states after Redis has lost its data
    """
    from stream.cli import logs
    from stream.running.ending import run
    from stream.settings import load_settings

    settings = load_settings(**({} if bundle is None else {"bundle": bundle}))
    logs.set_up(verbose=verbose, form=settings.log)
    from stream.worker import work  # what it compiles may be worth a line of the log

    with logs.errors_logged(form=settings.log):
        run(lambda stop: work(settings, rebuild=rebuild, stop=stop))
