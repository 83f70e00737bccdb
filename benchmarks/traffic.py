"""``python -m benchmarks.traffic``: precision and recall of the program's rules for bots, on machines that are known.

Machines are those of `offline.simulator.bots`. People are simulated ones, and the real sessions of Online Shoppers
Purchasing Intention, the longest and fastest ones among them: as many views of products as a session had, at its own
mean pace. Online Retail's orders are scored, too. Intervals are Wilson's over customers; of shares of events, a
bootstrap over customers.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from statsmodels.stats.proportion import proportion_confint

from features.log import conform
from offline.datasets import load_online_retail
from offline.examples.examples import Context, Examples, build_examples
from offline.simulator.bots import KINDS, kind_of, with_bots
from offline.simulator.shop import ShopParameters
from offline.simulator.simulation import DEFAULT_START, simulate

_CONTEXT: Final = Context(30 * 60_000, "0")
_SESSIONS: Final = "online_shoppers_intention.csv"
_RETAIL: Final = "online_retail.parquet"
_START_MS: Final = round(DEFAULT_START.timestamp() * 1000)
_DRAWS: Final = 2_000


class Flagged(NamedTuple):
    """What the rules say of a group of customers, one row for each.

    Attributes
    ----------
    events, flagged
        How many events there are, and how many of them are taken for a machine's.
    until
        Seconds from the first event to the first one that is; NaN where none is.
    before
        Events before that one.
    """

    events: NDArray[np.int64]
    flagged: NDArray[np.int64]
    until: NDArray[np.float64]
    before: NDArray[np.float64]


def flagged(examples: Examples, rows: NDArray[np.intp]) -> Flagged:
    """Return what the rules say of the customers whose events stand in these rows."""
    frame = pd.DataFrame(
        {
            "customer": examples.customers[rows],
            "apart": examples.apart[rows],
            "time": examples.event_time[rows],
        }
    )
    frame["number"] = frame.groupby("customer").cumcount()
    by = frame.groupby("customer")
    hits = frame[frame["apart"]].groupby("customer").first().reindex(by.size().index)
    return Flagged(
        by.size().to_numpy(),
        by["apart"].sum().to_numpy(),
        ((hits["time"] - by["time"].first()) / 1000).to_numpy(),
        hits["number"].to_numpy(np.float64),
    )


def summary(found: Flagged, chance: np.random.Generator) -> dict[str, Any]:
    """Return counts, shares of customers and of events with 95% intervals, and how soon machines are known."""
    customers, caught = len(found.events), int(np.count_nonzero(found.flagged))
    low, high = _wilson(caught, customers)
    picks = chance.integers(0, customers, (_DRAWS, customers)) if customers <= 5_000 else None
    share = found.flagged.sum() / found.events.sum()
    between = None
    if picks is not None:
        drawn = found.flagged[picks].sum(axis=1) / found.events[picks].sum(axis=1)
        between = [float(bound) for bound in np.quantile(drawn, [0.025, 0.975])]
    return {
        "customers": customers,
        "caught": caught,
        "share": caught / customers,
        "share_ci": [low, high],
        "events": int(found.events.sum()),
        "flagged": int(found.flagged.sum()),
        "event_share": float(share),
        "event_share_ci": between,
        "seconds": None if not caught else float(np.nanmedian(found.until)),
        "events_before": None if not caught else float(np.nanmedian(found.before)),
    }


def _wilson(count: int, of: int) -> tuple[float, float]:
    low, high = proportion_confint(count, of, method="wilson")
    return max(0.0, float(low)), min(1.0, float(high))


def real_sessions(path: Path) -> pa.Table:
    """Return the sessions of Online Shoppers with at least two views of products, one customer each, as a log."""
    sessions = pd.read_csv(path)
    sessions = sessions[(sessions["ProductRelated"] >= 2) & (sessions["ProductRelated_Duration"] > 0)]
    counts = sessions["ProductRelated"].to_numpy()
    pace = sessions["ProductRelated_Duration"].to_numpy() / counts
    which = np.repeat(np.arange(len(counts)), counts)
    place = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    times = (_START_MS + place * pace[which] * 1000).astype(np.int64)
    order = np.argsort(times, kind="stable")
    moments = pa.array(times[order]).cast(pa.timestamp("ms", tz="UTC"))
    return conform(
        pa.table(
            {
                "event_id": [f"e{number}" for number in range(len(order))],
                "type": pa.repeat("view_item", len(order)),
                "customer_id": [f"session-{number}" for number in which[order].tolist()],
                "event_time": moments,
                "item_id": [f"i{number}" for number in place[order].tolist()],
                "arrived_at": moments,
            }
        )
    )


def machines(customers: int, days: int, share: float, seed: int) -> dict[str, Any]:
    """Return what the rules say of a simulated log: of its people, and of each kind of machine."""
    log = with_bots(simulate(ShopParameters.default(), customers, days, seed), share, seed)
    examples = build_examples(log, _CONTEXT)
    names = log["customer_id"].combine_chunks().dictionary_encode()
    kinds = np.array([kind_of(name) or "people" for name in names.dictionary.to_pylist()])
    kind = kinds[names.indices.to_numpy()][examples.rows]
    chance = np.random.default_rng(seed)
    groups = {
        name: summary(flagged(examples, np.flatnonzero(kind == name)), chance) for name in ("people", *KINDS)
    }
    every = summary(flagged(examples, np.flatnonzero(kind != "people")), chance)
    caught, wrong = every["caught"], groups["people"]["caught"]
    found = {"groups": groups | {"all machines": every}, "wrong": wrong}
    if caught + wrong:
        found["precision"] = caught / (caught + wrong)
        found["precision_ci"] = list(_wilson(caught, caught + wrong))
    return found


def people(data: Path, seed: int) -> dict[str, Any]:
    """Return what the rules say of real sessions and orders."""
    chance, found = np.random.default_rng(seed), {}
    for name, file, log_of in (
        ("Online Shoppers, sessions", _SESSIONS, real_sessions),
        ("Online Retail, orders", _RETAIL, lambda path: load_online_retail(path).log()),
    ):
        if (data / file).is_file():
            examples = build_examples(log_of(data / file), _CONTEXT)
            found[name] = summary(flagged(examples, np.arange(len(examples))), chance)
    return found


def main(
    *,
    customers: Annotated[int, typer.Option(min=1, help="Simulated people.")] = 20_000,
    days: Annotated[int, typer.Option(min=1, help="Length of the simulated log.")] = 7,
    share: Annotated[float, typer.Option(min=0, max=1, help="Machines for each of the people.")] = 0.015,
    seed: Annotated[int, typer.Option(help="Of all random numbers.")] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Say how many simulated machines the program's rules find, how soon, and whom they take for one wrongly."""
    console = Console(stderr=True)
    with console.status("simulated people and machines"):
        found = machines(customers, days, share, seed)
    with console.status("real sessions and orders"):
        found["real"] = people(Path(os.environ.get("INTENT_DATA_DIR", "data")), seed)
    if as_json:
        print(json.dumps(found))
        return
    table = Table(box=None, pad_edge=False, title="What the rules of the program take for machines")
    table.add_column("Who")
    for name in ("Customers", "Found", "95%", "Events", "Found", "95%", "After"):
        table.add_column(name, justify="right")
    for name, one in (found["groups"] | found["real"]).items():
        after = (
            "" if one["seconds"] is None else f"{one['seconds']:,.0f} s, {one['events_before']:,.0f} events"
        )
        table.add_row(
            name, f"{one['customers']:,}", f"{one['share']:.1%}", _interval(one["share_ci"]), f"{one['events']:,}",
            f"{one['event_share']:.1%}", _interval(one["event_share_ci"]), after,
        )  # fmt: skip
    Console().print(table)
    if "precision" in found:
        low, high = found["precision_ci"]
        Console().print(f"Precision over customers: {found['precision']:.2%} ({low:.2%} to {high:.2%})")


def _interval(bounds: list[float] | None) -> str:
    return "" if bounds is None else f"{bounds[0]:.1%} to {bounds[1]:.1%}"


if __name__ == "__main__":
    typer.run(main)
