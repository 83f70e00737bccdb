"""Whatever ends a command that has started processes: none of them is left, and no temporary folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bundles import save_bundle
from tests.integration.workers import until

_SERVICES = "import sys; sys.argv[1:] = ['services', '--kafka-port', '0', '--redis-port', '0']; main()"
_DEMO = """
from pathlib import Path
from stream.demo import deployed
from stream.running.unwinding import unwind_when_asked
unwind_when_asked()
with deployed(Path({bundle!r})) as deployment, deployment.serving() as address:
    print(address, flush=True)
    signal.pause()
"""


def _descendants(pid: int) -> list[int]:
    """Return the processes that a process has started, and those that they have started."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
    pairs = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
    found = [pid]
    for parent in found:
        found += [child for child, of in pairs if of == parent]
    return found[1:]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _wait_for_the_end(pids: list[int]) -> None:
    """Wait until processes are gone: who has adopted one takes note of its end some time later."""
    until(lambda: not any(map(_alive, pids)), f"{pids} have ended")


def _started(program: str, folder: Path) -> subprocess.Popen[str]:
    """Start a program, and return when it has printed its first line."""
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", f"import signal\nfrom stream.cli import main\n{program}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(folder)},
    )
    assert process.stdout is not None
    assert process.stdout.readline(), process.communicate()[1]
    return process


@pytest.mark.parametrize(
    "numbers",
    [
        (signal.SIGHUP, signal.SIGHUP),  # as a terminal that is closed does: to the process, and to its group
        (signal.SIGTERM, signal.SIGTERM),
        (signal.SIGTERM, signal.SIGINT),
        (signal.SIGINT, signal.SIGTERM),
    ],
)
def test_services_leave_nothing(numbers: tuple[signal.Signals, ...], tmp_path: Path) -> None:
    with _started(_SERVICES, tmp_path / "temporary") as process:
        theirs = _descendants(process.pid)
        for number in numbers:
            process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert len(theirs) >= 2
    _wait_for_the_end(theirs)
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_deployment_of_the_demo_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    program = _DEMO.format(bundle=str(save_bundle(tmp_path / "bundle")))
    with _started(program, tmp_path / "temporary") as process:
        theirs = _descendants(process.pid)
        process.send_signal(number)
        process.communicate(timeout=60)
    assert len(theirs) >= 5, "Kafka, Redis, a worker, the service and a learner"
    _wait_for_the_end(theirs)
    if number != signal.SIGKILL:
        assert not list((tmp_path / "temporary").iterdir())
