"""What every test gets: no settings from outside, and a seed that a failure shows."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from stream.cli.logs import CONFIGURED
from stream.testing import servers

# Named by whoever runs the tests; everything else that starts with INTENT_ must not change what they find.
CHOICES = {name: os.environ.get(name) for name in servers.CHOICES}
# numba compiles within the first example of a test; how long an example takes is not what is tested.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# Processes of pytest-xdist share the cores. OpenMP's threads wait by spinning, so with more threads than cores most of
# the CPU time goes into waiting. Commands that tests start inherit this.
for _threads in (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
):
    os.environ.setdefault(_threads, "1")

# A broker that lives for seconds gains nothing from the JVM's second compiler and parallel collector: a start takes two
# thirds of the CPU time without.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")

_TESTS = Path(__file__).parent
_WAITING = ("chaos", "integration")

SEED = int(os.environ.get("INTENT_TEST_SEED") or random.SystemRandom().randrange(2**32))
os.environ["INTENT_TEST_SEED"] = str(SEED)  # pytest-xdist's processes inherit it

_SERVERS = pytest.StashKey[ExitStack]()
_SERVICES = pytest.StashKey[tuple[str, ...]]()


@pytest.fixture(autouse=True)
def _no_settings_from_outside(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for name in list(os.environ):
        if name.startswith("INTENT_") and name not in ("INTENT_KAFKA_JARS", "INTENT_DATA_DIR"):
            monkeypatch.delenv(name)
    if Path(".env").exists():
        monkeypatch.chdir(tmp_path_factory.mktemp("without-env-file"))


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Undo what a command sets up that runs in the tests' process: it would hold for every test after it."""
    loggers = [logging.getLogger(name) for name in ("", *CONFIGURED)]
    levels = {logger: logger.level for logger in loggers}
    filters = {one: list(one.filters) for one in (*loggers, *logging.root.handlers)}
    formatters = {handler: handler.formatter for handler in logging.root.handlers}
    disabled = logging.root.manager.disable
    yield
    logging.disable(disabled)
    for logger, level in levels.items():
        logger.setLevel(level)
    for one, passes in filters.items():
        one.filters[:] = passes
    for handler, formatter in formatters.items():
        handler.setFormatter(formatter)


@pytest.fixture
def seed() -> int:
    """Another number at every run; ``INTENT_TEST_SEED`` repeats one."""
    return SEED


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a process of pytest-xdist where the servers are: one Kafka and one Redis for the whole run."""
    stash = node.config.stash
    if _SERVERS not in stash:
        stash[_SERVERS] = ExitStack()
        stash[_SERVICES] = tuple(
            stash[_SERVERS].enter_context(servers.running(servers.choose(CHOICES), CHOICES))
        )
    node.workerinput["services"] = stash[_SERVICES]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the files that wait for servers over the first two thirds, among those that compute.

    Processes share the cores: one computes while another waits, and at the end none is left alone with a long file.
    """
    files = list(dict.fromkeys(item.path for item in items))
    waits = {path: path.relative_to(_TESTS).parts[0] in _WAITING for path in files}
    waiting, computing = ([path for path in files if waits[path] is one] for one in (True, False))
    step = 2 / 3 * len(computing) / max(len(waiting), 1)
    place = dict(zip(computing, map(float, range(len(computing))), strict=True))
    place |= {path: step * at for at, path in enumerate(waiting)}
    items.sort(key=lambda item: place[item.path])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers that were started for all processes."""
    if _SERVERS in config.stash:
        config.stash[_SERVERS].close()


def pytest_report_header() -> list[str]:
    return [
        f"Kafka and Redis of the integration tests: {servers.choose(CHOICES)} (INTENT_SERVICES chooses)",
        f"seed of random tests: {SEED} (INTENT_TEST_SEED={SEED} repeats them)",
    ]
