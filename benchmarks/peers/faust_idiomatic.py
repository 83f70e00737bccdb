"""The job in Faust as its documentation shows it: an agent takes events one by one, features in a Redis hash.

32 events are under way at the same time (``concurrency``): while one waits for Redis, others go on.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import faust
import redis.asyncio

from benchmarks.peers.job import Network, Task, fold

_CONCURRENCY: Final = 32


def build(task: Task) -> faust.App:
    """Return the app."""
    app = faust.App(
        f"bench-faust-{task.run}",
        broker=f"kafka://{task.kafka}",
        store="memory://",
        datadir=str(task.folder),
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        worker_redirect_stdouts=False,
    )
    events, scores = app.topic(task.source), app.topic(task.sink)
    store = redis.asyncio.Redis.from_url(task.redis, protocol=2, decode_responses=True)
    network = Network(task.bundle)

    @app.agent(events, concurrency=_CONCURRENCY)
    async def score(stream: Any) -> None:
        async for event in stream:
            customer = event["customer_id"]
            key = f"bench:{customer}"
            state = {name: float(value) for name, value in (await store.hgetall(key)).items()}
            changed = fold(state, event)
            await store.hset(key, mapping=changed)
            await scores.send(key=customer, value=network.score(state, event))

    return app


if __name__ == "__main__":
    faust.Worker(build(Task.from_environment()), loglevel=logging.WARNING).execute_from_commandline()
