"""What Kafka has answered is noted, and small fetches linger."""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple, cast

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.structs import TopicPartition

from stream.kafka.answers import Answers

FETCH = FetchRequest(50, 1, 1, 1, [], rack_id="")
HEARTBEAT = HeartbeatRequest("group", 1, "member")


class Response(NamedTuple):
    topics: list[tuple[str, list[tuple[Any, ...]]]]


def answer(records: bytes, error: int = 0) -> Response:
    """Return a fetch response for partition 3: error, high watermark, stable offset, start, aborted, records."""
    return Response([("events", [(3, error, 9, 9, 0, [], records)])])


class Client:
    """Answers each request at once."""

    def __init__(self, response: Response) -> None:
        self.response = response
        self.sent: list[float] = []

    async def send(self, node: int, request: Any, *, group: Any = None) -> Response:
        self.sent.append(time.monotonic())
        return self.response


def asked(response: Response, requests: list[Any], linger: float = 0.0) -> tuple[Answers, list[float]]:
    """Return what was noted, and the seconds between the requests."""
    answers, client = Answers(linger), Client(response)
    answers.heartbeat = 0.0

    async def ask() -> None:
        answers.watch(cast(AIOKafkaClient, client))
        for request in requests:
            await client.send(1, request)

    asyncio.run(ask())
    return answers, [after - before for before, after in zip(client.sent, client.sent[1:], strict=False)]


def test_a_fetch_is_noted_for_its_partition() -> None:
    began = time.monotonic()
    answers, _ = asked(answer(b""), [FETCH])
    assert answers.fetched[TopicPartition("events", 3)] >= began
    assert answers.heartbeat == 0.0


def test_a_fetch_that_was_refused_is_no_answer() -> None:
    assert asked(answer(b"", error=6), [FETCH])[0].fetched == {}


def test_a_stable_offset_that_stands_still_below_the_end_is_noted_until_it_moves() -> None:
    answers, tp = Answers(), TopicPartition("events", 3)
    held = []
    for stable, end in [(9, 9), (9, 12), (9, 13), (10, 13), (13, 13)]:
        answers._note_fetch(1, Response([("events", [(3, 0, end, stable, 0, [], b"")])]))
        held.append(answers.held.get(tp))
    nothing, since, again, moved, over = held
    assert nothing is over is None
    assert since is not None and since == again and since[0] == 9
    assert moved is not None and moved[0] == 10 and moved[1] >= since[1]


def test_a_heartbeat_is_noted() -> None:
    began = time.monotonic()
    answers, _ = asked(answer(b""), [HEARTBEAT])
    assert answers.heartbeat >= began
    assert answers.fetched == {}


def test_after_nothing_the_next_fetch_goes_at_once() -> None:
    answers, _ = asked(answer(b""), [FETCH, FETCH], linger=0.03)
    assert not answers._next_fetch


def test_after_few_records_the_next_fetch_lingers() -> None:
    assert asked(answer(bytes(100)), [FETCH, FETCH], linger=0.03)[1] >= [0.03]


@pytest.mark.parametrize("size", [130, 1_300])
@pytest.mark.parametrize("rate", [10, 100, 1_000, 1_500])
def test_fetches_linger_until_some_events_have_come_or_no_longer_than_they_may(
    monkeypatch: pytest.MonkeyPatch, rate: int, size: int
) -> None:
    lingers = after(rate, size, monkeypatch)
    assert lingers <= 0.08 + 1e-9
    assert lingers == pytest.approx(min(0.08, 3_072 / (130 * rate)), rel=0.3)


@pytest.mark.parametrize("rate", [5_000, 50_000])
def test_where_events_come_in_crowds_no_fetch_lingers(monkeypatch: pytest.MonkeyPatch, rate: int) -> None:
    assert after(rate, 1_300, monkeypatch) == 0.0


def after(rate: int, size: int, monkeypatch: pytest.MonkeyPatch) -> float:
    """Return for how long a fetch lingers after seconds of so many events of 130 bytes a second, ``size`` a fetch."""
    now, answers = 0.0, Answers(linger=0.08)
    monkeypatch.setattr("stream.kafka.answers.time.monotonic", lambda: now)
    for _ in range(4 * rate):
        now += size / 130 / rate
        answers._note_fetch(1, answer(bytes(size)))
    return answers._next_fetch[1] - now
