"""Good files: what shops have, in small."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.log import LOG_SCHEMA, write_log

ROWS = 240
DAY = 86_400_000
START = 1_704_067_200_000  # 2024-01-01


def orders(seed: int = 1) -> pd.DataFrame:
    """Return lines of orders, as a shop exports them."""
    rng = np.random.default_rng(seed)
    times = np.sort(START + rng.integers(0, 60 * DAY, ROWS))
    return pd.DataFrame(
        {
            "client": [f"k{at}" for at in rng.integers(0, 40, ROWS)],
            "when": pd.to_datetime(times, unit="ms").strftime("%Y-%m-%d %H:%M:%S"),
            "order": np.arange(ROWS) // 2,
            "sku": [f"sku-{at}" for at in rng.integers(0, 20, ROWS)],
            "price": rng.gamma(2, 10, ROWS).round(2),
            "quantity": rng.integers(1, 5, ROWS),
            "currency": "EUR",
            "event": np.where(rng.random(ROWS) < 0.9, "purchase", "refund"),
        }
    )


def sessions(seed: int = 2) -> pd.DataFrame:
    """Return a table of sessions with a target."""
    rng = np.random.default_rng(seed)
    pages = rng.poisson(6, ROWS)
    return pd.DataFrame(
        {
            "pages": pages,
            "seconds": (pages * rng.gamma(2, 30, ROWS)).round(1),
            "date": pd.to_datetime(START + rng.integers(0, 60 * DAY, ROWS), unit="ms").strftime("%d.%m.%Y"),
            "browser": rng.choice(["Firefox", "Safari", "Chrome"], ROWS),
            "discount": [f"{value:.1f}" for value in rng.random(ROWS) * 30],
            "bought": np.where(pages + rng.normal(0, 2, ROWS) > 7, "yes", "no"),
        }
    )


def log(seed: int = 3) -> pa.Table:
    """Return an event log of views, carts and purchases."""
    rng = np.random.default_rng(seed)
    times = np.sort(START + rng.integers(0, 60 * DAY, ROWS))
    types = rng.choice(["view_item", "add_to_cart", "purchase"], ROWS, p=[0.5, 0.2, 0.3])
    bought = types == "purchase"
    return pa.table(
        {
            "event_id": [f"e{at}" for at in range(ROWS)],
            "type": types,
            "customer_id": [f"k{at}" for at in rng.integers(0, 40, ROWS)],
            "event_time": pa.array(times).cast(LOG_SCHEMA.field("event_time").type),
            "item_id": [f"i{at}" for at in rng.integers(0, 15, ROWS)],
            "value": pa.array(rng.gamma(2, 20, ROWS).round(2), mask=~bought),
            "currency": ["EUR"] * ROWS,
            "country": rng.choice(["DE", "FR", "NA"], ROWS),
        }
    )


def write_good(folder: Path) -> dict[str, Path]:
    """Write one good file of each form, and return them by name."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {
        name: folder / name
        for name in (
            "orders.csv", "orders.csv.gz", "orders.parquet", "retail.csv", "retailrocket.csv", "rees46.csv",
            "table.csv", "table.parquet", "log.parquet", "events.jsonl",
        )
    }  # fmt: skip
    shop = orders()
    text = shop.to_csv(index=False)
    paths["orders.csv"].write_text(text)
    paths["orders.csv.gz"].write_bytes(gzip.compress(text.encode(), mtime=0))
    pq.write_table(
        pa.Table.from_pandas(shop, preserve_index=False), paths["orders.parquet"], row_group_size=100
    )
    times = pd.to_datetime(shop["when"])
    retail = pd.DataFrame(
        {
            "InvoiceNo": np.where(shop["event"] == "refund", "C", "") + (536365 + shop["order"]).astype(str),
            "StockCode": 70_000 + shop.index % 30,
            "Description": "MUG, BLUE",
            "Quantity": np.where(shop["event"] == "refund", -shop["quantity"], shop["quantity"]),
            "InvoiceDate": times.dt.strftime("%Y-%m-%d %H:%M"),
            "UnitPrice": shop["price"],
            "CustomerID": 17_000 + shop.index % 40,
            "Country": "France",
        }
    )
    retail.to_csv(paths["retail.csv"], index=False)
    rocket = pd.DataFrame(
        {
            "timestamp": times.astype("datetime64[ms]").astype("int64"),
            "visitorid": shop.index % 40,
            "event": np.where(shop.index % 5 == 0, "transaction", "view"),
            "itemid": shop.index % 30,
            "transactionid": [at if at % 5 == 0 else "" for at in shop.index],
        }
    )
    rocket.to_csv(paths["retailrocket.csv"], index=False)
    rees = pd.DataFrame(
        {
            "event_time": times.dt.strftime("%Y-%m-%d %H:%M:%S UTC"),
            "event_type": np.where(shop.index % 5 == 0, "purchase", "view"),
            "product_id": shop.index % 30,
            "category_id": 2_053_013_555_631_882_655,
            "category_code": "electronics.phone",
            "brand": "acme",
            "price": shop["price"],
            "user_id": shop.index % 40,
            "user_session": [f"s{at}" for at in shop.index % 60],
        }
    )
    rees.to_csv(paths["rees46.csv"], index=False)
    table = sessions()
    table.to_csv(paths["table.csv"], index=False, sep=";")
    table.to_parquet(paths["table.parquet"])
    write_log(paths["log.parquet"], log())
    lines = [
        {name: value for name, value in row.items() if value is not None}
        | {"event_time": int(row["event_time"].timestamp() * 1000)}
        for row in log().drop_columns(["country"]).to_pylist()
    ]
    paths["events.jsonl"].write_text("".join(json.dumps(line) + "\n" for line in lines))
    return paths
