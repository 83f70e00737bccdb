"""ONNX Runtime, told to send nothing to its maker; import it from here.

From 1.31 on, importing it on Linux makes an id for the machine and starts a thread that sends telemetry, unless the
environment forbids it before.
"""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as ort

__all__ = ["ort"]
