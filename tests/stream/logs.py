"""Random logs with every field, and a bundle of models that anyone can make in a moment."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from features import bundle as bundles
from features.events import CHANNELS, EVENT_TYPES
from features.log import LOG_SCHEMA
from features.segments import Segment, Segmenter
from features.vector import WIDTH, schema_hash

START = 1_772_366_400_000  # 2026-03-01 12:00 UTC
TEXTS = ("Schuhe", 'with "quotes"', "back\\slash", "tab\there", "Größe 🛒", "\x7f", "\u2028", "日本")
MONEY = (0.0, -0.0, 0.1 + 0.2, 1e9, 5e-324, 1 / 3, 19.99, 123456789.123456)


def random_row(chance: random.Random, number: int, customers: int) -> dict[str, Any]:
    """Return an event with about half of the optional fields."""

    def maybe(value: Any) -> Any:
        return value if chance.random() < 0.5 else None

    def line() -> dict[str, Any]:
        return {
            "item_id": f"i-{chance.randrange(50)}",
            "category": maybe(chance.choice(TEXTS)),
            "price": maybe(chance.choice(MONEY)),
            "quantity": maybe(chance.randrange(5)),
        }

    time = START + number * 700 + chance.randrange(-5000, 5000)
    return {
        "event_id": f"e-{number}",
        "type": chance.choice(EVENT_TYPES),
        "customer_id": f"Kundin {chance.randrange(customers)} ä",
        "event_time": time,
        "item_id": maybe(f"i-{chance.randrange(50)}"),
        "category": maybe(chance.choice(TEXTS)),
        "price": maybe(chance.choice(MONEY)),
        "quantity": maybe(chance.randrange(1_000_000)),
        "items": maybe([line() for _ in range(chance.randrange(4))]),
        "value": maybe(chance.random() * 1e9),
        "currency": maybe(chance.choice(("EUR", "USD"))),
        "order_id": maybe(f"o-{number}"),
        "session_id": maybe(chance.choice(TEXTS)),
        "channel": maybe(chance.choice(CHANNELS)),
        "device": maybe(chance.choice(TEXTS)),
        "country": maybe(chance.choice(TEXTS)),
        "partition": None,
        "offset": None,
        "arrived_at": max(time, START + number * 700) + 20,
    }


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    """Return rows, times in epoch milliseconds, as a log."""
    arrays = []
    for column in LOG_SCHEMA:
        values = [row.get(column.name) for row in rows]
        is_time = pa.types.is_timestamp(column.type)
        arrays.append(
            pa.array(values, pa.int64()).cast(column.type) if is_time else pa.array(values, column.type)
        )
    return pa.table(arrays, schema=LOG_SCHEMA)


def random_log(rows: int, seed: int, customers: int = 20) -> pa.Table:
    """Return a log of random events in order of arrival, up to ten seconds late."""
    chance = random.Random(seed)
    return table_of([random_row(chance, number, customers) for number in range(rows)])


def events_of(table: pa.Table) -> pa.Table:
    """Return a log without where and when its events stood in a topic."""
    return table.drop_columns(["partition", "offset", "arrived_at"]).replace_schema_metadata(None)


def small_bundle(folder: Path, seed: int = 1) -> Path:
    """Write a bundle whose network is one random linear layer over log(1 + column)."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(seed).normal(size=(WIDTH, 1)).astype(np.float32) / WIDTH
    network = helper.make_graph(
        [
            helper.make_node("Relu", ["vector"], ["positive"]),
            helper.make_node("Add", ["positive", "one"], ["shifted"]),
            helper.make_node("Log", ["shifted"], ["logs"]),
            helper.make_node("MatMul", ["logs", "weights"], ["logit"]),
        ],
        "linear",
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["rows", WIDTH])],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["rows", 1])],
        [numpy_helper.from_array(np.float32(1), "one"), numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(network, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    segments = [
        Segment(id=rank, name=name, description="", share=0.5, centroid=[level], profile={})
        for rank, (name, level) in enumerate((("visitors", -1.0), ("buyers", 1.0)))
    ]
    manifest = bundles.Manifest(
        version="test",
        features_version=schema_hash(),
        horizon_seconds=1800,
        label_start="0",
        timezone="UTC",
        currency="EUR",
        example_types=["view_item"],
        band_thresholds={"medium": 0.5, "high": 0.6},
        data=bundles.DataFingerprint(
            source="test", sha256="", events=0, customers=0, first_event="", last_event=""
        ),
        split={},
        metrics={},
        created_at="",
    )
    segmenter = Segmenter(columns=["events"], center=[1.0], scale=[1.0], segments=segments)
    calibration = bundles.Calibration(slope=1.0, intercept=0.0, examples=0)
    bundles.save(folder, manifest, segmenter, calibration, model.SerializeToString())
    return folder
