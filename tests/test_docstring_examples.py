"""The examples in docstrings are true."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

from tests.data_sets import ROOT

# Modules without an example are left out: importing all of them takes longer than running the examples.
MODULES = [
    path.relative_to(ROOT).with_suffix("")
    for package in ("features", "offline", "stream")
    for path in sorted((ROOT / package).rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_the_examples_of_a_module_give_what_they_show(path: Path) -> None:
    parts = path.parts[:-1] if path.name == "__init__" else path.parts
    found = doctest.testmod(importlib.import_module(".".join(parts)))
    assert found.attempted > 0
    assert found.failed == 0
