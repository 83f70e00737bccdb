"""A signal unwinds a command wherever it meets it."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, os, signal, sys, time
from stream.running.unwinding import asked, unwind_when_asked
unwind_when_asked()
number = signal.{number}
{code}
try:
    work()
    time.sleep(20)
except KeyboardInterrupt:
    print("unwound by", asked().name)
"""

#: Where an exception goes nowhere: numba loads and compiles in such callbacks.
CALLBACK = """
def callback():
    os.kill(os.getpid(), number)
    time.sleep(0.01)
def work():
    ctypes.CFUNCTYPE(None)(callback)()
"""
DESTRUCTOR = """
class Closing:
    def __del__(self):
        os.kill(os.getpid(), number)
        time.sleep(0.01)
def work():
    Closing()
"""
TWICE = """
def work():
    try:
        os.kill(os.getpid(), number)
        time.sleep(20)
    finally:
        os.kill(os.getpid(), number)
        time.sleep(0.01)
        print("closed")
"""


def said(code: str, number: str) -> str:
    program = PROGRAM.format(code=code, number=number)
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    ).stdout


@pytest.mark.parametrize("code", [CALLBACK, DESTRUCTOR])
@pytest.mark.parametrize("number", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_an_interrupt_that_goes_nowhere_comes_again(code: str, number: str) -> None:
    assert said(code, number) == f"unwound by {number}\n"


@pytest.mark.parametrize("number", ["SIGTERM", "SIGHUP"])
def test_a_signal_that_comes_twice_does_not_interrupt_the_closing(number: str) -> None:
    assert said(TWICE, number) == f"closed\nunwound by {number}\n"
