"""A worker in a process of its own whose job counts events per customer.

``python -m tests.integration.counting_worker KAFKA REDIS PREFIX GROUP TOPIC JOURNAL BATCH_MAX PAUSE``

It writes to the file JOURNAL what it has processed (partition, first and last fetch position), pauses PAUSE
seconds in each batch as if it awaited acknowledgements, and ends like ``intent worker``: one line and exit
code 1 on a refusal.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from features.exceptions import IntentError
from features.store.redis_store import RedisStore
from stream.kafka.transport import BatchedApp, serve
from stream.ownership.partitions import Ownership
from tests.stream.fakes import Counted, Counting


class SlowCounting(Counting):
    """Counts, keeps a journal, and takes its time."""

    def __init__(self, journal: Path, pause: float) -> None:
        super().__init__()
        self._journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._pause = pause

    async def publish(self, counted: Counted) -> None:
        await asyncio.sleep(self._pause)
        for batch in counted.batches:
            os.write(self._journal, f"{batch.partition} {batch.start} {batch.stop}\n".encode())


async def main(  # noqa: PLR0917 (in the order of the command line)
    kafka: str, redis: str, prefix: str, group: str, topic: str, journal: str, batch_max: str, pause: str
) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    store = RedisStore(redis, prefix)
    await asyncio.to_thread(store.ping)
    job = SlowCounting(Path(journal), float(pause))
    ownership = Ownership(store, job, topic=topic, batch_max=int(batch_max), cache_customers=300)
    # 6 s is the shortest session that a broker grants by default: kills are noticed after that.
    scratch = Path(journal).parent / "faust"
    await serve(BatchedApp(kafka, group, topic, ownership, broker_session_timeout=6.0, datadir=scratch), stop)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(name)s %(message)s", stream=sys.stdout)
    try:
        asyncio.run(main(*sys.argv[1:]))
    except IntentError as error:
        sys.exit(str(error))
