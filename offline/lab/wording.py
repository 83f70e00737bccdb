"""Figures in words."""

from __future__ import annotations

from typing import Any

import numpy as np


def with_interval(figures: dict[str, Any], name: str) -> str:
    """Return a figure with its interval for people."""
    value, interval = figures.get(name), (figures.get("ci") or {}).get(name)
    if value is None:
        return "–"
    if interval is None or not np.isfinite(interval).all():
        return f"{value:.3f}"
    return f"{value:.3f} ({interval[0]:.3f}–{interval[1]:.3f})"
