"""A record at which the real scorer raises: it becomes a letter or is skipped by hand, and all others are scored."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from features.partition import partitions_of
from features.store.redis_store import RedisStore
from stream import worker
from stream.cli import create_app
from stream.kafka.batches import RecordBatch
from stream.messages.dead_letter import parse
from stream.scoring.engine import Engine
from stream.scoring.scorer import Scorer, ScorerBatch
from stream.services.process import free_port
from stream.settings import Settings
from tests.bundles import save_bundle
from tests.integration.outcome import read_topic, scores_by_event
from tests.integration.topics import Record, environment, write
from tests.integration.workers import PATIENCE, Fleet, until

CURSED = "cursed"
CUSTOMERS = [CURSED, *(f"c-{number}" for number in range(20))]


@pytest.fixture
def fleet(topics: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """No process is started: the worker runs in this one, so that its parts can be made to fail."""
    save_bundle(topics.bundle)
    monkeypatch.setattr(worker, "_collect_seldom", lambda: None)
    with Fleet(topics.model_copy(update={"http_port": free_port()}), tmp_path) as fleet:
        yield fleet


def home(settings: Settings, customer: str) -> int:
    return int(partitions_of([customer.encode()], settings.partitions)[0])


def shop(settings: Settings) -> dict[str, str]:
    """Send five events of each customer, one of the cursed in the middle; return each event's customer."""
    rounds = [[one for one in CUSTOMERS if one != CURSED or number == 2] for number in range(5)]
    sent = {f"{one}-{number}": one for number, customers in enumerate(rounds) for one in customers}
    now = time.time_ns() // 1_000_000
    values = [
        {"event_id": event, "type": "view_item", "customer_id": one, "event_time": now + at}
        for at, (event, one) in enumerate(sent.items())
    ]
    records = [
        Record(one.encode(), json.dumps(value).encode(), home(settings, one))
        for one, value in zip(sent.values(), values, strict=True)
    ]
    write(settings, settings.events_topic, records)
    return sent


def at_work(settings: Settings, meanwhile: Callable[[], None]) -> None:
    """Run a worker in this process while the function runs in another thread."""

    async def main() -> None:
        stop = asyncio.Event()
        working = asyncio.create_task(worker.work(settings, stop=stop))
        doing = asyncio.create_task(asyncio.to_thread(meanwhile))
        await asyncio.wait([working, doing], return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        await working
        await doing

    asyncio.run(main())


def readiness(settings: Settings) -> str:
    """Return why the worker is not ready, empty when it is."""
    try:
        answer = httpx.get(f"http://127.0.0.1:{settings.http_port}/readyz", timeout=PATIENCE)
    except httpx.TransportError:
        return "not there yet"
    return "" if answer.status_code == httpx.codes.OK else str(answer.json()["reason"])


def metrics(settings: Settings) -> str:
    return httpx.get(f"http://127.0.0.1:{settings.http_port}/metrics", timeout=PATIENCE).text


def command(settings: Settings, *arguments: str) -> list[dict[str, Any]]:
    told = CliRunner(env=environment(settings)).invoke(
        create_app(), ["partition", *arguments, "--json"], catch_exceptions=False
    )
    assert told.exit_code == 0, told.output
    return [json.loads(line) for line in told.stdout.splitlines()]


def assert_all_others_scored(settings: Settings, sent: dict[str, str]) -> None:
    """Every event but the cursed one has a score and is counted once."""
    others = {event: one for event, one in sent.items() if one != CURSED}
    assert set(scores_by_event(read_topic(settings, settings.scores_topic))) == set(others)
    store = RedisStore(settings.redis_url, settings.redis_prefix)
    states = {one: store.peek(home(settings, one), one) for one in CUSTOMERS}
    store.close()
    counted = {one: int(state["events"][0]) for one, state in states.items() if state is not None}
    assert counted == Counter(others.values())


def test_a_record_that_the_fold_cannot_bear_becomes_a_letter_and_all_others_are_scored(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, inner = fleet.settings, Engine.score

    def score(self: Engine, columns: Any, customers: Sequence[str], *rest: Any, **named: Any) -> Any:
        if CURSED in customers:
            raise ZeroDivisionError("what nobody thought of")
        return inner(self, columns, customers, *rest, **named)

    monkeypatch.setattr(Engine, "score", score)
    sent = shop(settings)

    def meanwhile() -> None:
        fleet.finish()
        until(lambda: not readiness(settings), "the worker is ready")
        assert 'intent_dead_letters_total{reason="poison"} 1.0' in metrics(settings)
        assert "intent_parked_partitions 0.0" in metrics(settings)

    at_work(settings, meanwhile)
    assert_all_others_scored(settings, sent)
    (found,) = read_topic(settings, settings.dead_letters_topic)
    letter = parse(found)
    assert letter is not None
    assert (letter.reason, letter.key, letter.partition) == ("poison", b"cursed", home(settings, CURSED))
    assert json.loads(letter.value or b"")["event_id"] == "cursed-2"
    assert "ZeroDivisionError: what nobody thought of" in letter.detail


def test_a_parked_partition_goes_on_where_the_skip_leads_and_the_others_never_stop(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, inner = fleet.settings, Scorer.read

    def read(self: Scorer, batches: Sequence[RecordBatch], watermarks: Sequence[int]) -> ScorerBatch:
        if any(record.key == b"cursed" for batch in batches for record in batch.records):
            raise ZeroDivisionError("it cannot even be rejected")
        return inner(self, batches, watermarks)

    monkeypatch.setattr(Scorer, "read", read)
    sent = shop(settings)
    stuck, ends = home(settings, CURSED), fleet.ends(settings.events_topic)

    def progress() -> dict[int, int]:
        return {partition: record.next_offset for partition, record in fleet.records().items()}

    def meanwhile() -> None:
        until(lambda: "is parked" in readiness(settings), "a partition is parked")
        until(
            lambda: all(progress().get(p, 0) == end for p, end in ends.items() if p != stuck),
            "the others go on",
        )
        (before,) = command(settings, "show", str(stuck))
        reason = readiness(settings)
        assert (
            f"partition {stuck} of {settings.events_topic} is parked at offset {before['offset']}" in reason
        )
        assert "ZeroDivisionError: it cannot even be rejected" in reason
        assert "intent_parked_partitions 1.0" in metrics(settings)
        assert before["lag"] == ends[stuck] - before["offset"] > 0

        to = before["offset"] + 1
        assert f"`intent partition skip {stuck} --to {to} --reason TEXT`" in reason
        (told,) = command(settings, "skip", str(stuck), "--to", str(to), "--reason", "cursed")
        assert (told["from"], told["to"], told["skipped"]) == (before["offset"], to, 1)
        fleet.finish()
        until(lambda: not readiness(settings), "the worker is ready")
        shown = command(settings, "show")
        assert [one["lag"] for one in shown] == [0] * settings.partitions
        assert shown[stuck]["epoch"] > before["epoch"] + 1, "claimed by the command, then by the worker"

    at_work(settings, meanwhile)
    assert_all_others_scored(settings, sent)
    assert read_topic(settings, settings.dead_letters_topic) == []

    before = fleet.records()[stuck]
    (told,) = command(
        settings, "reset-watermark", str(stuck), "--to", "2024-03-04T00:00:00Z", "--reason", "t"
    )
    assert told["to"] == "2024-03-04T00:00:00Z"
    assert fleet.records()[stuck].watermark == 1_709_510_400_000
    store = RedisStore(settings.redis_url, settings.redis_prefix)
    future = fleet.records()[stuck]
    store.claim(stuck, future, future._replace(watermark=253_402_300_799_000))
    store.close()
    command(settings, "reset-watermark", str(stuck), "--reason", "an event from the year 9999")
    after = fleet.records()[stuck]
    assert abs(after.watermark - before.watermark) < 60_000, "arrival and event time are about the same here"
    assert (after.next_offset, after.epoch) == (before.next_offset, before.epoch + 2)
