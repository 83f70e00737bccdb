"""OpenMP for LightGBM on machines that have none.

LightGBM's wheel wants the system's ``libgomp.so.1``, which small images such as ``python:3.11-slim`` lack.
scikit-learn's wheel carries the same library under another name, which the loader does not take for it. A copy that
bears the name, loaded first, is what LightGBM then finds.
"""

from __future__ import annotations

import ctypes
import re
import sys
import tempfile
from ctypes.util import find_library
from importlib.metadata import files
from pathlib import Path

__all__ = ["provide_openmp"]

_NAME = b"libgomp.so.1"
_loaded: list[ctypes.CDLL] = []


def provide_openmp() -> None:
    """Make ``import lightgbm`` work; does nothing where the system has the library, or is not Linux."""
    if _loaded or not sys.platform.startswith("linux") or find_library("gomp"):
        return
    carried = [file for file in files("scikit-learn") or [] if re.search(r"libgomp-\w+\.so", file.name)]
    for file in carried:
        library = Path(str(file.locate())).read_bytes()
        other_name = file.name.encode() + b"\0"
        with tempfile.NamedTemporaryFile(suffix=".so") as copy:
            copy.write(library.replace(other_name, _NAME.ljust(len(other_name), b"\0")))
            copy.flush()
            _loaded.append(ctypes.CDLL(copy.name, mode=ctypes.RTLD_GLOBAL))
