"""Repeat a schedule and tell its story, or count what befalls many: ``python -m tests.simulation --help``."""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from pathlib import Path

from tests.bundles import random_bundle
from tests.simulation.learner_schedules import LearnerSchedules
from tests.simulation.schedules import Schedules
from tests.simulation.stories import LEARNER_FAULTS, WORKER_FAULTS, counted


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", type=int, help="number of the schedule; with --count, of the first one")
    parser.add_argument("--learners", action="store_true", help="a schedule of learners, not of workers")
    parser.add_argument("--logins", action="store_true", help="a schedule in which people log in")
    parser.add_argument("--prices", action="store_true", help="a schedule in which prices change")
    parser.add_argument("--count", type=int, help="run so many, and count the faults that they contain")
    parser.add_argument("--log", action="store_true", help="show what the program itself logs")
    arguments = parser.parse_args()
    if not arguments.log:
        logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        bundle = random_bundle(Path(folder))
    schedules = (
        LearnerSchedules(bundle)
        if arguments.learners
        else Schedules(bundle, logins=arguments.logins, prices=arguments.prices)
    )
    if arguments.count is None:
        print("\n".join(schedules.run(arguments.seed)))
        return
    before = time.process_time()
    stories = [schedules.run(seed) for seed in range(arguments.seed, arguments.seed + arguments.count)]
    spent = 1000 * (time.process_time() - before) / arguments.count
    for fault, number in counted(stories, LEARNER_FAULTS if arguments.learners else WORKER_FAULTS).items():
        print(f"{number:7} {fault}")
    print(f"{spent:7.1f} ms of CPU each")


if __name__ == "__main__":
    main()
