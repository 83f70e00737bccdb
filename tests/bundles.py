"""Small bundles for tests: a network of random weights, made without TensorFlow in a moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from features import bundle as bundles
from features.bundle import Bundle
from features.segments import Segment, Segmenter
from features.vector import WIDTH, schema_hash

#: Segments by rising centroid on the log scale.
SEGMENTS = ("visitors", "browsers", "buyers", "loyal")

_HIDDEN = (32, 16)


def random_network(seed: int = 6) -> bytes:
    """Return an ONNX network with the form of a trained one: log(1 + x), then dense layers with ReLU."""
    chance = np.random.default_rng(seed)
    sizes = (WIDTH, *_HIDDEN, 1)
    nodes = [
        helper.make_node("Relu", ["vector"], ["positive"]),
        helper.make_node("Add", ["positive", "one"], ["shifted"]),
        helper.make_node("Log", ["shifted"], ["layer0"]),
    ]
    constants = [numpy_helper.from_array(np.array(1, np.float32), "one")]
    for at, (width, following) in enumerate(zip(sizes, sizes[1:], strict=False)):
        weights = chance.normal(size=(width, following), scale=0.6 / np.sqrt(width))
        constants.append(numpy_helper.from_array(weights.astype(np.float32), f"weights{at}"))
        constants.append(numpy_helper.from_array(np.zeros(following, np.float32), f"bias{at}"))
        inputs = [f"layer{at}", f"weights{at}", f"bias{at}"]
        if at == len(sizes) - 2:
            nodes.append(helper.make_node("Gemm", inputs, ["logit"]))
        else:
            nodes.append(helper.make_node("Gemm", inputs, [f"dense{at}"]))
            nodes.append(helper.make_node("Relu", [f"dense{at}"], [f"layer{at + 1}"]))
    graph = helper.make_graph(
        nodes,
        "random",
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["rows", WIDTH])],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["rows", 1])],
        constants,
    )
    opset = helper.make_opsetid("", 17)
    return bytes(helper.make_model(graph, opset_imports=[opset], ir_version=9).SerializeToString())


def save_bundle(
    folder: Path,
    *,
    seed: int = 6,
    horizon_seconds: float = 1800.0,
    timezone: str = "UTC",
    currency: str = "EUR",
    features_version: str | None = None,
    timezone_database: str | None = None,
) -> Path:
    """Write a bundle and return its folder; equal arguments give equal bundles."""
    centroids = (-1.0, -0.3, 0.3, 1.0)
    columns = ["events", "purchases", "spend", "since_purchase"]
    manifest = bundles.Manifest(
        version=f"random-{seed}",
        features_version=features_version or schema_hash(),
        horizon_seconds=horizon_seconds,
        label_start="0",
        timezone=timezone,
        currency=currency,
        example_types=["view_item"],
        band_thresholds={"medium": 0.5, "high": 0.65},
        data=bundles.DataFingerprint(
            source="random", sha256="", events=0, customers=0, first_event="", last_event=""
        ),
        split={},
        metrics={},
        created_at="",
        timezone_database=timezone_database,
    )
    segmenter = Segmenter(
        columns=columns,
        center=[2.0, 0.3, 1.0, 14.0],
        scale=[1.0] * len(columns),
        segments=[
            Segment(id=rank, name=name, description="", share=0.25, centroid=[level] * 4, profile={})
            for rank, (name, level) in enumerate(zip(SEGMENTS, centroids, strict=True))
        ],
    )
    calibration = bundles.Calibration(slope=1.0, intercept=0.0, examples=0)
    bundles.save(folder, manifest, segmenter, calibration, random_network(seed))
    return folder


def random_bundle(folder: Path, **options: object) -> Bundle:
    """Write a bundle and load it."""
    return Bundle.load(save_bundle(folder, **options))  # type: ignore[arg-type]
