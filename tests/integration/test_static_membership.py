"""Workers with names of their own: who restarts gets its partitions back, and who shares a name ends."""

from __future__ import annotations

import json
from collections import Counter

from stream.clients.emit import EventEmitter
from stream.settings import Settings
from tests.integration.test_emit_watch import event
from tests.integration.topics import held
from tests.integration.workers import Fleet, Worker, until

EVENTS = 60


def emit(settings: Settings, first: int) -> None:
    with EventEmitter(settings) as shop:
        for number in range(first, first + EVENTS):
            shop.emit(event(number, f"customer {number % 20}"))


def rebalances(worker: Worker) -> float:
    return worker.metrics()["intent_rebalances_total"]


def test_a_worker_that_restarts_under_its_name_leaves_the_others_alone(fleet: Fleet) -> None:
    named = [
        Settings(
            _env_file=None,
            **(fleet.settings.model_dump() | {"group_instance": name, "session_timeout": "60s"}),
        )
        for name in "ab"
    ]
    a, b = fleet.start(settings=named[0]), fleet.start(settings=named[1])
    a.wait_ready()
    b.wait_ready()
    until(lambda: owned(a) + owned(b) == fleet.settings.partitions and owned(a) and owned(b), "both own some")
    emit(fleet.settings, 0)
    fleet.finish(a, b)
    before, own = rebalances(b), owned(a)

    assert a.stop()[0] == 0
    emit(fleet.settings, EVENTS)
    again = fleet.ready(settings=named[0])
    emit(fleet.settings, 2 * EVENTS)
    fleet.finish(again, b)
    assert (rebalances(b), owned(again)) == (before, own)

    twin = fleet.ready(settings=named[0])
    assert again.wait() == 1
    assert again.lines()[-1] == (
        f"intent: another worker has joined the group {fleet.settings.group} as a and taken this one's place: give "
        "each worker an INTENT_GROUP_INSTANCE of its own"
    )
    emit(fleet.settings, 3 * EVENTS)
    fleet.finish(twin, b)
    assert (rebalances(twin), rebalances(b), owned(twin)) == (1, before, own)

    records = held(fleet.settings, fleet.settings.scores_topic)
    scored = Counter(json.loads(record.value)["event_id"] for record in records)
    assert scored == Counter(f"e{number}" for number in range(4 * EVENTS))


def owned(worker: Worker) -> int:
    """Return how many partitions a worker owns."""
    return sum(name.startswith("intent_lag_events{") for name in worker.metrics())
