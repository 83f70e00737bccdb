"""The processes that do the work: a Dask cluster named by its scheduler's address, or workers on this machine."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from features.causes import cause
from features.vector import schema_hash
from offline.examples.buckets.errors import BucketError
from offline.examples.buckets.sizes import BASE_BYTES, LEAST_WORKER_BYTES, machine_bytes, processors, shown
from offline.exceptions import MissingExtra

if TYPE_CHECKING:
    from distributed import Client, Future

Result = TypeVar("Result")

_ADDRESS: Final = re.compile(r"(?:[a-z]+://)?(?:\[[0-9a-fA-F:]+\]|[^:/\s\[\]]+):\d{1,5}")

# A scheduler that is there answers within milliseconds, one behind a slow VPN within a second or two.
_CONNECT_SECONDS: Final = 5.0
# A cluster that was just started may not have its first worker yet.
_WORKER_SECONDS: Final = 15.0
# How much of this machine's memory local workers share by default: the rest is for the system's file cache.
_SHARE: Final = 0.6


class Workers(NamedTuple):
    """A connected cluster: how many tasks it does at once, and the memory (bytes) that each has for its rows."""

    client: Client
    slots: int
    task_bytes: int


@contextmanager
def workers(scheduler: str | None, count: int | None, memory: int | None, scratch: Path) -> Iterator[Workers]:
    """Connect to a cluster, or start one on this machine, and leave or end it with the block.

    Parameters
    ----------
    scheduler
        Address of a running cluster's scheduler, such as ``tcp://host:8786``; None for workers on this machine.
    count
        Of local workers, each a process with one thread; by default one for each processor.
    memory
        Of one worker, bytes. A local worker that takes more is ended. On a cluster, where workers have limits
        of their own, the smaller of the two counts.
    scratch
        Where local workers may leave files.

    Raises
    ------
    BucketError
        The scheduler does not answer, or has no workers.
    MissingExtra
        Dask is not installed.
    """
    try:
        import dask
        import distributed
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "distributed") from None
    # Its own remarks on lost connections and restarted workers would stand between bars; what matters is raised.
    quiet = logging.getLogger("distributed")
    level = quiet.level
    quiet.setLevel(logging.CRITICAL)
    settings = {
        # Results are small, so there is nothing to move to disk: only the limit itself counts.
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.pause": False,
        "distributed.scheduler.allowed-failures": 1,
        "temporary-directory": str(scratch),
    }
    try:
        with dask.config.set(settings):
            if scheduler is not None:
                with _connected(scheduler) as client:
                    yield _described(client, memory)
                return
            count = count or processors()
            own = memory or int(machine_bytes() * _SHARE / count)
            if own < LEAST_WORKER_BYTES:
                raise BucketError(
                    f"a worker needs at least {shown(LEAST_WORKER_BYTES)} of memory, not {shown(own)}: "
                    "raise --memory or use fewer --workers"
                )
            with (
                distributed.LocalCluster(
                    n_workers=count,
                    threads_per_worker=1,
                    processes=True,
                    memory_limit=own,
                    env={"ARROW_DEFAULT_MEMORY_POOL": "system"},  # gives memory back sooner than Arrow's own
                    dashboard_address="127.0.0.1:0",  # any free port: 8787 may be taken
                    local_directory=str(scratch),
                    silence_logs=logging.CRITICAL,
                ) as cluster,
                distributed.Client(cluster, set_as_default=False) as client,
            ):
                yield _described(client, own)
    finally:
        quiet.setLevel(level)


@contextmanager
def _connected(scheduler: str) -> Iterator[Client]:
    from distributed import Client

    if _ADDRESS.fullmatch(scheduler) is None:
        raise BucketError(f"{scheduler!r} is no address of a Dask scheduler: write tcp://HOST:8786")
    try:
        client = Client(scheduler, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise BucketError(
            f"no Dask scheduler answers at {scheduler} ({error}): start one with `dask scheduler`, "
            "or leave out --scheduler to work on this machine"
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=_WORKER_SECONDS)
        except TimeoutError:
            raise BucketError(
                f"the Dask cluster at {scheduler} has no workers: start some with `dask worker {scheduler}`"
            ) from None
        yield client


def _described(client: Client, memory: int | None) -> Workers:
    found = list(client.scheduler_info()["workers"].values())
    rooms = []
    for worker in found:
        limit = worker["memory_limit"] or memory or machine_bytes()
        room = max(min(limit, memory or limit), LEAST_WORKER_BYTES) - BASE_BYTES
        rooms.append(room // worker["nthreads"])
    return Workers(client, sum(worker["nthreads"] for worker in found), min(rooms))


def require_shared(client: Client, log: Path, folder: Path) -> None:
    """Refuse workers that don't see the log and the folder, or have another version of this package.

    Raises
    ------
    BucketError
        Names the worker and what it lacks.
    """
    seen = client.run(_seen, str(log), str(folder), on_error="return")
    for worker, answer in seen.items():
        if isinstance(answer, ModuleNotFoundError):
            raise BucketError(
                f"the worker {worker} cannot import {answer.name}: install this package on every worker"
            )
        if isinstance(answer, BaseException):
            raise BucketError(f"the worker {worker} cannot work: {cause(answer)}")
        sees_log, sees_folder, version = answer
        for path, there in ((log, sees_log), (folder, sees_folder)):
            if not there:
                raise BucketError(
                    f"the worker {worker} does not see {path}: the log and the output folder must lie on storage "
                    "that all workers share, under the same path"
                )
        if version != schema_hash():
            raise BucketError(
                f"the worker {worker} has another version of this package: install the same everywhere"
            )


def _seen(log: str, folder: str) -> tuple[bool, bool, str]:
    return Path(log).is_file(), Path(folder).is_dir(), schema_hash()


def gather(
    client: Client,
    futures: Sequence[Future[Result]],
    on_result: Callable[[Result], None] | None = None,
    *,
    spares: str = "use more --buckets",
) -> list[Result]:
    """Wait for tasks and return their results in order; the first failure ends all.

    Parameters
    ----------
    spares
        What spares a worker memory in these tasks.

    Raises
    ------
    BucketError
        A worker ran out of memory, could not read or write, or the cluster is gone.
    """
    from distributed import CancelledError, KilledWorker, as_completed

    results: dict[Any, Result] = {}
    try:
        for future in as_completed(futures, loop=client.loop):
            results[future.key] = future.result()
            if on_result is not None:
                on_result(results[future.key])
    except (KilledWorker, MemoryError):
        raise BucketError(
            f"a worker ran out of memory: raise --memory, {spares}, or, with several threads a worker, fewer of "
            "them"
        ) from None
    except CancelledError:
        raise BucketError(
            "the connection to the Dask scheduler was lost: start again when it is back"
        ) from None
    except OSError as error:
        raise BucketError(f"a worker could not read or write: {error}") from None
    finally:
        for future in futures:
            if not future.done():
                future.cancel()
    return [results[future.key] for future in futures]
