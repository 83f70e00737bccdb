"""``python -m benchmarks.reasons``: what reasons cost the scoring engine, with and without them in turns in one run.

The engine alone, without Kafka and Redis: decode, fold, score, encode, on a simulated log in batches as a worker gets
them. Bands are the top 5 % and the next 15% of the log's own scores, as after a training. `make bench` measures the
same in whole workers.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from benchmarks.engine import engine_with, score, set_bands
from benchmarks.workload import simulated, write_bundle
from features.bundle import Bundle
from stream.setting_values import ReasonBands

#: What we want to reach: the rate with reasons by that without.
GOAL: Final = 0.9


def rates(events: int, rounds: int, bands: Sequence[ReasonBands]) -> dict[ReasonBands, list[float]]:
    """Return events a second of every round, by the bands that carry reasons; they take turns within a round."""
    values = simulated(events, max(events // 30, 1)).values
    with tempfile.TemporaryDirectory(prefix="intent-bench-") as folder:
        write_bundle(Path(folder))
        set_bands(Path(folder), values)
        engines = {name: engine_with(Bundle.load(folder), name) for name in bands}
    found: dict[ReasonBands, list[float]] = {name: [] for name in bands}
    for number in range(rounds + 1):
        for name in bands if number % 2 else reversed(bands):
            began = time.process_time()
            score(engines[name], values)
            if number:  # the first round warms up
                found[name].append(len(values) / (time.process_time() - began))
    return found


def ratio(with_reasons: Sequence[float], without: Sequence[float]) -> float:
    """Return the median of the rounds' ratios."""
    return statistics.median(one / other for one, other in zip(with_reasons, without, strict=True))


def main(
    *,
    events: Annotated[int, typer.Option(min=1000, help="Events in the log.")] = 30_000,
    rounds: Annotated[int, typer.Option(min=1, help="Measured rounds.")] = 20,
) -> None:
    """Compare the engine's rate with reasons for the bands medium and high, and for all, with that without."""
    bands: tuple[ReasonBands, ...] = ("off", "medium", "all")
    found = rates(events, rounds, bands)
    for name in bands:
        share = (
            f"{ratio(found[name], found['off']):.3f} of that without" if name != "off" else "without reasons"
        )
        goal = f" (goal {GOAL:g})" if name == "medium" else ""
        typer.echo(
            f"{name:7} {statistics.median(found[name]):>9,.0f} events/s of processor time, {share}{goal}"
        )


if __name__ == "__main__":
    typer.run(main)
