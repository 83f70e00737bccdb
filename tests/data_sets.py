"""Public data sets, which the repository does not contain."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]


def data_set(name: str) -> Path:
    """Return the path of a public data set, or skip the test."""
    folder = Path(os.environ.get("INTENT_DATA_DIR") or ROOT.parent / "shared" / "data")
    path = folder / name
    if not path.is_file():
        pytest.skip(f"the data set is not there: {path} (INTENT_DATA_DIR names its folder)")
    return path
