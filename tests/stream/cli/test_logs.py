from __future__ import annotations

import asyncio
import json
import logging
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    IllegalGenerationError,
    KafkaError,
    NodeNotReadyError,
    RebalanceInProgressError,
)

from features.exceptions import IntentError
from stream.cli.logs import CoordinatorStarting, JsonFormatter, errors_logged, is_no_rebalance


def record(created: float, *args: Any) -> logging.LogRecord:
    made = logging.LogRecord("aiokafka", logging.ERROR, "", 0, "Request failed: %s", args, None)
    made.created = created
    return made


def test_a_coordinator_that_is_not_there_yet_is_no_news_for_ten_seconds() -> None:
    passes, absent = CoordinatorStarting(), GroupCoordinatorNotAvailableError()
    assert [passes(record(at, absent)) for at in (100.0, 105.0, 109.9)] == [False] * 3
    assert passes(record(110.5, absent)), "the broker is in trouble"
    assert not passes(record(200.0, absent)), "it had been there in between"


@pytest.mark.parametrize("error", [RebalanceInProgressError, IllegalGenerationError])
def test_a_rebalance_is_no_warning(
    error: type[KafkaError], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What aiokafka says on each heartbeat while a worker comes or goes; that it was left out, it still says."""

    class Member:
        group_id, generation, member_id = "scorers", 1, "one"

        async def _send_req(self, request: object) -> object:
            return SimpleNamespace(error_code=error.errno)

        def request_rejoin(self) -> None:
            pass

        reset_generation = request_rejoin

    client = logging.getLogger("aiokafka.consumer.group_coordinator")
    monkeypatch.setattr(client, "filters", [is_no_rebalance])
    asyncio.run(GroupCoordinator._do_heartbeat(Member()))
    assert [entry.name for entry in caplog.records] == (
        [] if error is RebalanceInProgressError else [client.name]
    )


def test_other_errors_of_the_coordinator_are_logged() -> None:
    passes = CoordinatorStarting()
    assert passes(record(1.0, NodeNotReadyError()))
    assert passes(record(1.0))


def test_a_line_of_json_holds_all_that_a_log_needs() -> None:
    made = record(0.25, "no broker")
    line = json.loads(JsonFormatter().format(made))
    assert line == {
        "time": "1970-01-01T00:00:00.250+00:00",
        "level": "ERROR",
        "logger": "aiokafka",
        "message": "Request failed: no broker",
    }


def test_an_exception_stays_on_its_line() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        made = record(0.25, "x")
        made.exc_info = sys.exc_info()
    text = JsonFormatter().format(made)
    assert "\n" not in text
    assert json.loads(text)["exception"].startswith("Traceback")


def test_the_last_error_of_a_json_log_is_json_too(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SystemExit) as end, errors_logged(form="json"):
        raise IntentError("Redis was lost")
    assert end.value.code == 1
    assert [entry.getMessage() for entry in caplog.records] == ["Redis was lost"]
    with pytest.raises(IntentError), errors_logged(form="text"):
        raise IntentError("Redis was lost")
