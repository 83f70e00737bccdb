"""Small bundles for tests: a network of random weights, made without TensorFlow in a moment."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from features import bundle as bundles
from features.bundle import Bundle
from features.explainer import ReferenceCustomer
from features.onnx_runtime import ort
from features.segments import Segment, Segmenter
from features.vector import COLUMN_NAMES, NEVER_S, WIDTH, schema_hash
from offline.training.explaining import Member, reasons_graph
from offline.training.scaling import Scaling

#: Segments by rising centroid on the log scale.
SEGMENTS = ("visitors", "browsers", "buyers", "loyal")

_HIDDEN = (32, 16)


def random_network(seed: int = 6) -> bytes:
    """Return an ONNX network with the form of a trained one: log(1 + x), then dense layers with ReLU."""
    nodes = [
        helper.make_node("Relu", ["vector"], ["positive"]),
        helper.make_node("Add", ["positive", "one"], ["shifted"]),
        helper.make_node("Log", ["shifted"], ["layer0"]),
    ]
    constants = [numpy_helper.from_array(np.array(1, np.float32), "one")]
    layers = _layers(seed)
    for at, (weights, bias) in enumerate(layers):
        constants.append(numpy_helper.from_array(weights, f"weights{at}"))
        constants.append(numpy_helper.from_array(bias, f"bias{at}"))
        inputs = [f"layer{at}", f"weights{at}", f"bias{at}"]
        if at == len(layers) - 1:
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


def _layers(seed: int) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    chance, layers = np.random.default_rng(seed), []
    for width, following in pairwise((WIDTH, *_HIDDEN, 1)):
        weights = chance.normal(size=(width, following), scale=0.6 / np.sqrt(width))
        layers.append((weights.astype(np.float32), np.zeros(following, np.float32)))
    return layers


def random_reasons(seed: int, reference: ReferenceCustomer) -> bytes:
    """Return the graph of the effects of `random_network`'s columns."""
    plain = Scaling(np.zeros(WIDTH, np.float32), np.ones(WIDTH, np.float32))
    return reasons_graph(
        [Member(_layers(seed), "relu")],
        plain,
        reference.row,
        clip=1e30,
        on_log_scale=np.ones(WIDTH, np.bool_),
    )


def reference_customer(network: bytes) -> ReferenceCustomer:
    """Return a customer who comes for the first time and has looked at one thing."""
    row = {name: NEVER_S if "since" in name or "gap" in name else 1.0 for name in COLUMN_NAMES}
    values = np.array([list(row.values())], np.float32)
    (logit,) = ort.InferenceSession(network, providers=["CPUExecutionProvider"]).run(None, {"vector": values})
    return ReferenceCustomer(description="a first visit", log_odds=float(logit[0, 0]), vector=row)


def save_bundle(
    folder: Path,
    *,
    seed: int = 6,
    horizon_seconds: float = 1800.0,
    timezone: str = "UTC",
    currency: str = "EUR",
    features_version: str | None = None,
    timezone_database: str | None = None,
    reasons: bool = True,
    thresholds: tuple[float, float] = (0.5, 0.65),
) -> Path:
    """Write a bundle and return its folder; equal arguments give equal bundles."""
    network = random_network(seed)
    customer = reference_customer(network)
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
        band_thresholds={"medium": thresholds[0], "high": thresholds[1]},
        data=bundles.DataFingerprint(
            source="random", sha256="", events=0, customers=0, first_event="", last_event=""
        ),
        split={},
        metrics={},
        created_at="",
        timezone_database=timezone_database,
        reference_customer=customer if reasons else None,
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
    graph = random_reasons(seed, customer) if reasons else None
    bundles.save(folder, manifest, segmenter, calibration, network, reasons=graph)
    return folder


def random_bundle(folder: Path, **options: object) -> Bundle:
    """Write a bundle and load it."""
    return Bundle.load(save_bundle(folder, **options))  # type: ignore[arg-type]
