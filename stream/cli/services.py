"""`intent services`: Kafka and Redis for development, in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Directory = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Keep the data in this folder for the next start. Default: a temporary folder, deleted at the end.",
    ),
]
KafkaPort = Annotated[
    int, typer.Option(min=0, max=65535, metavar="PORT", help="Port of Kafka; 0 takes a free port.")
]
RedisPort = Annotated[
    int, typer.Option(min=0, max=65535, metavar="PORT", help="Port of Redis; 0 takes a free port.")
]
Prepare = Annotated[
    bool,
    typer.Option(
        "--prepare",
        help="Start no servers for use: keep what makes every later start of the broker on this machine take a second.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the settings as one JSON object.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("services")(services)


def services(
    directory: Directory = None,
    kafka_port: KafkaPort = 9092,
    redis_port: RedisPort = 6379,
    prepare: Prepare = False,
    as_json: AsJson = False,
) -> None:
    """Start Kafka and Redis on this machine.

    Runs until Ctrl-C or SIGTERM. When both answer and the topics exist, the settings for other terminals are printed.
    Kafka listens on port 9092 and Redis on 6379 of 127.0.0.1 only. Their data is deleted at the end, unless
    `--directory` keeps it. Needs neither Java nor Docker, only the extra `embedded`.

    Examples
    --------
    - `intent services`: start both on their usual ports
    - `intent services --directory data --kafka-port 0 --redis-port 0`: keep the data, and take free ports
    - `intent services --prepare`: once on a machine whose tests start brokers often
    """
    if prepare:
        _prepare()
        return
    import time

    from stream.cli.console import errors, print_json, progress
    from stream.kafka.topics import create_topics
    from stream.running.unwinding import unwind_when_asked
    from stream.services.services import EmbeddedServices
    from stream.settings import load_settings

    unwind_when_asked(interrupts=True)
    embedded = EmbeddedServices(directory, kafka_port=kafka_port or None, redis_port=redis_port or None)
    try:
        with progress("Starting Kafka and Redis") as on_progress:
            embedded.start(on_progress)
        create_topics(load_settings(kafka=embedded.kafka, redis=embedded.redis))
        named = {"INTENT_KAFKA": embedded.kafka, "INTENT_REDIS": embedded.redis}
        if as_json:
            print_json(named)
        else:
            print("\n".join(f"export {name}={value}" for name, value in named.items()), flush=True)
        errors().print(
            f"Kafka and Redis are running; Ctrl-C stops them{_kept(directory)}. Next, in another terminal: paste the "
            "lines above, then run `intent worker --bundle bundle` (after `intent train` has made the bundle).",
            soft_wrap=True,
        )
        while True:
            embedded.check()
            time.sleep(0.5)
    except KeyboardInterrupt:
        errors().print("Stopping Kafka and Redis.")
    finally:
        embedded.stop()


def _prepare() -> None:
    """Prepare the broker for fast starts."""
    from stream.cli.console import errors, progress
    from stream.services.preparing import prepare

    with progress("Starting a broker, and keeping what it loads", lines=True):
        folder = prepare()
    errors().print(f"Brokers start faster from now on; what was kept lies in {folder}.", soft_wrap=True)


def _kept(directory: Path | None) -> str:
    """Return what becomes of the data."""
    return " and deletes their data" if directory is None else f", the data stays in {directory}"
