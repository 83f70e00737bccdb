"""How far workers have come with a log that is being sent, and whether all that they hand over has arrived.

Who looks from outside sees three things: where the events topic ends, up to where the states of each partition hold
it, and what the last save of each partition has promised to tell others (`stream.ownership.promised`). Earlier promises
have been kept: a worker goes on only after that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, NamedTuple, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError

from features.identity import HandOver, decode_identity, is_hand_over
from features.prices import decode_price
from features.store.partition_record import PartitionRecord
from features.store.state_reader import StateReader
from stream.kafka.broker import broker_errors
from stream.ownership.promised import HandOverRecord, unpack_outbox
from stream.settings import Settings

_MEMBERS: Final = 5  # place in Kafka's description of a group


class Progress(NamedTuple):
    """How far workers have come.

    Attributes
    ----------
    offsets
        Up to where the states of each partition hold the topic.
    arrived
        Whether all that the last saves have promised to other partitions is in the states of those.
    """

    offsets: Sequence[int]
    arrived: bool

    def past(self, ends: Sequence[int]) -> bool:
        """Whether the states hold all that lies below these offsets."""
        return all(offset >= end for offset, end in zip(self.offsets, ends, strict=True))


class Workers:
    """Looks at the workers of an events topic; an asynchronous context manager.

    Parameters
    ----------
    settings
        Where they are.
    partitions
        Of the topic.
    """

    def __init__(self, settings: Settings, partitions: int) -> None:
        self._settings = settings
        self._partitions = range(partitions)
        self._topic = [TopicPartition(settings.events_topic, number) for number in self._partitions]
        self._store = StateReader(settings.redis_url, settings.redis_prefix)
        security = settings.aiokafka_security()
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka,
            client_id="intent-replay",
            isolation_level="read_committed",
            **security,
        )
        self._admin = AIOKafkaAdminClient(
            bootstrap_servers=settings.kafka, client_id="intent-replay", **security
        )

    async def __aenter__(self) -> Self:
        try:
            with broker_errors(self._settings.kafka):
                await self._consumer.start()
                await self._admin.start()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._store.close()
        await self._admin.close()
        await self._consumer.stop()

    async def present(self) -> bool:
        """Return whether any worker reads the topic, as far as the broker says."""
        with suppress(KafkaError):  # not everybody may ask
            try:
                (answer,) = await self._admin.describe_consumer_groups([self._settings.group])
            except GroupCoordinatorNotAvailableError:  # this broker never had a group
                return False
            error, *_ = group = answer.groups[0]
            return bool(error or group[_MEMBERS])
        return True

    async def ends(self) -> list[int]:
        """Return the offset after the last record of each partition."""
        with broker_errors(self._settings.kafka):
            found = await self._consumer.end_offsets(self._topic)
        return [found[tp] for tp in self._topic]

    async def progress(self) -> Progress:
        """Return how far workers have come.

        Raises
        ------
        StoreUnavailable
            Redis does not answer.
        UnreadableRecord
            What it has is damaged, or of another version of this program.
        """
        found = await self._store.promised(self._partitions)
        records = [record for record, _ in found]
        offsets = [0 if record is None else record.next_offset for record in records]
        handed = [one for _, outbox in found if outbox for one in _last(unpack_outbox(outbox).handed)]
        arrived = [await self._has(records[home], home, value) for home, _, value in handed]
        return Progress(offsets, all(arrived))

    async def _has(self, record: PartitionRecord | None, home: int, value: bytes) -> bool:
        """Whether the states of a partition hold what was handed to it, or something later."""
        if record is None:
            return False
        if is_hand_over(value):
            handed = decode_identity(value)
            assert isinstance(handed, HandOver)
            source, *place = handed.source
            return any(
                one == source and (offset, number) >= tuple(place) for one, offset, number in record.taken
            )
        price = decode_price(value)
        table = await self._store.price(home, record, price.item_id)
        return bool(table.versions["time"].max(initial=0) >= price.event_time)


def _last(handed: Sequence[HandOverRecord]) -> list[HandOverRecord]:
    """Return the last hand-over and the last price for each partition: what comes before it arrives before it."""
    last: Mapping[tuple[int, bool], HandOverRecord] = {
        (record[0], is_hand_over(record[2])): record for record in handed
    }
    return list(last.values())
