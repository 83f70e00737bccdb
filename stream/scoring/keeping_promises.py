"""Writes what saves have promised: what is handed over to other partitions, and actions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from stream.ownership.promised import ActionRecord, HandOverRecord, unpack_outbox
from stream.scoring.handing_over import HandingOver
from stream.scoring.metrics import ScorerMetrics
from stream.scoring.publisher import Output, Publishes

logger = logging.getLogger(__name__)

# Records in one publication: it ends within its time limit.
_AT_ONCE: Final = 10_000


@dataclass(frozen=True, slots=True)
class KeepingPromises:
    """Keeps the promises of several partitions at the same time.

    Parameters
    ----------
    publisher, handing_over
        Write.
    metrics
        Count what was written.
    acting
        Whether there is a topic for actions.
    """

    publisher: Publishes
    metrics: ScorerMetrics
    handing_over: HandingOver
    acting: bool

    async def keep(self, promised: Sequence[tuple[int, bytes]]) -> None:
        """Write what was promised, by partition, and return once the broker has acknowledged all of it.

        Raises
        ------
        KafkaError
            As `Publisher.publish`. Some of it may have been written.
        """
        opened = [(partition, unpack_outbox(outbox)) for partition, outbox in promised]
        handing = (self._hand_over(partition, own.handed) for partition, own in opened if own.handed)
        for failure in await asyncio.gather(*handing, return_exceptions=True):  # all have ended
            if failure is not None:
                raise failure
        acts = [(partition, own.actions) for partition, own in opened if own.actions]
        if not self.acting:
            for partition, _ in acts:
                logger.warning(
                    "partition %s: actions that are not known to be published are given up", partition
                )
            return
        for outputs in _publications(acts):
            await self.publisher.publish(outputs)
            self.metrics.count_actions([record for output in outputs for record in output.actions])

    async def _hand_over(self, partition: int, handed: Sequence[HandOverRecord]) -> None:
        for start in range(0, len(handed), _AT_ONCE):
            undelivered = await self.handing_over.publish(partition, handed[start : start + _AT_ONCE])
            if undelivered:
                self.metrics.count_undelivered(undelivered)


def _publications(acts: Sequence[tuple[int, Sequence[ActionRecord]]]) -> Iterator[list[Output]]:
    outputs, number = list[Output](), 0
    for partition, records in acts:
        for start in range(0, len(records), _AT_ONCE):
            piece = records[start : start + _AT_ONCE]
            if outputs and number + len(piece) > _AT_ONCE:
                yield outputs
                outputs, number = [], 0
            outputs.append(Output(partition, actions=piece))
            number += len(piece)
    if outputs:
        yield outputs
