"""``python -m tests.chaos``: random faults on real servers, and an exact account at the end."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from tests.chaos.run import run


def chaos(
    minutes: Annotated[float, typer.Option(min=0.1, help="How long faults happen.")] = 10.0,
    seed: Annotated[int, typer.Option(min=0, help="Decides the events, the faults and their order.")] = 7,
    rate: Annotated[float, typer.Option(min=1, help="Events per second.")] = 300.0,
    keep: Annotated[
        Path | None, typer.Option(help="Keep the servers' files and all logs in this folder.")
    ] = None,
) -> None:
    """Run two workers, a learner, Kafka and Redis under random faults, then compare everything.

    Every state must equal that of one undisturbed pass over the events topic to the bit, every event must have its
    score, every bad record its letter, everybody the actions that the archived log gives, and the learner the weights
    of an undisturbed one.
    """
    with tempfile.TemporaryDirectory(prefix="intent-chaos-", ignore_cleanup_errors=True) as name:
        folder = keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        report = run(
            folder, minutes=minutes, seed=seed, rate=rate, tell=lambda text: typer.echo(text, err=True)
        )
    typer.echo(json.dumps(report, indent=2))


if __name__ == "__main__":
    typer.run(chaos)
