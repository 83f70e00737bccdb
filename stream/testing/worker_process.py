"""``intent worker`` as a process of its own, which is never left behind."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from stream.exceptions import ServiceError
from stream.services.process import free_port
from stream.settings import Settings
from stream.testing.forked import Forked

# A worker is ready within seconds. Its first start on a machine compiles: a minute, or several on a busy one.
_READY_SECONDS: Final = 600.0
_END_SECONDS: Final = 15.0
_ANSWER_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.05
_LAST_LINES: Final = 30


def variables(settings: Settings) -> dict[str, str]:
    """Return the environment variables that make these settings."""
    security = settings.security
    values = settings.masked() | {
        "redis": settings.redis_url,
        "sasl_password": security.password,
        "ssl_key_password": security.key_password,
    }
    # The process runs in another folder: files are named as they are here.
    named = {
        name: value.absolute() if isinstance(value := getattr(settings, name), Path) else said
        for name, said in values.items()
    }
    return {f"INTENT_{name.upper()}": str(value) for name, value in named.items() if value is not None}


def without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without the variables that settings are read from."""
    return {name: value for name, value in environment.items() if not name.startswith("INTENT_")}


class WorkerProcess:
    """A worker, started at once.

    Parameters
    ----------
    settings
        Where everything is; its port of health checks is replaced by a free one.
    folder
        Where it runs, and where its log is.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings.model_copy(update={"http_port": free_port()})
        self.log = folder / "worker.log"
        self.log.write_bytes(b"")
        environment = without_settings(os.environ) | variables(self.settings)
        self._process = Forked(["worker"], environment, folder, self.log)

    def wait_ready(self) -> None:
        """Wait until the worker has its partition.

        Raises
        ------
        ServiceError
            It has ended, or it takes too long.
        """
        deadline = time.monotonic() + _READY_SECONDS
        while not self._ready():
            self.check()
            if time.monotonic() > deadline:
                raise ServiceError(f"the worker was not ready within {_READY_SECONDS:.0f} s:\n{self.tail()}")
            time.sleep(_LOOK_SECONDS)

    def check(self) -> None:
        """Raise `ServiceError`, with the end of its log, if the worker has ended by itself."""
        if self._process.poll() is not None:
            raise ServiceError(f"the worker ended with exit code {self._process.returncode}:\n{self.tail()}")

    def kill(self) -> None:
        """End it at once: nothing of it is to be kept."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(_END_SECONDS)

    def tail(self) -> str:
        """Return the last lines that it has printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_LAST_LINES:])

    def _ready(self) -> bool:
        address = f"http://{self.settings.http_host}:{self.settings.http_port}/readyz"
        try:
            with urllib.request.urlopen(address, timeout=_ANSWER_SECONDS):
                return True
        except OSError:  # also urllib.error.URLError: nobody listens yet, or it is not ready
            return False
