"""All models on public data sets, by fixed protocols, in one run.

``python -m benchmarks.models`` (``make bench-models``):

::

    shoppers_random                 five random 70/30 splits, natural prevalence
    shoppers_without_page_values    the same without the column that knows the label
    shoppers_temporal               trained February to October, tested November and December
    retail_orders                   Online Retail, another order within 30 days, asked at every order
    retail_weekly                   the same, asked every week about every customer

Intervals over random splits are Nadeau and Bengio's, those of one test a bootstrap; ECE has 15 bins of equal mass.
Choices inside a model (when to stop, how to calibrate) are made on its training rows. Data sets are looked for in
``INTENT_DATA_DIR``, else in ``../shared/data``. Every model gets the same columns, among
them some derived from others of the same row. Takes most of an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.lab import retail, shoppers
from benchmarks.lab.protocol import CONTENDERS, MEASURES, Protocol, Result, run
from offline.chapters.comparison.section import with_interval
from offline.lab.figures import TITLES

#: By name the file that a protocol needs, and what makes it.
PROTOCOLS: Final[Mapping[str, tuple[str, Callable[[Path, int], Protocol]]]] = {
    "shoppers_random": (shoppers.FILE, shoppers.shoppers_random),
    "shoppers_without_page_values": (shoppers.FILE, shoppers.shoppers_without_page_values),
    "shoppers_temporal": (shoppers.FILE, shoppers.shoppers_temporal),
    "retail_orders": (retail.FILE, retail.retail_orders),
    "retail_weekly": (retail.FILE, retail.retail_weekly),
}


def data_set(name: str) -> Path:
    """Return the path of a public data set; ends the run with one line where it is not."""
    folder = Path(os.environ.get("INTENT_DATA_DIR") or Path(__file__).parents[2] / "shared" / "data")
    path = folder / name
    if not path.is_file():
        print(f"the data set is not at {path}: INTENT_DATA_DIR names its folder", file=sys.stderr)
        sys.exit(2)
    return path


def told(name: str) -> Callable[[int, int], None]:
    """Return what prints progress on standard error, a line for each tenth."""
    begun, said = time.perf_counter(), [0]

    def on_progress(done: int, total: int) -> None:
        tenth = 10 * done // total
        if tenth > said[0]:
            said[0] = tenth
            print(f"{name}: {tenth}0% after {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)

    return on_progress


def table(result: Result) -> Table:
    """Return a protocol's table, with all that must be said beside it."""
    protocol, comparison = result.protocol, result.comparison
    problem = protocol.problem
    drawn = Table(
        title=f"{protocol.name}: {len(problem):,} {problem.unit}s, {protocol.folds.how}, prevalence in the test "
        f"{comparison.target.mean():.3f}",
        caption="\n".join(remarks(result)),
        caption_justify="left",
    )
    drawn.add_column("")
    for name in MEASURES:
        drawn.add_column(TITLES[name], justify="right")
    for judged in comparison.models.values():
        drawn.add_row(judged.title, *(with_interval(judged.figures, name) for name in MEASURES))
    return drawn


def remarks(result: Result) -> list[str]:
    """Return the goals, the network's lead over LightGBM, and what must be known of the data."""
    said = []
    for name, reached in result.reached().items():
        best = result.comparison.models[reached.best].title
        said.append(
            f"Goal: {TITLES[name]} {reached.goal:.3f}. The network's {reached.network:.3f} "
            f"{'reaches' if reached.network >= reached.goal else 'misses'} it; the most is {reached.most:.3f} ({best})."
        )
    for name in ("auc", "pr_auc"):
        if result.lead:
            gap = result.lead[name]
            said.append(
                f"Network less LightGBM, {TITLES[name]}: {gap.value:+.4f} ({gap.low:+.4f} to "
                f"{gap.high:+.4f}), p = {gap.p:.3f}."
            )
    if result.protocol.warning:
        said.append(f"{result.protocol.warning}.")
    return said


def more(result: Result) -> dict[str, Any]:
    """Return what stands beside a protocol's figures."""
    return {
        "folds": result.protocol.folds.how,
        "prevalence": float(result.comparison.target.mean()),
        "network_minus_lightgbm": {name: gap._asdict() for name, gap in result.lead.items()},
        "goals": {
            name: reached._asdict() | {"reached": reached.network >= reached.goal}
            for name, reached in result.reached().items()
        },
        "warning": result.protocol.warning,
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--only", action="append", choices=list(PROTOCOLS), help="only this protocol; repeatable"
    )
    parser.add_argument(
        "--model",
        action="append",
        choices=[model.key for model in CONTENDERS],
        help="only this model; repeatable",
    )
    parser.add_argument("--seed", type=int, default=0, help="of splits and models")
    options = parser.parse_args()
    found: dict[str, Any] = {}
    beside: dict[str, Any] = {}
    console = Console()
    for name in options.only or PROTOCOLS:
        file, make = PROTOCOLS[name]
        protocol = make(data_set(file), options.seed)
        result = run(protocol, options.model or (), seed=options.seed, on_progress=told(name))
        found[name], beside[name] = result.figures(), more(result)
        if not options.json:
            console.print(table(result))
    if options.json:
        print(json.dumps(found | {"more": beside}))


if __name__ == "__main__":
    main()
