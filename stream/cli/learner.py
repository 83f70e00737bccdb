"""`intent learner`: learn from what customers did (Faust)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

BundleFolder = Annotated[
    Path | None,
    typer.Option(
        "--bundle", metavar="DIR", help="The bundle or shelf of the workers. Default: INTENT_BUNDLE."
    ),
]
StartOver = Annotated[
    bool,
    typer.Option(
        "--start-over",
        help="Forget what was learned, and learn again from all examples in Kafka.",
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Also log Faust and the Kafka client.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("learner")(learner)


def learner(bundle: BundleFolder = None, start_over: StartOver = False, verbose: Verbose = False) -> None:
    """Learn from what customers did after they were scored.

    Runs until SIGTERM or Ctrl-C. When the horizon of a score has passed, the learner knows whether the customer
    bought. It learns from that and publishes a model that the workers load. One learner works at a time; a second one
    stands by. Needs the extra `learn`. `/healthz`, `/readyz` and `/metrics` (Prometheus) are on `INTENT_HTTP_PORT`,
    8080 unless configured.

    Exit codes: 0 stopped as asked, 1 refused or failed, 3 cut off because a stop took too long.

    Examples
    --------
    - `intent learner --bundle bundle`: learn on top of the bundle that the workers use
    - `INTENT_HTTP_PORT=0 intent learner`: run beside a worker on this machine; 0 takes a free port
    - `intent learner --start-over`: learn again after settings of the online model have changed
    """
    from stream.cli import logs
    from stream.running.ending import run
    from stream.settings import load_settings

    settings = load_settings(**({} if bundle is None else {"bundle": bundle}))
    logs.set_up(verbose=verbose, form=settings.log)
    from stream.learner import learn  # what it compiles may be worth a line of the log

    with logs.errors_logged(form=settings.log):
        run(lambda stop: learn(settings, start_over=start_over, stop=stop))
