from __future__ import annotations

import logging
from typing import Any

from aiokafka.errors import GroupCoordinatorNotAvailableError, NodeNotReadyError

from stream.cli.logs import CoordinatorStarting


def record(created: float, *args: Any) -> logging.LogRecord:
    made = logging.LogRecord("aiokafka", logging.ERROR, "", 0, "Request failed: %s", args, None)
    made.created = created
    return made


def test_a_coordinator_that_is_not_there_yet_is_no_news_for_ten_seconds() -> None:
    passes, absent = CoordinatorStarting(), GroupCoordinatorNotAvailableError()
    assert [passes(record(at, absent)) for at in (100.0, 105.0, 109.9)] == [False] * 3
    assert passes(record(110.5, absent)), "the broker is in trouble"
    assert not passes(record(200.0, absent)), "it had been there in between"


def test_other_errors_of_the_coordinator_are_logged() -> None:
    passes = CoordinatorStarting()
    assert passes(record(1.0, NodeNotReadyError()))
    assert passes(record(1.0))
