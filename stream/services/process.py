"""A server as a child process: started, asked whether it answers, stopped, killed, and never left behind."""

import itertools
import os
import random
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from stream.exceptions import ServiceError

__all__ = ["LOCALHOST", "ServerProcess", "free_port", "guard", "refuse_taken_ports", "unguard"]

LOCALHOST = "127.0.0.1"
# Kafka leaves within 2 s of SIGTERM; what is not gone then is killed, and recovers its log at the next start.
_STOP_SECONDS = 20.0
# Below the range from which Linux (32768) and macOS (49152) take the ports of outgoing connections: such a
# connection could otherwise sit on a server's port while the server is down.
_PORTS = range(15_000, 32_000)
# A port is free until its server listens, and again while the server is down. So a process gives no port twice until it
# has been through them all, and it begins where hardly another one does.
_AHEAD = itertools.count(random.SystemRandom().randrange(len(_PORTS)))
# Ends its reading when the parent is gone, for whatever reason, then kills the server.
_GUARD = 'read -r _; kill -s KILL -- "-$1"'


def free_port() -> int:
    """Return a TCP port of this machine that nobody listens on now, and that this process has not given lately."""
    for at in itertools.islice(_AHEAD, 1_000):
        port = _PORTS[at % len(_PORTS)]
        with socket.socket() as probe:
            try:
                probe.bind((LOCALHOST, port))
            except OSError:
                continue
            return port
    raise ServiceError(
        f"no free port between {_PORTS[0]} and {_PORTS[-1]}; stop some servers on this machine"
    )


def refuse_taken_ports(ports: Mapping[str, int]) -> None:
    """Look at the ports of servers, by their names, before one of them is started.

    Raises
    ------
    ServiceError
        Nobody can listen on some of them; all are named.
    """
    if len(set(ports.values())) < len(ports):
        raise ServiceError(
            f"{' and '.join(ports)} cannot have the same port: choose another one for one of them"
        )
    taken = {name: reason for name, port in ports.items() if (reason := _why_not(port)) is not None}
    if not taken:
        return
    which = ", and ".join(
        f"{name} cannot listen on {LOCALHOST}:{ports[name]} ({reason})" for name, reason in taken.items()
    )
    options = " ".join(f"--{name.lower()}-port 0" for name in taken)
    what, free = ("another port", "a free one") if len(taken) == 1 else ("other ports", "free ones")
    raise ServiceError(f"{which}: choose {what}, as in `intent services {options}`, which takes {free}")


def _why_not(port: int) -> str | None:
    """Return why no server can listen on a port; ``None`` where one can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do
        try:
            probe.bind((LOCALHOST, port))
        except OSError as error:
            return error.strerror or str(error)
    return None


def guard(process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    """Have a process, which leads a session of its own, killed once this one is gone, for whatever reason."""
    return subprocess.Popen(
        ["/bin/sh", "-c", _GUARD, "guard", str(process.pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def unguard(guarding: subprocess.Popen[bytes]) -> None:
    """End a guard whose process has ended: the id that it would kill may be given to another process now."""
    guarding.kill()
    guarding.communicate()


class ServerProcess(ABC):
    """A child process with a log, that answers on a port and dies with this process.

    Parameters
    ----------
    directory
        Where the server keeps its files and its log; made if it is not there.
    port
        TCP port on 127.0.0.1; a free one is chosen where none is given, and kept over restarts.

    Attributes
    ----------
    log
        The file with all that the server printed, over all its starts.
    """

    name: str
    start_seconds: float

    def __init__(self, directory: Path | str, port: int | None = None) -> None:
        self.directory = Path(directory).absolute()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port() if port is None else port
        self.log = self.directory / f"{self.name.lower()}.log"
        self._printed = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether the server's process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The server's process id, ``None`` while it is down."""
        return self._process.pid if self._process is not None and self.running else None

    def start(self) -> Self:
        """Start the server and return when it answers; a running one is left alone."""
        if self.running:
            return self
        self._release()
        refuse_taken_ports({self.name: self.port})
        self._printed = self.log.stat().st_size if self.log.exists() else 0
        try:
            self._process = self._spawn(self.command())
            deadline = time.monotonic() + self.start_seconds
            while not self.answers():
                self.check()
                if time.monotonic() > deadline:
                    raise self._failure(f"did not answer within {self.start_seconds:.0f} s")
                time.sleep(0.05)
        except BaseException:
            self.kill()
            raise
        return self

    def check(self) -> None:
        """Raise `ServiceError` if the server has ended by itself."""
        if self._process is not None and not self.running:
            raise self._failure(f"ended with exit code {self._process.returncode}")

    def stop(self) -> None:
        """Ask the server to end in order, and return when it is gone."""
        if self._process is not None and self.running:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        self._release()

    def kill(self) -> None:
        """Kill the server at once (SIGKILL), as a crash would."""
        if self._process is not None and self.running:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._release()

    @abstractmethod
    def command(self) -> list[str]:
        """Write what the server needs into its directory and return its command line."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether the server does its work."""

    def run(self, command: Sequence[str]) -> None:
        """Run a command that prepares the server, its output going to the log."""
        with self.log.open("ab") as log:
            code = subprocess.run(command, cwd=self.directory, stdout=log, stderr=log, check=False).returncode
        if code:
            raise self._failure(f"cannot be prepared (exit code {code})")

    def _spawn(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        try:
            with self.log.open("ab") as log:
                server = subprocess.Popen(  # its own session: Ctrl-C is for this process to act on
                    command,
                    cwd=self.directory,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        except OSError as error:
            raise ServiceError(f"{self.name} cannot be started: {error}") from error
        self._guard = guard(server)
        return server

    def _release(self) -> None:
        if self._guard is not None:
            unguard(self._guard)
            self._guard = None
        self._process = None

    def _failure(self, what: str) -> ServiceError:
        """Return the error, with what the server printed last since its start."""
        with self.log.open("rb") as log:
            log.seek(self._printed)
            lines = map(str.strip, log.read().decode(errors="replace").splitlines())
        causes = [line for line in lines if line and not line.startswith(("at ", "..."))]
        tail = " | ".join(causes[-3:])[-600:] or "its log is empty"
        return ServiceError(f"{self.name} on port {self.port} {what}: {tail} (log: {self.log})")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
