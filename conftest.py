"""The examples in docstrings are tests: pytest collects them from the packages themselves."""

from __future__ import annotations

from pathlib import Path

_ROOT = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out modules without an example: importing all of them would take longer than running the examples."""
    if collection_path.suffix != ".py" or collection_path.is_relative_to(_ROOT / "tests"):
        return None
    return True if ">>> " not in collection_path.read_text(encoding="utf-8") else None
