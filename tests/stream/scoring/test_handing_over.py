"""What is handed to other partitions keeps to what the events topic takes, whenever that changes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
from aiokafka.errors import MessageSizeTooLargeError, TopicAuthorizationFailedError

from stream.kafka.signatures import HandOverKeys
from stream.kafka.topics import EventsTopic
from stream.scoring.handing_over import HandingOver
from stream.scoring.publisher import Output, Publisher

SMALL, LARGE = (
    (1, "ada", b'{"source":[0,5,0]}'),
    (2, "grace", b'{"source":[0,6,0],"x":"' + b"x" * 5_000 + b'"}'),
)


class Broker(Publisher):
    """A publisher whose broker refuses batches that are larger than it takes."""

    def __init__(self, takes: int) -> None:
        super().__init__("localhost:1", scores="s", dead_letters="d", events="e")
        self.takes = takes
        self.published: list[Output] = []

    async def publish(self, outputs: Sequence[Output]) -> None:
        await asyncio.sleep(0)
        for output in outputs:
            if sum(len(value) for _, _, value in output.handed) > self.takes:
                raise MessageSizeTooLargeError
        self.published += outputs

    async def ask(self) -> EventsTopic:
        return EventsTopic(self.takes)


def handing_over(broker: Broker) -> HandingOver:
    return HandingOver(broker, "events", lambda: 7, broker.ask)


async def closed(broker: Broker, *partitions: int) -> list[int]:
    over = handing_over(broker)
    try:
        return await asyncio.gather(*(over.publish(one, [SMALL, LARGE]) for one in partitions))
    finally:
        await broker._producer.close()


def test_what_is_too_large_becomes_a_letter_beside_what_is_not() -> None:
    async def hand_over() -> Broker:
        broker = Broker(3_000)
        broker.events_bytes = 3_000
        assert await closed(broker, 0) == [1]
        return broker

    [output] = asyncio.run(hand_over()).published
    [letter] = output.letters
    assert output.handed == [SMALL]
    assert (letter.key, letter.value, letter.reason) == (b"grace", LARGE[2], "too_large")
    assert (letter.topic, letter.partition, letter.offset, letter.arrived_at) == ("events", 0, 6, 7)


def test_a_limit_that_was_lowered_is_asked_for_whichever_partitions_meet_it_at_once() -> None:
    async def hand_over() -> Broker:
        broker = Broker(3_000)
        assert await closed(broker, 0, 1) == [1, 1]
        return broker

    broker = asyncio.run(hand_over())
    assert broker.events_bytes == 3_000
    assert [output.handed for output in broker.published] == [[SMALL], [SMALL]]


def test_a_refusal_that_no_limit_explains_is_passed_on() -> None:
    async def hand_over() -> None:
        broker = Broker(3_000)
        broker.ask = lambda: asyncio.sleep(0, EventsTopic(1 << 20))  # type: ignore[method-assign]
        await closed(broker, 0)

    with pytest.raises(MessageSizeTooLargeError):
        asyncio.run(hand_over())


def test_a_worker_that_may_not_write_says_what_to_do() -> None:
    class Forbidden(Broker):
        async def publish(self, outputs: Sequence[Output]) -> None:
            raise TopicAuthorizationFailedError("events")

    async def hand_over() -> None:
        await closed(Forbidden(1 << 20), 0)

    with pytest.raises(
        TopicAuthorizationFailedError, match="kafka-acls.sh --add --operation Write --topic events"
    ):
        asyncio.run(hand_over())


@pytest.mark.parametrize("keys", [None, HandOverKeys([bytes(32)])], ids=["unsigned", "signed"])
def test_what_fits_is_what_a_batch_of_the_limit_holds(keys: HandOverKeys | None) -> None:
    async def sizes() -> None:
        publisher = Publisher("localhost:1", scores="s", dead_letters="d", events="e", hand_over_keys=keys)
        for length in range(1_500, 2_100):
            record = (0, "ada", b"x" * length)
            publisher.events_bytes = 2_000
            batch, (key, value, headers) = publisher._events_batch(), publisher._handed("ada", record[2])
            batch.append(timestamp=1, key=key, value=value, headers=headers)
            assert publisher.fits(record) == (cast(Any, batch).size() <= 2_000), length
        await publisher._producer.close()

    asyncio.run(sizes())
