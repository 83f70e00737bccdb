"""The plugin of pytest: fixtures that score what a shop emits, in a real stack or in memory.

pytest imports this module in every session of an environment in which this package is installed. So it imports nothing
but pytest: everything else is imported by the first test that asks for one of the fixtures.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from stream.messages.action import Action
    from stream.messages.dead_letter import DeadLetter
    from stream.messages.score import Score
    from stream.settings import Settings
    from stream.testing.events import AnyLog
    from stream.testing.memory import MemoryStack
    from stream.testing.results import Results
    from stream.testing.servers import Services
    from stream.testing.stack import Stack

_STACK = "intent_stack"

# Of kafka-python: it reads its schemas in a way that is deprecated, and leaves to the collector the sockets of
# connections that were refused, or were being made when a client was closed.
_WARNINGS = (
    r"ignore:(read|open)_text is deprecated:DeprecationWarning",
    r"ignore:unclosed <socket\.socket .*laddr=\(.(0\.0\.0\.0|..).,:ResourceWarning",
    r"ignore:unclosed <socket\.socket .*proto=6, laddr=\(.127\.0\.0\.1.,.*raddr=\(.127\.0\.0\.1.,:ResourceWarning",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini option of the bundle."""
    parser.addini(
        "intent_bundle",
        "Folder of the bundle that intent_stack and intent_memory score with, beside the ini file. Default: a small "
        "one that comes with the package, trained on a simulated shop.",
        default="",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Pass over warnings that the shop can do nothing about."""
    for line in _WARNINGS:
        config.addinivalue_line("filterwarnings", line)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests that need the stack in one process of pytest-xdist, where it is told to look (loadgroup)."""
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            if _STACK in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.xdist_group("intent"))


@pytest.fixture(scope="session")
def intent_bundle(pytestconfig: pytest.Config) -> Path:
    """The folder of the bundle that scores: that of the ini option ``intent_bundle``, else a built-in one."""
    named = str(pytestconfig.getini("intent_bundle"))
    if not named:
        return Path(__file__).parent / "bundle"
    beside = pytestconfig.inipath.parent if pytestconfig.inipath is not None else pytestconfig.rootpath
    return beside / named


@pytest.fixture(scope="session")
def intent_settings() -> Mapping[str, Any]:
    """Further settings by their names: override it, to return ``{"policy": "policy.yaml"}`` for example."""
    return {}


@pytest.fixture(scope="session")
def _intent_settings(intent_bundle: Path, intent_settings: Mapping[str, Any]) -> Settings:
    """What both stacks score with; nothing comes from the environment or from ``.env``."""
    from stream.settings import load_settings
    from stream.testing.worker_process import without_settings

    # Everybody gets actions, and nothing is written for a learner that is not there.
    defaults: dict[str, Any] = {"holdout": 0.0, "learning": False, "bundle": intent_bundle}
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ.keys() - without_settings(os.environ).keys():
            patch.delenv(name)
        return load_settings(_env_file=None, **defaults | dict(intent_settings))


@pytest.fixture(scope="session")
def _intent_services() -> Iterator[Services]:
    from stream.testing.forked import prepare
    from stream.testing.servers import CHOICES, choose, running

    prepare()
    choices = {name: os.environ.get(name) for name in CHOICES}
    with running(choose(choices), choices) as services:
        yield services


@pytest.fixture(scope="session")
def intent_broker(_intent_services: Services) -> str:
    """The address of a Kafka broker, ``host:port``."""
    return _intent_services.kafka


@pytest.fixture(scope="session")
def intent_redis(_intent_services: Services) -> str:
    """The URL of a Redis database."""
    return _intent_services.redis


@pytest.fixture(scope="session")
def intent_stack(
    _intent_services: Services, _intent_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Kafka, Redis, topics and a worker, for the whole session; the environment names them meanwhile."""
    from stream.testing.stack import Stack

    given = {name: os.environ.get(f"INTENT_{name.upper()}") for name in _SECURITY}
    own = {name: value for name, value in given.items() if value and _intent_services.way == "external"}
    settings = _intent_settings.model_copy(update=_intent_servers(_intent_services, own))
    with Stack(_intent_services, settings, tmp_path_factory.mktemp("intent")) as stack:
        yield stack


_SECURITY = (
    "security_protocol",
    "sasl_mechanism",
    "sasl_username",
    "sasl_password",
    "sasl_oauth_token_file",
    "sasl_oauth_token_endpoint",
    "sasl_oauth_scope",
    "ssl_cafile",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_key_password",
)


def _intent_servers(services: Services, security: Mapping[str, Any]) -> dict[str, Any]:
    """Return where the servers are, and how to speak to them, as settings."""
    from stream.settings import load_settings

    found = load_settings(_env_file=None, kafka=services.kafka, redis=services.redis, **security)
    return {name: getattr(found, name) for name in ("kafka", "redis", *_SECURITY)}


@pytest.fixture
def _intent_emptied(intent_stack: Stack) -> Stack:
    """The stack without anything that earlier tests have sent."""
    if intent_stack.used:
        intent_stack.renew()
    return intent_stack


@pytest.fixture
def intent_replayed(_intent_emptied: Stack) -> Callable[[AnyLog], Results]:
    """Replays a log, and returns what came out once all of it is scored: ``intent_replayed("events.parquet")``."""
    return _intent_emptied.replay


@pytest.fixture
def intent_scores(_intent_emptied: Stack) -> Mapping[str, list[Score]]:
    """The scores of this test by customer, oldest first; each look waits until all that was emitted is scored."""
    return _intent_emptied.scores


@pytest.fixture
def intent_actions(_intent_emptied: Stack) -> Mapping[str, list[Action]]:
    """The actions of this test by customer, oldest first."""
    return _intent_emptied.actions


@pytest.fixture
def intent_letters(_intent_emptied: Stack) -> Callable[[], list[DeadLetter]]:
    """Returns what was refused in this test."""
    return lambda: _intent_emptied.letters


@pytest.fixture
def intent_memory(_intent_settings: Settings) -> MemoryStack:
    """A stack without servers: the same scoring in this process, and nothing in it."""
    from stream.testing.memory import MemoryStack

    return MemoryStack(_intent_settings)
