"""What a peer does with one event, whatever its framework."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import numpy as np

from features.events import EVENT_TYPES
from features.onnx_runtime import ort
from features.vector import WIDTH, schema_hash

_SESSION_GAP_MS: Final = 30 * 60_000
_HALF_LIFE_MS: Final = 10 * 60_000


class Task(NamedTuple):
    """What a peer is told: where the servers are, what to read and what to write."""

    kafka: str
    redis: str
    source: str
    sink: str
    bundle: Path
    folder: Path
    run: str

    @classmethod
    def from_environment(cls) -> Self:
        """Return the task that `environment` wrote."""
        found = {name: os.environ[f"BENCH_{name.upper()}"] for name in cls._fields}
        return cls(**found | {name: Path(found[name]) for name in ("bundle", "folder")})  # type: ignore[arg-type]

    def environment(self) -> dict[str, str]:
        """Return the task as environment variables."""
        return {f"BENCH_{name.upper()}": str(value) for name, value in self._asdict().items()}


State = dict[str, float]


def fold(state: State, event: Mapping[str, Any]) -> State:
    """Fold one event into the counters of its customer, in place; return those that changed."""
    kind, now = event["type"], event["event_time"]
    last = state.get("last_time", 0)
    if now - last > _SESSION_GAP_MS:
        changed = {"session_start": now, "session_events": 1, "sessions": state.get("sessions", 0) + 1}
    else:
        changed = {"session_events": state["session_events"] + 1}
    passed = max(now - state.get(f"time_{kind}", now), 0)
    changed["events"] = state.get("events", 0) + 1
    changed["last_time"] = now
    changed[f"count_{kind}"] = state.get(f"count_{kind}", 0) + 1
    changed[f"recent_{kind}"] = state.get(f"recent_{kind}", 0.0) * 0.5 ** (passed / _HALF_LIFE_MS) + 1.0
    changed[f"time_{kind}"] = now
    money = event.get("value") or event.get("price") or 0.0
    if kind == "add_to_cart":
        changed["cart_value"] = state.get("cart_value", 0.0) + money
    elif kind == "purchase":
        changed["spend"] = state.get("spend", 0.0) + money
        changed["cart_value"] = 0.0
    state.update(changed)
    return changed


class Network:
    """The network, for one event at a time.

    Parameters
    ----------
    folder
        Of the bundle.
    """

    def __init__(self, folder: Path) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._run = ort.InferenceSession(folder / "network.onnx", options, ["CPUExecutionProvider"]).run
        self._features_version = schema_hash()

    def score(self, state: State, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return the score of an event whose customer is in ``state`` after it."""
        known = state.get
        now = state["last_time"]
        vector = np.zeros((1, WIDTH), np.float32)
        inputs = [
            now - state["session_start"],
            state["session_events"],
            state["events"],
            state["sessions"],
            known("cart_value", 0.0),
            known("spend", 0.0),
        ]
        for kind in EVENT_TYPES:
            inputs += (
                now - known(f"time_{kind}", 0),
                known(f"count_{kind}", 0),
                known(f"recent_{kind}", 0.0),
            )
        vector[0, : len(inputs)] = inputs
        (logit,) = self._run(None, {"vector": vector})
        probability = 1.0 / (1.0 + math.exp(-float(logit[0, 0])))
        band = "high" if probability > 0.6 else "medium" if probability > 0.5 else "low"
        return {
            "event_id": event["event_id"],
            "customer_id": event["customer_id"],
            "event_time": event["event_time"],
            "scored_at": time.time_ns() // 1_000_000,
            "purchase_intent": probability,
            "horizon_seconds": 1800.0,
            "as_of": now,
            "network_score": probability,
            "online_score": None,
            "band": band,
            "segment": {"id": 0, "name": "visitors"},
            "reasons": [],
            "action": "none",
            "holdout": False,
            "model_version": "benchmark",
            "features_version": self._features_version,
        }
