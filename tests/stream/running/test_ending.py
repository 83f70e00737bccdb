"""Every end of a process is over before its deadline, and says what it did not wait for."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from features.exceptions import IntentError
from stream.running.ending import CUT_OFF, run, unless

SETTING = """
import asyncio, signal, os, sys, threading, time
from features.exceptions import IntentError
from stream.running.ending import run

def send(*numbers, pause=0.2):
    def sender():
        for number in numbers:
            time.sleep(pause)
            os.kill(os.getpid(), number)
    threading.Thread(target=sender, daemon=True).start()

async def stubborn():
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass
"""


def ended(script: str) -> tuple[int, str]:
    """Return the exit code of a process, and what it said."""
    process = subprocess.run(
        [sys.executable, "-c", SETTING + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return process.returncode, process.stderr


def test_a_task_that_swallows_its_cancellation_is_cut_off_and_named() -> None:
    code, said = ended("""
        async def work(stop):
            asyncio.create_task(stubborn(), name="the stubborn one")
            send(signal.SIGTERM)
            await stop.wait()
        run(work, seconds=1.5)
    """)
    assert code == CUT_OFF
    assert "tasks the stubborn one" in said
    assert "Traceback" not in said


def test_a_refusal_that_hangs_keeps_its_exit_code_and_its_sentence() -> None:
    code, said = ended("""
        async def work(stop):
            asyncio.create_task(stubborn(), name="the stubborn one")
            raise IntentError("Redis was lost")
        run(work, seconds=1.0)
    """)
    assert code == 1
    assert "the stubborn one" in said
    assert said.splitlines()[-1] == "Redis was lost"


def test_a_blocked_event_loop_does_not_outlast_the_deadline() -> None:
    code, said = ended("""
        async def work(stop):
            send(signal.SIGTERM)
            while not stop.is_set():
                time.sleep(0.05)  # blocks the loop, so nobody ever sets it
        run(work, seconds=0.5)
    """)
    assert code == CUT_OFF
    assert "ended with work still running" in said


def test_a_thread_that_hangs_is_cut_off_and_named() -> None:
    code, said = ended("""
        async def work(stop):
            threading.Thread(target=time.sleep, args=(60,), name="the sleeper").start()
        run(work, seconds=0.5)
    """)
    assert (code, "threads the sleeper" in said) == (CUT_OFF, True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_second_signal_ends_at_once(number: signal.Signals) -> None:
    code, said = ended(f"""
        async def work(stop):
            send({int(number)}, {int(number)}, pause=1.2)
            await stubborn()
        run(work, seconds=20)
    """)
    assert code == 128 + number
    assert f"second {number.name}" in said


def test_a_signal_that_comes_twice_at_once_is_one() -> None:
    code, said = ended("""
        async def work(stop):
            send(signal.SIGTERM, signal.SIGTERM, pause=0.02)
            await stop.wait()
            await asyncio.sleep(0.2)
            print("ended in order", file=sys.stderr)
        run(work, seconds=20)
    """)
    assert (code, said) == (0, "ended in order\n")


def test_an_end_in_order_leaves_nothing_behind() -> None:
    before = (signal.getsignal(signal.SIGTERM), threading.active_count())

    async def work(stop: asyncio.Event) -> None:
        signal.raise_signal(signal.SIGTERM)
        await stop.wait()
        await asyncio.to_thread(int)

    run(work)
    assert (signal.getsignal(signal.SIGTERM), threading.active_count()) == before


def test_an_error_passes_through() -> None:
    async def work(stop: asyncio.Event) -> None:
        raise IntentError("no")

    with pytest.raises(IntentError, match="no"):
        run(work)


def test_what_has_not_started_is_given_up_at_a_stop() -> None:
    async def main() -> tuple[str | None, str | None]:
        stop = asyncio.Event()
        first = await unless(stop, asyncio.sleep(0, "done"))
        asyncio.get_running_loop().call_soon(stop.set)
        return first, await unless(stop, asyncio.sleep(60, "never"))

    assert asyncio.run(main()) == ("done", None)
