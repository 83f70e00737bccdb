"""Fuzz whatever reads bytes from outside: ``python -m tests.fuzz [--inputs 10_000_000] [--seed 1] [TARGET ...]``.

Inputs are good values that were changed at random, the same ones for the same seed. ``--guided`` lets atheris choose
them by what they reach, where it is installed (``pip install atheris``); then ``--inputs`` counts for each target.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from typing import Final, NamedTuple

from tests.fuzz.mutating import mutated
from tests.fuzz.targets import Target, targets

# Inputs that a process takes at a time.
_AT_ONCE: Final = 20_000
# Of one target, so many faults are told.
_TOLD: Final = 3


class Tried(NamedTuple):
    """What came of some inputs: words by their counts, and the faults, each with its input."""

    name: str
    outcomes: Counter[str]
    faults: list[tuple[str, bytes]]
    seconds: float


@cache
def made(name: str) -> Target:
    """Return a target, made once in each process."""
    logging.disable(logging.CRITICAL)
    return targets()[name]()


def try_inputs(name: str, count: int, seed: int) -> Tried:
    """Give a target so many inputs."""
    target, chance = made(name), random.Random(f"{name} {seed}")
    outcomes: Counter[str] = Counter()
    faults: list[tuple[str, bytes]] = []
    began = time.perf_counter()
    for _ in range(count):
        raw = mutated(chance, target.seeds)
        try:
            outcomes[target.take(raw)] += 1
        except Exception as error:  # noqa: BLE001 (whatever is not documented is what is looked for)
            outcomes["FAULT"] += 1
            if len(faults) < _TOLD:
                faults.append((f"{type(error).__name__}: {error}"[:300], raw))
    return Tried(name, outcomes, faults, time.perf_counter() - began)


def work(names: list[str], inputs: int, seed: int) -> Iterator[tuple[str, int, int]]:
    """Yield the pieces of work: target, how many inputs, and a seed."""
    shares = {name: made(name).share for name in names}
    for name, share in shares.items():
        left = round(inputs * share / sum(shares.values()))
        piece = 0
        while left > 0:
            yield name, min(left, _AT_ONCE), seed * 1_000_003 + piece
            left -= _AT_ONCE
            piece += 1


def _guided(names: list[str], inputs: int, seed: int) -> int:
    """Let atheris run each target in a process of its own; return how many found something."""
    failed = 0
    for name in names:
        command = [
            sys.executable,
            "-m",
            "tests.fuzz.guided",
            name,
            f"-runs={inputs}",
            f"-seed={seed}",
            "-max_len=4096",
        ]
        failed += subprocess.run(command, check=False).returncode != 0
    print(f"{len(names)} targets, {inputs:,} inputs each, {failed} with a fault")
    return failed


def main() -> None:
    """Print a line for each target, and end with 1 if there is any fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(targets()))
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--guided", action="store_true")
    said = parser.parse_args()
    names = said.targets or list(targets())
    if unknown := [name for name in names if name not in targets()]:
        parser.error(f"no target {unknown[0]!r}: choose from {', '.join(targets())}")
    if said.guided:
        sys.exit(_guided(names, said.inputs, said.seed) > 0)
    outcomes: dict[str, Counter[str]] = {name: Counter() for name in names}
    seconds: Counter[str] = Counter()
    began = time.perf_counter()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for future in as_completed(
            [pool.submit(try_inputs, *piece) for piece in work(names, said.inputs, said.seed)]
        ):
            tried = future.result()
            outcomes[tried.name] += tried.outcomes
            seconds[tried.name] += tried.seconds
            for text, raw in tried.faults:
                print(f"{tried.name}: {text}\n  {raw!r}", flush=True)
    for name, own in outcomes.items():
        words = ", ".join(f"{word} {count:,}" for word, count in own.most_common())
        print(
            f"{name:>10}: {own.total():>10,} inputs, {own.total() / max(seconds[name], 1e-9):>9,.0f}/s a core: {words}"
        )
    total = sum(own.total() for own in outcomes.values())
    faults = sum(own["FAULT"] for own in outcomes.values())
    print(f"{total:,} inputs in {time.perf_counter() - began:.0f} s, {faults} faults")
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
