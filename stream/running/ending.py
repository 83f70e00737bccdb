"""The end of a process: asked for, refused or crashed, and over before one deadline whatever still runs.

Code of others may hold an end up for ever: a task that swallows its cancellation, a thread that waits for a server.
So a thread of its own watches the deadline, and then ends the process with a line that names what was still running.
Nothing is lost by that: what is saved is saved, and the rest is read again.

Exit codes: 0 stopped as asked; 1 refused or failed; 2 misused; 3 cut off at the deadline although asked to stop in
order; 128 + signal where a second signal asked for an end at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any, Final, TypeVar

from features.exceptions import IntentError
from stream.running import outages
from stream.running.unwinding import stops

__all__ = ["CUT_OFF", "END_SECONDS", "begin", "run", "unless"]

logger = logging.getLogger(__name__)

# Covers all steps of an end: partitions released (5 s), the last commit and leaving the group (3 s), producers
# closed (2 s), health closed (1 s), the last spans sent (1 s). Stays under 15 s, the grace that docker-compose.yml
# gives; Kubernetes gives 30.
END_SECONDS: Final = 12.0

# GNU timeout, and a terminal or a supervisor that signals a whole group, send one wish twice within milliseconds.
# Nobody asks for a second thing so soon.
_SAME_SECONDS: Final = 1.0

# What is left when the work has ended gets this long to notice its cancellation.
_TIDY_SECONDS: Final = 1.0

# Writing the last line may hang on the lock of a handler, too.
_LAST_LINE_SECONDS: Final = 1.0

#: The exit code of a process that was asked to stop and did not get it done in time.
CUT_OFF: Final = 3

T = TypeVar("T")


class _Ending:
    """The deadline of a process that runs ``loop``."""

    def __init__(self, loop: asyncio.AbstractEventLoop, stop: asyncio.Event, seconds: float) -> None:
        self._loop = loop
        self._stop = stop
        self._seconds = seconds
        self._until: float | None = None
        self._error: BaseException | None = None
        self._exiting = threading.Lock()
        self._threads = set(threading.enumerate())
        self._executor = ThreadPoolExecutor(thread_name_prefix="asyncio")  # a loop of others hides its own
        loop.set_default_executor(self._executor)
        self._watch = threading.Timer(seconds, self._cut_off)
        self._watch.daemon = True
        self._watch.name = "deadline"

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self._seconds if self._until is None else max(0.0, self._until - time.monotonic())

    def begin(self, error: BaseException | None = None) -> None:
        """Start the clock, once; ``error`` is why, where it was not asked for."""
        self._error = self._error or error
        if self._until is None:
            self._until = time.monotonic() + self._seconds
            self._watch.start()
            outages.KAFKA.ending = True  # what a client says while it is closed helps nobody

    def asked(self, number: int, frame: FrameType | None) -> None:
        """End in order at the first signal, at once at a later one. Runs even while the event loop is blocked."""
        if self._until is not None:
            if self._seconds - self.left <= _SAME_SECONDS:
                return
            self._exit(f"second {signal.Signals(number).name}: ended at once", 128 + number)
        self.begin()
        self._loop.call_soon_threadsafe(self._stop.set)

    def tidy(self) -> None:
        """Cancel what is left in the event loop, and wait for threads; what does not end in time is cut off."""
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        if left:
            self._loop.run_until_complete(asyncio.wait(left, timeout=min(_TIDY_SECONDS, self.left)))
        if any(not task.done() for task in left):
            self._cut_off()
        self._executor.shutdown(wait=False, cancel_futures=True)
        for thread in self._others():
            thread.join(self.left)
            if thread.is_alive():
                self._cut_off()

    def over(self) -> None:
        """Stop the clock."""
        self._watch.cancel()
        if self._until is not None:
            self._watch.join(self._seconds)
        outages.KAFKA.ending = False

    def _others(self) -> list[threading.Thread]:
        mine = threading.current_thread()
        return [t for t in threading.enumerate() if t not in self._threads and t is not mine and not t.daemon]

    def _cut_off(self) -> None:
        tasks = [task.get_name() for task in _tasks(self._loop) if not task.done()]
        threads = [
            thread.name
            for thread in threading.enumerate()
            if thread not in self._threads and thread not in (threading.current_thread(), self._watch)
        ]
        what = "; ".join(
            f"{kind} {', '.join(sorted(names))}"
            for kind, names in (("tasks", tasks), ("threads", threads))
            if names
        )
        code = CUT_OFF if self._error is None else getattr(self._error, "exit_code", 1)
        said = f"ended with work still running ({what or 'nothing that has a name'}); what was saved is kept"
        self._exit(said, code)

    def _exit(self, line: str, code: int) -> None:
        if not self._exiting.acquire(
            blocking=False
        ):  # the watch and the main thread can get here at the same moment
            time.sleep(2 * _LAST_LINE_SECONDS)
            return

        def say() -> None:
            logger.error("%s", line)
            if self._error is not None:
                logger.error("%s", self._error)
            logging.shutdown()
            sys.stdout.flush()

        last = threading.Thread(target=say, name="last line", daemon=True)
        last.start()
        last.join(_LAST_LINE_SECONDS)
        os._exit(code)


_current: _Ending | None = None


def run(
    work: Callable[[asyncio.Event], Coroutine[Any, Any, None]],
    *,
    seconds: float = END_SECONDS,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
) -> None:
    """Run ``work`` in an event loop until it ends; SIGTERM, SIGINT and SIGHUP set the event that it is given.

    From the first signal, or from `begin`, or from the end of ``work`` on, the process has ``seconds`` in all. What
    still runs then is named in the log, and the process ends.

    Raises
    ------
    IntentError
        Whatever ``work`` raises.
    """
    global _current  # noqa: PLW0603  (a process has one end, and whoever sees it coming says so)
    loop = loop_factory()
    asyncio.set_event_loop(loop)
    stop = asyncio.Event()
    _current = ending = _Ending(loop, stop, seconds)
    former = {number: signal.signal(number, ending.asked) for number in stops()}
    try:
        try:
            loop.run_until_complete(work(stop))
        except BaseException as error:
            begin(error)
            raise
        finally:
            begin()
            ending.tidy()
            loop.close()
    finally:
        ending.over()
        _current = None
        asyncio.set_event_loop(None)
        for number, handler in former.items():
            signal.signal(number, handler)


def begin(error: BaseException | None = None) -> None:
    """Say that the process ends from now on; ``error`` is why, where nobody asked. Without `run` it does nothing."""
    if _current is not None:
        _current.begin(error)


async def unless(stop: asyncio.Event, work: Awaitable[T]) -> T | None:
    """Await ``work``, unless ``stop`` is set before it is done; then cancel it and return ``None``."""
    task = asyncio.ensure_future(work)
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.wait({task}, timeout=_TIDY_SECONDS)
        if task.done() and not task.cancelled() and isinstance(task.exception(), IntentError):
            logger.warning("stopped before it had started: %s", task.exception())
        return None
    finally:
        stopped.cancel()


def _tasks(loop: asyncio.AbstractEventLoop) -> set[asyncio.Task[Any]]:
    """Return the tasks of a loop that another thread may be running."""
    try:
        return asyncio.all_tasks(loop)
    except RuntimeError:  # they changed meanwhile, time and again
        return set()
