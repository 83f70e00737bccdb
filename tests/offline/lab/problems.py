"""Data for tests of the laboratory: public data sets where they are, and small made-up ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from features.log import conform

DAY_MS = 86_400_000
START_MS = 1_735_689_600_000  # 2025-01-01, a Wednesday


def write_csv(folder: Path, text: str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def visits(rows: int = 600, seed: int = 0) -> pd.DataFrame:
    """Return visits whose chance of a purchase rises with the pages looked at."""
    rng = np.random.default_rng(seed)
    pages = rng.poisson(6, rows)
    seconds = np.round(rng.lognormal(4, 1, rows), 1)
    bought = rng.random(rows) < 1 / (1 + np.exp(3.2 - 0.4 * pages))
    return pd.DataFrame(
        {
            "pages": pages,
            "seconds": seconds,
            "channel": rng.choice(["web", "app"], rows),
            "member": rng.choice(["yes", "no"], rows),
            "bought": np.where(bought, "yes", "no"),
        }
    )


def event(number: int, kind: str, customer: str, at_ms: int, **more: Any) -> dict[str, Any]:
    return {"event_id": f"e{number}", "type": kind, "customer_id": customer, "event_time": at_ms, **more}


def log_of(events: list[dict[str, Any]]) -> pa.Table:
    """Return events as a log in order of time."""
    ordered = sorted(events, key=lambda e: e["event_time"])
    names = list(dict.fromkeys(name for e in ordered for name in e))
    table = pa.table({name: [e.get(name) for e in ordered] for name in names})
    times = table["event_time"].cast(pa.int64()).cast(pa.timestamp("ms", tz="UTC"))
    return conform(table.set_column(names.index("event_time"), "event_time", times))


def shop_log(customers: int = 120, days: int = 100, seed: int = 1) -> pa.Table:
    """Return a log in which customers view, fill carts and buy, in two countries and by two channels."""
    rng = np.random.default_rng(seed)
    events: list[dict[str, Any]] = []
    for customer in range(customers):
        home = {"country": "DE" if customer % 3 else "EIRE", "channel": "web" if customer % 2 else "app"}
        for day in rng.choice(days, 1 + customer % 6, replace=False):
            at = START_MS + int(day) * DAY_MS + int(rng.integers(8, 20)) * 3_600_000
            steps = ["view_item", "add_to_cart", "purchase"][: 1 + int(rng.integers(3))]
            for step, kind in enumerate(steps):
                paid = (
                    {"value": float(rng.lognormal(3, 0.5)), "currency": "EUR"} if kind == "purchase" else {}
                )
                events.append(event(len(events), kind, f"c{customer}", at + step * 60_000, **home, **paid))
    return log_of(events)
