"""What is done to servers and processes, one fault after the other; each is over when everybody is ready again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from stream.services.process import ServerProcess
from tests.chaos.proxy import CUT, PASS, SLOW, STALL, Proxy
from tests.chaos.stage import Stage
from tests.integration.workers import Worker, until

#: Seconds that an end of a process may take.
END_SECONDS: Final = 15.0


@dataclass
class Times:
    """The longest times that were seen, in seconds; ``None`` where nothing was measured."""

    takeover: float | None = None
    end: float | None = None
    faults: dict[str, int] = field(default_factory=dict)

    def took(self, name: str, seconds: float) -> None:
        """Take note of how long something took."""
        setattr(self, name, max(seconds, getattr(self, name) or 0.0))


def kill_worker(stage: Stage, times: Times) -> None:
    """A worker is killed; the other one takes over; later a third one joins."""
    stage.workers.pop(stage.chance.randrange(2)).kill()
    began = time.monotonic()
    until(lambda: len(stage.fleet.records()) and stage.owners() == 1, "the other worker has taken over")
    times.took("takeover", time.monotonic() - began)
    stage.workers.append(stage.fleet.start())


def stop_worker(stage: Stage, times: Times) -> None:
    """A worker is asked to end, and another one starts."""
    _stop(stage.workers.pop(stage.chance.randrange(2)), times)
    stage.workers.append(stage.fleet.start())


def freeze_worker(stage: Stage, times: Times) -> None:
    """A worker stands still, perhaps until its partitions are gone."""
    _freeze(stage.chance.choice(stage.workers).process.pid, stage.chance.uniform(1, 18))


def kill_learner(stage: Stage, times: Times) -> None:
    """The learner is killed, and another one starts."""
    stage.learner.kill()
    stage.learner = stage.fleet.start(command="learner")


def freeze_learner(stage: Stage, times: Times) -> None:
    """The learner stands still, perhaps until its lease is over."""
    _freeze(stage.learner.process.pid, stage.chance.uniform(1, 14))


def set_redis_back(stage: Stage, times: Times) -> None:
    """Redis is killed, and starts from a file that is some seconds old."""
    stage.save_file()
    time.sleep(stage.chance.uniform(0, 3))
    stage.redis.kill()
    time.sleep(stage.chance.uniform(0, 5))
    stage.redis.start()


def kill_kafka(stage: Stage, times: Times) -> None:
    """The broker is killed, and starts again."""
    stage.kafka.kill()
    time.sleep(stage.chance.uniform(0, 8))
    stage.kafka.start()


def kill_both(stage: Stage, times: Times) -> None:
    """Broker and Redis are killed together; Redis starts from an old file."""
    stage.save_file()
    time.sleep(stage.chance.uniform(0, 2))
    stage.kafka.kill()
    stage.redis.kill()
    stage.redis.start()
    stage.kafka.start()


def freeze_kafka(stage: Stage, times: Times) -> None:
    """The broker stands still."""
    _freeze_server(stage.kafka, stage.chance.uniform(1, 15))


def freeze_redis(stage: Stage, times: Times) -> None:
    """Redis stands still."""
    _freeze_server(stage.redis, stage.chance.uniform(1, 10))


def stop_without_kafka(stage: Stage, times: Times) -> None:
    """A worker is asked to end while the broker is away."""
    stage.kafka.kill()
    time.sleep(1)
    _stop(stage.workers.pop(stage.chance.randrange(2)), times)
    stage.kafka.start()
    stage.workers.append(stage.fleet.start())


def _disturb(proxy: Callable[[Stage], Proxy], mode: str) -> Callable[[Stage, Times], None]:
    def disturb(stage: Stage, times: Times) -> None:
        proxy(stage).switch(mode)
        time.sleep(stage.chance.uniform(0.5, 10))
        proxy(stage).switch(PASS)

    return disturb


def _kafka(stage: Stage) -> Proxy:
    return stage.kafka_proxy


def _redis(stage: Stage) -> Proxy:
    return stage.redis_proxy


FAULTS: Final[dict[str, Callable[[Stage, Times], None]]] = {
    "worker killed": kill_worker,
    "worker stopped": stop_worker,
    "worker frozen": freeze_worker,
    "learner killed": kill_learner,
    "learner frozen": freeze_learner,
    "Redis set back": set_redis_back,
    "broker killed": kill_kafka,
    "broker and Redis killed": kill_both,
    "broker frozen": freeze_kafka,
    "Redis frozen": freeze_redis,
    "worker stopped without a broker": stop_without_kafka,
    "connections to Kafka cut": _disturb(_kafka, CUT),
    "connections to Kafka stalled": _disturb(_kafka, STALL),
    "connections to Kafka slow": _disturb(_kafka, SLOW),
    "connections to Redis cut": _disturb(_redis, CUT),
    "connections to Redis stalled": _disturb(_redis, STALL),
    "connections to Redis slow": _disturb(_redis, SLOW),
}


#: After these, Redis starts from an older file.
FELL_BACK: Final = {"Redis set back", "broker and Redis killed"}


def _stop(worker: Worker, times: Times) -> None:
    code, seconds = worker.stop()
    times.took("end", seconds)
    assert seconds <= END_SECONDS, f"a worker took {seconds:.1f} s to end: {worker.tail()}"
    assert code == 0, f"a worker ended with {code}: {worker.tail()}"


def _freeze_server(server: ServerProcess, seconds: float) -> None:
    assert server.pid is not None
    _freeze(server.pid, seconds)


def _freeze(pid: int, seconds: float) -> None:
    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)
