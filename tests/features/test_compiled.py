from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from features.compiled import cache_folder

ROOT = Path(__file__).parents[2]


def test_a_change_of_any_source_is_another_folder(tmp_path: Path) -> None:
    source = tmp_path / "stream" / "learning" / "model" / "newton.py"
    source.parent.mkdir(parents=True)
    source.write_text("WIDTH = 66")
    before = cache_folder(tmp_path, Path("base"))
    assert cache_folder(tmp_path, Path("base")) == before
    assert cache_folder(tmp_path, before) == before, "a child process stays in the folder"
    source.write_text("WIDTH = 67")
    assert cache_folder(tmp_path, Path("base")) != before


def test_kernels_are_compiled_into_that_folder(tmp_path: Path) -> None:
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "import features.partition as p; print(p.partitions_of([b'21'], 1000).tolist())",
        ],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == "[340]"
    assert list(tmp_path.glob("*/**/partition._partitions*.nbi"))


def test_the_same_sources_elsewhere_run_what_is_compiled(tmp_path: Path) -> None:
    copy, cache = tmp_path / "copy", tmp_path / "cache"
    for package in ("features", "offline", "stream"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    found = []
    for root in (ROOT, copy):
        assert kernel(root, NUMBA_CACHE_DIR=str(cache), PYTHONPATH=str(root)) == ("[340]", [])
        found.append({path: path.stat().st_mtime_ns for path in cache.rglob("*.nb*")})
    assert found[0] == found[1] != {}


def kernel(root: Path | None = None, **environment: str) -> tuple[str, list[str]]:
    """Return what a kernel says in a process with this environment, and the warnings."""
    told = subprocess.run(
        [sys.executable, "-c", "import features.partition as p; print(p.partitions_of([b'21'], 1000).tolist())"],
        cwd=root,
        env={name: value for name, value in (os.environ | environment).items() if value},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return told.stdout.strip(), told.stderr.splitlines()


def test_a_folder_that_cannot_be_written_is_replaced_by_a_temporary_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    said, [warning] = kernel(NUMBA_CACHE_DIR=str(tmp_path / "file"), TMPDIR=str(temporary))
    assert said == "[340]"
    assert str(temporary) in warning
    assert "set NUMBA_CACHE_DIR" in warning
    assert not list(temporary.iterdir()), "it is removed at the end"


def test_without_a_home_everything_works(tmp_path: Path) -> None:
    said, warnings = kernel(NUMBA_CACHE_DIR="", XDG_CACHE_HOME="", HOME="/proc/none", TMPDIR=str(tmp_path))
    assert said == "[340]"
    assert len(warnings) == 1


def test_who_only_writes_events_pays_nothing_for_numba() -> None:
    subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, sys, features.events;"
            "assert 'numba' not in sys.modules; assert 'NUMBA_CACHE_DIR' not in os.environ",
        ],
        env={name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"},
        check=True,
    )
