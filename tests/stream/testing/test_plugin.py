"""The plugin costs nothing where it is not used, and says in one line what is wrong where it is misused."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from features.extras import PACKAGES
from tests.integration.workers import ROOT

LOADED = """
import json, sys
from pathlib import Path

def test_nothing_of_ours():
    Path("loaded.json").write_text(json.dumps(sorted(sys.modules)))
"""


def shop_tests(
    folder: Path, test: str, *options: str, ini: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a shop's tests as pytest does where the package is installed, and with no other plugin."""
    (folder / "test_shop.py").write_text(test)
    (folder / "pytest.ini").write_text(f"[pytest]\nfilterwarnings = error\n{ini}\n")
    own = {name: value for name, value in os.environ.items() if not name.startswith(("INTENT_", "PYTEST_"))}
    arguments = ["-m", "pytest", "-q", "-p", "stream.testing.plugin", "-p", "no:cacheprovider", *options]
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=own | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def test_a_session_that_uses_no_fixture_imports_nothing_but_the_plugin(tmp_path: Path) -> None:
    ended = shop_tests(tmp_path, LOADED)
    assert ended.returncode == 0, ended.stdout
    loaded = json.loads((tmp_path / "loaded.json").read_text())
    ours = [name for name in loaded if name.partition(".")[0] in ("features", "offline", "stream")]
    assert ours == ["stream", "stream.testing", "stream.testing.plugin"]
    assert {name.partition(".")[0] for name in loaded} & (set(PACKAGES) | {"kafka", "pydantic"}) == {"pytest"}


def test_the_project_tells_pytest_where_the_plugin_is() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"intent": "stream.testing.plugin"}


@pytest.mark.parametrize(
    ("ini", "environment", "told"),
    [
        ("intent_bundle = elsewhere", {}, "there is no bundle in .*elsewhere"),
        (
            "",
            {"INTENT_SERVICES": "none"},
            "INTENT_SERVICES=none: take one of auto, external, docker, embedded",
        ),
        ("", {"INTENT_SERVICES": "external"}, "INTENT_SERVICES=external needs INTENT_KAFKA and INTENT_REDIS"),
    ],
)
def test_what_is_misused_is_told(tmp_path: Path, ini: str, environment: dict[str, str], told: str) -> None:
    fixture = "intent_memory" if ini else "intent_broker"
    ended = shop_tests(tmp_path, f"def test_shop({fixture}): ...\n", "--tb=line", ini=ini, **environment)
    assert ended.returncode == 1
    assert re.search(told, ended.stdout), ended.stdout
