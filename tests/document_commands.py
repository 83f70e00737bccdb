"""Commands in README and docs that no test runs: each has its reason, and what is checked instead.

Commands that run until they are stopped are named here, too.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import typer

from stream.cli import create_app
from tests.document_blocks import ROOT, Command


class NotRun(NamedTuple):
    """Why a command is not run, and what holds for it all the same."""

    pattern: str
    reason: str
    check: Callable[[Command], None]


def check_intent(command: Command) -> None:
    """Fail where a command or an option of ``intent`` is not there."""
    words = command.words
    assert words and words[0] == "intent", command.text
    found: Any = typer.main.get_command(create_app())
    rest = words[1:]
    while hasattr(found, "commands") and rest and not rest[0].startswith("-"):  # a group
        name = rest.pop(0)
        assert name in found.commands, f"`{command.text}`: there is no command {name!r}"
        found = found.commands[name]
    known: set[str] = {"--help", "-h"}
    for parameter in found.params:
        known |= {*parameter.opts, *parameter.secondary_opts}
    for word in rest:
        option = word.split("=")[0]
        assert not re.match(r"--?[a-z]", option) or option in known, (
            f"`{command.text}`: there is no option {option}"
        )


def _make(command: Command) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = [word for word in command.words[1:] if "=" not in word]
    assert set(named) <= set(targets), f"`{command.text}`: the Makefile has no such target"


def _pip(command: Command) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = set(project["project"]["optional-dependencies"])
    for named in re.findall(r"\[([a-z,]+)\]", command.text):
        assert set(named.split(",")) <= extras, f"`{command.text}`: pyproject.toml has no such extra"
    for group in re.findall(r"--group (\S+)", command.text):
        assert group in project.get("dependency-groups", {}), f"`{command.text}`: no such dependency group"
    for file in re.findall(r"-c (\S+)", command.text):
        assert (ROOT / file).is_file(), f"`{command.text}`: there is no {file}"


def _compose(command: Command) -> None:
    services = re.findall(r"^  ([a-z]+):$", (ROOT / "docker-compose.yml").read_text(), re.MULTILINE)
    for scaled in re.findall(r"--scale ([a-z]+)=", command.text):
        assert scaled in services, f"`{command.text}`: docker-compose.yml has no service {scaled}"


def _manifests(command: Command) -> None:
    for folder in re.findall(r"-k (\S+)", command.text):
        assert (ROOT / folder / "kustomization.yaml").is_file(), f"`{command.text}`: there is no {folder}"


def _named_tests(command: Command) -> None:
    for word in command.words:
        path, _, test = word.partition("::")
        if path.startswith("tests/"):
            assert (ROOT / path).exists(), f"`{command.text}`: there is no {path}"
            assert not test or f"def {test}(" in (ROOT / path).read_text(), (
                f"`{command.text}`: no test {test}"
            )


def _nothing(command: Command) -> None:
    """There is nothing in the project that this could miss."""


_DATA: Final = "the data set is not part of the project"
_LAB: Final = "takes minutes; tests/offline runs it on smaller data"

#: The first pattern that matches the beginning of a command counts.
NOT_RUN: Final = (
    NotRun(r"make ", "installs packages, or takes minutes", _make),
    NotRun(r"pip install ", "tests install nothing", _pip),
    NotRun(r"python3 -m venv|\. \.venv/bin/activate|python3 -m pip ", "tests run in an environment", _nothing),
    NotRun(r"docker compose ", "needs a Docker engine", _compose),
    NotRun(r"docker (build|push) ", "needs a Docker engine and a registry", _nothing),
    NotRun(r"kubectl ", "needs a cluster; tests/deploy checks the manifests", _manifests),
    NotRun(r"export INTENT_KAFKA=localhost:9094", "belongs to docker compose", _nothing),
    NotRun(r"\.venv/bin/(python -m pytest|ruff|mypy|lint-imports)", "a test must not run the tests", _named_tests),
    NotRun(r"\.venv/bin/python -m tests\.simulation", "tests/simulation runs the same code", _nothing),
    NotRun(r"intent demo", "takes a minute; tests/stream/cli/test_demo.py has its output", check_intent),
    NotRun(r"intent convert (online-retail|retailrocket|rees46)", _DATA, check_intent),
    NotRun(r"intent (report|compare|select|tune|network|segment|insight|forecast)", _LAB, check_intent),
    NotRun(r"intent train .*(orders|retail)\.parquet", _DATA, check_intent),
    NotRun(r"intent bundle ", "needs several bundles; tests/integration/test_shelf.py has them", check_intent),
    NotRun(r"intent serve", "tests/integration/test_serving.py starts it", check_intent),
    NotRun(r"curl (-N )?'?localhost:8090/", "asks intent serve, which is not run here", _nothing),
    NotRun(r"intent (train )?examples ", "tests/offline/examples/test_buckets_command.py runs both", check_intent),
)  # fmt: skip

#: Run until they are stopped: started in the background, and waited for until they are ready or have printed.
BACKGROUND: Final = (r"intent services", r"intent worker", r"intent learner", r"intent watch(?!.*--limit)")


def not_run(command: Command) -> NotRun | None:
    """Return why a command is not run, ``None`` for one that is."""
    plain = re.sub(r"^([A-Z_]+=\S+ )+", "", command.text)
    return next((entry for entry in NOT_RUN if re.match(entry.pattern, plain)), None)


def in_background(command: Command) -> bool:
    """Whether a command runs until it is stopped."""
    return any(re.match(pattern, " ".join(command.words)) for pattern in BACKGROUND)


def environment_without_settings() -> dict[str, Any]:
    """Return the environment of the tests without settings of whoever runs them."""
    return {name: value for name, value in os.environ.items() if not name.startswith("INTENT_")}
