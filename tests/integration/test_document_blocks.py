"""README and docs, read as a newcomer reads them: from top to bottom, every command typed, every example run.

The README is read in an empty folder. ``intent services`` and ``intent worker`` are started where it says so, and go on
running while the other pages are read, one after the other, in the same folder. What a page itself starts ends with it.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from stream.services.process import free_port
from tests.document_blocks import ROOT, Block, Command, blocks, commands, documents
from tests.document_commands import environment_without_settings, in_background, not_run

README: Final = ROOT / "README.md"

#: Typed instead of what the page says, to be quick and to leave the ports of this machine alone.
INSTEAD: Final = {
    "--customers 20000 --days 14": "--customers 1000 --days 10",
    "intent train events.parquet -o bundle": "intent train events.parquet -o bundle --no-baselines --epochs 1",
    # On a page it is the only worker; here, that of the README still has the port.
    "intent worker --rebuild": "INTENT_HTTP_PORT=0 intent worker --rebuild",
}

# One block: training, on two busy cores.
_BLOCK_SECONDS: Final = 300.0
# A worker compiles the fold at its first start on a machine.
_READY_SECONDS: Final = 120.0
# All processes of a page; a worker ends within 15 s.
_STOP_SECONDS: Final = 20.0

_READY: Final = re.compile(rb"health and metrics on port (\d+)")
_EXPORT: Final = re.compile(r"^export (\w+)=(\S+)$", re.MULTILINE)


class Background:
    """A command that runs until it is stopped, and what it prints."""

    def __init__(self, command: Command, folder: Path, environment: dict[str, str], output: Path) -> None:
        self.command = command
        self.output = output
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                ["bash", "-c", f"exec env {command.text.split(' #')[0]}"],
                cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            )  # fmt: skip

    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def wait_ready(self) -> dict[str, str]:
        """Wait until it does its work; return the settings that it told its reader to export."""
        name = self.command.words[1]
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            assert self.process.poll() is None, f"`{self.command.text}` has ended: {self.text()}"
            if name == "services" and "Ctrl-C" in self.text():
                return dict(_EXPORT.findall(self.text()))
            if name in ("worker", "learner") and self._answers():
                return {}
            if name == "watch":
                return {}
            assert time.monotonic() < deadline, f"`{self.command.text}` is not ready: {self.text()}"
            time.sleep(0.1)

    def port(self) -> int | None:
        found = _READY.search(self.output.read_bytes())
        return int(found[1]) if found else None

    def _answers(self) -> bool:
        port = self.port()
        if port is None:
            return False
        with contextlib.suppress(httpx.TransportError):
            # A worker without partitions and a learner that stands by are as they should be, and ready.
            return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == httpx.codes.OK
        return False

    def stop(self) -> None:
        """End it as Ctrl-C would; it must have run until now, and must end well."""
        ended = self.process.poll()
        assert ended in (None, 0), f"`{self.command.text}` has ended with {ended}: {self.text()}"
        if ended is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(_STOP_SECONDS)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Reader:
    """Someone who types what the pages say, in one folder and one terminal for each page."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.begun: list[Background] = []
        self.environment = self._terminal(folder.parent / "bin")
        self.port = int(self.environment["INTENT_HTTP_PORT"])

    def _terminal(self, programs: Path) -> dict[str, str]:
        programs.mkdir()
        intent = programs / "intent"
        intent.write_text(f'#!/bin/sh\nexec {sys.executable} -c "from stream.cli import main; main()" "$@"\n')
        intent.chmod(0o755)
        path = f"{programs}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        named = {"PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "120", "PYTHONUNBUFFERED": "1"}
        return environment_without_settings() | named | {"INTENT_HTTP_PORT": str(free_port())}

    def read(self, path: Path, *, leave_running: bool = False) -> int:
        """Run every block of a page; return how many commands and examples were run."""
        environment, before, count = dict(self.environment), len(self.begun), 0
        printed: str | None = None
        for block in blocks(path):
            if block.language == "bash":
                printed, ran = self._type(block, environment)
                count += ran
            elif block.language == "python":
                printed = self._run([sys.executable, "-c", block.text], block, environment)
                count += 1
            elif block.language == "text" and printed is not None:
                self._compare(block, printed)
        if leave_running:
            self.environment = environment
        else:
            while len(self.begun) > before:
                self.begun.pop().stop()
        return count

    def _type(self, block: Block, environment: dict[str, str]) -> tuple[str | None, int]:
        """Type the commands of a block; return what they printed, ``None`` if one of them is not run."""
        printed, ran, complete = "", 0, True
        for command in commands(self._instead(block.text)):
            if not_run(command) is not None:
                complete = False
            elif in_background(command):
                number = len(list(self.folder.parent.glob("output-*")))
                output = self.folder.parent / f"output-{number}"
                self.begun.append(Background(command, self.folder, environment, output))
                environment |= self.begun[-1].wait_ready()
                printed += self.begun[-1].text()
                ran += 1
            else:
                script = f"set -euo pipefail\n{command.text}\nenv -0 > {self.folder.parent}/environment\n"
                printed += self._run(["bash", "-c", script], block, environment)
                held = (self.folder.parent / "environment").read_text().split("\0")
                environment |= dict(pair.split("=", 1) for pair in held if "=" in pair)
                ran += 1
        return (printed if complete else None), ran

    def _instead(self, text: str) -> str:
        for said, typed in {**INSTEAD, "localhost:8080": f"localhost:{self.port}"}.items():
            text = text.replace(said, typed)
        return text

    def _run(self, command: list[str], block: Block, environment: dict[str, str]) -> str:
        process = subprocess.Popen(
            command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            printed, _ = process.communicate(timeout=_BLOCK_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            printed, _ = process.communicate()
            pytest.fail(f"{block.place} has not ended after {_BLOCK_SECONDS:.0f} s:\n{block.text}\n{printed}")
        code = process.returncode
        assert code == 0, f"{block.place} ended with {code}:\n{block.text}\n{printed}"
        return printed

    def _compare(self, block: Block, printed: str) -> None:
        """The output that a page shows has no word that was not printed; its numbers are of another run."""
        missing = set(re.findall(r"[A-Za-z]{2,}", block.text)) - set(re.findall(r"[A-Za-z]{2,}", printed))
        assert not missing, f"{block.place} shows what was not printed: {sorted(missing)}\n{printed}"


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A reader who has read the README; its servers and its worker run."""
    folder = tmp_path_factory.mktemp("reader") / "shop"
    folder.mkdir()
    someone = Reader(folder)
    try:
        assert someone.read(README, leave_running=True) > 0
        yield someone
    finally:
        for one in reversed(someone.begun):
            one.kill()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_block_of_the_readme_runs(reader: Reader) -> None:
    begun = {one.command.words[1] for one in reader.begun}
    assert {"services", "worker"} <= begun, "the README starts neither servers nor a worker"
    for one in reader.begun:
        assert one.process.poll() is None, f"`{one.command.text}` has ended: {one.text()}"


def _pages() -> list[Path]:
    """Return the pages that have something to run; the README is another test's."""
    found = {path: {block.language for block in blocks(path)} for path in documents() if path != README}
    return [path for path, languages in found.items() if languages & {"bash", "python"}]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", _pages(), ids=lambda path: path.stem)
def test_every_block_of_a_page_runs(reader: Reader, page: Path) -> None:
    reader.read(page)
    for one in reader.begun:
        assert one.process.poll() is None, f"`{one.command.text}` has ended: {one.text()}"


def test_a_block_that_fails_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    (tmp_path / "folder").mkdir()
    someone = Reader(tmp_path / "folder")
    page.write_text("```bash\ntrue\nfalse | cat\n```\n")
    with pytest.raises(AssertionError, match="page.md:2 ended with 1"):
        someone.read(page)
    page.write_text("```python\nprint('three scores')\n```\n\n```text\n4 scores\n```\n")
    assert someone.read(page) == 1
    page.write_text("```python\nprint('three scores')\n```\n\n```text\nthree events\n```\n")
    with pytest.raises(AssertionError, match="shows what was not printed: \\['events'\\]"):
        someone.read(page)
