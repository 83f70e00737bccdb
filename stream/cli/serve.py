"""`intent serve`: answer questions about customers over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from stream.cli.options import BundleFolder

Workers = Annotated[
    int, typer.Option(min=1, max=64, metavar="N", help="Processes that answer, one per core.")
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Also log the Kafka client.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve")(serve)


def serve(bundle: BundleFolder = None, workers: Workers = 1, verbose: Verbose = False) -> None:
    """Answer questions about customers over HTTP.

    Look-ups of what the stream said last, hypothetical events, events for Kafka, and scores and actions as they come
    (server-sent events): `curl localhost:8090/v1/customers/c-17`. The contract is at `/openapi.json`.

    The service reads what workers save in Redis, and has the bundle, the policy and the online model that they have. It
    runs beside workers, or alone. Without a file of keys, which `intent keys add` makes and `INTENT_SERVE_KEYS` names,
    it answers this machine only.

    Runs until SIGTERM or Ctrl-C. Exit codes: 0 stopped as asked, 1 refused or failed, 3 cut off because a stop took too
    long.

    Examples
    --------
    - `intent serve --bundle bundle`: answer on port 8090 of this machine
    - `INTENT_SERVE_KEYS=keys.json INTENT_SERVE_HOST=0.0.0.0 intent serve --workers 4`: answer others, by four processes
    """
    from stream.cli import logs
    from stream.running.ending import run
    from stream.settings import load_settings

    settings = load_settings(**({} if bundle is None else {"bundle": bundle}))
    logs.set_up(verbose=verbose, form=settings.log)
    import uvloop

    from stream.serving.keys import LOOPBACK, keys_of
    from stream.serving.processes import supervise
    from stream.serving.service import listen
    from stream.serving.service import serve as answer

    with logs.errors_logged(form=settings.log):
        keys_of(settings)  # before a port is taken
        listener = listen(settings)
        if settings.serve_keys is None:
            typer.echo(f"no keys: only this machine ({', '.join(sorted(LOOPBACK))}) can ask", err=True)
        with listener:
            if workers == 1:
                run(lambda stop: answer(settings, listener, stop), loop_factory=uvloop.new_event_loop)
            else:
                run(lambda stop: supervise(settings, listener, workers, stop))


def one_of_several(listening: int, parent: int) -> None:
    """Answer as one of several processes, on a socket that the first one, the ``parent``, has opened."""
    import socket
    import sys

    import uvloop

    from features.exceptions import IntentError
    from stream.cli import logs
    from stream.running.ending import run
    from stream.serving.processes import end_with
    from stream.serving.service import serve as answer
    from stream.settings import load_settings
    from stream.texts import visible

    end_with(parent)
    settings = load_settings()
    logs.set_up(verbose=False, form=settings.log)
    try:
        with logs.errors_logged(form=settings.log), socket.socket(fileno=listening) as listener:
            run(lambda stop: answer(settings, listener, stop), loop_factory=uvloop.new_event_loop)
    except IntentError as error:
        print(visible(f"intent: {error}"), file=sys.stderr)
        sys.exit(error.exit_code)
