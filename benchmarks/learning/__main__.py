"""What learning online brings and costs: Online Retail in event time, two sales of the simulated shop. Takes minutes.

``docs/learning.md`` and ``docs/learning.svg`` are made from the figures in ``docs/learning.json``, of which every run
replaces what it measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.learning.cost import scorer_cost
from benchmarks.learning.drift import drift_tables, run_drift
from benchmarks.learning.live import RATE, live_figures
from benchmarks.learning.page import page
from benchmarks.learning.picture import picture
from benchmarks.learning.retail import retail_tables, run_retail
from benchmarks.learning.sales import CUSTOMERS, TRAINED_CUSTOMERS

DOCS: Final = Path(__file__).parents[2] / "docs"


@contextmanager
def step(description: str) -> Iterator[Callable[[int, int], None]]:
    """Say on standard error what is being done, and how long it took."""
    print(f"{description} ...", end="", file=sys.stderr, flush=True)
    begun = time.perf_counter()
    yield lambda done, total: None
    print(f" {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)


def measure(only: str | None, trained: int, customers: int, live: Sequence[float]) -> dict[str, Any]:
    """Return the figures of the parts that are asked for.

    Parameters
    ----------
    trained, customers
        How many customers a network is trained on, and how many others take part in the sales.
    live
        Minutes that are learned beside live workers, their horizon and their lateness.
    """
    found: dict[str, Any] = {}
    if only in (None, "retail"):
        found["online_retail"] = run_retail(step)
    if only in (None, "drift"):
        found["drift"] = run_drift(step, trained=trained, customers=customers)
        found["cost"] = {"learner_examples_per_second": found["drift"].pop("learner_examples_per_second")}
    if only in (None, "cost"):
        cost = scorer_cost(step)
        found.setdefault("cost", {})
        found["cost"] |= {"scorer_ratio": cost.ratio, "scorer_on": cost.on, "scorer_off": cost.off}
    if only in (None, "live"):
        found["live"] = live_figures(step, RATE, *live)
    return found


def tables(found: dict[str, Any]) -> list[Table]:
    """Return everything that was measured as tables."""
    made = retail_tables(found["online_retail"]) if "online_retail" in found else []
    return made + (drift_tables(found["drift"]) if "drift" in found else [])


def write_docs(found: dict[str, Any], folder: Path) -> None:
    """Replace what was measured in the figures kept in ``folder``, and write page and picture again."""
    kept = folder / "learning.json"
    known = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    cost = known.get("cost", {}) | found.get("cost", {})
    known |= found | ({"cost": cost} if cost else {})
    kept.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    if "drift" in known:
        (folder / "learning.svg").write_text(picture(known["drift"]), encoding="utf-8")
    (folder / "learning.md").write_text(page(known), encoding="utf-8")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--only", choices=("drift", "retail", "cost", "live"), help="measure one of the four")
    parser.add_argument(
        "--trained", type=int, default=TRAINED_CUSTOMERS, help="customers to train on before a sale"
    )
    parser.add_argument("--customers", type=int, default=CUSTOMERS, help="other customers in each sale")
    parser.add_argument(
        "--live", type=float, nargs=3, default=(30, 30, 15), metavar=("LEARNED", "HORIZON", "LATENESS"),
        help="minutes beside live workers (default: 30 30 15)",
    )  # fmt: skip
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder for the page and the picture")
    options = parser.parse_args()
    found = measure(options.only, options.trained, options.customers, options.live)
    write_docs(found, options.docs)
    if options.json:
        print(json.dumps(found))
        return
    console = Console()
    for table in tables(found):
        console.print(table)


if __name__ == "__main__":
    main()
