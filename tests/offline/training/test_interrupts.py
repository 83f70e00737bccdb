"""An interrupt is one, whatever the library makes of it."""

from __future__ import annotations

import signal
import threading
from contextlib import suppress

import pytest

from offline.training.interrupts import interrupts_kept


def interrupted(number: signal.Signals = signal.SIGINT) -> None:
    """Do as TensorFlow does when an interrupt meets the building of a graph."""
    with suppress(KeyboardInterrupt):
        signal.raise_signal(number)
    raise SystemError("bad argument to internal function")


def test_an_interrupt_that_became_another_error_is_an_interrupt() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interrupts_kept():
        interrupted()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_signal_that_interrupts_is_one_too() -> None:
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), interrupts_kept():
            interrupted(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, former)


def test_an_error_without_an_interrupt_stays_what_it_is() -> None:
    with pytest.raises(SystemError), interrupts_kept():
        raise SystemError("of its own")


def test_another_thread_takes_no_signals() -> None:
    found: list[bool] = []

    def work() -> None:
        with interrupts_kept():
            found.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [True]
